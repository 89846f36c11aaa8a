"""Caching: which runs are hits, what a hit is, and that of several runs with one key only one computes."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Event, Lock, Semaphore
from typing import Any

import pytest

import millrace
from millrace import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    BlockingCallOnLoop,
    CacheKeyFnPolicy,
    CachePolicy,
    Engine,
    Failed,
    FileSystemLockManager,
    IsolationLevel,
    LocalStorage,
    MemoryLockManager,
    MemoryStorage,
    ResultStore,
    State,
    StateType,
    ThreadPoolTaskRunner,
    allow_failure,
    quote,
    task_input_hash,
)
from millrace.runtime.transactions import Transaction
from tests.checkpoints import turns, until
from tests.clock import START, VirtualAlarm, VirtualTime
from tests.loose import flow, task
from tests.runtime.ledgers import HOWS, Ledger, in_flow, outside, result_of, state_of
from tests.runtime.results.patience import await_true
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, World

each_way = pytest.mark.parametrize("how", HOWS)
SINGLE = INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE)


class Counted:
    """A function that counts its calls and gives their number."""

    __name__ = "counted"

    def __init__(self) -> None:
        self._lock = Lock()
        self.calls: list[Any] = []

    def __call__(self, x: Any = None) -> int:
        with self._lock:
            self.calls.append(x)
            return len(self.calls)

    def task(self, world: World = SYNC, **options: Any) -> Any:
        """A task of it; its results are in a memory of its own unless the options say otherwise."""

        def counted(x: Any = None) -> int:
            return self(x)

        return world.task(counted, **{"result_storage": MemoryStorage(), **options})


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close(cancel=True)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, if it is a warning or worse."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# What a hit is.


@each_way
def test_a_hit_is_completed_without_its_body(world: World, how: str, counted: Counted) -> None:
    run = counted.task(world, cache_policy=INPUTS)

    first, second = in_flow(world, how, run, 1), in_flow(world, how, run, 1)

    assert (first.type, first.name, first.result()) == (StateType.COMPLETED, "Completed", 1)
    assert (second.type, second.name, second.result()) == (StateType.COMPLETED, "Cached", 1)
    assert counted.calls == [1]


@each_way
@pytest.mark.parametrize("world", [SYNC, ASYNC], ids=lambda world: world.name)
def test_outside_of_flows_it_is_the_same(world: World, how: str, counted: Counted) -> None:
    run = counted.task(world, cache_policy=INPUTS)

    assert [outside(how, run, 1).name for _ in range(3)] == ["Completed", "Cached", "Cached"]
    assert counted.calls == [1]


def test_whoever_calls_gets_the_cached_value(world: World, counted: Counted) -> None:
    run = counted.task(world, cache_policy=INPUTS)

    async def body() -> Any:
        return quote([await result_of(world, how, run, 1) for how in (*HOWS, *HOWS)])

    assert world.body(body).unquote() == [1] * 6


@each_way
def test_a_hit_goes_from_pending_to_completed(world: World, how: str, counted: Counted, engine: Engine) -> None:
    names: list[str] = []
    run = counted.task(world, cache_policy=INPUTS)
    in_flow(world, how, run, 1, engine=engine)
    engine.subscribe(lambda event: names.append(event.state.name) if event.state.state_details.task_run_id else None)

    in_flow(world, how, run, 1, engine=engine)

    assert names == ["Pending", "Cached"]


def test_states_and_runs_tell_the_key(world: World, counted: Counted) -> None:
    run = counted.task(world, cache_key_fn=lambda _, arguments: f"key of {arguments['x']}")

    async def body() -> Any:
        futures = []
        for _ in range(2):
            futures.append(run.submit(1))
            await world.ended(futures[-1])
        return quote([future.source for future in futures])

    first, second = world.body(body).unquote()
    keys = [(state.name, state.state_details.cache_key) for state in (*first.history(), *second.history())]
    assert keys == [
        ("Pending", None),
        ("Running", "key of 1"),
        ("Completed", None),
        ("Pending", None),
        ("Cached", "key of 1"),
    ]
    assert (first.cache_key, second.cache_key) == ("key of 1", "key of 1")
    assert (first.run_count, second.run_count) == (1, 0)


def test_a_run_without_a_cache_has_no_key(world: World, counted: Counted) -> None:
    run = counted.task(world, cache_policy=NO_CACHE)

    async def body() -> Any:
        future = run.submit(1)
        await world.ended(future)
        return quote(future.source)

    assert world.body(body).unquote().cache_key is None


def test_hooks_for_the_end_are_called_and_those_for_the_beginning_are_not(world: World, counted: Counted) -> None:
    called: list[tuple[str, str]] = []
    run = counted.task(
        world,
        cache_policy=INPUTS,
        on_running=[lambda _task, _run, state: called.append(("running", state.name))],
        on_completion=[lambda _task, _run, state: called.append(("completion", state.name))],
        on_commit=[lambda _: called.append(("commit", ""))],
        on_rollback=[lambda _: called.append(("rollback", ""))],
    )

    in_flow(world, "submit", run, 1)
    assert called == [("running", "Running"), ("commit", ""), ("completion", "Completed")]
    called.clear()
    in_flow(world, "submit", run, 1)
    assert called == [("completion", "Cached")]


@each_way
def test_what_depends_on_a_hit_gets_its_value(world: World, how: str, counted: Counted) -> None:
    run = counted.task(world, cache_policy=INPUTS)
    then = world.task(lambda x: x + 10, name="then")

    async def body() -> Any:
        await state_of(world, how, run, 1)
        state = await state_of(world, how, run, 1)
        future = run.submit(1)
        await world.ended(future)
        return quote([state.name, await world.result(then.submit(future)), await world.result(then.submit(state))])

    assert world.body(body).unquote() == ["Cached", 11, 11]


def test_hits_count_as_completed_children(world: World, counted: Counted) -> None:
    run = counted.task(world, cache_policy=INPUTS)

    async def body() -> Any:
        await world.result(run.submit(1))
        await world.result(run.map([1, 1]))
        return None

    assert world.run(world.flow(body), return_state=True).name == "Completed"


@each_way
def test_a_result_that_is_none_is_a_hit(world: World, how: str) -> None:
    calls: list[int] = []
    run = world.task(calls.append, name="nothing", result_storage=MemoryStorage(), cache_key_fn=lambda *_: "one")

    states = [in_flow(world, how, run, 1) for _ in range(2)]

    assert [(state.name, state.result()) for state in states] == [("Completed", None), ("Cached", None)]
    assert calls == [1]


def test_a_state_that_was_returned_is_cached_by_its_data(world: World) -> None:
    run = world.task(
        lambda state: state.unquote(), name="states", result_storage=MemoryStorage(), cache_key_fn=lambda *_: "one"
    )
    value = quote(quote(millrace.Completed(data=[1], name="Fine")))

    assert [in_flow(world, "submit", run, value).name for _ in range(2)] == ["Fine", "Cached"]
    assert in_flow(world, "submit", run, value).result() == [1]


# Policies.


class Parity(CachePolicy):
    """A policy of a user's own."""

    def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:
        return "odd" if inputs["x"] % 2 else None


def names_of(run: Callable[..., Any], *calls: Any) -> str:
    """For each call, H for a hit and m for a miss."""
    return "".join("H" if run(x, return_state=True).name == "Cached" else "m" for x in calls)


@pytest.mark.parametrize(
    ("options", "in_one_flow", "in_another"),
    [
        ({"cache_policy": INPUTS}, "mHm", "HHH"),
        ({"cache_policy": TASK_SOURCE}, "mHH", "HHH"),
        ({"cache_policy": TASK_SOURCE + INPUTS}, "mHm", "HHH"),
        ({"cache_policy": INPUTS - "x"}, "mHH", "HHH"),
        ({"cache_policy": RUN_ID}, "mHH", "mHH"),
        ({"cache_policy": DEFAULT}, "mHm", "mHm"),
        ({"cache_policy": FLOW_PARAMETERS}, "mHH", "mHH"),
        ({"cache_policy": FLOW_PARAMETERS - "day"}, "mHH", "mHH"),
        ({"cache_policy": NO_CACHE}, "mmm", "mmm"),
        ({"cache_policy": CacheKeyFnPolicy(task_input_hash)}, "mHm", "HHH"),
        ({"cache_policy": Parity()}, "mHm", "HHm"),
        ({"cache_key_fn": task_input_hash}, "mHm", "HHH"),
        ({"cache_key_fn": lambda _, arguments: str(arguments["x"])}, "mHm", "HHH"),
        ({"cache_key_fn": lambda *_: None}, "mmm", "mmm"),
        ({"persist_result": True}, "mHm", "mHm"),
        ({}, "mHm", "mHm"),
        ({"persist_result": False, "result_storage": None}, "mmm", "mmm"),
    ],
)
def test_what_is_a_hit_is_up_to_the_policy(
    options: dict[str, Any], in_one_flow: str, in_another: str, counted: Counted
) -> None:
    run = counted.task(**options)

    @flow
    def looks(day: str) -> str:
        return names_of(run, 1, 1, 2)

    assert (looks("monday"), looks("tuesday")) == (in_one_flow, in_another)
    assert len(counted.calls) == (in_one_flow + in_another).count("m")


@pytest.mark.parametrize(
    ("policy", "found"), [(INPUTS, "mHm"), (FLOW_PARAMETERS, "mmm"), (RUN_ID, "mmm"), (DEFAULT, "mmm")]
)
def test_outside_of_flows_there_is_no_flow_to_share(policy: CachePolicy, found: str, counted: Counted) -> None:
    assert names_of(counted.task(cache_policy=policy), 1, 1, 2) == found


def test_the_source_of_a_task_tells_it_from_others(counted: Counted) -> None:
    storage = MemoryStorage()

    @task(cache_policy=TASK_SOURCE + INPUTS, result_storage=storage)
    def one(x: int) -> str:
        return "one"

    @task(cache_policy=TASK_SOURCE + INPUTS, result_storage=storage)
    def another(x: int) -> str:
        return "another"

    assert (one(1), another(1), one(1)) == ("one", "another", "one")


def test_a_policy_may_have_a_place_of_its_own(tmp_path: Path, counted: Counted) -> None:
    mine, keys = Ledger(), tmp_path / "keys"
    run = counted.task(cache_policy=INPUTS.configure(key_storage=keys), result_storage=mine)

    assert names_of(run, 1, 1) == "mH"
    assert mine.done == []
    assert sum(1 for each in keys.rglob("*") if each.is_file()) == 1


def test_two_runs_of_one_program_share_a_folder(tmp_path: Path, counted: Counted) -> None:
    assert names_of(counted.task(cache_policy=INPUTS, result_storage=tmp_path / "a"), 1) == "m"
    assert names_of(counted.task(cache_policy=INPUTS, result_storage=str(tmp_path / "a")), 1) == "H"


def test_futures_count_by_their_results(world: World, counted: Counted) -> None:
    run = counted.task(world, cache_policy=INPUTS)
    two = world.task(lambda: [2], name="two")

    async def body() -> Any:
        return quote([(await world.ended(run.submit(x))).name for x in ([2], two.submit(), [3])])

    assert world.body(body).unquote() == ["Completed", "Cached", "Completed"]


def test_a_failure_that_is_let_through_counts_by_its_exception(world: World, counted: Counted) -> None:
    run = counted.task(world, cache_policy=INPUTS)

    @world.task
    def fails(text: str) -> None:
        raise ValueError(text)

    async def body() -> Any:
        names = []
        for text in ("a", "a", "b"):
            future = fails.submit(text)
            await world.ended(future)
            names.append((await world.ended(run.submit(allow_failure(future)))).name)
        return quote(names)

    assert world.body(body).unquote() == ["Completed", "Cached", "Completed"]


def test_what_a_method_is_called_on_counts(counted: Counted) -> None:
    class Client:
        def __init__(self, name: str) -> None:
            self.name = name

        @task(cache_policy=INPUTS, result_storage=MemoryStorage())
        def get(self, page: int) -> str:
            counted(page)
            return f"{self.name} {page}"

        @task(cache_policy=INPUTS, result_storage=MemoryStorage())
        @classmethod
        def kind(cls, page: int) -> str:
            return f"{cls.__name__} {page}"

    class Other(Client):
        pass

    a, b = Client("a"), Client("b")
    assert [a.get(1), b.get(1), a.get(1), Client("a").get(1), Client.get(a, 1)] == ["a 1", "b 1", "a 1", "a 1", "a 1"]
    assert len(counted.calls) == 2
    assert [Client.kind(1), Other.kind(1), Client.kind(1)] == ["Client 1", "Other 1", "Client 1"]


def test_a_method_of_something_without_a_hash_is_not_cached(caplog: pytest.LogCaptureFixture) -> None:
    class Client:
        def __init__(self, name: str) -> None:
            self.name = name
            self.lock = Lock()

        @task(cache_policy=INPUTS, result_storage=MemoryStorage())
        def get(self) -> str:
            return self.name

    assert [Client("a").get(), Client("b").get()] == ["a", "b"]
    assert warnings(caplog)
    assert "input 'self'" in warnings(caplog)[0]


# A key that cannot be made.


def test_without_a_key_the_task_runs_and_one_warning_says_why(
    world: World, counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Ledger()
    run = counted.task(world, cache_policy=INPUTS, result_storage=storage)

    async def body() -> Any:
        states = [await world.ended(run.submit(Lock())) for _ in range(3)]
        return quote([(state.name, state.result()) for state in states])

    assert world.body(body).unquote() == [("Completed", 1), ("Completed", 2), ("Completed", 3)]
    (warning,) = warnings(caplog)
    assert warning.startswith("Task 'counted' runs without caching: ")
    assert "input 'x'" in warning
    assert len(storage.keys) == 3  # each under a key of its own
    assert storage.done.count("write") == 3


def test_a_policy_that_raises_is_no_failure_of_the_run(counted: Counted, caplog: pytest.LogCaptureFixture) -> None:
    def odd(_context: Any, _arguments: Any) -> str:
        raise LookupError("nothing here")

    assert names_of(counted.task(cache_key_fn=odd), 1, 1) == "mm"
    (warning,) = warnings(caplog)
    assert "LookupError('nothing here')" in warning


def test_what_is_under_the_key_and_cannot_be_read_is_passed_over(
    counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    storage = MemoryStorage()
    storage.write("one", b"nothing that anybody wrote")
    run = counted.task(result_storage=storage, cache_key_fn=lambda *_: "one")

    assert names_of(run, 1) == "m"
    (warning,) = warnings(caplog)
    assert "is passed over" in warning
    assert names_of(run, 1) == "H"


class Silent(Ledger):
    """A storage that nothing can be read from."""

    def read(self, key: str) -> bytes:
        raise OSError(5, "it does not answer")


def test_a_storage_that_cannot_be_read_is_no_failure_of_the_run(
    world: World, counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    run = counted.task(world, cache_policy=INPUTS, result_storage=Silent())

    state = in_flow(world, "submit", run, 1)

    assert (state.name, state.result()) == ("Completed", 1)
    (warning,) = warnings(caplog)
    assert "it does not answer" in warning


# How long, and whether at all.


@each_way
def test_a_result_is_used_until_it_expires(world: World, how: str, counted: Counted) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    run = counted.task(world, cache_policy=INPUTS, cache_expiration=timedelta(seconds=60))

    def name() -> str:
        return in_flow(world, how, run, 1, engine=engine).name

    assert [name(), name()] == ["Completed", "Cached"]
    time.advance(59.9)
    assert name() == "Cached"
    time.advance(0.2)
    assert [name(), name()] == ["Completed", "Cached"]
    time.advance(59)
    assert name() == "Cached"
    assert len(counted.calls) == 2


def test_a_hit_tells_when_it_expires(counted: Counted) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    run = counted.task(cache_policy=INPUTS, cache_expiration=timedelta(seconds=60))
    in_flow(SYNC, "call", run, 1, engine=engine)
    time.advance(10)

    expires = in_flow(SYNC, "call", run, 1, engine=engine).state_details.cache_expiration

    assert expires is not None
    assert expires.timestamp() == START / 1e9 + 60


def test_an_expiration_beyond_the_calendar_is_never(counted: Counted) -> None:
    assert names_of(counted.task(cache_policy=INPUTS, cache_expiration=timedelta.max), 1, 1) == "mH"


@each_way
def test_a_task_may_have_its_results_made_anew(world: World, how: str, counted: Counted) -> None:
    storage = MemoryStorage()
    run = counted.task(world, cache_policy=INPUTS, result_storage=storage)
    anew = run.with_options(refresh_cache=True)

    assert in_flow(world, how, run, 1).result() == 1
    assert in_flow(world, how, anew, 1).result() == 2
    assert in_flow(world, how, anew, 1).result() == 3
    state = in_flow(world, how, run, 1)
    assert (state.name, state.result()) == ("Cached", 3)


def test_what_is_made_anew_says_so(counted: Counted) -> None:
    refreshed: list[Any] = []
    run = counted.task(
        cache_policy=INPUTS,
        refresh_cache=True,
        on_running=[lambda _task, _run, state: refreshed.append(state.state_details.refresh_cache)],
    )

    run(1)
    run.with_options(refresh_cache=False)(1)
    run.with_options(refresh_cache=False)(2)
    assert refreshed == [True, None]


def test_a_setting_has_the_results_of_all_made_anew_that_do_not_say(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = counted.task(cache_policy=INPUTS)
    assert names_of(run, 1, 1) == "mH"

    monkeypatch.setenv("MILLRACE_TASKS_REFRESH_CACHE", "true")

    assert names_of(run, 1, 1) == "HH"  # outside of flows, settings are read when a task first runs
    in_new_flow = flow(lambda: names_of(run, 1, 1))
    assert in_new_flow() == "mm"
    assert flow(lambda: names_of(run.with_options(refresh_cache=False), 1, 1))() == "HH"


@pytest.mark.parametrize("options", [{"cache_policy": INPUTS}, {"result_storage_key": "{x}"}], ids=["policy", "key"])
def test_a_setting_has_nothing_taken_from_a_cache(
    options: dict[str, Any], counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = counted.task(**options)
    looks = flow(lambda: names_of(run, 1, 1))
    assert looks() == "mH"

    monkeypatch.setenv("MILLRACE_TASKS_DISABLE_CACHING", "true")

    assert looks() == "mm"


# Failures.


@each_way
def test_failures_are_not_cached(world: World, how: str) -> None:
    calls: list[int] = []

    @world.task(cache_policy=INPUTS, result_storage=MemoryStorage())
    def flaky(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            raise ValueError("no")
        return len(calls)

    assert [in_flow(world, how, flaky, 1).name for _ in range(3)] == ["Failed", "Completed", "Cached"]


def test_neither_are_states_that_say_so(world: World) -> None:
    run = world.task(
        lambda: Failed(message="no"), name="fails", result_storage=MemoryStorage(), cache_key_fn=lambda *_: "one"
    )

    assert [in_flow(world, "submit", run).name for _ in range(2)] == ["Failed", "Failed"]


@each_way
def test_a_cached_task_is_tried_again(world: World, how: str) -> None:
    calls: list[int] = []

    @world.task(cache_policy=INPUTS, result_storage=MemoryStorage(), retries=2)
    def third(x: int) -> int:
        calls.append(x)
        if len(calls) < 3:
            raise ValueError("no")
        return len(calls)

    first, second = in_flow(world, how, third, 1), in_flow(world, how, third, 1)

    assert (first.name, first.result()) == ("Completed", 3)
    assert (second.name, second.result()) == ("Cached", 3)


class Stepped(VirtualTime):
    """Virtual time that can be waited for: until a timer has been set."""

    def __init__(self) -> None:
        super().__init__()
        self._set = Semaphore(0)

    def call_at(self, at: int, call: Callable[[], None], lane: Any) -> VirtualAlarm:
        alarm = super().call_at(at, call, lane)
        self._set.release()
        return alarm

    def pass_on(self, seconds: float) -> None:
        """Let time pass when somebody waits for that."""
        assert self._set.acquire(timeout=PATIENCE), "Nobody waits for a time."
        self.advance(seconds)


@each_way
@pytest.mark.parametrize("delay", [None, 5])
@pytest.mark.parametrize("found", [True, False])
def test_each_attempt_looks_into_the_cache(world: World, how: str, delay: float | None, *, found: bool) -> None:
    """Somebody else may have come to the result between two attempts."""
    time = Stepped()
    engine = Engine(clock=time.now, timers=time)
    storage = MemoryStorage()
    calls: list[int] = []
    names: list[str] = []

    @world.task(cache_key_fn=lambda *_: "one", result_storage=storage, retries=1, retry_delay_seconds=delay)
    def late(x: int) -> str:
        calls.append(x)
        if len(calls) == 1:
            if found:
                ResultStore(storage, clock=time.now).write("one", "of somebody else")
            raise ValueError("no")
        return "of its own"

    async def body() -> Any:
        return quote(await state_of(world, how, late, 1))

    engine.subscribe(lambda event: names.append(event.state.name) if event.state.state_details.task_run_id else None)
    future = engine.start(world.flow(body))
    if delay is not None:
        time.pass_on(delay)
    state = future.result(timeout=PATIENCE).unquote()
    engine.close()

    begun = ["Pending", "Running"] + (["Retrying"] if delay is None else ["AwaitingRetry"])
    if found:
        assert (state.result(), calls) == ("of somebody else", [1])
        assert names == [*begun, "Cached"]
    else:
        assert (state.result(), calls) == ("of its own", [1, 1])
        assert names == [*begun, *(["Retrying"] if delay else []), "Completed"]


# Explanations.


def test_a_task_explains_what_would_be_a_hit(counted: Counted) -> None:
    run = counted.task(cache_policy=TASK_SOURCE + INPUTS)

    assert str(run.cache_explain(1)) == "miss: no key was computed before"
    run(1)
    assert str(run.cache_explain(1)) == "hit: source and input 'x' agree with the last key"
    assert str(run.cache_explain(2)) == "miss: input 'x' differs from the last key; source agrees"
    assert run.cache_explain(1).hit
    assert not run.cache_explain(x=2).hit
    assert counted.calls == [1]


def test_in_a_flow_its_parameters_and_its_run_count(counted: Counted) -> None:
    by_day = counted.task(cache_policy=FLOW_PARAMETERS + INPUTS)
    by_run = counted.task(cache_policy=DEFAULT)

    @flow
    def explains(day: str) -> list[str]:
        told = [str(each.cache_explain(1)) for each in (by_day, by_run)]
        by_day(1)
        by_run(1)
        return told

    explains("monday")
    assert explains("tuesday") == [
        "miss: flow parameter 'day' differs from the last key; input 'x' agrees",
        "miss: run id differs from the last key; source and input 'x' agree",
    ]


def test_to_explain_a_call_makes_no_run(counted: Counted) -> None:
    storage = Ledger()
    run = counted.task(cache_policy=INPUTS, result_storage=storage)

    @flow
    def explains() -> Any:
        context = millrace.FlowRunContext.get()
        assert context is not None
        run.cache_explain(1)
        return quote((context.flow_run.counts(), context.flow_run.sites()))

    counts, sites = explains().unquote()
    assert not any(counts.values())
    assert sites == {}
    assert storage.done == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cache_policy": NO_CACHE}, "no caching: the policy is NO_CACHE"),
        ({"result_storage": None}, "no caching: the task keeps no results"),
        (
            {"result_storage_key": "{x}"},
            "no caching: results are looked for by result_storage_key, and by no policy",
        ),
        ({"cache_policy": INPUTS, "refresh_cache": True}, "no caching: results are to be made anew"),
        ({"cache_key_fn": lambda *_: None}, "no caching: cache_key_fn gave no key"),
    ],
)
def test_where_nothing_is_cached_the_reason_is_told(options: Any, sentence: str, counted: Counted) -> None:
    assert str(counted.task(**options).cache_explain(1)) == sentence


def test_what_has_no_hash_is_named(counted: Counted) -> None:
    told = str(counted.task(cache_policy=INPUTS).cache_explain(Lock()))
    assert told.startswith("no caching: ")
    assert "input 'x'" in told


def test_a_call_that_does_not_fit_is_not_explained(counted: Counted) -> None:
    with pytest.raises(millrace.ParameterBindError):
        counted.task(cache_policy=INPUTS).cache_explain(1, 2, 3)


# Of several runs with one key, one computes.


class Watched(MemoryLockManager):
    """Locks that tell when so many have come for them."""

    def __init__(self) -> None:
        super().__init__()
        self._guards = Lock()
        self._come = 0
        self._expected = 0
        self._there = Event()

    def _count(self) -> None:
        with self._guards:
            self._come += 1
            if self._come >= self._expected:
                self._there.set()

    def expect(self, count: int) -> None:
        """So many are to come, from the beginning on."""
        with self._guards:
            self._expected = count
            if self._come >= count:
                self._there.set()
            else:
                self._there.clear()

    def await_all(self) -> None:
        """Wait for them, in a thread."""
        assert self._there.wait(PATIENCE), "They have not come for the lock."

    def acquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None) -> bool:
        self._count()
        return super().acquire_lock(key, holder, acquire_timeout)

    def request_lock(self, key: str, holder: str, served: Callable[[], bool]) -> bool:
        self._count()
        return super().request_lock(key, holder, served)

    async def aacquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None) -> bool:
        self._count()
        return await super().aacquire_lock(key, holder, acquire_timeout)


def with_locks(manager: Any) -> CachePolicy:
    """A policy whose keys are locked."""
    policy: CachePolicy = SINGLE.configure(lock_manager=manager)
    return policy


@pytest.fixture(params=["memory", "files"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Options of a task that computes once, with locks in memory and in files."""
    if request.param == "memory":
        return {"cache_policy": SINGLE, "result_storage": MemoryStorage()}
    locks = FileSystemLockManager(tmp_path / "locks")
    return {"cache_policy": with_locks(locks), "result_storage": LocalStorage(tmp_path / "results")}


def test_of_a_map_of_equal_keys_one_computes(world: World, counted: Counted, kept: Any) -> None:
    run = counted.task(world, **kept)

    async def body() -> Any:
        futures = run.map([1] * 20)
        results = await world.result(futures)
        return quote((results, sorted(future.state.name for future in futures)))

    results, names = world.body(body).unquote()
    assert results == [1] * 20
    assert names == ["Cached"] * 19 + ["Completed"]
    assert counted.calls == [1]


def test_without_locks_they_all_compute(world: World, counted: Counted) -> None:
    gate = world.gate()
    begun: list[int] = []

    @world.task(cache_policy=INPUTS, result_storage=MemoryStorage())
    async def computes(x: int) -> int:
        begun.append(x)
        if len(begun) == 3:
            gate.open()
        await gate.passed()
        return counted()

    async def body() -> Any:
        return quote(sorted(await world.result(computes.map([1] * 3))))

    assert world.body(body).unquote() == [1, 2, 3]


def test_other_keys_do_not_wait(world: World) -> None:
    gate = world.gate()
    begun: list[int] = []

    @world.task(cache_policy=SINGLE, result_storage=MemoryStorage())
    async def computes(x: int) -> int:
        begun.append(x)
        if len(begun) == 3:
            gate.open()
        await gate.passed()
        return x

    async def body() -> Any:
        return quote(await world.result(computes.map([1, 2, 3])))

    assert world.body(body).unquote() == [1, 2, 3]


@pytest.mark.parametrize("how", ["submit", "map"])
def test_sync_tasks_compute_once_with_a_single_thread(how: str, counted: Counted) -> None:
    engine = Engine(threads=1)

    @task
    def part(x: int) -> int:
        return x

    @task(cache_policy=SINGLE, result_storage=MemoryStorage())
    def computes(x: int) -> Any:
        counted(x)
        return part.submit(x).result()  # it needs a thread while others wait for it

    @flow
    def several() -> Any:
        futures = computes.map([1] * 8) if how == "map" else [computes.submit(1) for _ in range(8)]
        return quote([future.result(timeout=PATIENCE) for future in futures])

    assert SYNC.run(several, engine=engine).unquote() == [1] * 8
    assert counted.calls == [1]
    engine.close()


def test_whoever_waits_for_a_key_holds_no_thread(counted: Counted) -> None:
    engine = Engine(threads=2)
    locks = Watched()
    locks.expect(51)
    gate = Event()

    @task(cache_policy=with_locks(locks), result_storage=MemoryStorage())
    def computes(x: int) -> int:
        counted(x)
        assert gate.wait(PATIENCE)
        return x

    @task
    def other() -> Any:
        stats = engine.offload.stats()
        return stats.threads, stats.lent

    @flow
    def several() -> Any:
        leader = computes.submit(1)
        futures = computes.map([1] * 50)
        locks.await_all()
        threads = other.submit().result(timeout=PATIENCE)
        gate.set()
        return quote((threads, leader.result(), {future.result() for future in futures}))

    assert SYNC.run(several, engine=engine).unquote() == ((2, 0), 1, {1})
    assert counted.calls == [1]
    engine.close()


def test_a_long_line_that_is_cancelled_ends(counted: Counted) -> None:
    engine = Engine(threads=2)
    locks = Watched()
    locks.expect(2_001)
    gate = Event()

    @task(cache_policy=with_locks(locks), result_storage=MemoryStorage())
    def computes(x: int) -> int:
        counted(x)
        assert gate.wait(PATIENCE)
        return x

    @flow
    def several() -> Any:
        return computes.map([1] * 2_001)

    future = engine.start(several)
    locks.await_all()
    future.cancel()
    assert future.wait(PATIENCE)
    assert future.state.is_cancelled()
    assert locks.is_locked(next(iter(locks._entries)))  # its body cannot be stopped
    gate.set()
    await_true(lambda: not locks._entries)
    assert counted.calls == [1]
    engine.close()


def test_where_the_leader_fails_another_computes(world: World, kept: Any) -> None:
    calls: list[int] = []

    @world.task(**kept)
    def flaky(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            raise ValueError("no")
        return len(calls)

    async def body() -> Any:
        return quote([state.name for state in await world.ended(flaky.map([1] * 6))])

    assert sorted(world.body(body).unquote()) == ["Cached"] * 4 + ["Completed", "Failed"]
    assert len(calls) == 2


def test_a_leader_that_is_tried_again_takes_what_another_has_computed(world: World) -> None:
    locks = Watched()
    locks.expect(2)
    calls: list[int] = []

    @world.task(cache_policy=with_locks(locks), result_storage=MemoryStorage(), retries=3)
    async def flaky(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            if world.async_tasks:
                await asyncio.get_running_loop().run_in_executor(None, locks.await_all)
            else:
                locks.await_all()
            raise ValueError("no")
        return len(calls)

    async def body() -> Any:
        return quote([(state.name, state.result()) for state in await world.ended(flaky.map([1] * 2))])

    assert sorted(world.body(body).unquote()) == [("Cached", 2), ("Completed", 2)]
    assert len(calls) == 2


def test_where_the_leader_is_cancelled_another_computes(world: World, kept: Any) -> None:
    gate, begun = world.gate(), world.flow_gate()
    calls: list[int] = []

    @world.task(**kept)
    async def held(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            begun.open()
            await gate.passed()
        return len(calls)

    async def body() -> Any:
        leader = held.submit(1)
        await begun.passed()
        others = [held.submit(1) for _ in range(3)]
        leader.cancel()
        first = await world.ended(leader)
        gate.open()  # a sync body cannot be stopped, and keeps the lock until it returns
        states = [await world.ended(other) for other in others]
        return quote((first.name, sorted(state.name for state in states), {state.result() for state in states}))

    assert world.body(body).unquote() == ("Cancelled", ["Cached", "Cached", "Completed"], {2})


def test_a_waiter_that_is_cancelled_leaves_the_line(world: World) -> None:
    locks = Watched()
    gate, begun = world.gate(), world.flow_gate()
    calls: list[int] = []

    @world.task(cache_policy=with_locks(locks), result_storage=MemoryStorage())
    async def held(x: int) -> int:
        calls.append(x)
        begun.open()
        await gate.passed()
        return len(calls)

    async def body() -> Any:
        leader = held.submit(1)
        await begun.passed()
        waiter, last = held.submit(1), held.submit(1)
        locks.expect(3)
        if world.async_flows:
            await asyncio.get_running_loop().run_in_executor(None, locks.await_all)
        else:
            locks.await_all()
        waiter.cancel()
        cancelled = await world.ended(waiter)
        still = leader.state.name
        gate.open()
        return quote((cancelled.name, still, (await world.ended(leader)).name, (await world.ended(last)).name))

    assert world.body(body).unquote() == ("Cancelled", "Running", "Completed", "Cached")
    assert calls == [1]
    assert not any(locks.is_locked(key) for key in list(locks._entries))


@pytest.mark.anyio
async def test_a_waiter_whose_caller_is_cancelled_leaves_the_line() -> None:
    gate, calls = asyncio.Event(), list[int]()

    @task(cache_policy=SINGLE, result_storage=MemoryStorage())
    async def held(x: int) -> int:
        calls.append(x)
        await gate.wait()
        return len(calls)

    leader = asyncio.create_task(held(1))
    await until(lambda: bool(calls))
    waiter, last = asyncio.create_task(held(1)), asyncio.create_task(held(1, return_state=True))
    await turns()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    gate.set()
    assert await leader == 1
    assert (await last).name == "Cached"


def test_a_flow_that_is_cancelled_ends_the_line(world: World) -> None:
    gate, begun = world.gate(), Event()
    engine = Engine()

    @world.task(cache_policy=SINGLE, result_storage=MemoryStorage())
    async def held(x: int) -> int:
        begun.set()
        await gate.passed()
        return x

    async def body() -> Any:
        return quote(await world.ended(held.map([1] * 5)))

    future = engine.start(world.flow(body))
    assert begun.wait(PATIENCE)
    future.cancel()
    gate.open()
    assert future.wait(PATIENCE)
    assert future.state.is_cancelled()
    engine.close()


def test_a_body_that_calls_its_own_task_with_the_same_key_does_not_wait_for_itself(world: World) -> None:
    calls: list[int] = []

    @world.task(cache_policy=SINGLE, result_storage=MemoryStorage())
    async def again(x: int) -> Any:
        calls.append(x)
        if len(calls) == 1:
            value = again(x)
            return 10 * (await value if world.async_tasks else value)
        return len(calls)

    assert in_flow(world, "submit", again, 1).result() == 20
    assert in_flow(world, "submit", again, 1).name == "Cached"


@pytest.mark.anyio
async def test_a_sync_call_on_the_loop_does_not_wait_there() -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    storage = MemoryStorage()
    policy = CacheKeyFnPolicy(lambda *_: "one").configure(isolation_level=IsolationLevel.SERIALIZABLE)

    @task(cache_policy=policy, result_storage=storage)
    async def slow() -> int:
        begun.set()
        await gate.wait()
        return 1

    @task(cache_policy=policy, result_storage=storage)
    def quick() -> int:
        return 2

    @flow
    async def both() -> Any:
        leader = slow.submit()
        await begun.wait()
        with pytest.raises(BlockingCallOnLoop, match=r"quick\(\.\.\.\), whose result another .* `await quick.submit"):
            quick()
        other = quick.submit()
        gate.set()
        return quote((await leader, await other))

    assert (await both()).unquote() == (1, 1)


# What it costs whoever does not use it.


PROGRAM = """
import asyncio, sys
from millrace import Engine, flow, task

@task(retries=1, on_completion=[lambda *_: None], log_prints=True)
def one(x): return x

@task
async def two(x): return x

@flow
def both(): return one(1) + one.submit(1).result() + sum(one.map([1, 2]).result()) + two(2)

assert both() == 7
one.with_options(refresh_cache=True, cache_result_in_memory=False, persist_result=False)(1)
asyncio.run(two(1))
packages = ("results", "caching", "transactions", "keeping", "transacted", "storage_keys")
print([name for name in sys.modules if name.startswith(tuple(f"millrace.runtime.{each}" for each in packages))])
"""


def test_a_program_that_keeps_nothing_imports_nothing_of_it() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert told.stdout.strip() == "[]"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Transaction]:
    """The transactions that are made in the test."""
    transactions: list[Transaction] = []
    original = Transaction.__init__

    def noted(self: Transaction, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        transactions.append(self)

    monkeypatch.setattr(Transaction, "__init__", noted)
    return transactions


def test_a_task_that_keeps_nothing_has_no_transaction(world: World, counted: Counted, made: list[Transaction]) -> None:
    run = counted.task(world, result_storage=None, retries=1, on_completion=[lambda *_: None])
    kept = counted.task(world, cache_policy=INPUTS)

    async def body() -> Any:
        await world.ended(run.map([1, 2, 3]))
        await world.ended(run.submit(1))
        return quote(await world.call(run, 1, return_state=True))

    world.body(body)
    assert made == []
    in_flow(world, "submit", kept, 1)
    assert len(made) == 1


def test_a_task_that_is_tried_again_has_a_transaction_for_each_attempt(made: list[Transaction]) -> None:
    @task(result_storage=MemoryStorage(), retries=2)
    def fails() -> None:
        raise ValueError("no")

    assert fails(return_state=True).is_failed()
    assert len(made) == 3
    assert all(each.is_rolled_back() for each in made)


def test_threads_may_hit_and_miss_at_once() -> None:
    barrier = Barrier(4)
    storage = Ledger()

    @task(cache_policy=INPUTS, result_storage=storage)
    def computes(x: int) -> Any:
        return x

    @task
    def calls(_: int) -> list[int]:
        barrier.wait(PATIENCE)
        return [computes(x) for x in range(25)]

    @flow
    def all_at_once() -> Any:
        return quote(calls.map(range(4)).result())

    engine = Engine(threads=4)
    assert SYNC.run(all_at_once, engine=engine).unquote() == [list(range(25))] * 4
    assert len(storage.keys) == 25
    engine.close()
    states: list[State[int]] = [computes(x, return_state=True) for x in range(25)]
    assert {state.name for state in states} == {"Cached"}


def test_a_run_that_is_cancelled_when_the_key_has_come_to_it_passes_it_on() -> None:
    """It stands in line for a thread then, and the lock of the key is its own."""
    go, blocked, end = Event(), Event(), Event()
    futures: list[Any] = []
    bodies: list[str] = []

    def cancel_the_next(*_: Any) -> None:
        futures[1].cancel()

    @task(cache_policy=SINGLE - "name", result_storage=MemoryStorage(), on_failure=[cancel_the_next])
    def one(name: str, x: int) -> int:
        bodies.append(name)
        if name == "first":
            assert go.wait(PATIENCE)
            raise ValueError
        return x

    @task
    def block() -> None:
        blocked.set()
        assert end.wait(PATIENCE)

    @flow
    def body() -> Any:
        futures.extend([one.submit(name, 1) for name in ("first", "second", "third")])
        blocker = block.submit()  # comes after them in line: the other two have asked for the key by then
        assert blocked.wait(PATIENCE)
        go.set()
        states = [future.wait(PATIENCE) and future.state.name for future in futures]
        end.set()
        blocker.wait(PATIENCE)
        return quote(states)

    with Engine(threads=2):
        states = body()
    assert states.unquote() == ["Failed", "Cancelled", "Completed"]
    assert bodies == ["first", "third"]


def test_an_async_run_on_a_thread_is_cancelled_while_its_retry_waits_for_the_key() -> None:
    """It is RUNNING by then, and is cancelled at its await: so it has to wait for the key on its thread."""
    locks = MemoryLockManager()
    go, begun, end = Event(), Event(), Event()

    @task(cache_policy=with_locks(locks) - "name", result_storage=MemoryStorage(), retries=1)
    async def one(name: str, x: int) -> int:
        if name == "first":
            assert await asyncio.to_thread(go.wait, PATIENCE)
            raise ValueError
        begun.set()
        assert await asyncio.to_thread(end.wait, PATIENCE)
        return x

    def somebody_waits() -> bool:
        return any(entry.queue for entry in tuple(locks._entries.values()))

    @flow(task_runner=ThreadPoolTaskRunner(2))
    def body() -> Any:
        first = one.submit("first", 1)
        await_true(lambda: bool(locks._entries))
        second = one.submit("second", 1)
        await_true(somebody_waits)
        go.set()
        assert begun.wait(PATIENCE)
        await_true(somebody_waits)  # the first one, for its second attempt
        first.cancel()
        try:
            ended = first.wait(PATIENCE)
        finally:
            end.set()
        return quote((ended, first.state.name, second.result(timeout=PATIENCE)))

    with Engine():
        assert body().unquote() == (True, "Cancelled", 1)
    assert not locks._entries


def test_runs_with_one_key_wait_for_each_other_only_where_they_are_to_be_serializable() -> None:
    """A lock manager by itself asks for nothing."""
    both = Barrier(2, timeout=PATIENCE)
    policy = INPUTS.configure(isolation_level=IsolationLevel.READ_COMMITTED, lock_manager=MemoryLockManager())

    @task(cache_policy=policy, result_storage=MemoryStorage())
    def one(x: int) -> int:
        both.wait()
        return x

    @flow
    def body() -> list[Any]:
        return [future.result(timeout=PATIENCE) for future in [one.submit(1), one.submit(1)]]

    with Engine(threads=2):
        assert body() == [1, 1]


class TheirLocks:
    """Somebody else's lock manager: it does what all do, and no more."""

    def __init__(self) -> None:
        self._locks = MemoryLockManager()
        self.taken: list[str] = []

    def acquire_lock(self, key: str, holder: str, timeout: float | None = None) -> bool:
        self.taken.append(key)
        return self._locks.acquire_lock(key, holder, timeout)

    async def aacquire_lock(self, key: str, holder: str, timeout: float | None = None) -> bool:
        self.taken.append(key)
        return await self._locks.aacquire_lock(key, holder, timeout)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        return self._locks.wait_for_lock(key, timeout)

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        return await self._locks.await_for_lock(key, timeout)

    def release_lock(self, key: str, holder: str) -> None:
        self._locks.release_lock(key, holder)

    def is_locked(self, key: str) -> bool:
        return self._locks.is_locked(key)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        return self._locks.is_lock_holder(key, holder)


def test_a_lock_manager_of_somebody_else_s_keeps_runs_with_one_key_apart(counted: Counted) -> None:
    locks = TheirLocks()
    policy = INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE, lock_manager=locks)
    one = counted.task(cache_policy=policy)

    @flow
    def body() -> list[Any]:
        return [future.result(timeout=PATIENCE) for future in one.map([1] * 5)]

    with Engine(threads=2):
        assert body() == [1] * 5
    assert counted.calls == [1]
    assert len(locks.taken) == 5
