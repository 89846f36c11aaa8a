"""The store in a file of SQLite's. See `port.Store` for what it does.

Decides what a group is to SQLite: one transaction, which begins by checking that its owner is the present one. One
connection writes and checkpoints; another, made when somebody reads, can only read. An error of the first is the end
of it: what SQLite or the disk have made of the transaction is not known, and a second try might be told that all is
well although it is not. So nothing is tried again here.
"""

from __future__ import annotations

import logging
import socket
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millrace.actors.errors import (
    ConfigurationError,
    RunNotFound,
    RunNotResumable,
    StoreError,
    StoreFenced,
    StoreMissing,
    StoreRefused,
)
from millrace.actors.states import StateType
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.control import Control
from millrace.runtime.stores.faults import reach
from millrace.runtime.stores.port import OWNER_DIED, Group, Opened, Owner
from millrace.runtime.stores.records import Answered, Called, Value
from millrace.runtime.stores.rows import FlowRunRow, RunFilter, StateRow, StoreFacts, TaskRunRow
from millrace.runtime.stores.sqlite import connecting, facts, reading, removing, safety
from millrace.runtime.stores.sqlite.connecting import Connection
from millrace.runtime.stores.sqlite.migrating import check_schema, migrate
from millrace.runtime.stores.sqlite.ownership import Ownership
from millrace.runtime.stores.sqlite.packing import PackedRows
from millrace.runtime.stores.sqlite.socket_control import SocketControl
from millrace.runtime.stores.sqlite.statements import DuplicateRow
from millrace.runtime.stores.sqlite.writing import write
from millrace.runtime.stores.verdicts import death_message

if TYPE_CHECKING:
    from millrace.runtime.deferred.port import Queue

T = TypeVar("T")

_logger = logging.getLogger("millrace.store")

_SYNCHRONOUS: Final = ("FULL", "NORMAL")

_left_to_parents: list[Connection] = []
"""Connections that a fork has inherited. They are its parent's, and are neither used here nor closed."""

_DEAD_FLOW_RUNS: Final = "SELECT id, owner FROM flow_runs WHERE ended IS NULL AND NOT suspended ORDER BY id"

# The runs of owners that are over, whatever table they are in: a state more, and what follows from it.
_MARK: Final = """
INSERT INTO states (run, sequence, type, name, message, at, cause, details)
SELECT r.id, r.sequence + 1, 'CRASHED', NULL, :message, max(:at, coalesce(s.at, {came_with})), :cause, NULL
FROM {table} r LEFT JOIN states s ON (s.run, s.sequence) = (r.id, r.sequence) WHERE r.ended IS NULL {more}
"""
_CAME_WITH: Final = "(SELECT max(json_extract(value, '$[1]')) FROM json_each('[' || r.first_states || ']'))"
_EMPTY_FLOW_RUNS: Final = (
    "DELETE FROM results WHERE run IN (SELECT id FROM flow_runs WHERE ended IS NULL AND NOT suspended)"
)
_END_TASK_RUNS: Final = (
    "UPDATE task_runs SET type = 'CRASHED', sequence = sequence + 1, ended = :at, tag = NULL, missing = NULL, "
    "blob = NULL WHERE ended IS NULL"
)
_END_FLOW_RUNS: Final = (
    "UPDATE flow_runs SET type = 'CRASHED', sequence = sequence + 1, ended = :at, deaths = deaths + 1 "
    "WHERE ended IS NULL AND NOT suspended"
)


class SqliteStore:
    """Runs in a file.

    Args:
        path: The file; it is made where it is missing, for its owner alone. Beside it lie the files of SQLite's
            write-ahead log (`-wal`, `-shm`) and the lock that says who writes (`.lock`).
        synchronous: What a commit waits for: `"FULL"`, that the disk has it, so that what was acknowledged survives a
            power failure too; `"NORMAL"`, that the system has it, so that it survives the end of the process, and of
            what was acknowledged last some may be lost with the power.
        read_only: Only read; then an engine cannot use it.
        connect: Makes connections; for tests.

    Raises:
        ConfigurationError: an option is none of these.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: str = "FULL",
        read_only: bool = False,
        connect: connecting.Connect = sqlite3.connect,
    ) -> None:
        if synchronous not in _SYNCHRONOUS:
            raise ConfigurationError("synchronous", synchronous, "'FULL' or 'NORMAL'")
        self.path: Path = Path(path).expanduser().absolute()
        self.synchronous = synchronous
        self.read_only = read_only
        self._connect = connect
        self._ownership = Ownership(self.path, self.name)
        self._writer: Connection | None = None
        self._groups = 0  # the number of the last one that was written, by the present owner
        self._reader: Connection | None = None
        self._reading = Lock()
        self._failed: Connection | None = None  # what was the writer, before it failed
        self._control = SocketControl(self.path) if hasattr(socket, "AF_UNIX") else None
        self._queue: Queue | None = None  # made when somebody asks
        self._queueing = Lock()

    @property
    def name(self) -> str:
        """Says where it is."""
        return str(self.path)

    @property
    def control(self) -> Control | None:
        """The way to its owner. See `port.Store`."""
        return self._control

    @property
    def any_thread(self) -> bool:
        """A connection may be used by one thread after another."""
        return True

    @property
    def queue(self) -> Queue | None:
        """Where runs are put off to, in a file beside this one; None where the system has no means for that."""
        if self._control is None:
            return None
        from millrace.runtime.deferred.sqlite import SqliteQueue  # noqa: PLC0415  # few programs put runs off

        with self._queueing:  # there is one, whichever threads ask first
            if self._queue is None:
                self._queue = SqliteQueue(self.path)
            return self._queue

    # Writing.

    def open(self, owner: Owner) -> Opened:
        """Become the owner. See `port.Store`."""
        if self.read_only:
            raise StoreRefused(self.name, "it was opened to read only", "Open it without mode=ro.")
        safety.check_version(connecting.version(), self.name)
        safety.check_place(self.path, self.name)
        self._ownership.take(owner.name)
        try:
            safety.make_private(self.path, self.name)
            if safety.has_reset_race(connecting.version()):
                _logger.info(
                    "SQLite %s can lose what was committed if two processes write to one file. This one is the only "
                    "writer. Nothing else may write to %s.",
                    sqlite3.sqlite_version,
                    self.name,
                )
            writer = self._writer = connecting.connect_to_write(self.path, self.synchronous, self._connect)
            migrate(writer, self.name)
            connecting.lengthen_log(writer, self.path)
            return self._become_owner(writer, owner)
        except (sqlite3.Error, OSError) as error:
            self.close()
            if isinstance(error, StoreError):
                raise
            raise connecting.reported(error, self.name, "open the store") from error
        except BaseException:
            self.close()
            raise

    def _become_owner(self, writer: Connection, owner: Owner) -> Opened:
        writer.execute("BEGIN IMMEDIATE")
        try:
            names = dict(writer.execute("SELECT token, name FROM owners"))
            dead = writer.execute(_DEAD_FLOW_RUNS).fetchall()
            self._mark(writer, owner.at, names, dead)
            writer.execute("UPDATE owners SET ended = ? WHERE ended IS NULL", (owner.at,))
            made = writer.execute("INSERT INTO owners (name, opened) VALUES (?, ?)", (owner.name, owner.at))
            token = int(made.lastrowid)
            reach("deaths marked")
            writer.execute("COMMIT")
        except BaseException:
            writer.execute("ROLLBACK")
            raise
        self._groups = 0
        return Opened(token, [int.from_bytes(run, "big") for run, _ in dead])

    @staticmethod
    def _mark(writer: Connection, at: int, names: Mapping[int, str], dead: list[tuple[bytes, int]]) -> None:
        """End the runs of owners that are over."""
        last = names[max(names)] if names else ""
        values = {"at": at, "cause": OWNER_DIED, "message": death_message(last)}
        execute: Callable[..., Any] = writer.execute
        execute(_MARK.format(table="task_runs", came_with=_CAME_WITH, more=""), values)
        execute(_END_TASK_RUNS, {"at": at})
        execute(_EMPTY_FLOW_RUNS)
        for token in {owner for _, owner in dead}:
            of_owner = f"AND NOT r.suspended AND r.owner = {int(token)}"
            message = death_message(names.get(token, ""))
            execute(_MARK.format(table="flow_runs", came_with="s.at", more=of_owner), {**values, "message": message})
        execute(_END_FLOW_RUNS, {"at": at})

    def append(self, group: Group) -> None:
        """Write a group in one transaction. See `port.Store`."""
        try:
            self._write(group)
        except BaseException as error:  # noqa: BLE001  # whatever it was, the group is not acknowledged
            self._give_up()
            if isinstance(error, (sqlite3.Error, OSError, DuplicateRow)) and not isinstance(error, StoreError):
                error = connecting.reported(error, self.name, "write a group of records to")
            group.done(error)
        else:
            reach("group committed")
            group.done(None)
            reach("group acknowledged")

    def _write(self, group: Group) -> None:
        rows = PackedRows(group.token, group.records)
        writer = self._open_writer()
        reach("group encoded")
        writer.execute("BEGIN IMMEDIATE")
        reach("group begun")
        self._check_owner(writer, group.token)
        if group.number > self._groups:  # else it is there, and its acknowledgement was lost
            write(writer, rows)
        reach("group written")
        writer.execute("COMMIT")
        self._groups = max(self._groups, group.number)

    def claim(self, run_id: int, token: int, at: int) -> FlowRunRow:  # noqa: ARG002  # others keep it
        """Become the owner of a flow run. See `port.Store`."""

        def claim(writer: Connection) -> FlowRunRow:
            run = self._claim(writer, run_id, token)
            reach("run claimed")
            return run

        return self._transact(f"claim run {run_id:032x} in", token, claim)

    def claim_task_run(self, run_id: int, token: int, sequence: int) -> bool:  # noqa: ARG002  # others do something
        """There is nobody else. See `port.Store`."""
        return True

    def end_dead_owner(self, run_id: int, token: int, at: int) -> bool:  # noqa: ARG002  # others do something
        """The owners before have been ended. See `port.Store`."""
        return False

    def remove(self, run_id: int, token: int) -> None:
        """Remove a flow run. See `port.Store`."""
        self._transact(f"remove run {run_id:032x} from", token, lambda writer: removing.remove(writer, run_id))

    def remove_task_runs(self, before: int, token: int, most: int) -> int:
        """Remove task runs outside of any flow. See `port.Store`."""
        attempted = "remove task runs from"
        return self._transact(attempted, token, lambda writer: removing.remove_loose(writer, before, most))

    def sweep(self, token: int, most: int) -> int:
        """Remove what belonged to flow runs that are removed. See `port.Store`."""
        return self._transact("remove task runs from", token, lambda writer: removing.sweep(writer, most))

    def _transact(self, attempted: str, token: int, act: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own, as the present owner."""
        writer = self._open_writer()
        try:
            writer.execute("BEGIN IMMEDIATE")
            try:
                self._check_owner(writer, token)
                outcome = act(writer)
                writer.execute("COMMIT")
            except BaseException:
                writer.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            self._give_up()
            raise connecting.reported(error, self.name, attempted) from error
        return outcome

    def _check_owner(self, writer: Connection, token: int) -> None:
        present = writer.execute("SELECT 1 FROM owners WHERE token = ? AND ended IS NULL", (token,)).fetchone()
        if present is None:
            raise StoreFenced(self.name, token)

    def _claim(self, writer: Connection, run_id: int, token: int) -> FlowRunRow:
        run = reading.read_flow_run(writer, run_id)
        if run is None:
            raise RunNotFound(run_id)
        if not run.is_free:
            (owner,) = writer.execute("SELECT name FROM owners WHERE token = ?", (run.owner,)).fetchone()
            raise RunNotResumable(run.name, f"it is {run.state.type}, and {owner} runs it")
        writer.execute(
            "UPDATE flow_runs SET owner = ?, ended = NULL, suspended = 0 WHERE id = ?", (token, id_of(run_id))
        )
        return run

    def _open_writer(self) -> Connection:
        if self._writer is None:
            raise StoreError(self.name, "write to", "it is not open" if self._failed is None else "it has failed")
        return self._writer

    def _give_up(self) -> None:
        """Use the connection that writes no more, after an error; it is closed with the store."""
        self._failed, self._writer = self._writer, None
        if self._failed is not None:
            with suppress(sqlite3.Error):
                self._failed.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the store. See `port.Store`."""
        if self._control is not None:
            self._control.close()  # before somebody else may own the store
        with self._reading:
            reader, self._reader = self._reader, None
        # The writer last: whoever is closed last writes what is in the log to the file, and a reader cannot.
        connections = (reader, self._writer, self._failed)
        self._writer = self._failed = None
        try:
            for connection in connections:
                if connection is not None:
                    connection.close()
        finally:
            self._ownership.give_back()
            if self._queue is not None:
                self._queue.close()

    def abandon(self) -> None:
        """In the child of a fork: leave everything to the parent."""
        if self._control is not None:
            self._control.abandon()
        inherited = (self._writer, self._failed, self._reader)
        _left_to_parents.extend(each for each in inherited if each is not None)
        self._writer = self._failed = self._reader = None
        self._reading, self._queueing = Lock(), Lock()
        self._ownership.give_back()

    # Reading.

    def _read(self, query: Callable[..., T], *arguments: Any) -> T:
        with self._reading:
            try:
                if self._reader is None:
                    self._reader = self._connect_reader()
                return query(self._reader, *arguments)
            except sqlite3.Error as error:
                raise connecting.reported(error, self.name, "read from") from error

    def _connect_reader(self) -> Connection:
        if not self.path.exists():
            raise StoreMissing(self.name, "there is no such file")
        safety.check_file(self.path.lstat(), self.name)
        reader = connecting.connect_to_read(self.path, self._connect)
        try:
            version = check_schema(reader, self.name)
        except BaseException:
            reader.close()
            raise
        if not version:
            reader.close()
            raise StoreMissing(self.name, "nothing was ever written to it")
        return reader

    def read_flow_run(self, run_id: int) -> FlowRunRow | None:
        """A flow run. See `port.Store`."""
        return self._read(reading.read_flow_run, run_id)

    def read_flow_runs(self, wanted: RunFilter) -> list[FlowRunRow]:
        """Flow runs, newest first."""
        return self._read(reading.read_flow_runs, wanted)

    def read_task_run(self, run_id: int) -> TaskRunRow | None:
        """A task run. See `port.Store`."""
        return self._read(reading.read_task_run, run_id)

    def read_task_runs(self, wanted: RunFilter) -> list[TaskRunRow]:
        """Task runs, newest first."""
        return self._read(reading.read_task_runs, wanted)

    def read_states(self, run_id: int) -> list[StateRow]:
        """All states of a run, first to last."""
        return self._read(reading.read_states, run_id)

    def read_finished(self, before: int, parked: int, after: int, limit: int) -> list[int]:
        """Flow runs that are over. See `port.Store`."""
        return self._read(facts.read_finished, before, parked, after, limit)

    def count_task_runs(self, flow_run_id: int) -> Mapping[tuple[str, StateType], int]:
        """How many task runs a flow run has."""
        return self._read(facts.count_task_runs, flow_run_id)

    def read_facts(self) -> StoreFacts:
        """What there is in the file."""
        return self._read(facts.read_facts)

    def read_calls(self, flow_run_id: int) -> list[Called]:
        """What the body of a flow run has called."""
        return self._read(reading.read_calls, flow_run_id)

    def read_results(self, flow_run_id: int) -> Mapping[int, Value | None]:
        """The results of what a flow run has called."""
        return self._read(reading.read_results, flow_run_id)

    def read_names(self, flow_run_id: int) -> Mapping[int, tuple[str, str | None]]:
        """How the states of what has completed are called."""
        return self._read(reading.read_names, flow_run_id)

    def read_answers(self, flow_run_id: int) -> list[Answered]:
        """What a flow run has been resumed with so far."""
        return self._read(reading.read_answers, flow_run_id)

    def last_id(self, flow_run_id: int) -> int:
        """The largest id that a run of a flow run has."""
        return self._read(reading.last_id, flow_run_id)
