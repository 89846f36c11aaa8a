"""Persistence: which task runs keep their results, where, how and when they are written, and what goes wrong there."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from millrace import (
    INPUTS,
    NO_CACHE,
    Completed,
    CompressedSerializer,
    ConfigurationError,
    Engine,
    Event,
    Failed,
    FlowRunContext,
    JSONSerializer,
    LocalStorage,
    MemoryStorage,
    ResultStore,
    State,
    StateType,
    StorageError,
    quote,
)
from millrace.runtime.results import StoredValue
from tests.loose import flow, task
from tests.runtime.ledgers import HOWS, Ledger, in_flow, outside, state_of
from tests.runtime.worlds import ASYNC, SYNC, World

each_way = pytest.mark.parametrize("how", HOWS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results go that nobody has a place for."""
    path = tmp_path / "results"
    monkeypatch.setenv("MILLRACE_LOCAL_STORAGE_PATH", str(path))
    return path


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close(cancel=True)


def double(x: Any) -> Any:
    return 2 * x


def files(folder: Path) -> int:
    """How many results are in a folder."""
    return sum(1 for each in folder.rglob("*") if each.is_file()) if folder.exists() else 0


def only_value(ledger: Ledger, **options: Any) -> Any:
    """The one value in a storage."""
    (key,) = ledger.keys
    return ResultStore(ledger, **options).read(key).value


# Off unless asked.


@each_way
def test_nothing_is_kept_unless_somebody_asks(world: World, how: str, folder: Path) -> None:
    state = in_flow(world, how, world.task(double), 2)

    assert (state.name, state.data) == ("Completed", 4)
    assert not folder.exists()


@each_way
def test_a_result_is_kept_where_the_settings_say(world: World, how: str, folder: Path) -> None:
    state = in_flow(world, how, world.task(double, persist_result=True), 2)

    assert (state.name, state.result()) == ("Completed", 4)
    assert files(folder) == 1


@each_way
@pytest.mark.parametrize("world", [SYNC, ASYNC], ids=lambda world: world.name)
def test_outside_of_flows_it_is_kept_too(world: World, how: str) -> None:
    ledger = Ledger()

    state = outside(how, world.task(double, result_storage=ledger), 2)

    assert (state.name, state.result()) == ("Completed", 4)
    assert only_value(ledger) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"result_storage": "memory://"},
        {"result_serializer": "json"},
        {"result_storage_key": "fixed"},
        {"cache_policy": INPUTS},
        {"cache_key_fn": lambda _context, _arguments: "fixed"},
        {"persist_result": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_these_options_ask_for_it(options: dict[str, Any], folder: Path) -> None:
    run = task(cache_result_in_memory=False, **options)(double)

    state: State[int] = run(2, return_state=True)

    assert state.data != 4  # but where that lies
    assert state.result() == 4
    assert files(folder) == (0 if "result_storage" in options else 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cache_policy": NO_CACHE},
        {"cache_policy": NO_CACHE, "persist_result": False},
        {"cache_expiration": timedelta(days=1)},
        {"refresh_cache": True},
        {"cache_result_in_memory": False},
    ],
    ids=str,
)
def test_these_options_do_not(options: dict[str, Any], folder: Path) -> None:
    assert task(**options)(double)(2) == 4
    assert not folder.exists()


def test_a_setting_asks_for_all_tasks_that_do_not_say(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_RESULTS_PERSIST_BY_DEFAULT", "true")

    assert task(persist_result=False)(double)(2) == 4
    assert files(folder) == 0
    assert task(double)(2) == 4
    assert files(folder) == 1


def test_each_run_has_a_place_of_its_own() -> None:
    ledger = Ledger()
    run = task(result_storage=ledger, cache_policy=NO_CACHE)(double)

    @flow
    def several() -> Any:
        return [run(2), *run.map([2, 2]).result()]

    assert several() == [4, 4, 4]
    assert len(ledger.keys) == 3
    assert ledger.done == ["write"] * 3


# Where, and how.


@pytest.mark.parametrize("spell", [Path, str, lambda path: path.as_uri(), LocalStorage], ids=["Path", "str", "url", ""])
def test_a_folder_can_be_named_in_several_ways(tmp_path: Path, spell: Callable[[Path], Any]) -> None:
    place = tmp_path / "a folder"

    assert task(result_storage=spell(place))(double)(2) == 4
    assert files(place) == 1


def test_one_memory_is_shared_by_all_who_name_it() -> None:
    run = task(result_storage="memory://", result_storage_key="test-of-shared-memory", refresh_cache=True)(double)

    assert run(2) == 4
    assert ResultStore("memory://").read("test-of-shared-memory").value == 4


@pytest.mark.parametrize(
    ("option", "tag"),
    [
        ("json", "json"),
        ("pickle", "pickle"),
        ("compressed/json", "compressed/json"),
        (JSONSerializer(), "json"),
        (CompressedSerializer(JSONSerializer()), "compressed/json"),
    ],
    ids=str,
)
def test_the_serializer_is_the_tasks(option: Any, tag: str) -> None:
    ledger = Ledger()
    run = task(result_storage=ledger, result_serializer=option, cache_result_in_memory=False)(double)

    state: State[int] = run(2, return_state=True)

    assert state.result() == 4
    (key,) = ledger.keys
    assert ResultStore(ledger, serializer=option).read(key).serializer == tag


def test_settings_say_how_where_nobody_else_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_RESULTS_DEFAULT_SERIALIZER", "json")
    monkeypatch.setenv("MILLRACE_DEFAULT_RESULT_STORAGE", str(folder / "elsewhere"))

    assert task(result_storage_key="fixed")(double)(2) == 4
    assert ResultStore(folder / "elsewhere", serializer="json").read("fixed").serializer == "json"


class Shelf(dict[str, bytes]):
    """A storage of the user's own, which is false as long as it is empty."""

    blocking = False
    read = dict.__getitem__
    write = dict.__setitem__
    exists = dict.__contains__
    delete = dict.__delitem__

    def where(self, key: str) -> str:
        return f"shelf {key}"


def test_a_storage_that_is_empty_is_used_all_the_same() -> None:
    mine, flows = Shelf(), Shelf()
    own = task(result_storage=mine, cache_policy=NO_CACHE)(double)
    inherits = task(persist_result=True, cache_policy=NO_CACHE)(double)

    @flow(result_storage=flows)
    def both() -> Any:
        return own(1) + inherits(2)

    assert both() == 6
    assert (len(mine), len(flows)) == (1, 1)


# What a flow says holds for its tasks.


@each_way
def test_tasks_keep_what_their_flow_says_and_where_and_how(world: World, how: str) -> None:
    ledger = Ledger()
    run = world.task(double)

    async def body() -> Any:
        return quote(await state_of(world, how, run, 2))

    made = world.flow(body, persist_result=True, result_storage=ledger, result_serializer="json")

    assert world.run(made).unquote().result() == 4
    assert only_value(ledger, serializer="json") == 4


def test_what_a_task_says_comes_before_what_its_flow_says() -> None:
    flows, mine = Ledger(), Ledger()
    kept = task(result_storage=mine, result_serializer="json")(double)
    not_kept = task(persist_result=False)(double)

    @flow(persist_result=True, result_storage=flows, result_serializer="pickle")
    def both() -> None:
        assert kept(2) + not_kept(3) == 10

    both()
    assert flows.keys == []
    assert only_value(mine, serializer="json") == 4


def test_a_flow_may_say_that_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("MILLRACE_RESULTS_PERSIST_BY_DEFAULT", "true")
    run = task(double)

    @flow(persist_result=False)
    def keeps_nothing() -> Any:
        return run(2)

    assert keeps_nothing() == 4
    assert files(folder) == 0


def test_a_task_that_asks_is_heard_where_its_flow_keeps_nothing() -> None:
    ledger = Ledger()
    run = task(result_storage=ledger)(double)

    @flow(persist_result=False)
    def keeps_nothing() -> Any:
        return run(2)

    assert keeps_nothing() == 4
    assert only_value(ledger) == 4


def test_a_subflow_takes_over_what_the_flow_around_it_says() -> None:
    ledger, other = Ledger(), Ledger()
    run = task(double)

    @flow
    def inner() -> None:
        run(1)

    @flow(persist_result=False)
    def silent() -> None:
        run(2)

    @flow(result_storage=other)
    def elsewhere() -> None:
        run(3)

    @flow(persist_result=True, result_storage=ledger)
    def outer() -> None:
        inner()
        silent()
        elsewhere()

    outer()
    assert only_value(ledger) == 2
    assert only_value(other) == 6


# What flows return themselves.


def run_id_here() -> str:
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run.uuid.hex


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory too", "in the storage only"])
def test_what_a_flow_returns_is_kept_under_the_id_of_its_run(world: World, *, in_memory: bool) -> None:
    storage = MemoryStorage()
    ids: list[str] = []

    async def body() -> list[int]:
        ids.append(run_id_here())
        return [1, 2]

    made = world.flow(body, persist_result=True, result_storage=storage, cache_result_in_memory=in_memory)
    state = world.run(made, return_state=True)
    assert ResultStore(storage).read(ids[0]).value == [1, 2]
    assert isinstance(state.data, StoredValue) is not in_memory
    assert state.result() == [1, 2]
    assert (state.result() is state.result()) is in_memory
    assert world.run(made) == [1, 2]


@pytest.mark.parametrize("blocking", [True, False])
def test_it_is_written_in_another_thread_only_where_that_may_hold_up_a_loop(world: World, *, blocking: bool) -> None:
    threads: list[int] = []

    class Watched(MemoryStorage):
        def write(self, key: str, blob: bytes) -> None:
            threads.append(threading.get_ident())
            super().write(key, blob)

    storage = Watched()
    storage.blocking = blocking

    async def body() -> int:
        threads.append(threading.get_ident())
        return 1

    world.run(world.flow(body, persist_result=True, result_storage=storage))
    of_body, of_writing = threads
    assert (of_body != of_writing) is (blocking and world.async_flows)


def test_the_record_of_it_is_as_old_as_the_engines_clock_says() -> None:
    storage = MemoryStorage()

    @flow(persist_result=True, result_storage=storage)
    async def answers() -> int:
        return 42

    async def main() -> None:
        async with Engine(clock=lambda: 5_000_000_000):
            await answers()

    asyncio.run(main())
    (key,) = storage._blobs
    assert ResultStore(storage).read(key).metadata.created == datetime.fromtimestamp(5, UTC)


@pytest.mark.parametrize("returned", [None, Completed(data=1), [Completed(), Completed()]], ids=repr)
def test_what_says_what_becomes_of_the_run_is_not_kept(world: World, returned: Any) -> None:
    storage = MemoryStorage()
    ids: list[str] = []

    async def body() -> Any:
        ids.append(run_id_here())
        return returned

    world.run(world.flow(body, persist_result=True, result_storage=storage), return_state=True)
    assert not ResultStore(storage).exists(ids[0])


def test_what_a_flow_returns_and_cannot_be_kept_is_told_of_and_returned_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    lock = threading.Lock()

    async def body() -> Any:
        return lock

    made = world.flow(body, name="locks", persist_result=True, result_storage=MemoryStorage())
    with caplog.at_level(logging.WARNING):
        assert world.run(made) is lock
    (record,) = caplog.records
    assert "is not kept" in record.getMessage()


# When.


@each_way
def test_a_result_is_written_before_the_run_is_completed(world: World, how: str, engine: Engine) -> None:
    ledger = Ledger()
    found: list[tuple[str, int]] = []

    def look(event: Event) -> None:
        if event.state.state_details.task_run_id is not None:
            found.append((event.state.name, len(ledger.keys)))

    engine.subscribe(look)
    run = world.task(double, result_storage=ledger, cache_policy=NO_CACHE)

    assert in_flow(world, how, run, 2, engine=engine).result() == 4
    assert found == [("Pending", 0), ("Running", 0), ("Completed", 1)]


def test_of_several_attempts_only_the_last_is_written(world: World) -> None:
    ledger = Ledger()
    attempts: list[int] = []

    @world.task(result_storage=ledger, retries=2)
    def third() -> int:
        attempts.append(len(attempts))
        if len(attempts) < 3:
            raise ValueError(f"attempt {len(attempts)}")
        return len(attempts)

    assert in_flow(world, "submit", third).result() == 3
    assert only_value(ledger) == 3
    assert ledger.done.count("write") == 1


def test_a_run_that_fails_writes_nothing(world: World) -> None:
    ledger = Ledger()

    @world.task(result_storage=ledger)
    def fails() -> None:
        raise ValueError("no")

    assert in_flow(world, "submit", fails).is_failed()
    assert ledger.keys == []


def test_of_a_state_that_a_task_returns_the_data_are_kept_if_it_is_completed(world: World) -> None:
    ledger = Ledger()
    run = world.task(lambda state: state.unquote(), result_storage=ledger, cache_policy=NO_CACHE)

    assert in_flow(world, "submit", run, quote(quote(Failed(message="no")))).is_failed()
    assert ledger.keys == []
    assert in_flow(world, "submit", run, quote(quote(Completed(data=4, name="Fine")))).name == "Fine"
    assert only_value(ledger) == 4


def test_what_a_generator_task_yields_is_kept_as_a_list_where_it_is_submitted() -> None:
    ledger = Ledger()

    @task(result_storage=ledger)
    def numbers() -> Iterator[int]:
        yield from range(3)

    assert numbers.submit().result() == [0, 1, 2]
    assert only_value(ledger) == [0, 1, 2]


@pytest.mark.anyio
async def test_what_a_body_returns_although_it_was_cancelled_is_not_kept() -> None:
    ledger = Ledger()
    begun = asyncio.Event()

    @task(result_storage=ledger)
    async def stubborn() -> int:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 1
        return 2

    @flow
    async def cancels() -> Any:
        future = stubborn.submit()
        await begun.wait()
        future.cancel()
        return quote(await future.wait_async())

    assert (await cancels()).unquote().is_cancelled()
    assert ledger.keys == []


@pytest.mark.anyio
async def test_what_a_body_returns_although_its_time_was_over_is_not_kept() -> None:
    ledger = Ledger()

    @task(result_storage=ledger, timeout_seconds=0.01)
    async def stubborn() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 1
        return 2

    assert (await stubborn(return_state=True)).name == "TimedOut"
    assert ledger.keys == []


# What cannot be kept.


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, if it is a warning or worse."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@each_way
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_result_that_cannot_be_written_leaves_its_run_completed_with_one_warning(
    world: World, how: str, *, in_memory: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    lock = threading.Lock()

    @world.task(result_storage=ledger, cache_result_in_memory=in_memory)
    def locked(_: int) -> Any:
        return lock

    state = in_flow(world, how, locked, 1)

    assert (state.name, state.result()) == ("Completed", lock)
    assert ledger.keys == []
    (warning,) = warnings(caplog)
    assert warning.startswith("The result of task run 'locked-")
    assert "is not kept. Could not pickle a value of type '_thread.lock'" in warning


class Odd:
    """A serializer that raises what nobody expects."""

    tag = "odd"

    def dumps(self, value: Any) -> bytes:
        raise LookupError(f"no {type(value).__name__}")

    def loads(self, blob: bytes) -> Any:
        raise LookupError


class Careless(Odd):
    """A serializer that makes no bytes."""

    def dumps(self, value: Any) -> Any:
        return str(value)


@pytest.mark.parametrize(("serializer", "reason"), [(Odd(), "LookupError: no int"), (Careless(), "made a 'str' of it")])
def test_whatever_a_serializer_does_the_run_is_completed(
    serializer: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    state: State[int] = task(result_storage=Ledger(), result_serializer=serializer)(double)(2, return_state=True)

    assert state.result() == 4
    (warning,) = warnings(caplog)
    assert reason in warning


class Full(Ledger):
    """A storage that does not take anything."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, key: str, blob: bytes) -> None:
        raise self._error


@each_way
@pytest.mark.parametrize(
    "error", [StorageError("write to the shelf", "it is full"), OSError(28, "it is full"), ValueError("it is full")]
)
def test_a_storage_that_fails_leaves_the_run_completed_with_one_warning(
    world: World, how: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    state = in_flow(world, how, world.task(double, result_storage=Full(error), cache_result_in_memory=False), 2)

    assert (state.name, state.result()) == ("Completed", 4)
    (warning,) = warnings(caplog)
    assert "it is full" in warning


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)

    state: State[int] = task(result_storage=place, cache_policy=NO_CACHE)(double)(2, return_state=True)

    assert state.result() == 4
    assert files(place) == 0
    assert len(warnings(caplog)) == 1


def test_each_run_of_a_map_is_warned_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    lock = threading.Lock()
    run = world.task(lambda _: lock, name="locked", result_storage=Ledger(), cache_policy=NO_CACHE)

    async def body() -> Any:
        return quote(await world.result(run.map(range(3))))

    assert world.body(body).unquote() == [lock] * 3
    assert len(warnings(caplog)) == 3


# Options that cannot be meant.


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("persist_result", 1, "True or False"),
        ("cache_result_in_memory", "no", "True or False"),
        ("refresh_cache", 0, "True or False"),
        ("result_storage", 3, "a folder"),
        ("result_storage", MemoryStorage, "a folder"),
        ("result_storage", "", "a folder"),
        ("result_serializer", "xml", "pickle"),
        ("result_serializer", 3, "a serializer or the tag of one"),
        ("result_storage_key", 3, "a string"),
        ("result_storage_key", "", "not empty"),
        ("cache_policy", "INPUTS", "a policy, such as INPUTS"),
        ("cache_policy", type(INPUTS), "a policy, such as INPUTS"),
        ("cache_key_fn", "key", "a function of context and arguments"),
        ("cache_expiration", 60, "a timedelta above zero"),
        ("cache_expiration", timedelta(0), "a timedelta above zero"),
        ("cache_expiration", -timedelta(1), "a timedelta above zero"),
        ("on_commit", "hook", "a list of functions"),
        ("on_rollback", [3], "a list of functions"),
    ],
)
def test_an_option_of_the_wrong_kind_is_named(option: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{option}' takes .*{expected}"):
        task(**{option: value})(double)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cache_policy": INPUTS}, "True, or nothing, beside cache_policy"),
        ({"cache_key_fn": str}, "True, or nothing, beside cache_key_fn"),
        ({"result_storage": "memory://"}, "True, or nothing, beside result_storage"),
        ({"result_serializer": "json"}, "True, or nothing, beside result_serializer"),
        ({"result_storage_key": "a"}, "True, or nothing, beside result_storage_key"),
        ({"cache_expiration": timedelta(1)}, "True, or nothing, beside cache_expiration"),
        (
            {"cache_policy": INPUTS, "cache_expiration": timedelta(1)},
            "True, or nothing, beside cache_policy and cache_expiration",
        ),
    ],
)
def test_nothing_can_be_kept_and_not_be_kept(options: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'persist_result' takes {expected}"):
        task(persist_result=False, **options)(double)


def test_a_policy_and_a_key_function_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError, match="'cache_key_fn' takes nothing beside a cache_policy"):
        task(cache_policy=INPUTS, cache_key_fn=lambda _context, _arguments: None)(double)


def test_a_changed_copy_keeps_the_other_options() -> None:
    ledger, other = Ledger(), Ledger()
    run = task(result_storage=ledger, result_serializer="json", cache_policy=NO_CACHE)(double)

    assert run.with_options(result_storage=other)(2) == 4
    assert only_value(other, serializer="json") == 4
    assert ledger.keys == []
    assert run.with_options(result_storage=None, result_serializer=None, persist_result=False)(2) == 4
    assert ledger.keys == []


def test_a_run_that_keeps_its_result_is_pending_then_running_then_completed(engine: Engine) -> None:
    kinds: list[StateType] = []
    engine.subscribe(lambda event: kinds.append(event.state.type))
    run = task(result_storage="memory://")(double)

    async def body() -> None:
        async with engine:
            run(2)

    asyncio.run(body())
    assert kinds == [StateType.PENDING, StateType.RUNNING, StateType.COMPLETED]
