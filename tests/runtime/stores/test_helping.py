"""Who could only wait for a commit writes it: a sync call writes its own group, where nobody else is at it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from threading import Event, Thread, get_ident, main_thread
from typing import Any

import pytest

from millrace import Engine, FlowRunContext, Future, SqliteStore, State, StoreError, flow, task
from millrace.actors.errors import TerminationSignal
from millrace.runtime.entering import ENTERED
from millrace.runtime.stores.memory import MemoryStore
from millrace.runtime.stores.port import Group
from millrace.runtime.stores.records import TaskRunMade
from millrace.runtime.stores.rows import RunFilter
from tests.runtime.results.patience import await_true

PATIENCE = 20.0
ALL = RunFilter()


class NotedStore(MemoryStore):
    """Notes which thread has brought each group that a task run was made in."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []

    def append(self, group: Group) -> None:
        if any(isinstance(record, TaskRunMade) for record in group.records):
            self.threads.append(get_ident())
        super().append(group)


class BoundStore(NotedStore):
    """One of which all is written on the thread that has opened it."""

    @property
    def any_thread(self) -> bool:
        return False


@pytest.fixture
def store() -> NotedStore:
    return NotedStore()


@pytest.fixture
def engine(store: NotedStore) -> Iterator[Engine]:
    yield from entered(store)


def entered(store: MemoryStore) -> Iterator[Engine]:
    made = Engine(store=store)
    token = ENTERED.set(made)
    yield made
    ENTERED.reset(token)
    made.close()


def of_writer(engine: Engine) -> int:
    """The writer's own thread."""
    assert engine.chronicle is not None
    return engine.chronicle.writer._ident


@task
def double(number: int) -> int:
    return 2 * number


@flow
def doubles(count: int) -> int:
    return sum(double(number) for number in range(count))


@pytest.mark.usefixtures("engine")
def test_a_thread_that_calls_tasks_writes_what_they_come_to_itself(store: NotedStore) -> None:
    assert doubles(20) == 380

    assert store.threads == [get_ident()] * 20


def test_it_does_so_in_a_file_and_all_is_there(tmp_path: Path) -> None:
    place = SqliteStore(tmp_path / "runs.db")
    with Engine(store=place) as engine:
        assert engine.start(doubles, 20).result() == 380

    with Engine(store=place):
        runs = [run.state.type for run in place.read_task_runs(ALL)]

    assert runs == ["COMPLETED"] * 20


def test_a_store_that_is_one_threads_alone_is_written_to_on_that_thread() -> None:
    store = BoundStore()
    for engine in entered(store):
        assert doubles(3) == 6

        assert store.threads == [of_writer(engine)] * 3


def test_the_thread_of_a_loop_writes_nothing(store: NotedStore, engine: Engine) -> None:
    @task
    async def triple(number: int) -> int:
        return 3 * number

    @flow
    async def body() -> int:
        return await triple(1) + double(1) + doubles(1)

    assert asyncio.run(body()) == 5
    assert store.threads == [of_writer(engine)] * 3


def test_a_call_without_room_on_the_stack_leaves_it_to_the_writer(store: NotedStore, engine: Engine) -> None:
    def deep(left: int) -> int:
        return double(1) if left == 0 else deep(left - 1)

    @flow
    def body() -> int:
        depth = len(list(frames()))
        return deep(sys.getrecursionlimit() - depth - 140)

    assert body() == 2
    assert store.threads == [of_writer(engine)]


def frames() -> Iterator[Any]:
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back  # type: ignore[assignment]


def test_while_somebody_writes_others_wait_for_the_writer() -> None:
    store = HeldByOne()
    for engine in entered(store):
        first = Thread(target=engine.start(doubles, 0).result)
        came: list[int] = []

        def call(came: list[int] = came, engine: Engine = engine) -> None:
            token = ENTERED.set(engine)
            came.append(double(4))
            ENTERED.reset(token)

        first.start()
        held, other = Thread(target=call), Thread(target=call)
        held.start()
        assert store.arrived.wait(PATIENCE)
        other.start()
        assert came == []

        store.leave.set()
        for thread in (first, held, other):
            thread.join(PATIENCE)

        assert came == [8, 8]
        assert store.together == 1


class HeldByOne(NotedStore):
    """Holds the first group of a task, and counts how many are being written at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived, self.leave = Event(), Event()
        self.inside = self.together = 0

    def append(self, group: Group) -> None:
        self.inside += 1
        self.together = max(self.together, self.inside)
        if any(isinstance(record, TaskRunMade) for record in group.records) and not self.arrived.is_set():
            self.arrived.set()
            assert self.leave.wait(PATIENCE)
        super().append(group)
        self.inside -= 1


def test_what_follows_from_a_commit_sees_nothing_of_who_helped(engine: Engine) -> None:
    seen: list[tuple[bool, Any]] = []
    engine.subscribe(lambda _event: seen.append((get_ident() == main_thread().ident, FlowRunContext.get())))

    assert doubles(1) == 0

    assert (True, None) in seen
    assert {context for _, context in seen} == {None}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, TerminationSignal])
def test_who_is_interrupted_in_the_middle_of_it_is_and_nothing_is_acknowledged(kind: type[BaseException]) -> None:
    class Interrupted(NotedStore):
        def append(self, group: Group) -> None:
            if get_ident() == main_thread().ident and any(isinstance(each, TaskRunMade) for each in group.records):
                raise kind(15)
            super().append(group)

    store = Interrupted()
    ended: list[State[Any]] = []

    @task
    def never() -> None:
        raise AssertionError("it does not begin")

    @flow(on_crashed=[lambda _flow, _run, state: ended.append(state)])
    def body() -> None:
        double(1)

    for engine in entered(store):
        with pytest.raises(kind):
            body()
        assert engine.chronicle is not None
        assert isinstance(engine.chronicle.writer.failed, StoreError)
        with pytest.raises(StoreError):
            never()

    assert [state.type for state in ended] == ["CRASHED"]
    assert not [run for run in store.read_task_runs(ALL) if run.state.type == "COMPLETED"]


def test_ends_that_come_about_meanwhile_are_told_that_they_are_lost() -> None:
    class Interrupted(NotedStore):
        def append(self, group: Group) -> None:
            if get_ident() == caller:
                others.append(context.run(double.submit, 2))
                raise KeyboardInterrupt
            super().append(group)

    caller = get_ident()
    others: list[Future[int]] = []
    for _engine in entered(Interrupted()):
        context = copy_context()
        with pytest.raises(KeyboardInterrupt):
            double(1)

        with pytest.raises(StoreError):
            others[0].result(timeout=PATIENCE)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminationSignal)])
def test_a_signal_that_comes_while_a_thread_writes_is_raised_when_it_has_written(
    number: int, kind: type[BaseException]
) -> None:
    class Signalled(NotedStore):
        def append(self, group: Group) -> None:
            super().append(group)
            if len(self.threads) == 3 and not sent:
                sent.append(number)
                signal.raise_signal(number)

    sent: list[int] = []
    begun: list[int] = []
    store = Signalled()

    @flow
    def body() -> None:
        for each in range(1_000):
            begun.append(each)
            double(each)

    for engine in entered(store):
        with pytest.raises(kind):
            body()
        assert engine.chronicle is not None
        assert engine.chronicle.writer.failed is None

    assert begun == [0, 1, 2]
    assert [run.state.type for run in store.read_task_runs(ALL)] == ["COMPLETED"] * 3
    assert [run.state.type for run in store.read_flow_runs(ALL)] == ["CRASHED"]


def test_a_receipt_that_nobody_helps_with_after_all_is_found_by_a_writer_that_sleeps(engine: Engine) -> None:
    """Found by a simulation: a hook saw to the end of a call elsewhere, when its caller had looked already."""
    assert engine.chronicle is not None
    writer = engine.chronicle.writer
    writer.flush()
    await_true(lambda: writer._asleep)
    told = Event()
    writer.when_committed(lambda _, error: told.set(), helps=True)
    assert told.wait(PATIENCE)
