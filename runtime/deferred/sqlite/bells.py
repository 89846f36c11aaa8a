"""Bells: how processes that share a queue wake each other.

Decides that a bell is a socket in a folder of the queue's, at which a thread listens. Whoever has something to tell
rings all bells of a kind, and what there is to know stands in the queue: a bell says nothing but that it is time to
look, so one ring is as good as many. A bell is hung up in the folder when it can be heard, and not before. Connections
stay: one that breaks off tells that the process behind it is over, which is how that is noticed without asking.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Final

from millrace.runtime.stores.sqlite import places

WORKERS: Final = "worker-"
WATCHERS: Final = "watcher-"
"""What the names of bells begin with: those of workers, and of who waits for ends."""

SUFFIX: Final = ".bell"

_LONGEST_NAME: Final = 48
"""How long the name of a bell may be, so that its path is fit for a socket."""

_MOST_WAITING: Final = 128
"""How many may be about to connect. One that finds no room need not: those before it ring the same bell."""

_DING: Final = b"!"
_FLAGS: Final = getattr(socket, "MSG_NOSIGNAL", 0)


def folder_for(database: Path, temporary: Path = places.TEMPORARY) -> Path:
    """Where the bells of a queue hang: beside it, or where that makes too long a path, in a folder of the user's.

    Args:
        database: The file of the queue.
        temporary: Where the folder of the user is.
    """
    whole = Path(os.path.realpath(database.parent)) / database.name
    beside = whole.with_name(whole.name + ".d")
    if len(os.fsencode(beside)) + 1 + _LONGEST_NAME <= places.LONGEST:
        return beside
    name = hashlib.sha256(os.fsencode(whole)).hexdigest()[:32]
    return temporary / f"millrace-{os.getuid()}" / name


def make_folder(folder: Path, temporary: Path = places.TEMPORARY) -> None:
    """Make the folder for bells; one that is there has to be the user's alone.

    Raises:
        OSError: it is not, or cannot be made.
    """
    if folder.parent.parent == temporary:
        places.make_folder(folder.parent)
    places.make_folder(folder)


class Bell:
    """Listens, in a thread of its own, from when it is made.

    Args:
        folder: Where it hangs.
        name: What it is called there, without the suffix.
        rung: Called by the thread when it was rung; quick, and raises nothing.
        gone: Called by the thread when somebody is over whose bell was `follow`ed.

    Raises:
        OSError: there can be no socket.
    """

    def __init__(self, folder: Path, name: str, rung: Callable[[], None], gone: Callable[[], None]) -> None:
        self._place = folder / f"{name}{SUFFIX}"
        self._rung = rung
        self._gone = gone
        self._lock = Lock()
        self._followed: dict[str, socket.socket] = {}  # by name of the bell: a connection, which breaks off at its end
        self._selector = selectors.DefaultSelector()
        self._woken, self._wakes = socket.socketpair()
        self._over = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unheard = folder / f"{name}.new"
        try:
            self._listener.bind(str(unheard))
            unheard.chmod(0o600)
            self._listener.listen(_MOST_WAITING)
            self._listener.setblocking(False)
            unheard.rename(self._place)  # now it can be found, and heard
        except BaseException:
            for each in (self._listener, self._woken, self._wakes):
                each.close()
            self._selector.close()
            unheard.unlink(missing_ok=True)
            raise
        self._woken.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = Thread(target=self._listen, name="millrace-bell", daemon=True)
        self._thread.start()

    def follow(self, names: Iterable[str]) -> None:
        """Notice the end of those who have these bells. From any thread.

        Args:
            names: The names of bells, without the suffix. Those that are followed already, and are not among them, are
                followed no more.
        """
        wanted = set(names)
        added: list[socket.socket] = []
        lost = False
        with self._lock:
            if self._over:
                return
            for name in self._followed.keys() - wanted:
                self._drop(self._followed.pop(name))
            for name in wanted - self._followed.keys():
                connection = _connect(self._place.with_name(f"{name}{SUFFIX}"))
                if connection is None:
                    lost = True  # it is over already
                    continue
                self._followed[name] = connection
                added.append(connection)
            for connection in added:
                self._selector.register(connection, selectors.EVENT_READ, self._gone)
            self._wake()
        if lost:
            self._gone()

    def close(self) -> None:
        """Listen no more. From any thread but its own, which has ended then."""
        with self._lock:
            if self._over:
                return
            self._over = True
            self._wake()
        self._place.unlink(missing_ok=True)
        self._thread.join()

    def abandon(self) -> None:
        """In the child of a fork, which has no such thread: leave everything to the parent."""
        self._selector.close()
        for each in (self._listener, self._woken, self._wakes, *self._followed.values()):
            each.close()

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            self._wakes.send(_DING)

    def _drop(self, connection: socket.socket) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(connection)
        connection.close()

    # In the thread.

    def _listen(self) -> None:
        try:
            while not self._over:
                calls = {call: None for key, _ in self._selector.select() for call in self._heard(key)}
                for call in calls:
                    call()
        finally:
            with self._lock:
                self._over = True
                for key in list(self._selector.get_map().values()):
                    if isinstance(key.fileobj, socket.socket):
                        self._drop(key.fileobj)
                self._selector.close()
                self._wakes.close()

    def _heard(self, key: selectors.SelectorKey) -> list[Callable[[], None]]:
        """What is to be called for what has come at one of the sockets."""
        connection = key.fileobj
        assert isinstance(connection, socket.socket)  # nothing else is registered
        if connection is self._listener:
            with suppress(OSError):
                visitor, _ = self._listener.accept()
                visitor.setblocking(False)
                self._selector.register(visitor, selectors.EVENT_READ)
            return [self._rung]  # whoever connects is about to ring
        with suppress(OSError):
            if connection.recv(4096):
                return [] if connection is self._woken else [self._rung]
        with self._lock:
            self._followed = {name: each for name, each in self._followed.items() if each is not connection}
            self._drop(connection)
        return [] if key.data is None else [key.data]


class Ringer:
    """Rings the bells of a folder. One thread may use it at a time.

    Args:
        folder: Where they hang.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connections: dict[str, socket.socket] = {}  # by the name of the file

    def ring(self, *kinds: str, but: str = "") -> None:
        """Ring all bells of these kinds.

        Args:
            *kinds: What their names begin with.
            but: The name of one that is not to be rung.
        """
        try:
            hung = set(os.listdir(self._folder))  # noqa: PTH208  # names are all that is wanted
        except FileNotFoundError:
            return
        for name in self._connections.keys() - hung:
            self._connections.pop(name).close()
        for name in hung:
            if name.startswith(kinds) and name.endswith(SUFFIX) and name.removesuffix(SUFFIX) != but:
                self._ring(name)

    def _ring(self, name: str) -> None:
        connection = self._connections.get(name)
        if connection is None:
            connection = _connect(self._folder / name)
            if connection is None:
                return
            self._connections[name] = connection
        try:
            connection.send(_DING, _FLAGS)
        except BlockingIOError:
            pass  # it has been rung often enough
        except OSError:
            self._connections.pop(name).close()
            _remove_if_silent(self._folder / name)

    def close(self) -> None:
        """Let go of the connections."""
        connections, self._connections = self._connections, {}
        for each in connections.values():
            each.close()


def _connect(place: Path) -> socket.socket | None:
    """A connection to a bell; None where nobody listens, or too many are about to connect."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        made.connect(str(place))
    except ConnectionRefusedError:
        made.close()
        place.unlink(missing_ok=True)  # its process is over, and could not take it down
    except OSError:
        made.close()
    else:
        return made
    return None


def _remove_if_silent(place: Path) -> None:
    """Take down a bell that nobody listens at."""
    connection = _connect(place)
    if connection is not None:
        connection.close()
