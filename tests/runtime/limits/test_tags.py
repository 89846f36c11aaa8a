"""Task runs under limits of their tags: how many there are at once, in which state they wait, and when they go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from millrace import DeadlockError, Engine, RateLimit, State, flow, tags, task
from millrace.runtime.entering import stand_in
from tests.checkpoints import turns, until
from tests.runtime.limits.held import held
from tests.runtime.worlds import Gate, World, finish


class Crowd:
    """How many bodies are inside at once, and how many have been at most."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.came: list[Any] = []

    def enter(self, item: Any = None) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.came.append(item)

    def leave(self) -> None:
        self.inside -= 1


def names_of(states: list[State[Any]]) -> list[str]:
    return [state.name for state in states]


@pytest.mark.parametrize("how", ["submit", "map"])
def test_never_more_than_the_limit_run_at_once_and_all_of_them_run(world: World, how: str) -> None:
    crowd = Crowd()

    @world.task(tags=["db"])
    async def load(number: int) -> int:
        crowd.enter()
        if world.async_tasks:
            await asyncio.sleep(0)
        crowd.leave()
        return number

    async def body() -> int:
        futures = load.map(range(40)) if how == "map" else [load.submit(number) for number in range(40)]
        return sum([await world.result(each) for each in futures])

    engine = Engine(limits={"db": 3})
    assert world.body(body, engine=engine) == sum(range(40))
    assert crowd.most <= 3
    assert engine.limits["db"].holders() == []
    engine.close()


def test_direct_calls_take_slots_too(world: World) -> None:
    engine = Engine(limits={"db": 1})
    held: list[int] = []

    @world.task(tags=["db"])
    def load() -> None:
        held.append(engine.limits["db"].held)

    async def body() -> None:
        for _ in range(3):
            await world.call(load)
            assert engine.limits["db"].held == 0

    world.body(body, engine=engine)
    assert held == [1, 1, 1]
    engine.close()


def test_a_run_that_waits_says_so_in_its_state_and_holds_no_thread(world: World) -> None:
    engine = Engine(limits={"db": 1}, threads=1)
    gate = world.gate()

    @world.task(tags=["db"])
    async def load() -> None:
        await gate.passed()

    @world.task
    def other() -> str:
        gate.open()
        return "done"

    async def body() -> list[list[str]]:
        futures = [load.submit() for _ in range(3)]
        if world.async_tasks:
            await world.result(other.submit())
        else:
            gate.open()
        await world.ended(futures[2])
        await world.ended(futures[1])
        await world.ended(futures[0])
        return [names_of(each.source.history()) for each in futures]

    ways = world.body(body, engine=engine)
    assert ways[0] == ["Pending", "Running", "Completed"]
    if world.async_tasks:
        assert ways[1:] == [["Pending", "AwaitingConcurrencySlot", "Running", "Completed"]] * 2
    engine.close()


@pytest.mark.anyio
async def test_waiting_sync_runs_leave_their_threads_to_others() -> None:
    gate = Gate(blocks=True)

    @task(tags=["db"])
    def load() -> None:
        finish(gate.passed())

    @task
    def other() -> str:
        return "done"

    @flow
    async def work() -> list[str]:
        loads = [load.submit() for _ in range(20)]
        assert await other.submit() == "done"  # by the one thread that is left
        await until(lambda: all(each.state.is_scheduled() for each in loads[1:]))
        state = loads[5].state
        gate.open()
        await loads[-1]
        return [state.name, str(state.message)]

    async with Engine(limits={"db": 1}, threads=2):
        assert await work() == ["AwaitingConcurrencySlot", "It waits for 'db'."]


@pytest.mark.anyio
async def test_first_come_first_served() -> None:
    crowd = Crowd()

    @task(tags=["db"])
    async def load(number: int) -> None:
        crowd.enter(number)
        await asyncio.sleep(0)
        crowd.leave()

    @flow
    async def work() -> None:
        await load.map(range(20))

    async with Engine(limits={"db": 2}):
        await work()
    assert crowd.came == list(range(20))


@pytest.mark.anyio
async def test_all_limits_of_all_tags_hold() -> None:
    crowds = {"db": Crowd(), "gpu": Crowd()}

    def made(*of: str) -> Any:
        @task(tags=of)
        async def work() -> None:
            for each in of:
                crowds[each].enter()
            await turns()
            for each in of:
                crowds[each].leave()

        return work

    kinds = [made("db"), made("gpu"), made("db", "gpu"), made("gpu", "db")]

    @flow
    async def all_of_them() -> None:
        futures = [kinds[number % 4].submit() for number in range(60)]
        for each in futures:
            await each

    async with Engine(limits={"db": 2, "gpu": 3}):
        await all_of_them()
    assert crowds["db"].most == 2
    assert 2 <= crowds["gpu"].most <= 3


@pytest.mark.anyio
async def test_tags_of_a_block_count_as_the_tasks_own() -> None:
    crowd = Crowd()

    @task
    async def load() -> None:
        crowd.enter()
        await turns()
        crowd.leave()

    @flow
    async def work() -> tuple[int, int]:
        for each in [load.submit() for _ in range(5)]:
            await each
        free, crowd.most = crowd.most, 0
        with tags("db"):
            for each in [load.submit() for _ in range(5)]:
                await each
        return free, crowd.most

    async with Engine(limits={"db": 1}):
        assert await work() == (5, 1)


@pytest.mark.anyio
async def test_a_limit_that_is_made_later_holds_for_what_is_started_then_also_in_a_map_that_goes_on() -> None:
    crowd = Crowd()
    gate = Gate(blocks=False)

    @task(tags=["db"])
    async def load(number: int) -> None:
        crowd.enter(number)
        if number == 0:
            await gate.passed()
        else:
            await asyncio.sleep(0)
        crowd.leave()

    @flow
    async def work(engine: Engine) -> None:
        futures = load.map(range(100))
        await until(lambda: crowd.inside > 0)
        engine.limits.create("db", 1)
        before = len(crowd.came)
        gate.open()
        await futures
        assert before < 100
        crowd.most = 0
        await load.map(range(1, 20))
        assert crowd.most == 1

    async with Engine() as engine:
        await work(engine)


@pytest.mark.anyio
async def test_without_slots_of_their_own_tasks_are_not_conducted() -> None:
    @task(tags=["db"])
    async def limited() -> None:
        """Do nothing."""

    @task
    async def free() -> None:
        """Do nothing."""

    @flow
    async def work() -> list[bool]:
        futures = [limited.submit(), free.submit()]
        for each in futures:
            await each
        return [each.source.node.conduct is not None for each in futures]

    async with Engine(limits={"db": 1}):
        assert await work() == [True, False]
    async with Engine():
        assert await work() == [False, False]


# Between attempts.


@pytest.mark.anyio
async def test_a_run_between_two_attempts_holds_no_slot_and_stands_in_line_again() -> None:
    came: list[str] = []

    @task(tags=["db"], retries=2)
    async def flaky() -> None:
        came.append("flaky")
        if came.count("flaky") < 3:
            raise ValueError

    @task(tags=["db"])
    async def steady(number: int) -> None:
        came.append(f"steady-{number}")

    @flow
    async def work() -> list[str]:
        futures = [flaky.submit(), steady.submit(1), steady.submit(2)]
        for each in futures:
            await each
        return names_of(futures[0].source.history())

    async with Engine(limits={"db": 1}):
        ways = await work()
    assert came == ["flaky", "steady-1", "steady-2", "flaky", "flaky"]
    assert [each for each in ways if each != "AwaitingConcurrencySlot"] == [
        "Pending", "Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying", "Completed",
    ]  # fmt: skip


# Deadlocks.


@pytest.mark.anyio
async def test_a_child_that_needs_the_slot_of_its_parent_is_told_with_both_their_names() -> None:
    @task(tags=["db"])
    async def inner() -> None:
        """Never runs."""

    @task(tags=["db"])
    async def outer(how: str) -> None:
        if how == "call":
            await inner()
        elif how == "submit":
            await inner.submit()
        else:
            await inner.map([]) if how == "nothing" else await flow(inner)()

    @flow
    async def work(how: str) -> str:
        state = await outer.submit(how).wait_async()
        return str(state.message)

    async with Engine(limits={"db": 1}):
        for how in ("call", "submit"):
            message = await work(how)
            assert "Task run 'inner-" in message
            assert "task run 'outer-" in message
            assert message.startswith("DeadlockError: ")


def test_a_child_in_a_thread_is_told_too(world: World) -> None:
    @world.task(tags=["db"])
    def inner() -> None:
        """Never runs."""

    async def body() -> Any:
        async with held(world.async_flows, "db"):
            future = inner.submit()
            with pytest.raises(DeadlockError) as caught:
                await future if world.async_flows else future.result()
        return caught.value

    engine = Engine(limits={"db": 1})
    error = world.body(body, engine=engine)
    assert isinstance(error, DeadlockError)
    assert error.waiter.startswith("task run 'inner-")
    assert error.holder.startswith("flow run '")
    engine.close()


# Rates.


def test_attempts_are_taken_at_the_rate_of_their_tag(millrace_clock: Any, millrace_engine: Any) -> None:
    millrace_engine.limits.create("api", RateLimit(2))

    @task(tags=["api"])
    async def ask() -> float:
        return millrace_clock.elapsed  # type: ignore[no-any-return]

    @flow
    async def work() -> list[float]:
        return [await each for each in [ask.submit() for _ in range(7)]]

    times = asyncio.run(work())
    assert times == pytest.approx([0, 0, 0.5, 1, 1.5, 2, 2.5], abs=1e-5)


def test_a_stand_in_engine_has_limits_of_its_own() -> None:
    @task(tags=["db"])
    def load() -> int:
        return Engine.current().limits["db"].held

    engine = Engine(limits={"db": 4})
    with stand_in(engine):
        assert load() == 1
    engine.close()
