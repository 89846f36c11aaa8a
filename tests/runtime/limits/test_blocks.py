"""`concurrency` and `rate_limit`: code that names its limits itself."""

from __future__ import annotations

import asyncio
import logging
from threading import Thread
from typing import Any

import pytest

from millrace import (
    AcquireConcurrencySlotTimeoutError,
    AdaptiveLimit,
    BlockingCallOnLoop,
    CancelledRun,
    ConfigurationError,
    DeadlockError,
    Engine,
    LimitNotFound,
    RateLimit,
    TaskRunTimeoutError,
    concurrency,
    flow,
    rate_limit,
    task,
)
from millrace.actors.errors import UsageError
from millrace.runtime.entering import stand_in
from tests.checkpoints import turns, until
from tests.runtime.limits.held import held, token
from tests.runtime.worlds import PATIENCE, World

SECONDS = "a number of seconds, 0 or more, or None for no limit"

# Holding.


def test_slots_are_held_inside_the_block_and_no_longer(world: World) -> None:
    engine = Engine(limits={"db": 2, "gpu": 8})
    db, gpu = engine.limits["db"], engine.limits["gpu"]

    async def body() -> None:
        async with held(world.async_flows, "db"):
            assert (db.held, db.free) == (1, 1)
            async with held(world.async_flows, ["gpu", "db"], occupy=1):
                assert (db.held, gpu.held) == (2, 1)
            assert (db.held, gpu.held) == (1, 0)
        async with held(world.async_flows, "gpu", 5):
            assert (gpu.held, gpu.free) == (5, 3)
        assert (db.held, gpu.held) == (0, 0)

    world.body(body, engine=engine)
    engine.close()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_gives_the_slots_back(error: type[BaseException]) -> None:
    engine = Engine(limits={"db": 1})
    with stand_in(engine):
        for _ in range(3):
            with pytest.raises(error), concurrency("db"):
                raise error
    engine.close()


def test_names_given_twice_count_once() -> None:
    engine = Engine(limits={"db": 1})
    with stand_in(engine), concurrency(["db", "db"]):
        assert engine.limits["db"].held == 1
    engine.close()


def test_no_names_are_nothing_to_wait_for() -> None:
    engine = Engine()
    with stand_in(engine), concurrency([]):
        assert list(engine.limits) == []
    engine.close()


def test_one_that_is_entered_cannot_be_entered_again_before_it_is_left() -> None:
    engine = Engine(limits={"db": 5})
    block = concurrency("db")
    with stand_in(engine):
        for _ in range(2):
            with block, pytest.raises(UsageError, match=r"concurrency\('db'\) is entered already"):
                block.__enter__()
    engine.close()


def test_threads_wait_for_each_other(world: World) -> None:
    engine = Engine(limits={"db": 2})
    most: list[int] = []

    @world.task
    async def work(_number: int) -> None:
        async with held(world.async_tasks, "db"):
            most.append(engine.limits["db"].held)
            if world.async_tasks:
                await asyncio.sleep(0)

    async def body() -> None:
        await world.ended(work.map(range(30)))

    world.body(body, engine=engine)
    assert len(most) == 30
    assert max(most) <= 2
    engine.close()


# Waiting.


@pytest.mark.anyio
async def test_a_freed_slot_is_handed_over_before_anybody_else_can_take_it() -> None:
    came: list[str] = []

    async def use(name: str) -> None:
        async with concurrency("db"):
            came.append(name)
            await turns(2)

    async with Engine(limits={"db": 1}) as engine:
        async with concurrency("db"):
            first = asyncio.create_task(use("first"))
            await until(lambda: len(engine.limits["db"].waiters()) == 1)
        assert engine.limits["db"].held == 1  # it is the other one's already
        await use("second")
        await first
    assert came == ["first", "second"]


@pytest.mark.anyio
async def test_a_thread_gets_the_slot_that_a_coroutine_gives_back_and_the_other_way_round() -> None:
    came: list[str] = []

    async with Engine(limits={"db": 1}) as engine:

        def in_thread() -> None:
            with stand_in(engine), concurrency("db"):
                came.append("thread")

        async with concurrency("db"):
            thread = Thread(target=in_thread)
            thread.start()
            await until(lambda: len(engine.limits["db"].waiters()) == 1)
            last = asyncio.create_task(_use(came))
            await until(lambda: len(engine.limits["db"].waiters()) == 2)
            assert came == []
        await last
        thread.join(PATIENCE)
    assert came == ["thread", "coroutine"]


async def _use(came: list[str]) -> None:
    async with concurrency("db"):
        came.append("coroutine")


@pytest.mark.anyio
async def test_holders_and_waiters_are_told_by_the_names_of_their_runs() -> None:
    @task(task_run_name="load-{number}")
    async def load(number: int, gate: asyncio.Event) -> None:
        async with concurrency("db", occupy=2):
            await gate.wait()

    @flow
    async def work(engine: Engine) -> None:
        gate = asyncio.Event()
        futures = [load.submit(number, gate) for number in range(3)]
        db = engine.limits["db"]
        await until(lambda: len(db.waiters()) == 1)
        assert [(each.name, each.occupy) for each in db.holders()] == [("load-0", 2), ("load-1", 2)]
        assert [(each.name, each.run_id, each.occupy) for each in db.waiters()] == [
            ("load-2", futures[2].task_run_id, 2)
        ]
        gate.set()
        for each in futures:
            await each
        async with concurrency("db"):
            assert db.holders()[0].run_id == engine.flow_runs()[0].uuid

    async with Engine(limits={"db": 4}) as engine:
        await work(engine)
        async with concurrency("db"):
            assert [(each.name, each.run_id) for each in engine.limits["db"].holders()] == [(None, None)]
    assert repr(engine.limits["db"]) == "<NamedLimit 'db' 4>"


@pytest.mark.anyio
async def test_a_wait_that_is_cancelled_leaves_nothing_held() -> None:
    async with Engine(limits={"db": 1}) as engine:
        async with concurrency("db"):
            waiting = [asyncio.create_task(_use([])) for _ in range(3)]
            await until(lambda: len(engine.limits["db"].waiters()) == 3)
            waiting[0].cancel()
            await turns()
            assert len(engine.limits["db"].waiters()) == 2
        await asyncio.wait(waiting)
        assert [each.cancelled() for each in waiting] == [True, False, False]


@pytest.mark.anyio
async def test_a_slot_that_is_served_to_a_wait_that_is_being_cancelled_goes_on_to_the_next() -> None:
    async with Engine(limits={"db": 1}) as engine:
        block = concurrency("db")
        await block.__aenter__()
        waiting = [asyncio.create_task(_use([])) for _ in range(2)]
        await until(lambda: len(engine.limits["db"].waiters()) == 2)
        await block.__aexit__(None, None, None)  # it is the first one's now, which does not know that yet
        waiting[0].cancel()
        await asyncio.wait(waiting)
        assert [each.cancelled() for each in waiting] == [True, False]


@pytest.mark.anyio
async def test_a_limit_that_grows_or_goes_wakes_those_who_wait() -> None:
    async with Engine(limits={"db": 1}) as engine:
        async with concurrency("db"):
            came: list[str] = []
            grown = asyncio.create_task(_use(came))
            await until(lambda: len(engine.limits["db"].waiters()) == 1)
            engine.limits.resize("db", 2)
            await grown
            engine.limits["db"].resize(1)
            gone = asyncio.create_task(_use(came))
            await until(lambda: len(engine.limits["db"].waiters()) == 1)
            engine.limits.remove("db")
            await gone
        assert "db" not in engine.limits


@pytest.mark.anyio
async def test_who_waits_for_more_than_a_smaller_limit_has_gets_an_error() -> None:
    async def use_all() -> None:
        async with concurrency("db", 3):
            pass

    async with Engine(limits={"db": 3}) as engine, concurrency("db"):
        waiting = asyncio.create_task(use_all())
        await until(lambda: len(engine.limits["db"].waiters()) == 1)
        engine.limits.resize("db", 2)
        with pytest.raises(ConfigurationError, match=r"'occupy' takes at most 2, which is all that there is of 'db'"):
            await waiting


# Time.


@pytest.mark.anyio
async def test_time_passes_for_a_wait_with_a_timeout(millrace_engine: Any, millrace_clock: Any) -> None:
    millrace_engine.limits.create("db", 1)
    gate = asyncio.Event()

    @task
    async def first() -> None:
        async with concurrency("db"):
            await gate.wait()

    @task
    async def late() -> None:
        async with concurrency("db", timeout_seconds=30):
            pytest.fail("It was served.")

    @flow
    async def work() -> BaseException:
        holder = first.submit()
        await until(lambda: millrace_engine.limits["db"].held == 1)
        state = await late.submit().wait_async()
        gate.set()
        await holder
        assert state.name == "TimedOut"
        error = state.data
        assert isinstance(error, BaseException)
        return error

    error = await work()
    assert isinstance(error, AcquireConcurrencySlotTimeoutError)
    assert isinstance(error, TimeoutError)
    assert error.limits == ("db",)
    assert millrace_clock.elapsed == pytest.approx(30, abs=1e-3)
    assert millrace_engine.limits["db"].waiters() == []


def test_a_timeout_of_zero_does_not_wait(world: World) -> None:
    engine = Engine(limits={"db": 1})

    async def body() -> None:
        async with held(world.async_flows, "db", timeout_seconds=0):
            future = other.submit()
            assert isinstance(await world.error(future), AcquireConcurrencySlotTimeoutError)

    @world.task
    async def other() -> None:
        async with held(world.async_tasks, "db", timeout_seconds=0):
            raise AssertionError

    world.body(body, engine=engine)
    engine.close()


@pytest.mark.anyio
async def test_a_timeout_of_zero_takes_no_turn_of_the_loop() -> None:
    turned: list[bool] = []

    async with Engine(limits={"db": 1, "api": RateLimit(1, per_seconds=1000)}), concurrency(["db", "api"]):
        asyncio.get_running_loop().call_soon(turned.append, True)
        with pytest.raises(AcquireConcurrencySlotTimeoutError):
            async with concurrency("db", timeout_seconds=0):
                pass
        with pytest.raises(AcquireConcurrencySlotTimeoutError):
            await rate_limit("api", timeout_seconds=0)
        assert not turned


def test_tokens_come_with_time_in_every_world(world: World, millrace_engine: Any, millrace_clock: Any) -> None:
    millrace_engine.limits.create("api", RateLimit(1, per_seconds=10, burst=2))
    times: list[float] = []

    @world.task
    async def ask() -> None:
        for _ in range(3):
            await token(world.async_tasks, "api")
            times.append(millrace_clock.elapsed)

    async def body() -> None:
        await world.result(ask.submit())

    world.body(body)
    assert times == pytest.approx([0, 0, 10], abs=1e-3)


def test_several_tokens_at_once(millrace_engine: Any, millrace_clock: Any) -> None:
    millrace_engine.limits.create("api", RateLimit(4))

    @flow
    def work() -> float:
        _ = rate_limit("api", occupy=3)
        _ = rate_limit("api", occupy=3)
        return float(millrace_clock.elapsed)

    assert work() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.anyio
async def test_a_rate_that_has_to_be_waited_for_is_not_held_by_one_that_is_cancelled(
    millrace_engine: Any, millrace_clock: Any
) -> None:
    millrace_engine.limits.create("api", RateLimit(1))
    await rate_limit("api")
    with millrace_clock.held():
        waiting = [asyncio.ensure_future(rate_limit("api")) for _ in range(2)]
        await until(lambda: len(millrace_engine.limits["api"].waiters()) == 2)
        waiting[0].cancel()
        await turns()
        millrace_clock.advance(1)
        await waiting[1]
        assert millrace_clock.elapsed == 1


def test_a_block_takes_tokens_of_a_rate_and_gives_none_back() -> None:
    engine = Engine(limits={"api": RateLimit(2, per_seconds=1000), "db": 1})
    with stand_in(engine):
        for _ in range(2):
            with concurrency(["api", "db"]):
                pass
        assert (engine.limits["api"].free, engine.limits["db"].free) == (0, 1)
        assert engine.limits["api"].limit == 2
        assert engine.limits["api"].holders() == []
        with pytest.raises(AcquireConcurrencySlotTimeoutError), concurrency("api", timeout_seconds=0):
            pass
    engine.close()


# Bad input.


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ("", {}, "'name' takes the name of a limit, not ''"),
        (3, {}, "'names' takes the name of a limit, or several, not 3"),
        (["db", None], {}, "'name' takes the name of a limit, not None"),
        ("db", {"occupy": 0}, "'occupy' takes a whole number, 1 or more, not 0"),
        ("db", {"occupy": 1.5}, "'occupy' takes a whole number, 1 or more, not 1.5"),
        ("db", {"occupy": True}, "'occupy' takes a whole number, 1 or more, not True"),
        ("db", {"timeout_seconds": -1}, f"'timeout_seconds' takes {SECONDS}, not -1"),
        ("db", {"timeout_seconds": float("nan")}, f"'timeout_seconds' takes {SECONDS}, not nan"),
        ("db", {"timeout_seconds": float("inf")}, f"'timeout_seconds' takes {SECONDS}, not inf"),
        ("db", {"timeout_seconds": "1"}, f"'timeout_seconds' takes {SECONDS}, not '1'"),
    ],
)
def test_bad_arguments_are_named_at_once(names: Any, options: dict[str, Any], message: str) -> None:
    for call in (concurrency, rate_limit):
        with pytest.raises(ConfigurationError) as caught:
            call(names, **options)
        assert str(caught.value) == f"{message}."


def test_more_than_there_ever_is_is_refused_and_not_waited_for() -> None:
    engine = Engine(limits={"db": 2, "api": RateLimit(3), "gpu": AdaptiveLimit(maximum=5)})
    with stand_in(engine):
        with pytest.raises(ConfigurationError, match="at most 2"), concurrency("db", 3):
            pass
        with pytest.raises(ConfigurationError, match="at most 3"):
            _ = rate_limit("api", 4)
        with pytest.raises(ConfigurationError, match="at most 5"), concurrency("gpu", 6):
            pass
    engine.close()


def test_a_limit_on_how_many_at_once_is_no_rate() -> None:
    engine = Engine(limits={"db": 2})
    with stand_in(engine), pytest.raises(ConfigurationError, match=r"'db' is how many at once, for concurrency"):
        _ = rate_limit("db")
    engine.close()


def test_a_name_without_a_limit_is_no_limit_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(limits={"db": 1})
    with stand_in(engine), caplog.at_level(logging.WARNING, "millrace.limits"):
        for _ in range(3):
            with concurrency("dbb"):
                pass
            _ = rate_limit(["api", "dbb"])
    assert [each.getMessage() for each in caplog.records] == [
        "There is no limit 'dbb': nothing waits for it. Limits: db.",
        "There is no limit 'api': nothing waits for it. Limits: db.",
    ]
    engine.close()


def test_a_name_without_a_limit_is_an_error_where_one_is_needed() -> None:
    engine = Engine(limits={"db": 1})
    with stand_in(engine):
        with pytest.raises(LimitNotFound, match=r"There is no limit 'dbb'\. Limits of this engine: 'db'"):
            concurrency(["db", "dbb"], strict=True).__enter__()
        with pytest.raises(LimitNotFound):
            _ = rate_limit("api", strict=True)
        assert engine.limits["db"].held == 0
    engine.close()


@pytest.mark.anyio
async def test_blocking_a_loop_for_a_slot_is_an_error_that_says_to_await() -> None:
    async with Engine(limits={"db": 1, "api": RateLimit(1, per_seconds=1000)}) as engine:
        with concurrency("db"):  # there is one: nothing blocks
            pass
        gate = asyncio.Event()
        other = asyncio.create_task(_hold(gate))
        await until(lambda: engine.limits["db"].held == 1)
        with pytest.raises(BlockingCallOnLoop, match=r"async with, concurrency\('db'\)"), concurrency("db"):
            pass
        with pytest.raises(AcquireConcurrencySlotTimeoutError), concurrency("db", timeout_seconds=0):
            pass
        assert engine.limits["db"].waiters() == []
        gate.set()
        await other

        @task
        def ask() -> None:
            _ = rate_limit("api")

        @flow
        async def work() -> None:
            ask()
            with pytest.raises(BlockingCallOnLoop, match="rate_limit"):
                ask()

        await work()


@pytest.mark.anyio
async def test_a_direct_call_of_a_sync_task_does_not_block_the_loop_for_a_slot() -> None:
    @task(tags=["db"])
    def load() -> int:
        return 1

    @flow
    async def work(engine: Engine) -> None:
        assert load() == 1
        async with asyncio.TaskGroup() as group:
            gate = asyncio.Event()
            group.create_task(_hold(gate))
            await until(lambda: engine.limits["db"].held == 1)
            with pytest.raises(BlockingCallOnLoop, match=r"await load\.submit"):
                load()
            gate.set()

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)


async def _hold(gate: asyncio.Event) -> None:
    async with concurrency("db"):
        await gate.wait()


# Deadlocks.


@pytest.mark.anyio
async def test_who_asks_inside_a_block_for_what_the_block_holds_is_told() -> None:
    @flow
    async def work() -> None:
        async with concurrency("db"):
            with pytest.raises(DeadlockError, match="'db'"):
                async with concurrency("db"):
                    pass

    async with Engine(limits={"db": 1}):
        await work()


@pytest.mark.anyio
async def test_parts_of_one_body_wait_for_each_other_as_others_do() -> None:
    came: list[str] = []

    @flow
    async def work() -> None:
        await asyncio.gather(*(_use(came) for _ in range(10)))

    async with Engine(limits={"db": 1}):
        await work()
    assert came == ["coroutine"] * 10


@pytest.mark.anyio
async def test_what_is_started_inside_of_a_block_and_not_waited_for_there_waits_for_its_end() -> None:
    came: list[str] = []

    @task(tags=["db"])
    async def load() -> None:
        came.append("load")

    @flow
    async def work(engine: Engine) -> None:
        async with concurrency("db"):
            beside = asyncio.create_task(_use(came))
            future = load.submit()
            await until(lambda: len(engine.limits["db"].waiters()) == 2)
            came.append("block")
        await beside
        await future

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)
    assert came[0] == "block"
    assert sorted(came[1:]) == ["coroutine", "load"]


@pytest.mark.anyio
async def test_what_was_started_before_a_block_and_is_waited_for_inside_is_told() -> None:
    @task(tags=["db"])
    async def load(_number: int) -> None:
        """Never runs."""

    @flow
    async def work(engine: Engine) -> list[str]:
        async with concurrency("db"):
            future, several = load.submit(0), load.map(range(3))
            await until(lambda: len(engine.limits["db"].waiters()) == 4)
            with pytest.raises(DeadlockError):
                await future
            with pytest.raises(DeadlockError):
                await several
        return [each.state.name for each in (future, *several)]

    async with Engine(limits={"db": 1}) as engine:
        assert await work(engine) == ["Failed"] * 4


# Bodies in threads that are to stop.


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["submit", "flow"])
async def test_a_sync_body_that_is_cancelled_while_it_waits_stops_waiting(how: str) -> None:
    seen: list[BaseException] = []

    def wait() -> None:
        try:
            with concurrency("db"):
                pytest.fail("It was served.")
        except BaseException as error:
            seen.append(error)
            raise

    waits, waits_in_flow = task(wait), flow(wait)

    @flow
    async def work(engine: Engine) -> None:
        db = engine.limits["db"]
        if how == "submit":
            future = waits.submit()
            await until(lambda: len(db.waiters()) == 1)
            future.cancel()
            await future.wait_async()
        else:
            started = engine.start(waits_in_flow)
            await until(lambda: len(db.waiters()) == 1)
            started.cancel()
            await started.wait_async()
        await until(lambda: len(seen) == 1)
        assert db.waiters() == []

    async with Engine(limits={"db": 1}) as engine, concurrency("db"):
        await asyncio.create_task(work(engine), context=_elsewhere(engine))
        assert isinstance(seen[0], CancelledRun)


def _elsewhere(engine: Engine) -> Any:
    """A context in which the engine was entered, and nothing is held."""
    from contextvars import Context  # noqa: PLC0415

    from millrace.runtime.entering import ENTERED  # noqa: PLC0415

    context = Context()
    context.run(ENTERED.set, engine)
    return context


@pytest.mark.anyio
async def test_a_sync_body_whose_time_is_over_while_it_waits_stops_waiting() -> None:
    seen: list[BaseException] = []

    @task(timeout_seconds=0.05)
    def waits() -> None:
        try:
            with concurrency("db"):
                pytest.fail("It was served.")
        except BaseException as error:
            seen.append(error)
            raise

    @flow
    async def work(engine: Engine) -> None:
        state = await waits.submit().wait_async()
        assert state.name == "TimedOut"
        await until(lambda: len(seen) == 1)
        assert engine.limits["db"].waiters() == []

    async with Engine(limits={"db": 1}) as engine, concurrency("db"):
        await asyncio.create_task(work(engine), context=_elsewhere(engine))
        assert isinstance(seen[0], (TaskRunTimeoutError, CancelledRun))
