"""Local storage: records as files of one folder.

Decides how a file comes to be there whole or not at all, also when the machine loses power: it is written under
another name, brought to the disk, and given its name in one step, which is brought to the disk as well.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from millrace.actors.errors import MissingResult, SerializationError
from millrace.runtime.results.folders import Folder, OpenFolder, file_name


class LocalStorage:
    """Keeps bytes in files of a folder, one for each key.

    The folder and its files can be read by their owner only; a folder that others may write to is refused. A write
    that is cut off by the end of the process may leave a file whose name ends in `.tmp`, which nobody reads.

    Args:
        folder: Where. It is made when something is written.

    Raises:
        ConfigurationError: by every method, where others than its owner may write to the folder.
        StorageError: by every method, where the file system cannot do what is asked.
    """

    blocking: bool = True

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Folder(folder)

    @property
    def folder(self) -> Path:
        """The folder, as an absolute path without links."""
        return self._folder.path

    def read(self, key: str) -> bytes:
        """The bytes under a key.

        Raises:
            MissingResult: there are none.
            SerializationError: there is something else than a file, such as a link.
        """
        name = file_name(key)
        with self._folder.reported("read"):
            try:
                blob = _contents(self._folder.opened(make=False), name)
            except FileNotFoundError:
                raise MissingResult(self._path(name)) from None
        if blob is None:
            raise SerializationError(f"read {self._path(name)}", "something else than a file is in its place")
        return blob

    def write(self, key: str, blob: bytes) -> None:
        """Put bytes under a key, whole or not at all.

        If only the last step fails, bringing the name to the disk, the new bytes are there but may not outlive a loss
        of power; that is reported like any failure.
        """
        name = file_name(key)
        temporary = f".{name}.{os.urandom(8).hex()}.tmp"
        with self._folder.reported("write to"):
            folder = self._folder.opened(make=True)
            try:
                _write_new(folder, temporary, blob)
                folder.replace(name, by=temporary)
            except BaseException:
                with suppress(OSError):
                    folder.unlink(temporary)
                raise
            folder.sync()

    def exists(self, key: str) -> bool:
        """Whether there is a file for a key."""
        with self._folder.reported("look into"):
            try:
                return stat.S_ISREG(self._folder.opened(make=False).status(file_name(key)).st_mode)
            except FileNotFoundError:
                return False

    def delete(self, key: str) -> None:
        """Remove the file of a key, if there is one."""
        with self._folder.reported("delete from"), suppress(FileNotFoundError):
            folder = self._folder.opened(make=False)
            folder.unlink(file_name(key))
            folder.sync()

    def where(self, key: str) -> str:
        """The path of the file of a key."""
        return self._path(file_name(key))

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)  # noqa: PTH118  # a path object costs, and each miss of a cache tells where

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalStorage) and other.folder == self.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.folder)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return LocalStorage, (self.folder,)


def _contents(folder: OpenFolder, name: str) -> bytes | None:
    """What is in a file; None if something else stands under its name."""
    try:
        descriptor = folder.open(name, os.O_RDONLY)
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.readall()
    finally:
        os.close(descriptor)


def _write_new(folder: OpenFolder, name: str, blob: bytes) -> None:
    descriptor = folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        rest = memoryview(blob)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
