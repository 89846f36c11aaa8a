"""Not ready: what becomes of a run when something it depends on did not complete."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Lambdas stand in for code of users, who annotate none.

from __future__ import annotations

from typing import Any

import attrs
import pytest

from millrace import (
    Cancelled,
    Crashed,
    Failed,
    UnfinishedRun,
    UpstreamTaskError,
    allow_failure,
    get_state_exception,
    unmapped,
)
from tests.runtime.worlds import World


class Broken(Exception):
    pass


@attrs.frozen
class Kit:
    """Tasks for these tests, and what ran."""

    fail: Any
    take: Any
    ran: list[Any]


@pytest.fixture
def kit(world: World) -> Kit:
    """A task that fails, and one that notes that it ran."""
    ran: list[Any] = []

    def fail(text: str = "as ever") -> Any:
        raise Broken(text)

    def take(value: Any = None, other: Any = None) -> Any:
        ran.append(value)
        return value

    return Kit(world.task(fail), world.task(take), ran)


def states_of(world: World, body: Any) -> Any:
    """What a body returns, whatever becomes of its flow."""
    found: list[Any] = []

    async def kept() -> None:
        found.append(await body())

    world.run(world.flow(kept), return_state=True)
    return found[0]


def test_an_upstream_that_failed_makes_the_run_pending_for_good(world: World, kit: Kit) -> None:
    async def body() -> Any:
        future = kit.take.submit(kit.fail.submit())
        state = await world.ended(future)
        assert future.done()
        return state

    state = states_of(world, body)
    assert state.is_pending()
    assert not state.is_final()
    assert state.name == "NotReady"
    assert kit.ran == []


def test_its_message_names_the_upstream_run_and_its_state(world: World, kit: Kit) -> None:
    async def body() -> Any:
        failed = kit.fail.submit()
        return failed.name, await world.ended(kit.take.submit([failed]))

    name, state = states_of(world, body)
    assert state.message == f"Upstream task run '{name}' did not reach COMPLETED: it is Failed('Broken: as ever')."


def test_the_run_never_had_an_attempt(world: World, kit: Kit) -> None:
    async def body() -> Any:
        future = kit.take.submit(kit.fail.submit())
        await world.ended(future)
        return future

    future = states_of(world, body)
    assert future.source.run_count == 0
    assert [state.name for state in future.source.history()] == ["Pending", "NotReady"]


def test_asking_for_its_result_is_an_error(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return await world.error(kit.take.submit(kit.fail.submit()))

    error = states_of(world, body)
    assert isinstance(error, UnfinishedRun)
    assert "did not reach COMPLETED" in str(error)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda f: ((f,), {}), id="an argument"),
        pytest.param(lambda f: ((), {"other": f}), id="a keyword argument"),
        pytest.param(lambda f: (([{"a": (f,)}],), {}), id="deep inside one"),
        pytest.param(lambda f: ((), {"wait_for": [f]}), id="wait_for"),
        pytest.param(lambda f: ((unmapped([f]),), {}), id="an annotation"),
    ],
)
def test_it_does_not_matter_where_the_upstream_stands(world: World, kit: Kit, place: Any) -> None:
    async def body() -> Any:
        args, kwargs = place(kit.fail.submit())
        return await world.ended(kit.take.submit(*args, **kwargs))

    assert states_of(world, body).name == "NotReady"
    assert kit.ran == []


@pytest.mark.parametrize("state", [Failed(), Crashed(), Cancelled()], ids=str)
def test_a_state_that_is_not_completed_is_not_let_through_either(world: World, kit: Kit, state: Any) -> None:
    async def body() -> Any:
        return await world.ended(kit.take.submit(state))

    found = states_of(world, body)
    assert found.name == "NotReady"
    assert "Upstream task run 'a state made by hand'" in found.message


def test_an_upstream_that_was_cancelled_makes_the_run_not_ready(world: World, kit: Kit) -> None:
    gate = world.gate()

    @world.task
    async def late() -> None:
        await gate.passed()

    async def body() -> Any:
        first = late.submit()
        second = kit.take.submit(wait_for=[first])
        third = kit.take.submit(second)
        second.cancel()
        state = await world.ended(third)
        gate.open()
        return state

    state = states_of(world, body)
    assert state.name == "NotReady"
    assert "it is Cancelled(" in state.message


def test_it_goes_on_down_the_line(world: World, kit: Kit) -> None:
    async def body() -> Any:
        first = kit.take.submit(kit.fail.submit())
        second = kit.take.submit(first)
        third = kit.take.submit([second])
        return await world.ended(third), second.name

    state, name = states_of(world, body)
    assert state.name == "NotReady"
    assert f"'{name}'" in state.message
    assert kit.ran == []


def test_a_long_line_ends_all_the_same(world: World, kit: Kit) -> None:
    gate = world.gate()

    @world.task
    async def late() -> None:
        await gate.passed()
        raise Broken("at last")

    async def body() -> Any:
        future = late.submit()
        for _ in range(2_000):
            future = kit.take.submit(future)
        gate.open()
        return await world.ended(future)

    assert states_of(world, body).name == "NotReady"
    assert kit.ran == []


def test_it_does_not_wait_for_the_other_upstreams(world: World, kit: Kit) -> None:
    gate = world.gate()

    @world.task
    async def late() -> None:
        await gate.passed()

    async def body() -> Any:
        future = kit.take.submit(late.submit(), kit.fail.submit())
        state = await world.ended(future)  # it would never come if it waited for the one behind the gate
        gate.open()
        return state

    assert states_of(world, body).name == "NotReady"


def test_the_one_that_completed_later_changes_nothing(world: World, kit: Kit) -> None:
    async def body() -> Any:
        good = kit.take.submit(1)
        future = kit.take.submit(kit.fail.submit(), good)
        await world.result(good)
        state = await world.ended(future)
        return state, future.state

    before, after = states_of(world, body)
    assert before == after


def test_only_the_runs_of_a_map_whose_own_input_failed_are_not_ready(world: World, kit: Kit) -> None:
    @world.task
    def check(x: int) -> int:
        if x == 1:
            raise Broken("no 1")
        return x

    async def body() -> Any:
        return [state.name for state in await world.ended(kit.take.map(check.map(range(3))))]

    assert states_of(world, body) == ["Completed", "NotReady", "Completed"]
    assert sorted(kit.ran) == [0, 2]


def test_with_allow_failure_the_run_gets_the_exception(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return await world.ended(kit.take.submit(allow_failure(kit.fail.submit())))

    assert states_of(world, body).is_completed()
    (value,) = kit.ran
    assert isinstance(value, Broken)


def test_with_allow_failure_in_wait_for_the_run_goes_ahead(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return await world.ended(kit.take.submit(7, wait_for=[allow_failure(kit.fail.submit())]))

    assert states_of(world, body).is_completed()
    assert kit.ran == [7]


def test_a_retry_that_succeeds_in_the_end_is_good_enough(world: World, kit: Kit) -> None:
    attempts: list[int] = []

    @world.task(retries=2)
    def flaky() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise Broken("not yet")
        return 7

    async def body() -> Any:
        return await world.ended(kit.take.submit(flaky.submit()))

    assert states_of(world, body).is_completed()
    assert kit.ran == [7]


def test_no_retries_are_spent_on_a_run_that_never_started(world: World, kit: Kit) -> None:
    @world.task(retries=3)
    def take(value: Any) -> None:
        kit.ran.append(value)

    async def body() -> Any:
        return await world.ended(take.submit(kit.fail.submit()))

    assert states_of(world, body).name == "NotReady"
    assert kit.ran == []


def test_a_direct_call_raises_that_it_never_started(world: World, kit: Kit) -> None:
    async def body() -> Any:
        failed = kit.fail.submit()
        await world.ended(failed)
        with pytest.raises(UnfinishedRun, match="did not reach COMPLETED"):
            await world.call(kit.take, failed)
        return await world.call(kit.take, failed, return_state=True)

    assert states_of(world, body).name == "NotReady"
    assert kit.ran == []


def test_a_subflow_that_depends_on_a_failed_run_fails_without_running(world: World, kit: Kit) -> None:
    @world.flow
    def inner(value: Any) -> None:
        kit.ran.append(value)

    async def body() -> Any:
        failed = kit.fail.submit()
        state = await world.call(inner, [failed], return_state=True)
        return failed.name, state

    name, state = states_of(world, body)
    assert state.is_failed()
    error = get_state_exception(state)
    assert isinstance(error, UpstreamTaskError)
    assert str(error).startswith(f"Upstream task run '{name}' did not complete")
    assert "allow_failure(...)" in str(error)
    assert kit.ran == []


def test_a_subflow_gets_the_exception_of_one_that_may_fail(world: World, kit: Kit) -> None:
    @world.flow
    def inner(value: Any) -> None:
        kit.ran.append(value)

    async def body() -> Any:
        return await world.call(inner, allow_failure(kit.fail.submit()), return_state=True)

    assert states_of(world, body).is_completed()
    assert isinstance(kit.ran[0], Broken)


def test_runs_that_are_not_ready_do_not_count_as_failed_for_their_flow(world: World, kit: Kit) -> None:
    async def body() -> None:
        failed = kit.fail.submit()
        kit.take.submit(failed)
        kit.take.map([failed, failed])
        await world.error(failed)

    assert world.body(body) is None
