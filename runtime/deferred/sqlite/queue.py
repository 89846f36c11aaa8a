"""The queue in a file of SQLite's. See `port.Queue` for what it does.

Decides that every process may write, each thing in a short transaction, and that they take turns by the kernel's lock
on a file beside the queue: who waits for its turn sleeps until it has come, and no two connections ever write or
checkpoint at once (see `safety.has_reset_race`). What somebody was told waits for the disk: that a run is put off, or
has ended. What happens between only waits for the system; if the power takes that away, the run is begun once more.
"""

from __future__ import annotations

import atexit
import os
import secrets
import sqlite3
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Final, TypeVar
from urllib.parse import quote
from weakref import WeakSet

from millrace.actors.errors import RunNotFound, StoreError, StoreFenced, StoreRefused
from millrace.runtime.deferred.port import Job, JobRow, Taken, Told
from millrace.runtime.deferred.sqlite import bells, changing, reading, sessions
from millrace.runtime.deferred.sqlite.sessions import Session
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.rows import RunFilter, StateRow
from millrace.runtime.stores.sqlite import connecting, safety
from millrace.runtime.stores.sqlite.connecting import Connection
from millrace.runtime.stores.sqlite.migrating import Schema, check_schema, migrate

SUFFIX: Final = "-queue"
"""What the name of the queue has after that of the store."""

SCHEMA: Final = Schema("millrace.runtime.deferred.sqlite", 0x6D697171)  # `miqq`

_AT_A_TIME: Final = 500
"""How many runs are removed before others get their turn."""

T = TypeVar("T")

_left_to_parents: list[Connection] = []
"""Connections that a fork has inherited. They are its parent's, and are neither used here nor closed."""

_made: WeakSet[SqliteQueue] = WeakSet()


class SqliteQueue:
    """Runs that are put off in a file.

    Args:
        store: The file of the store; that of the queue lies beside it, `-queue`, and so do its lock, `-queue.lock`, and
            a folder with the locks and the bells of those that use it, `-queue.d`.
        connect: Makes connections; for tests.
    """

    blocking = True

    def __init__(self, store: Path, connect: connecting.Connect = sqlite3.connect) -> None:
        self.path: Path = store.with_name(store.name + SUFFIX)
        self.url: str = f"sqlite:///{quote(str(store))}"
        self._connect = connect
        self._lock = RLock()  # of all that writes
        self._writer: Connection | None = None
        self._synchronous = "FULL"  # what the writer waits for at present
        self._turn: int | None = None  # the file by whose lock processes take turns
        self._sessions: dict[int, Session] = {}  # by the worker's number
        self._reading = Lock()
        self._reader: Connection | None = None
        self._watching = Lock()
        self._bell: bells.Bell | None = None  # there once somebody has watched
        self._watchers: dict[int, list[Callable[[], None]]] = {}  # by id of the run
        self._seen = 0  # the last end that was looked at
        self._locks = self.path.with_name(self.path.name + ".d")
        self._bells = bells.folder_for(self.path)
        self._ringer = bells.Ringer(self._bells)
        _made.add(self)

    @property
    def name(self) -> str:
        """Says where it is."""
        return str(self.path)

    @property
    def is_there(self) -> bool:
        """Whether there is such a file."""
        return self.path.exists()

    # Opening and closing.

    def _open(self) -> Connection:
        """The connection that writes. In this process's turn."""
        if self._writer is None:
            safety.make_private(self.path, self.name)
            self._writer = connecting.connect_to_write(self.path, "FULL", self._connect)
            self._synchronous = "FULL"
            migrate(self._writer, self.name, SCHEMA)
        return self._writer

    def _take_turn(self) -> int:
        if self._turn is None:
            safety.check_version(connecting.version(), self.name)
            safety.check_place(self.path, self.name)
            try:
                place = self.path.with_name(self.path.name + ".lock")
                self._turn = os.open(place, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
            except OSError as error:
                raise self._refused(error) from error
        sessions.take(self._turn)
        return self._turn

    def _refused(self, error: OSError) -> StoreRefused:
        reason = f"there can be no locks and sockets beside it ({error})"
        return StoreRefused(self.name, reason, "Put it in a folder of this user's, on a disk.")

    def _hang_up(self, make: Callable[[], T]) -> T:
        """Make something that needs the folders, which nobody takes away meanwhile."""
        with self._lock:
            turn = self._take_turn()
            try:
                for folder in dict.fromkeys((self._locks, self._bells)):
                    bells.make_folder(folder)
                return make()
            except OSError as error:
                raise self._refused(error) from error
            finally:
                sessions.give_back(turn)

    @contextmanager
    def _writing(self, attempted: str, *, durable: bool = False) -> Generator[Connection]:
        """A transaction.

        Args:
            attempted: What it is for.
            durable: It is brought to the disk before this returns.

        Raises:
            StoreError: it cannot be written; whether it was is not known then.
        """
        with self._lock:
            turn = self._take_turn()
            try:
                writer = self._open()
                self._wait_for_disk(writer, "FULL" if durable else "NORMAL")
                writer.execute("BEGIN IMMEDIATE")
                try:
                    yield writer
                    writer.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        writer.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                self._close_writer()
                raise connecting.reported(error, self.name, attempted) from error
            finally:
                sessions.give_back(turn)

    def _wait_for_disk(self, writer: Connection, synchronous: str) -> None:
        if synchronous != self._synchronous:
            writer.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(sqlite3.Error):
                writer.close()

    def close(self) -> None:
        """Let go of files and sockets, but for those of workers, and of who waits at this moment."""
        bell = None
        with self._watching:
            if not self._watchers:
                bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
        with self._reading:
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()
        with self._lock:
            self._ringer.close()
            if self._turn is not None:
                sessions.take(self._turn)  # whoever closes last checkpoints
                self._close_writer()
                if self._bells != self._locks:
                    with suppress(OSError):  # others have bells there
                        self._bells.rmdir()
                os.close(self._turn)
                self._turn = None

    def abandon(self) -> None:
        """In the child of a fork: leave everything to the parent."""
        self._lock, self._reading, self._watching = RLock(), Lock(), Lock()
        _left_to_parents.extend(each for each in (self._writer, self._reader) if each is not None)
        self._writer = self._reader = None
        for session in self._sessions.values():
            session.abandon()
        self._sessions = {}
        if self._bell is not None:
            self._bell.abandon()
        self._bell, self._watchers = None, {}
        self._ringer.close()
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None

    # Putting off.

    def put(self, job: Job, awaited: Collection[int] = (), end: Told | None = None) -> None:
        """Put a run off. See `port.Queue`."""
        with self._writing("put a run into", durable=True) as writer:
            changing.put(writer, job, awaited, self.name)
            if end is not None:
                changing.enter(writer, id_of(job.id), end.steps)
                changing.end(writer, id_of(job.id), end)
        self._ring(ended=end is not None, offered=end is None)

    def cancel(self, job: int, reason: str, at: int) -> None:
        """Cancel a run. See `port.Queue`."""
        try:
            with self._writing("cancel a run in", durable=True) as writer:
                ended = changing.cancel(writer, job, reason, at)
        except LookupError:
            raise RunNotFound(f"{job:032x}", store=self.name) from None
        self._ring(ended=ended, offered=True)

    # Workers.

    def enlist(self, name: str, keys: Collection[str], ring: Callable[[], None], at: int) -> int:
        """Become a worker. See `port.Queue`."""
        with self._lock:
            session = self._hang_up(lambda: Session.begin(self._locks, self._bells, frozenset(keys), ring))
            try:
                with self._writing("enlist a worker in") as writer:
                    made = writer.execute(
                        "INSERT INTO workers (name, mark, enlisted) VALUES (?, ?, ?)", (name, session.mark, at)
                    )
            except BaseException:
                session.end(self._locks)
                raise
            number = int(made.lastrowid)
            self._sessions[number] = session
        self._ring(offered=True, but=session.mark)  # whoever works here follows this one from now on
        return number

    def exchange(self, worker: int, told: Sequence[Told], most: int | None, at: int) -> Taken:
        """Tell of runs, and take others. See `port.Queue`."""
        session = self._sessions.get(worker)
        if session is None:
            raise StoreFenced(self.name, worker)
        ended, returned = any(each.ended for each in told), any(each.returned for each in told)
        with self._writing("tell of runs to", durable=ended) as writer:
            mates = dict(writer.execute("SELECT number, mark FROM workers"))
            if mates.pop(worker, None) is None:
                raise StoreFenced(self.name, worker)
            freed = False
            for each in told:
                freed |= changing.tell(writer, worker, each, at)
            if session.suspects[0]:
                session.suspects[0] = False
                for number, mark in list(mates.items()):
                    if sessions.is_over(self._locks, mark):
                        del mates[number]
                        lost = changing.release(writer, number, at)
                        ended, freed = ended or lost, True
            cancelled = writer.execute("SELECT id, cancel FROM jobs WHERE worker = ? AND cancel IS NOT NULL", (worker,))
            cancels = {int.from_bytes(key, "big"): str(reason) for key, reason in cancelled}
            jobs = changing.take(writer, worker, session.keys, most, at)
        session.bell.follow(mates.values())
        self._ring(ended=ended or returned, offered=freed, but=session.mark)
        return Taken(jobs, cancels)

    def leave(self, worker: int, at: int) -> None:
        """Be a worker no more. See `port.Queue`."""
        with self._lock:
            session = self._sessions.pop(worker, None)
            if session is None:
                return
            try:
                with self._writing("leave", durable=True) as writer:
                    changing.leave(writer, worker, at)
            finally:
                session.end(self._locks)
        self._ring(ended=True, offered=True)

    # Bells.

    def _ring(self, *, ended: bool = False, offered: bool = False, but: str = "") -> None:
        kinds = [kind for kind, rung in ((bells.WATCHERS, ended), (bells.WORKERS, offered)) if rung]
        if kinds:
            with self._lock:
                self._ringer.ring(*kinds, but=but)

    def watch(self, job: int, call: Callable[[], None]) -> None:
        """Have something called when a run has ended. See `port.Queue`."""
        with self._watching:
            if self._bell is None:
                mark = f"{bells.WATCHERS}{secrets.token_hex(8)}"
                self._bell = self._hang_up(lambda: bells.Bell(self._bells, mark, self._look, self._look))
                self._seen = self._read(reading.last_end)
            self._watchers.setdefault(job, []).append(call)
        row = self.read(job)
        if row is not None and row.ended is not None:
            self._look_at([job])

    def unwatch(self, job: int, call: Callable[[], None]) -> None:
        """Call it off."""
        with self._watching:
            left = [each for each in self._watchers.pop(job, ()) if each != call]
            if left:
                self._watchers[job] = left

    def _look(self) -> None:
        """Look which runs have ended since the last look."""
        with self._watching:
            ends = self._read(reading.ends_since, self._seen)
            if ends:
                self._seen = ends[-1][0]
        self._look_at([job for _, job in ends])

    def _look_at(self, jobs: Iterable[int]) -> None:
        with self._watching:
            calls = [call for job in jobs for call in self._watchers.pop(job, ())]
        for call in calls:
            call()

    # Reading.

    def _read(self, query: Callable[..., Any], *arguments: Any) -> Any:
        with self._reading:
            try:
                if self._reader is None:
                    self._reader = self._connect_reader()
                return query(self._reader, *arguments)
            except sqlite3.Error as error:
                raise connecting.reported(error, self.name, "read from") from error

    def _connect_reader(self) -> Connection:
        if not self.is_there:
            with self._writing("open"):
                pass  # nobody has used it before
        safety.check_file(self.path.lstat(), self.name)
        reader = connecting.connect_to_read(self.path, self._connect)
        try:
            check_schema(reader, self.name, SCHEMA)
        except BaseException:
            reader.close()
            raise
        return reader

    def read(self, job: int) -> JobRow | None:
        """A run as it is now. See `port.Queue`."""
        found: JobRow | None = self._read(reading.row, id_of(job))
        return found

    def read_states(self, job: int) -> list[StateRow]:
        """All states of a run, first to last."""
        found: list[StateRow] = self._read(reading.states, id_of(job))
        return found

    def read_all(self, wanted: RunFilter) -> list[JobRow]:
        """Runs, newest first. See `port.Queue`."""
        found: list[JobRow] = self._read(reading.rows, wanted)
        return found

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """How many runs nobody has taken yet."""
        found: Mapping[tuple[str, str], int] = self._read(reading.waiting)
        return found

    def prune(self, before: int, *, counts_only: bool = False) -> int:
        """Remove runs that ended before a time."""
        if not self.is_there:
            return 0
        if counts_only:
            return int(self._read(reading.count_ended, before))
        removed = 0
        while True:
            with self._writing("remove runs from") as writer:
                old = writer.execute("SELECT id FROM jobs WHERE ended < ? LIMIT ?", (before, _AT_A_TIME)).fetchall()
                for key in old:
                    for table, column in (("jobs", "id"), ("states", "job"), ("results", "job"), ("ends", "job")):
                        writer.execute(f"DELETE FROM {table} WHERE {column} = ?", key)  # noqa: S608  # names of ours
            removed += len(old)
            if len(old) < _AT_A_TIME:
                return removed


def _leave_to_parents() -> None:
    for each in list(_made):
        each.abandon()


@atexit.register
def _let_go() -> None:
    for each in list(_made):
        with suppress(StoreError):
            each.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parents)
