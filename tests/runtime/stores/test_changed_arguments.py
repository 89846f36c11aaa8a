"""Arguments that are meant to change from one life of a flow run to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from millrace import (
    DEFAULT,
    INPUTS,
    NO_CACHE,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    FlowArgumentsChanged,
    flow,
    read_flow_runs,
    task,
)
from tests.runtime.stores.killing import Kill, Ran, engine_of, killed, resumed
from tests.runtime.worlds import ASYNC, SYNC, World


@pytest.mark.parametrize("how", ["call", "submit"])
def test_what_the_cache_policy_leaves_out_may_be_another_one(world: World, kill: Kill, ran: Ran, how: str) -> None:
    given: list[Any] = ["old", 1]

    @world.task(cache_policy=INPUTS - "token", result_storage="memory://")
    async def fetch(token: str, number: int) -> Any:
        ran((token, number))
        return number

    @world.flow
    async def body() -> Any:
        started = await world.start(how, fetch, given[0], number=given[1])
        found = started if how == "call" else await world.result(started)
        kill.here()
        return found

    left = killed(world, kill, body)
    ran.forget()

    with engine_of(left) as engine:
        given[:] = ["new", 2]
        with pytest.raises(FlowArgumentsChanged, match="another 'number' than before"):
            resumed(world, engine, body)
        given[1] = 1
        assert resumed(world, engine, body) == 1
    assert ran.calls == []


def test_in_a_map_and_in_a_stream_the_others_are_compared_all_the_same(kill: Kill, ran: Ran) -> None:
    given: list[Any] = ["old", [1, 2]]

    @task(cache_policy=INPUTS - "token", result_storage="memory://")
    def fetch(number: int, token: str) -> int:
        ran((number, token))
        return number

    @flow
    def body() -> Any:
        found = fetch.map(given[1], token=given[0]).result(), list(fetch.stream(given[1], token=given[0]))
        kill.here()
        return found

    left = killed(SYNC, kill, body)
    ran.forget()

    with engine_of(left) as engine:
        given[:] = ["new", [1, 3]]
        with pytest.raises(FlowArgumentsChanged, match="another item 1 than before"):
            resumed(SYNC, engine, body)
        given[1] = [1, 2]
        assert resumed(SYNC, engine, body) == ([1, 2], [1, 2])
    assert ran.calls == []


def test_a_branch_is_known_by_the_arguments_that_count(kill: Kill, ran: Ran) -> None:
    token = ["old"]

    @task(cache_policy=INPUTS - "token", result_storage="memory://")
    async def fetch(token: str, number: int) -> int:
        ran((token, number))
        return number

    @flow
    async def body(numbers: list[int]) -> Any:
        async def branch(number: int) -> int:
            return await fetch(token[0], number) + await fetch(token[0], number * 10)

        found = await asyncio.gather(*(branch(number) for number in order))
        kill.here()
        return sorted(found)

    order = [1, 2]
    left = killed(ASYNC, kill, body, order)
    ran.forget()
    token[0] = "new"
    order.reverse()
    with engine_of(left) as engine:
        assert resumed(ASYNC, engine, body) == [11, 22]
    assert ran.calls == []


@pytest.mark.parametrize(
    "policy",
    [
        DEFAULT - "token",
        TASK_SOURCE + (INPUTS - "token"),
    ],
)
def test_policies_that_look_at_no_arguments_do_not_matter(policy: Any) -> None:
    assert policy.left_out == {"token"}


@pytest.mark.parametrize(
    "policy",
    [
        NO_CACHE,
        INPUTS,
        TASK_SOURCE - "token",
        (INPUTS - "token") + CacheKeyFnPolicy(lambda context, arguments: str(arguments["token"])),
    ],
)
def test_nothing_is_left_out_where_a_result_may_depend_on_it(policy: Any) -> None:
    assert policy.left_out == frozenset()


def _by_the_run(world: World, engine: Any, body: Any) -> Any:
    return resumed(world, engine, body, any_arguments=True)


def _by_the_engine(world: World, engine: Any, body: Any) -> Any:
    run = read_flow_runs(flows=[body.name])[0]
    return engine.resume(run.id, body, any_arguments=True).result()


@pytest.mark.parametrize("resume", [_by_the_run, _by_the_engine])
def test_a_run_can_be_resumed_whatever_its_arguments_are(
    kill: Kill, ran: Ran, resume: Callable[[World, Any, Any], Any]
) -> None:
    now = [1]

    @task
    def fetch(at: int) -> int:
        ran(at)
        return at

    @flow
    def part(at: int) -> int:
        found = fetch(at)
        kill.here()
        return found

    @flow
    def body() -> Any:
        return fetch(now[0]), fetch.map([now[0], 5]).result(), list(fetch.stream([now[0]])), part(now[0])

    left = killed(SYNC, kill, body)
    ran.forget()
    now[0] = 2

    with engine_of(left) as engine:
        with pytest.raises(FlowArgumentsChanged, match="any_arguments=True"):
            resumed(SYNC, engine, body)
        assert ran.calls == []
        assert resume(SYNC, engine, body) == (1, [1, 5], [1], 1)
    assert ran.calls == []
