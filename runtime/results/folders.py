"""Folders: private ones on disk, and names in them that no key can choose.

Decides what a key's file is called, who may read what is written, and that nothing is reached from a folder but plain
files in it: names are looked up in a folder that is open, of which each operation sees first that it still is what
its path names and that only its owner may write there; and links are not followed. The folders used last are held open,
since to open one takes longer than to look. Does not know what the files hold.

Where the system cannot look up names in an open folder (Windows), paths are used, and permissions are the system's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from millrace.actors.errors import ConfigurationError, StorageError

_BY_HANDLE: Final = os.open in os.supports_dir_fd
_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)
_UNBLOCKED: Final = getattr(os, "O_NONBLOCK", 0)  # a pipe in a file's place would never be opened
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

HELD: Final = 8
"""How many folders a process holds open at most, beside those it is at work in."""

_held: dict[str, OpenFolder] = {}  # by path; the one opened last is last. Each step on it is one: no lock is needed


def file_name(key: str) -> str:
    """What the file of a key is called: letters and digits that say nothing, always as many.

    Two keys have two names, however alike they look; and no key has a name that leads anywhere.
    """
    import hashlib  # noqa: PLC0415  # it loads OpenSSL, which a program that keeps nothing never needs

    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class OpenFolder:
    """A folder that is open, until nobody uses it any more.

    Args:
        handle: Its descriptor; None where the system looks names up by path only.
        prefix: What goes before a name: nothing, or the path.
        identity: What the system knows the folder by; None where it has no descriptor.
    """

    __slots__ = ("handle", "identity", "prefix")

    def __init__(self, handle: int | None, prefix: str = "", identity: tuple[int, int] | None = None) -> None:
        self.handle = handle
        self.prefix = prefix
        self.identity = identity

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self.handle is not None:
            close(self.handle)

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

    __slots__ = ("_text", "path")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            self.path = Path(os.path.realpath(Path(path).expanduser()))
        except (RuntimeError, ValueError):  # `~` of nobody, or a character that no path may have
            raise ConfigurationError("folder", os.fspath(path), "a path on this machine") from None
        self._text = str(self.path)

    def opened(self, *, make: bool) -> OpenFolder:
        """Open the folder that has the path at this moment; what comes in its place later is not reached by it.

        Args:
            make: Whether to make it where it is missing, for its owner alone.

        Raises:
            ConfigurationError: others may write to it, so that what lies in it cannot be trusted.
            FileNotFoundError: it is missing.
        """
        if not _BY_HANDLE:
            if make:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return OpenFolder(None, self._text + os.sep)
        held = _held.get(self._text)
        if held is not None:
            with suppress(FileNotFoundError):
                status = os.lstat(self._text)
                if held.identity == (status.st_dev, status.st_ino):  # no other has that, as long as it is open
                    self._check(status)
                    return held
        return self._open(make=make)

    def reported(self, attempted: str) -> _Reported:
        """Report what the file system cannot do in the block, as a `StorageError`.

        Args:
            attempted: What is attempted, as in "read"; the folder is named after it.
        """
        return _Reported(attempted, self._text)

    def _open(self, *, make: bool) -> OpenFolder:
        flags = os.O_RDONLY | os.O_DIRECTORY | _NO_LINKS
        try:
            handle = os.open(self._text, flags)
        except FileNotFoundError:
            _held.pop(self._text, None)
            if not make:
                raise
            self._make()
            handle = os.open(self._text, flags)
        folder = OpenFolder(handle)
        status = os.fstat(handle)
        folder.identity = status.st_dev, status.st_ino
        self._check(status)
        _held.pop(self._text, None)
        _held[self._text] = folder
        for path in tuple(_held)[:-HELD]:
            _held.pop(path, None)  # whoever is at work in it has it until that is done
        return folder

    def _check(self, status: os.stat_result) -> None:
        if status.st_mode & _OTHERS_WRITE:
            raise ConfigurationError(
                "folder", self._text, "a folder that nobody but its owner may write to (chmod go-w)"
            )

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


class _Reported:
    """The block of `Folder.reported`."""

    __slots__ = ("_attempted", "_path")

    def __init__(self, attempted: str, path: str) -> None:
        self._attempted = attempted
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise StorageError(f"{self._attempted} the folder {self._path}", reason) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
