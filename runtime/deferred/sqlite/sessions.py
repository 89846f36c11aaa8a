"""Sessions: the workers of this process, as far as others can see them.

Decides that a worker lives as long as the kernel's lock on a file of its own is held: the kernel takes it back when the
process ends, however that ends. Whoever gets such a lock knows that the worker is over.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from millrace.runtime.deferred.sqlite.bells import WORKERS, Bell

SUFFIX: Final = ".lock"


@attrs.define(eq=False)
class Session:
    """One worker.

    Args:
        mark: What its lock and its bell are called.
        bell: Its bell.
        handle: Its lock.
        keys: The keys of the tasks that it can run.
        suspects: Some worker may be over.
    """

    mark: str
    bell: Bell
    handle: int
    keys: frozenset[str]
    suspects: list[bool]

    @classmethod
    def begin(cls, locks: Path, bells: Path, keys: frozenset[str], ring: Callable[[], None]) -> Session:
        """Begin to live.

        Args:
            locks: The folder for locks.
            bells: The folder for bells.
            keys: The keys of the tasks that it can run.
            ring: Called when there may be something new for it.

        Raises:
            OSError: there can be no lock, or no socket.
        """
        mark = f"{WORKERS}{secrets.token_hex(8)}"
        suspects = [True]

        def gone() -> None:
            suspects[0] = True
            ring()

        handle = os.open(locks / f"{mark}{SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            take(handle)
            bell = Bell(bells, mark, ring, gone)
        except BaseException:
            os.close(handle)
            (locks / f"{mark}{SUFFIX}").unlink(missing_ok=True)
            raise
        return cls(mark, bell, handle, keys, suspects)

    def end(self, locks: Path) -> None:
        """Live no more."""
        self.bell.close()
        (locks / f"{self.mark}{SUFFIX}").unlink(missing_ok=True)
        os.close(self.handle)

    def abandon(self) -> None:
        """In the child of a fork: it is the parent that lives."""
        self.bell.abandon()
        os.close(self.handle)


def is_over(locks: Path, mark: str) -> bool:
    """Whether a worker is over; its lock is removed then."""
    place = locks / f"{mark}{SUFFIX}"
    try:
        handle = os.open(place, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        take(handle, wait=False)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    with suppress(FileNotFoundError):
        place.unlink()
    return True


def take(handle: int, *, wait: bool = True) -> None:
    """Take the lock of an open file.

    Args:
        handle: Its descriptor.
        wait: Wait for whoever has it.

    Raises:
        BlockingIOError: somebody has it, and it was not to be waited for.
    """
    locking = _locking()
    locking.flock(handle, locking.LOCK_EX | (0 if wait else locking.LOCK_NB))


def give_back(handle: int) -> None:
    """Give the lock of an open file back."""
    locking = _locking()
    locking.flock(handle, locking.LOCK_UN)


def _locking() -> Any:
    import fcntl  # noqa: PLC0415  # Windows has none, and no queue in files

    return fcntl
