"""A body that runs again gets outcomes in the order of before: what it called then belongs to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from millrace import WaitTimeout, as_completed, flow, task
from millrace.runtime.running import running_loop
from tests.runtime.stores.killing import Kill, Ran, engine_of, killed, resumed
from tests.runtime.stores.places import EVERY_STORE
from tests.runtime.stores.test_replayed import results
from tests.runtime.worlds import ASYNC, SYNC, Gate, World


async def ends(futures: Any, timeout: float | None = None) -> AsyncIterator[Any]:
    """Futures as they end, in the body of a flow of either kind."""
    if running_loop() is not None:
        async for future in as_completed(futures, timeout):
            yield future
    else:
        for future in as_completed(futures, timeout):
            yield future


AFTER = {2: 0, 0: 1, 1: 2}
"""Which one is let through when one has been given: they end as 2, 0, 1."""


def gates_of(world: World) -> dict[int, Gate]:
    """A gate for each of three tasks."""
    return {number: world.gate() for number in AFTER}


@EVERY_STORE
def test_a_resumed_body_gets_futures_in_the_order_of_before(world: World, kill: Kill, ran: Ran) -> None:
    gates = gates_of(world)

    @world.task
    async def fetch(number: int) -> Any:
        await gates[number].passed()
        return number

    @world.task
    async def handle(number: int) -> Any:
        ran(number)
        return f"handled {number}"

    @world.flow
    async def body() -> Any:
        futures = fetch.map([0, 1, 2])
        found = []
        gates[2].open()
        async for future in ends(futures):
            number = await world.result(future)
            found.append((number, await world.call(handle, number)))
            gates[AFTER[number]].open()
        kill.here()
        return found

    left = killed(world, kill, body)
    assert ran.calls == [2, 0, 1]
    ran.forget()

    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [(number, f"handled {number}") for number in (2, 0, 1)]
    assert ran.calls == []


def test_those_that_were_not_given_before_come_after_those_that_were(world: World, kill: Kill, ran: Ran) -> None:
    gates = gates_of(world)

    @world.task
    async def fetch(number: int) -> Any:
        await gates[number].passed()
        return number

    @world.task
    async def handle(number: int) -> Any:
        ran(number)
        if number == 0:
            kill.here()
        return number

    @world.flow
    async def body() -> Any:
        found = []
        gates[2].open()
        async for future in ends(fetch.map([0, 1, 2])):
            number = await world.result(future)
            found.append(await world.call(handle, number))
            gates[AFTER[number]].open()
        return found

    left = killed(world, kill, body)
    ran.forget()

    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [2, 0, 1]
    assert ran.calls == [0, 1]


def test_another_attempt_in_the_same_process_gets_them_in_the_order_of_before(world: World, ran: Ran) -> None:
    gates = gates_of(world)
    attempts: list[int] = []

    @world.task
    async def fetch(number: int) -> Any:
        await gates[number].passed()
        return number

    @world.task
    async def handle(number: int) -> Any:
        ran(number)
        return f"handled {number}"

    @world.flow(retries=1)
    async def body() -> Any:
        attempts.append(1)
        futures = fetch.map([0, 1, 2])
        found = []
        gates[2].open()
        async for future in ends(futures):
            number = await world.result(future)
            found.append((number, await world.call(handle, number)))
            gates[AFTER[number]].open()
        if len(attempts) == 1:
            raise OSError
        return found

    assert world.run(body) == [(number, f"handled {number}") for number in (2, 0, 1)]
    assert ran.calls == [2, 0, 1]


def test_a_set_of_futures_is_given_in_the_order_of_before_too(kill: Kill, ran: Ran) -> None:
    gates = gates_of(SYNC)

    @SYNC.task
    async def fetch(number: int) -> Any:
        await gates[number].passed()
        return number

    @task
    def handle(number: int) -> int:
        ran(number)
        return number

    @flow
    def body() -> Any:
        gates[2].open()
        found = []
        for future in as_completed({fetch.submit(number) for number in range(3)}):
            found.append(handle(future.result()))
            gates[AFTER[found[-1]]].open()
        kill.here()
        return found

    left = killed(SYNC, kill, body)
    assert ran.calls == [2, 0, 1]
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(SYNC, engine, body) == [2, 0, 1]
    assert ran.calls == []


def test_one_that_failed_and_runs_again_is_waited_for_in_its_place(kill: Kill) -> None:
    fails = [True]
    gate = SYNC.gate()

    @SYNC.task
    async def work(number: int) -> Any:
        if number == 0:
            await gate.passed()
        elif fails:
            raise OSError
        return number

    @task
    def note() -> None:
        """What was given before stands on record with the next call."""

    @flow
    def body() -> Any:
        found = []
        for future in as_completed(work.map([0, 1])):
            future.wait()
            found.append(future.state.name)
            gate.open()
            note()
        kill.here()
        return found

    left = killed(SYNC, kill, body)
    fails.clear()
    with engine_of(left) as engine:
        assert resumed(SYNC, engine, body) == ["Completed", "Completed"]


def test_a_time_limit_holds_for_one_whose_turn_it_is_to_come_again(kill: Kill) -> None:
    lives: list[int] = []

    @task
    async def work(number: int) -> int:
        if number == 1:
            if len(lives) > 1:
                await asyncio.Event().wait()
            raise OSError
        return number

    @task
    async def note(state: str) -> None:
        """As above."""

    @flow
    async def body() -> Any:
        lives.append(1)
        futures = [work.submit(1), work.submit(0)]
        if len(lives) == 1:
            await futures[0].wait_async()
        try:
            async for future in as_completed(futures, 0.0 if len(lives) > 1 else None):
                await note(future.state.name)
        except WaitTimeout as error:
            return str(error)
        finally:
            futures[0].cancel()
        kill.here()
        return "all"

    left = killed(ASYNC, kill, body)
    with engine_of(left) as engine:
        assert "2 of 2" in resumed(ASYNC, engine, body, return_state=True).result(raise_on_failure=False)


def test_a_loop_task_that_begins_with_it_is_no_branch_for_that(kill: Kill, ran: Ran) -> None:
    @task
    async def fetch(number: int) -> int:
        return number

    @task
    async def handle(number: int) -> int:
        ran(number)
        return number

    @flow
    async def body() -> Any:
        async def consume(futures: Any) -> list[int]:
            return [await handle(await future) async for future in as_completed(futures)]

        maps = [fetch.map([1, 2]), fetch.map([3])]
        found = await asyncio.gather(*(consume(futures) for futures in maps))
        kill.here()
        return sorted(number for numbers in found for number in numbers)

    left = killed(ASYNC, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(ASYNC, engine, body) == [1, 2, 3]
    assert ran.calls == []


def test_another_attempt_in_the_same_process_gets_the_outcomes_of_a_stream_in_the_order_of_before(
    world: World, ran: Ran
) -> None:
    gates = gates_of(world)
    attempts: list[int] = []

    @world.task
    async def fetch(number: int) -> Any:
        if len(attempts) == 1:
            await gates[number].passed()
        return number

    @world.task
    async def handle(number: int) -> Any:
        ran(number)
        return f"handled {number}"

    @world.flow(retries=1)
    async def body() -> Any:
        attempts.append(1)
        found = []
        gates[2].open()
        async for number in results(world, fetch.stream([0, 1, 2], max_in_flight=3, ordered=False)):
            found.append((number, await world.call(handle, number)))
            gates[AFTER[number]].open()
        if len(attempts) == 1:
            raise OSError
        return found

    assert world.run(body) == [(number, f"handled {number}") for number in (2, 0, 1)]
    assert ran.calls == [2, 0, 1]
