"""Ownership: one process writes to a file at a time.

Decides who that is: whoever has the kernel's lock on a file beside the database, which the kernel takes back when the
process ends, however it ends. The file holds the owner's name, for whoever comes too late. It is never removed: two
processes that lock two files of the same name would both be owners.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from millrace.actors.errors import StoreInUse, StoreRefused

SUFFIX: Final = ".lock"
"""What the name of the lock's file has after that of the database."""

_LONGEST_NAME: Final = 200


class Ownership:
    """The right to write to a database.

    Args:
        path: The database.
        name: Says where that is.
    """

    __slots__ = ("_handle", "_name", "_path")

    def __init__(self, path: Path, name: str) -> None:
        self._path = path.with_name(path.name + SUFFIX)
        self._name = name
        self._handle: int | None = None

    def take(self, owner: str) -> None:
        """Become the owner.

        Args:
            owner: Says who that is.

        Raises:
            StoreInUse: another process is, or another engine of this one.
            StoreRefused: the file system has no locks.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            handle = os.open(self._path, flags, 0o600)
        except OSError as error:
            reason = f"its lock {self._path} cannot be opened ({error.strerror})"
            raise StoreRefused(self._name, reason, "See to it that it can.") from error
        try:
            _lock(handle)
        except OSError as error:
            found = os.pread(handle, _LONGEST_NAME, 0).decode("utf-8", "replace").strip()
            os.close(handle)
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                raise StoreInUse(self._name, found or "another process") from None
            raise StoreRefused(
                self._name, f"its lock cannot be had ({error.strerror})", "Name another file."
            ) from error
        except BaseException:
            os.close(handle)
            raise
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{owner}\n".encode()[:_LONGEST_NAME], 0)
        self._handle = handle

    def give_back(self) -> None:
        """Be the owner no more. In the child of a fork: leave the lock to the parent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                os.close(handle)


def _lock(handle: int) -> None:
    """Lock a file, or raise at once.

    The lock belongs to what was opened and not to the process, so that two engines of one process exclude each other
    too, and a descriptor that a fork inherits does not give it up when that closes it.
    """
    try:
        import fcntl  # noqa: PLC0415  # Windows has none
    except ImportError:
        import msvcrt  # noqa: PLC0415  # and nobody else has this

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
