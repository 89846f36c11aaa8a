"""Folders: private ones on disk, and names in them that no key can choose.

Decides what a key's file is called, who may read what is written, and that nothing is reached from a folder but plain
files in it: the folder is opened once for each operation, names are looked up in what was opened, and links are not
followed. Does not know what the files hold.

Where the system cannot look up names in an open folder (Windows), paths are used, and permissions are the system's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from millrace.actors.errors import ConfigurationError, StorageError

_BY_HANDLE: Final = os.open in os.supports_dir_fd
_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)
_UNBLOCKED: Final = getattr(os, "O_NONBLOCK", 0)  # a pipe in a file's place would never be opened
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def file_name(key: str) -> str:
    """What the file of a key is called: letters and digits that say nothing, always as many.

    Two keys have two names, however alike they look; and no key has a name that leads anywhere.
    """
    import hashlib  # noqa: PLC0415  # it loads OpenSSL, which a program that keeps nothing never needs

    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@attrs.frozen
class OpenFolder:
    """A folder that is open.

    Args:
        handle: Its descriptor; None where the system looks names up by path only.
        prefix: What goes before a name: nothing, or the path.
    """

    handle: int | None
    prefix: str = ""

    def open(self, name: str, flags: int) -> int:
        """Open a file of the folder; a new one is its owner's alone.

        Returns:
            The descriptor, which programs that are started do not inherit.

        Raises:
            OSError: as `os.open`; with ELOOP where there is a link.
        """
        return os.open(self.prefix + name, flags | _NO_LINKS | _BINARY | _UNBLOCKED, 0o600, dir_fd=self.handle)

    def replace(self, name: str, by: str) -> None:
        """Put one file of the folder in the place of another; a link in that place is replaced itself."""
        os.replace(self.prefix + by, self.prefix + name, src_dir_fd=self.handle, dst_dir_fd=self.handle)

    def unlink(self, name: str) -> None:
        """Take a name out of the folder."""
        os.unlink(self.prefix + name, dir_fd=self.handle)

    def status(self, name: str) -> os.stat_result:
        """What stands under a name; a link is not followed."""
        return os.stat(self.prefix + name, dir_fd=self.handle, follow_symlinks=False)

    def sync(self) -> None:
        """Have the names written to the disk."""
        if self.handle is not None:
            os.fsync(self.handle)


class Folder:
    """A folder that belongs to one user. Nothing is made before something is to be written.

    Args:
        path: Where; `~` stands for the user's home. Links in it are followed now, and never again.

    Raises:
        ConfigurationError: it cannot be a path.
    """

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self.path = Path(os.path.realpath(Path(path).expanduser()))
        except (RuntimeError, ValueError):  # `~` of nobody, or a character that no path may have
            raise ConfigurationError("folder", os.fspath(path), "a path on this machine") from None

    @contextmanager
    def opened(self, *, make: bool) -> Generator[OpenFolder]:
        """Open the folder for as long as the block lasts.

        Args:
            make: Whether to make it where it is missing, for its owner alone.

        Raises:
            ConfigurationError: others may write to it, so that what lies in it cannot be trusted.
            FileNotFoundError: it is missing.
        """
        if not _BY_HANDLE:
            if make:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            yield OpenFolder(None, str(self.path) + os.sep)
            return
        handle = self._handle(make=make)
        try:
            if os.fstat(handle).st_mode & _OTHERS_WRITE:
                raise ConfigurationError(
                    "folder", str(self.path), "a folder that nobody but its owner may write to (chmod go-w)"
                )
            yield OpenFolder(handle)
        finally:
            os.close(handle)

    @contextmanager
    def reported(self, attempted: str) -> Generator[None]:
        """Report what the file system cannot do in the block.

        Args:
            attempted: What is attempted, as in "read"; the folder is named after it.

        Raises:
            StorageError: something could not be done.
        """
        try:
            yield
        except OSError as error:
            raise StorageError(f"{attempted} the folder {self.path}", error.strerror or type(error).__name__) from error

    def _handle(self, *, make: bool) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | _NO_LINKS
        try:
            return os.open(self.path, flags)
        except FileNotFoundError:
            if not make:
                raise
        self._make()
        return os.open(self.path, flags)

    def _make(self) -> None:
        """Make the folder and those around it that are missing: with `parents`, `mkdir` gives them all to everybody."""
        missing = [self.path]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for path in reversed(missing):
            with suppress(FileExistsError):  # another thread or process was quicker
                path.mkdir(mode=0o700)
            with suppress(PermissionError):  # one may make a folder where one may not look
                _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
