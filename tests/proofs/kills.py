"""Kills: a flow is ended with SIGKILL again and again, and resumed, and nothing that was acknowledged is lost.

The parent holds the ledger, and never opens the store while a child lives. Each life of the flow is a fork of this
process, which has imported everything and started nothing. It is killed at a random moment, or kills itself at a fault
point of the store.

    python -m tests.proofs.kills --kills 200 --points 3 --store postgres
"""

from __future__ import annotations

import argparse
import os
import random
import select
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs

from millrace import (
    Engine,
    Flow,
    PostgresStore,
    SqliteStore,
    StateType,
    StoreError,
    read_flow_run,
    resume_run,
    run,
)
from millrace.runtime.entering import ENTERED
from millrace.runtime.stores import faults
from millrace.runtime.stores.port import Group, Store
from millrace.runtime.stores.rows import RunFilter
from tests.postgres import Server
from tests.proofs import ledger
from tests.proofs.verdicts import Row, tell

PATIENCE_SECONDS = 60.0


@attrs.define
class Tally:
    """What all trials came to."""

    trials: int = 0
    kills: int = 0
    acknowledged: int = 0
    faults: list[str] = attrs.field(factory=list)
    reached: set[str] = attrs.field(factory=set)  # fault points at which a process was killed

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.trials} runs: {self.acknowledged:,} results acknowledged before a kill, "
            f"{len(self.faults)} lost, or computed again"
        )


@attrs.frozen
class Death:
    """How a life ends.

    Args:
        after: So many seconds after its beginning.
        point: Or at this fault point...
        time: ...when it is reached for so many times.
    """

    after: float | None = None
    point: str = ""
    time: int = 0


class Home(Protocol):
    """Where the runs of one trial are."""

    points: Sequence[str]
    """The fault points that the store comes to."""

    states: str
    """Where all states of runs stand."""

    blobs: str
    """Selects all results."""

    def store(self) -> Store:
        """The store, which is not opened."""
        ...

    def rows(self, query: str) -> list[Any]:
        """The rows of a query, past the store."""
        ...

    def faults(self) -> list[str]:
        """What is wrong with it as a whole."""
        ...


class HastyStore(SqliteStore):
    """Acknowledges before it commits: what the proof has to find out."""

    _held: Group | None = None

    def append(self, group: Group) -> None:
        """Acknowledge a group, and write it with the next one."""
        self._write_held()
        self._held = attrs.evolve(group, done=lambda _error: None)
        group.done(None)

    def close(self) -> None:
        """Write the last one, too."""
        if self._writer is not None:
            self._write_held()
        super().close()

    def _write_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            super().append(held)


class FileHome:
    """A file of SQLite's.

    Args:
        path: The file.
        kind: The store; or one that has a fault.
    """

    points: Sequence[str] = faults.POINTS
    states = "all_states"
    blobs = "SELECT blob FROM results UNION ALL SELECT blob FROM task_runs"

    def __init__(self, path: Path, kind: type[SqliteStore]) -> None:
        self._path = path
        self._kind = kind

    def store(self) -> Store:
        """See `Home`."""
        return self._kind(self._path)

    def rows(self, query: str) -> list[Any]:
        """See `Home`."""
        with closing(sqlite3.connect(self._path)) as connection:
            return connection.execute(query).fetchall()

    def faults(self) -> list[str]:
        """See `Home`."""
        ((integrity,),) = self.rows("PRAGMA integrity_check")
        return [] if integrity == "ok" else [f"integrity: {integrity}"]


class ServerHome:
    """A schema of a server.

    Args:
        url: Where it is.
    """

    points: Sequence[str] = tuple(point for point in faults.POINTS if point not in {"group begun", "group written"})
    """A group is one statement, and these two would be in the middle of it."""

    states = "states"
    blobs = "SELECT blob FROM results"

    def __init__(self, url: str) -> None:
        self._url = url

    def store(self) -> Store:
        """See `Home`."""
        return PostgresStore(self._url)

    def rows(self, query: str) -> list[Any]:
        """See `Home`."""
        store = PostgresStore(self._url)
        with closing(store):
            return [tuple(row) for row in store._read(lambda connection: connection.fetch(query))]

    def faults(self) -> list[str]:
        """See `Home`."""
        return []


Homes = Callable[[str], Home]
"""Makes one, under a name."""

STORES = ("right", "hasty", "postgres")


@contextmanager
def homes_of(kind: str) -> Generator[Homes]:
    """Where the runs of all trials are, for the time of a block."""
    with ExitStack() as stack:
        if kind == "postgres":
            server = Server()
            stack.callback(server.remove)
            yield lambda name: ServerHome(server.url(name))
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            yield lambda name: FileHome(folder / f"{name}.db", HastyStore if kind == "hasty" else SqliteStore)


def live(home: Home, body: Any, run_id: str, death: Death, pipe: int) -> None:
    """One life, in a child: begin the run, or go on with it. Never returns."""
    ledger.PIPE[0] = pipe
    try:
        if death.point:
            _die_at(death)
        engine = Engine(store=home.store())
        ENTERED.set(engine)
        if run_id:
            resume_run(run_id, body)
        else:
            run(body)
        engine.close()
    except BaseException:  # noqa: BLE001  # told to the parent
        os.write(pipe, f"raised {traceback.format_exc()[-3000:]!r}\n".encode())
        os._exit(1)
    os._exit(0)


def _die_at(death: Death) -> None:
    reached = 0

    def look(point: str) -> None:
        nonlocal reached
        reached += point == death.point
        if point == death.point and reached == death.time:
            os.kill(os.getpid(), signal.SIGKILL)

    faults.install(look)


def one_life(home: Home, body: Any, run_id: str, death: Death) -> tuple[list[str], bool, float]:
    """Let a life go by.

    Returns:
        The lines that it told, whether it was killed, and how many seconds it took.
    """
    reading, writing = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        os.close(reading)
        live(home, body, run_id, death, writing)
    os.close(writing)
    told = _read(reading, child, None if death.after is None else began + death.after)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    lines = told.decode().split("\n")
    return lines[:-1], os.WIFSIGNALED(status), time.perf_counter() - began


def _read(pipe: int, child: int, kill_at: float | None) -> bytes:
    """All that a child writes, until it is gone; it is killed when its time has come."""
    told = b""
    until = time.perf_counter() + PATIENCE_SECONDS
    while True:
        now = time.perf_counter()
        if kill_at is not None and now >= kill_at:
            os.kill(child, signal.SIGKILL)
            kill_at = None
        if now > until:
            os.kill(child, signal.SIGKILL)
            return told + b"raised nothing, and did not end in a minute\n"
        ready, _, _ = select.select([pipe], [], [], min(until, kill_at or until) - now)
        if ready:
            some = os.read(pipe, 65536)
            if not some:
                return told
            told += some


def trial(homes: Homes, body: Any, deaths: Iterator[Death], tally: Tally) -> None:
    """One run of the flow, through as many lives as it takes."""
    home = homes(f"runs_{tally.trials}")
    tally.trials += 1
    book = ledger.Ledger()
    run_id = ""
    for life in range(1, 1_000):
        death = next(deaths) if life < MOST_LIVES else Death()
        lines, killed, _ = one_life(home, body, run_id, death)
        book.take(lines, life)
        if killed:
            tally.kills += 1
            if death.point:
                tally.reached.add(death.point)
        elif not book.ended:
            book.faults.append(f"life {life} ended by itself, and the flow had not")
            break
        else:
            break
        run_id, ended = _found(home)
        if ended:  # it was killed on its way out
            book.ended = True
            break
    tally.acknowledged += len(book.acknowledged)
    if book.ended:
        _check_store(home, book)
    tally.faults += [f"{body.name}: {each}" for each in book.faults]


MOST_LIVES = 9
"""From this life on a run is left to its end: after ten deaths it would be parked."""


def _found(home: Home) -> tuple[str, bool]:
    """The id of the run that was begun, empty where nothing of it was written before the kill; whether it has ended."""
    with closing(home.store()) as store:
        try:
            runs = store.read_flow_runs(RunFilter(outermost=True))
        except StoreError:  # nothing was ever written
            return "", False
    return (f"{runs[0].id:032x}", runs[0].state.type is StateType.COMPLETED) if runs else ("", False)


def _check_store(home: Home, book: ledger.Ledger) -> None:
    """What stands in the store in the end is what was told, and whole."""
    run_id, _ = _found(home)
    with closing(home.store()) as store:
        recorded = read_flow_run(run_id, store=store)
    if not recorded.state.is_completed():
        book.faults.append(f"the run is {recorded.state}")
    book.faults += home.faults()
    ((gaps,),) = home.rows(
        f"SELECT count(*) FROM (SELECT 1 FROM {home.states} GROUP BY run HAVING max(sequence) + 1 <> count(*)) AS gaps"
    )
    ((alive,),) = home.rows("SELECT count(*) FROM task_runs WHERE ended IS NULL")
    if gaps:
        book.faults.append(f"{gaps} runs whose states have gaps")
    if alive:
        book.faults.append(f"{alive} task runs are left that nobody has ended")
    whole = b"".join(blob for (blob,) in home.rows(home.blobs) if blob)
    lost = [key for key in book.acknowledged if ledger.expected(key).encode() not in whole]
    book.faults += [f"{key} was acknowledged, and is not in the store" for key in lost]


def random_deaths(draw: random.Random, seconds: float) -> Iterator[Death]:
    """Deaths at random moments of a life that would take so long."""
    while True:
        yield Death(after=draw.uniform(0, seconds))


def at_point(point: str, reached: int) -> Iterator[Death]:
    """A death at a fault point, and then a whole life; some points are reached only by a run that died before."""
    if point == "run claimed":
        yield Death(point="group committed", time=reached)
        yield Death(point=point, time=1)
    yield Death(point=point, time=reached)
    while True:
        yield Death()


def flows() -> tuple[Any, ...]:
    """The flows that are killed."""
    return (ledger.journey, ledger.ajourney, ledger.woven, ledger.awoven)


def prove(homes: Homes, kills: int, times: int, seed: int, tell: Callable[[str], None] = print) -> Tally:
    """Kill at random moments, and at each fault point.

    Args:
        homes: Where the runs are.
        kills: How many kills at random moments, at least.
        times: At each fault point, when it is reached for the first time, the second, and so on up to so many.
        seed: Of the random moments.
        tell: Told how it goes.
    """
    tally = Tally()
    draw = random.Random(seed)
    bodies = flows()
    for point in homes("points").points:
        for time_reached in range(1, times + 1):
            body: Flow[Any, Any] = bodies[(tally.trials + time_reached) % len(bodies)]
            trial(homes, body, at_point(point, time_reached), tally)
    tell(f"At fault points: {tally}")
    seconds = {body.name: one_life(homes(f"whole_{body.name}"), body, "", Death())[2] for body in bodies}
    at_points = tally.kills
    while tally.kills - at_points < kills and not tally.faults:
        body = bodies[tally.trials % len(bodies)]
        trial(homes, body, random_deaths(draw, 1.2 * seconds[body.name]), tally)
    tell(f"In all: {tally}")
    return tally


def main() -> int:
    """Prove it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--points", type=int, default=5)
    parser.add_argument(
        "--store", choices=STORES, default="right", help="SQLite's; one with a fault, to see it found; PostgreSQL's"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}")  # noqa: T201  # what was asked for
    with homes_of(options.store) as homes:
        tally = prove(homes, options.kills, options.points, options.seed)
        never = set(homes("points").points) - tally.reached if options.points else set[str]()
    if never:
        print(f"Fault points that were never reached: {', '.join(sorted(never))}")  # noqa: T201
    for fault in tally.faults:
        print(fault)  # noqa: T201
    held = not (tally.faults or never)
    points = f"each of {len(tally.reached)} fault points of the store, and random moments"
    where = {"right": "SQLite", "postgres": "PostgreSQL"}.get(options.store, f"a {options.store} store")
    return tell([Row(f"kills, with {where}, at {points}", str(tally), holds=held)])


if __name__ == "__main__":
    sys.exit(main())
