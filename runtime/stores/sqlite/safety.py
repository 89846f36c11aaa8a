"""Safety: what is asked of a file, of the place it lies in and of the library, before a store is used there.

Decides which versions of SQLite are used, and how; which file systems and permissions are refused. Each refusal says
what would be at risk, and what to do.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from millrace.actors.errors import StoreRefused

Version = tuple[int, int, int]

OLDEST: Final[Version] = (3, 37, 0)
"""The first version with strict tables, on which the schema is built."""

_NETWORK: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "gfs2", "glusterfs", "lustre", "ncpfs",
    "nfs", "nfs4", "ocfs2", "smb3", "smbfs",
})  # fmt: skip
"""File systems that other machines see too, where the locks of SQLite do not hold, or not always."""

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def check_version(version: Version, name: str) -> None:
    """Check that a version of SQLite has all that the store needs.

    Raises:
        StoreRefused: it has not.
    """
    if version < OLDEST:
        raise StoreRefused(
            name,
            f"this Python brings SQLite {_shown(version)}, and the store needs {_shown(OLDEST)} or newer",
            "Use a Python that brings a newer one.",
        )


def has_reset_race(version: Version) -> bool:
    """Whether a version can lose committed transactions when two connections write or checkpoint at once.

    The race is between a checkpoint and the reset of the write-ahead log. It takes two connections, and a store has one
    that writes, which alone checkpoints, on every version: the lock beside the file sees to that. What others open, to
    read, can do neither. So the store is used on such a version too; that it says so is for whoever would write to the
    file with something else.

    Source: https://sqlite.org/wal.html, on the WAL-reset bug: 3.7.0 to 3.51.2, mended in 3.51.3, 3.50.7 and 3.44.6.
    """
    mended = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)
    return version >= (3, 7, 0) and not mended


def check_place(path: Path, name: str) -> None:
    """Check the folder that the file lies in, or is to lie in.

    Raises:
        StoreRefused: others may put another file in the place of this one, or other machines see it too.
    """
    try:
        status = path.parent.stat()
    except OSError as error:
        raise StoreRefused(name, f"its folder cannot be used ({error.strerror})", "Make the folder first.") from error
    if os.name != "posix":
        return
    if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
        raise StoreRefused(
            name, f"others than its owner may write to the folder {path.parent}", f"Run chmod go-w {path.parent}"
        )
    kind = file_system_of(path.parent)
    if kind in _NETWORK:
        raise StoreRefused(
            name,
            f"{path.parent} is on a file system of kind '{kind}', which other machines may write to at the same time",
            "Name a file on a disk of this machine.",
        )


def make_private(path: Path, name: str) -> None:
    """Make the file, for its owner alone; one that is there is looked at.

    Raises:
        StoreRefused: it is no plain file, or somebody else's, or others may write to it.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(path, flags, 0o600)
    except OSError as error:
        raise StoreRefused(name, f"it cannot be opened ({error.strerror})", "Name another file.") from error
    # SQLite has not opened the file in this process: closing a descriptor of it takes away no lock.
    try:
        check_file(os.fstat(handle), name)
    finally:
        os.close(handle)


def check_file(status: os.stat_result, name: str) -> None:
    """Check a file that is there.

    Raises:
        StoreRefused: it is no plain file, or somebody else's, or others may write to it.
    """
    if not stat.S_ISREG(status.st_mode):
        raise StoreRefused(name, "it is no plain file", "Name another one.")
    if os.name != "posix":
        return
    if status.st_mode & _OTHERS_WRITE:
        raise StoreRefused(name, "others than its owner may write to it", "Run chmod go-w on it, if you trust it.")
    if status.st_uid != os.geteuid():
        raise StoreRefused(name, "it belongs to another user", "Reading it could run what that user wants.")


def file_system_of(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of file system that a folder is on; empty where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        _, where, its_kind, *_ = line.split(" ")
        point = Path(where.replace("\\040", " "))
        if len(point.parts) >= best and (point == folder or point in folder.parents):
            best, kind = len(point.parts), its_kind
    return kind


def _shown(version: Version) -> str:
    return ".".join(map(str, version))
