"""Locks in files: locks of keys between the processes of one machine.

Decides how a process claims a key: by the kernel's lock on a file, which the kernel takes back when the process ends,
however it ends. Where another process has it, a thread waits for it in the kernel, one for each such key; if nobody
here wants the key any more when the thread gets it, it is given back at once. Among those who wait in one process the
order is that of `QueuedLocks`; among processes it is the kernel's.

The file of a key is there while somebody has or wants the key, and holds the name of who has it. It is removed by
whoever gives the key up last; so a lock counts only if its file still has its name when the lock is there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final, TypeVar

from millrace.actors.errors import ConfigurationError
from millrace.runtime.results.folders import Folder, file_name
from millrace.runtime.results.locking import QueuedLocks, Waiter

R = TypeVar("R")

_THREAD_NAME: Final = "millrace-lock"

_managers: dict[Path, FileSystemLockManager] = {}
_registering = Lock()


class FileSystemLockManager(QueuedLocks):
    """Locks keys for all processes of this machine that use the same folder.

    A process has one manager for a folder, however often it is made, so that a holder is the same one everywhere in
    it. If a process ends, its locks go to those who wait. Not for folders on a network: not every one has such locks.

    Args:
        folder: Where the files of the locks are. It is made when a lock is taken.

    Raises:
        ConfigurationError: the system has no such locks; or, by every method, others than its owner may write to the
            folder.
        StorageError: by every method, where the file system cannot do what is asked.
    """

    _folder: Folder
    _files: dict[str, int]

    def __new__(cls, folder: str | os.PathLike[str]) -> FileSystemLockManager:  # noqa: PYI034  # maybe one of before
        """Give the manager of the folder that this process has."""
        if sys.platform == "win32":
            raise ConfigurationError("lock_manager", "FileSystemLockManager", "a manager that Windows has locks for")
        where = Folder(folder)
        with _registering:
            made = _managers.get(where.path)
            if made is None:
                made = _managers[where.path] = super().__new__(cls)
                QueuedLocks.__init__(made)
                made._folder = where
                made._files = {}  # from each key that is claimed, or is being claimed, to the descriptor of its file
        return made

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Nothing is left to do: it may be in use already."""

    @property
    def folder(self) -> Path:
        """Where the files of the locks are, as an absolute path without links."""
        return self._folder.path

    def __repr__(self) -> str:
        return f"FileSystemLockManager({str(self.folder)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return FileSystemLockManager, (self.folder,)

    # Between the processes. All but `_claim_slowly` under the guard.

    def _claim(self, key: str, *, wait: bool) -> bool:
        name = file_name(key)
        while True:
            descriptor = self._open(name)
            try:
                if not _lock(descriptor, wait=False):
                    if not wait:
                        os.close(descriptor)
                        return False
                    self._files[key] = descriptor
                    Thread(target=self._claim_slowly, args=(key, name), name=_THREAD_NAME, daemon=True).start()
                    return False
                if self._stands(name, descriptor):
                    self._files[key] = descriptor
                    return True
            except BaseException:
                self._files.pop(key, None)
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _claim_slowly(self, key: str, name: str) -> None:
        try:
            while True:
                descriptor = self._files[key]
                _lock(descriptor, wait=True)
                if self._stands(name, descriptor):
                    break
                self._files[key] = self._open(name)
                os.close(descriptor)
        except BaseException as error:  # noqa: BLE001  # raised to whoever waits
            os.close(self._files.pop(key))
            self._claim_failed(key, error)
        else:
            self._claimed(key)

    def _unclaim(self, key: str) -> None:
        name = file_name(key)
        descriptor = self._files.pop(key)
        try:
            # A file that cannot be removed is left behind, and harmless.
            with suppress(OSError, ConfigurationError):
                if self._stands(name, descriptor):
                    self._folder.opened(make=False).unlink(name)
            _unlock(descriptor)
        finally:
            os.close(descriptor)

    def _inscribe(self, key: str, holder: str) -> None:
        with suppress(OSError):  # the name is for those who look; the lock is the kernel's
            os.ftruncate(self._files[key], 0)
            os.pwrite(self._files[key], _text(holder), 0)

    def _locked_elsewhere(self, key: str) -> bool:
        return self._held(key) is not None

    def _held_elsewhere(self, key: str, holder: str) -> bool:
        return self._held(key) == _text(holder)

    def _held(self, key: str) -> bytes | None:
        """What the file of a key says that another process has; None if none has it."""
        with self._folder.reported("look for a lock in"):
            try:
                descriptor = self._folder.opened(make=False).open(file_name(key), os.O_RDONLY)
            except FileNotFoundError:
                return None
            try:
                if _lock(descriptor, shared=True, wait=False):
                    return None
                return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            finally:
                os.close(descriptor)

    def _open(self, name: str) -> int:
        with self._folder.reported("take a lock in"):
            return self._folder.opened(make=True).open(name, os.O_RDWR | os.O_CREAT)

    def _stands(self, name: str, descriptor: int) -> bool:
        """Whether an open file still has its name."""
        with self._folder.reported("take a lock in"):
            try:
                return os.path.samestat(self._folder.opened(make=False).status(name), os.fstat(descriptor))
            except FileNotFoundError:
                return False

    # On a loop nothing touches a file.

    async def _off_loop(self, fn: Callable[[], R]) -> R:
        from millrace.runtime.effects import in_thread  # noqa: PLC0415  # the engine, which imports this

        return await in_thread(fn)

    def _withdraw_from_loop(self, key: str, waiter: Waiter) -> None:
        Thread(target=self._withdraw, args=(key, waiter), name=_THREAD_NAME, daemon=True).start()

    def forget(self) -> None:
        """In the child of a fork: the locks are the parent's, and have to end with it and not with the child."""
        for descriptor in self._files.values():
            os.close(descriptor)  # closing gives nothing back as long as the parent has it open
        QueuedLocks.__init__(self)
        self._files = {}


def _text(holder: str) -> bytes:
    return holder.encode("utf-8", "surrogatepass")


def _lock(descriptor: int, *, wait: bool, shared: bool = False) -> bool:
    """Lock a file, waiting for it or not; whether it is locked now."""
    import fcntl  # noqa: PLC0415  # Windows has none

    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        return False
    return True


def _unlock(descriptor: int) -> None:
    """Give a lock back; closing does not do it where the child of a fork has the file open, too."""
    import fcntl  # noqa: PLC0415  # Windows has none

    fcntl.flock(descriptor, fcntl.LOCK_UN)


def _forget_all() -> None:
    global _registering  # noqa: PLW0603  # another thread of the parent may have had it
    _registering = Lock()
    for manager in _managers.values():
        manager.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
