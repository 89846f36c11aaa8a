"""Places: where the socket of a database lies, through which its owner is told what to do.

Decides that from the path of the database alone, so that owner and askers agree without having met. It lies beside the
database; where that makes too long a path for a socket, or the file system has none, in a folder of the user's own in
`/tmp`, under a name that is made of the database's path. Only the user can connect: the socket has the mode 0600, the
folder 0700, and both have to be the user's.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

SUFFIX: Final = ".sock"
"""What the name of the socket has after that of the database."""

LONGEST: Final = 100
"""Bytes that the path of a socket may have: Linux takes 107, macOS 103."""

TEMPORARY: Final = Path("/tmp")  # noqa: S108  # not TMPDIR, which may differ between owner and asker; see the charter

_PEER: Final = struct.Struct("3i")  # process, user, group


def places_for(database: Path, temporary: Path = TEMPORARY) -> Sequence[Path]:
    """Where the socket of a database may lie, the best place first.

    Args:
        database: The database.
        temporary: Where the folder of the user is, that is used where the other place is not fit.
    """
    whole = Path(os.path.realpath(database.parent)) / database.name
    beside = whole.with_name(whole.name + SUFFIX)
    name = hashlib.sha256(os.fsencode(whole)).hexdigest()[:32]
    aside = temporary / f"millrace-{os.getuid()}" / f"{name}{SUFFIX}"
    return [each for each in (beside, aside) if len(os.fsencode(each)) <= LONGEST]


def bind(database: Path, temporary: Path = TEMPORARY) -> tuple[socket.socket, Path]:
    """Make the socket of a database, and the only one: what owners that are over have left there is removed.

    Nobody can connect before it listens. To be called by whoever owns the database.

    Raises:
        OSError: it can be made in no place.
    """
    failed: OSError = OSError("there is no place with a path that is short enough")
    places = places_for(database, temporary)
    for place in places:
        _remove_socket(place)
    for place in places:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if place.parent.parent == temporary:
                make_folder(place.parent)
            made.bind(str(place))
            place.chmod(0o600)
        except OSError as error:
            made.close()
            failed = error
        else:
            return made, place
    raise failed


def connect(database: Path, temporary: Path = TEMPORARY) -> socket.socket | None:
    """A connection to whoever listens at the socket of a database; None where nobody does.

    Raises:
        OSError: there is a socket, and it cannot be used.
    """
    for place in places_for(database, temporary):
        if not is_ours(place):
            continue
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.connect(str(place))
        except (ConnectionRefusedError, FileNotFoundError):  # what an owner has left that is over
            made.close()
        except BaseException:
            made.close()
            raise
        else:
            if is_same_user(made):
                return made
            made.close()
    return None


def is_ours(place: Path) -> bool:
    """Whether there is a socket of this user's."""
    try:
        status = place.lstat()
    except OSError:
        return False
    return stat.S_ISSOCK(status.st_mode) and status.st_uid == os.geteuid()


def is_same_user(connection: socket.socket) -> bool:
    """Whether this user is at the other end; True where the system does not tell, and modes have to be enough."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _, user, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _PEER.size))
    return bool(user == os.geteuid())


def _remove_socket(place: Path) -> None:
    if is_ours(place):
        with suppress(OSError):
            place.unlink()


def make_folder(folder: Path) -> None:
    """Make the folder of the user; one that is there has to be the user's alone.

    Raises:
        OSError: it is not.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is there, and is not a folder of this user's alone")
