"""Runs that were put off, as readers and commands see them: wherever they ran, and whoever has the store open."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest

from millrace import (
    DistributedFuture,
    Engine,
    MemoryStore,
    RunNotFound,
    SqliteStore,
    StoreMissing,
    aread_task_run,
    aread_task_run_states,
    read_flow_runs,
    read_task_run,
    read_task_run_states,
    read_task_runs,
    task,
)
from millrace.actors.states import StateType
from millrace.actors.stored_result import MISSING
from millrace.runtime.cli import main
from millrace.runtime.deferred.memory import MemoryQueue
from millrace.runtime.deferred.port import Step, Told
from millrace.runtime.stores import put_off
from millrace.runtime.stores.port import Owner
from millrace.runtime.stores.rows import RunFilter
from tests.runtime.deferred.places import SEVEN, Hand, completed, job, running
from tests.runtime.stores.places import Writer, completed_task, entered, task_made

NUMBER = 0x0123456789ABCDEF0123456789ABCDEF


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    """A store that nobody has opened as yet."""
    made = SqliteStore(folder / "runs.db")
    yield made
    made.close()


def queue_of(store: Any) -> Any:
    queue = store.queue
    assert queue is not None
    return queue


def run_elsewhere(store: Any, number: int = NUMBER) -> None:
    """Put a run off, and have it run by a worker that has an engine of its own."""
    queue = queue_of(store)
    queue.put(attrs.evolve(job(number), at=101, tags=frozenset({"nightly"})))
    hand = Hand(queue)
    hand.take()
    hand.exchange(running(number))
    hand.exchange(Told(number, [Step(StateType.COMPLETED, "Completed", None, 230, "told")], ended=True, data=SEVEN))
    hand.leave()


# From Python.


def test_a_run_of_a_worker_with_an_engine_of_its_own_can_be_read(store: SqliteStore) -> None:
    store.open(Owner("process 1 on mill", 100))
    run_elsewhere(store)

    run = read_task_run(UUID(int=NUMBER), store=store)

    assert (run.id, run.name, run.task_name) == (UUID(int=NUMBER), "load-def", "load")
    assert (run.state.name, run.run_count, sorted(run.tags)) == ("Completed", 1, ["nightly"])
    assert (run.flow_run_id, run.parent_task_run_id) == (None, None)
    assert None not in {run.start_time, run.end_time}
    names = [each.state.name for each in read_task_run_states(UUID(int=NUMBER), store=store)]
    assert names == ["Scheduled", "Pending", "Running", "Completed"]
    assert run.state.data is MISSING  # it was written as JSON, and pickles are read here
    (listed,) = read_task_runs(store=store)
    assert (listed.id, listed.name, listed.state.name) == (run.id, "load-def", "Completed")


@pytest.mark.anyio
async def test_from_async_code_it_can_be_read_too(store: SqliteStore) -> None:
    store.open(Owner("process 1 on mill", 100))
    run_elsewhere(store)

    assert (await aread_task_run(UUID(int=NUMBER), store=store)).state.is_completed()
    assert len(await aread_task_run_states(UUID(int=NUMBER), store=store)) == 4


@pytest.mark.parametrize("make", [MemoryStore, None], ids=["memory", "sqlite"])
def test_what_waits_in_the_queue_is_on_record_as_scheduled(make: Callable[[], Any] | None, folder: Path) -> None:
    @task(tags=["slow"])
    def later(x: int) -> int:
        return x

    with Engine(store=SqliteStore(folder / "runs.db") if make is None else make()):
        future: DistributedFuture[int] = later.delay(1)

        assert read_task_run(future.task_run_id).state.is_scheduled()
        assert [run.name for run in read_task_runs(tasks=["later"], states=["scheduled"])] == [future.name]
        future.cancel()
        assert read_task_run(future.task_run_id).state.is_cancelled()


def test_where_nobody_has_opened_the_store_what_was_put_off_is_all_there_is(store: SqliteStore, folder: Path) -> None:
    run_elsewhere(store)

    assert read_task_run(UUID(int=NUMBER), store=store).state.is_completed()
    assert len(read_task_run_states(UUID(int=NUMBER), store=store)) == 4
    assert [run.id for run in read_task_runs(store=store)] == [UUID(int=NUMBER)]
    with pytest.raises(StoreMissing, match="there is no such file"):
        read_task_run(UUID(int=1), store=store)
    with pytest.raises(StoreMissing, match="there is no such file"):
        read_flow_runs(store=store)
    assert not (folder / "runs.db").exists()


def test_looking_makes_no_queue(store: SqliteStore, folder: Path) -> None:
    store.open(Owner("process 1 on mill", 100))

    assert read_task_runs(store=store) == []
    with pytest.raises(RunNotFound):
        read_task_run(UUID(int=1), store=store)
    assert not (folder / "runs.db-queue").exists()


def test_runs_of_both_kinds_are_listed_together_newest_first(store: SqliteStore) -> None:
    writer = Writer(store, store.open(Owner("process 1 on mill", 100)))
    writer.write(*completed_task(5), *completed_task(7))
    for number in (4, 6, 8):
        queue_of(store).put(job(number))

    def listed(**wanted: Any) -> list[int]:
        return [row.id for row in put_off.read_task_runs(store, RunFilter(**wanted))]

    assert listed() == [8, 7, 6, 5, 4]
    assert listed(limit=3) == [8, 7, 6]
    assert listed(last=7, limit=2) == [7, 6]
    assert listed(types=[StateType.SCHEDULED]) == [8, 6, 4]


# Who is right.


class Both:
    """A store and its queue that know of the same run."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.writer = Writer(self.store, self.store.open(Owner("process 1 on mill", 100)))
        self.queue: Any = self.store.queue
        assert isinstance(self.queue, MemoryQueue)
        self.queue.put(job(5))
        self.hand = Hand(self.queue)
        self.hand.take()
        self.writer.write(task_made(5, flow_run=None), entered(5, 1, StateType.RUNNING, attempts=1))

    def seen(self) -> tuple[str, str, list[str]]:
        """The state of the run, alone and in a list, and all its states."""
        row = put_off.read_task_run(self.store, 5)
        assert row is not None
        (listed,) = put_off.read_task_runs(self.store, RunFilter())
        return row.state.name, listed.state.name, [each.name for each in put_off.read_states(self.store, 5)]


def test_as_long_as_a_run_goes_on_where_the_store_is_open_that_knows_it_best() -> None:
    assert Both().seen() == ("Running", "Running", ["Pending", "Running"])


def test_when_both_say_the_same_the_store_knows_more() -> None:
    both = Both()
    both.writer.write(entered(5, 2, StateType.COMPLETED, ended=True))
    both.hand.exchange(completed(5))

    assert both.seen() == ("Completed", "Completed", ["Pending", "Running", "Completed"])


def test_what_another_worker_has_made_of_it_counts_more_than_the_crash_of_the_first() -> None:
    both = Both()
    both.store.open(Owner("process 2 on mill", 400))  # the first is over, and what it had is crashed
    both.hand.leave()
    assert both.seen()[0] == "Scheduled"

    again = Hand(both.queue)
    again.take()
    again.exchange(completed(5))

    name, listed, states = both.seen()
    assert (name, listed) == ("Completed", "Completed")
    assert states == ["Scheduled", "Pending", "Scheduled", "Pending", "Running", "Completed"]
    row = put_off.read_task_run(both.store, 5)
    assert row is not None
    assert row.inputs == {"day": ["1"]}


# From the terminal.


@pytest.fixture
def millrace(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command about the store: its exit code, and what it has printed."""
    monkeypatch.setenv("MILLRACE_STORE", f"sqlite:///{folder / 'runs.db'}")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["runs", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.mark.parametrize("is_open", [False, True], ids=["a queue alone", "a store that is open"])
def test_what_was_put_off_is_listed_and_shown(
    millrace: Callable[..., tuple[int, str, str]], store: SqliteStore, *, is_open: bool
) -> None:
    if is_open:
        store.open(Owner("process 1 on mill", 100))
    run_elsewhere(store)
    queue_of(store).put(attrs.evolve(job(NUMBER + 1, "send-3c4d"), at=102))

    code, out, err = millrace("ls", "--put-off")
    assert (code, err) == (0, "")
    title, *lines = out.splitlines()
    assert title.split() == ["ID", "RUN", "STATE", "CREATED", "TOOK", "TAGS"]
    assert [line.split()[:3] for line in lines] == [
        [f"{NUMBER + 1:032x}", "send-df0", "Scheduled"],
        [f"{NUMBER:032x}", "load-def", "Completed"],
    ]
    for words, expected in (
        (("--task", "load"), ["load"]),
        (("--state", "scheduled"), ["send"]),
        (("--tag", "nightly"), ["load"]),
        (("--limit", "1"), ["send"]),
        (("--name", "load-def"), ["load"]),
    ):
        code, out, _ = millrace("ls", "--put-off", "--json", *words)
        assert [each["task"] for each in json.loads(out)] == expected

    word = lines[1].split()[0]
    code, out, err = millrace("show", word)
    assert (code, err) == (0, "")
    assert out.startswith("load-def\n")
    assert "Completed" in out
    code, out, err = millrace("events", word, "--json")
    assert [each["name"] for each in json.loads(out)] == ["Scheduled", "Pending", "Running", "Completed"]


def test_nothing_put_off_is_an_empty_list(
    millrace: Callable[..., tuple[int, str, str]], store: SqliteStore, folder: Path
) -> None:
    store.open(Owner("process 1 on mill", 100))

    assert millrace("ls", "--put-off") == (0, "", "")
    assert json.loads(millrace("ls", "--put-off", "--json")[1]) == []
    assert not (folder / "runs.db-queue").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--put-off", "--flow", "x"), "'--put-off' takes neither --flow nor --all beside it"),
        (("--put-off", "--all"), "'--put-off' takes neither --flow nor --all beside it"),
        (("--task", "x"), "'--task' takes to stand beside --put-off"),
    ],
)
def test_words_that_do_not_fit_together_are_told(
    millrace: Callable[..., tuple[int, str, str]], store: SqliteStore, words: tuple[str, ...], said: str
) -> None:
    store.open(Owner("process 1 on mill", 100))
    code, out, err = millrace("ls", *words)

    assert (code, out) == (2, "")
    assert said in err


def test_a_run_that_nobody_knows_is_not_found(
    millrace: Callable[..., tuple[int, str, str]], store: SqliteStore
) -> None:
    store.open(Owner("process 1 on mill", 100))
    run_elsewhere(store)

    code, _, err = millrace("show", "0" * 31 + "1")

    assert code == 2
    assert "There is no flow run" in err
