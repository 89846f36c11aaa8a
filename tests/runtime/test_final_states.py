"""Final states: what a flow's run ends in, by what its body returned or raised and by what became of its children."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
import pytest

from millrace import (
    Cancelled,
    CancelledRun,
    Completed,
    Crashed,
    CrashedRun,
    Engine,
    Failed,
    FailedRun,
    FlowRunContext,
    Future,
    Paused,
    Pending,
    Running,
    State,
    StateType,
    allow_failure,
    flow,
    get_state_exception,
    quote,
    task,
)
from tests.runtime.worlds import World


class Broken(Exception):
    pass


@attrs.frozen
class Kit:
    """Tasks for these tests."""

    good: Any
    bad: Any


@pytest.fixture
def kit(world: World) -> Kit:
    """A task that gives what it gets, and one that fails."""

    def good(x: Any = 1) -> Any:
        return x

    def bad(text: str = "as ever") -> Any:
        raise Broken(text)

    return Kit(world.task(good), world.task(bad))


def end_of(world: World, body: Any) -> Any:
    """The final state of a flow with that body."""
    return world.run(world.flow(body), return_state=True)


# What the body returned or raised.


def test_data_completes_the_run_and_is_its_result(world: World) -> None:
    async def body() -> Any:
        return {"a": [1]}

    state = end_of(world, body)
    assert state.type is StateType.COMPLETED
    assert state.name == "Completed"
    assert state.result() == {"a": [1]}
    assert world.body(body) == {"a": [1]}


def test_an_exception_fails_the_run_and_is_raised_by_the_call(world: World) -> None:
    async def body() -> None:
        raise Broken("as ever")

    state = end_of(world, body)
    assert state.type is StateType.FAILED
    assert state.message == "Broken: as ever"
    assert isinstance(get_state_exception(state), Broken)
    with pytest.raises(Broken, match="as ever"):
        world.body(body)


def test_the_tracebacks_first_frame_is_the_users(world: World) -> None:
    async def body() -> None:
        raise Broken("as ever")

    trace = end_of(world, body).data.__traceback__
    assert "runtime/" not in trace.tb_frame.f_code.co_filename.replace("tests/runtime/", "tests/")


def test_final_states_have_the_ids_of_their_run(world: World) -> None:
    async def body() -> Any:
        context = FlowRunContext.get()
        assert context is not None
        return str(context.flow_run.uuid)

    state = end_of(world, body)
    assert str(state.state_details.flow_run_id) == state.result()
    assert state.state_details.task_run_id is None


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (Completed(message="mine", data=4), StateType.COMPLETED),
        (Failed(message="mine"), StateType.FAILED),
        (Cancelled(message="mine"), StateType.CANCELLED),
        (Crashed(message="mine"), StateType.CRASHED),
        (Completed(name="Skipped", message="mine"), StateType.COMPLETED),
    ],
    ids=str,
)
def test_a_state_made_by_hand_is_used_as_it_is(world: World, made: State[Any], kind: StateType) -> None:
    async def body() -> Any:
        return made

    state = end_of(world, body)
    assert state.type is kind
    assert state.name == made.name
    assert state.message == "mine"


def test_the_result_of_a_state_made_by_hand_is_its_data(world: World) -> None:
    async def completed() -> Any:
        return Completed(data=4)

    assert world.body(completed) == 4


@pytest.mark.parametrize(
    ("made", "error"), [(Failed, FailedRun), (Crashed, CrashedRun), (Cancelled, CancelledRun)], ids=str
)
def test_a_failure_made_by_hand_raises_its_message(world: World, made: Any, error: type[Exception]) -> None:
    async def body() -> Any:
        return made(message="No more ideas.")

    with pytest.raises(error, match=r"^No more ideas\.$"):
        world.body(body)


def test_a_state_that_is_not_final_is_no_end(world: World) -> None:
    for made in (Running(), Pending(), Paused()):

        async def body(made: Any = made) -> Any:
            return made

        state = end_of(world, body)
        assert state.is_failed()
        assert "not final" in state.message


# Returned futures and states are aggregated.


def test_a_returned_future_that_completed_completes_the_flow(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return kit.good.submit(5)

    state = end_of(world, body)
    assert state.is_completed()
    assert state.message == "All states completed."
    inner = state.result()
    assert isinstance(inner, State)
    assert inner.result() == 5


def test_a_returned_future_that_failed_fails_the_flow_with_its_error(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return kit.bad.submit()

    state = end_of(world, body)
    assert state.is_failed()
    assert state.message == "1/1 states failed."
    with pytest.raises(Broken):
        world.body(body)


def test_a_returned_state_of_a_run_is_aggregated_too(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return await world.call(kit.bad, return_state=True)

    state = end_of(world, body)
    assert state.is_failed()
    assert state.message == "1/1 states failed."
    assert isinstance(state.data, State)


@pytest.mark.parametrize("collect", [list, tuple, set], ids=["a list", "a tuple", "a set"])
def test_a_collection_of_nothing_but_futures_is_aggregated(world: World, kit: Kit, collect: Any) -> None:
    async def good() -> Any:
        return collect([kit.good.submit(1), kit.good.submit(2)])

    async def mixed() -> Any:
        return collect([kit.good.submit(1), kit.bad.submit(), kit.bad.submit()])

    state = end_of(world, good)
    assert (state.type, state.message) == (StateType.COMPLETED, "All states completed.")
    assert type(state.data) is collect
    assert sorted(each.result() for each in state.result()) == [1, 2]
    state = end_of(world, mixed)
    assert (state.type, state.message) == (StateType.FAILED, "2/3 states failed.")
    with pytest.raises(Broken):
        state.result()


def test_the_futures_of_a_map_are_aggregated(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return kit.good.map(range(3))

    state = end_of(world, body)
    assert state.message == "All states completed."
    assert state.data.__class__ is list
    assert [each.result() for each in state.data] == [0, 1, 2]


def test_futures_and_states_may_be_mixed(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return [kit.good.submit(1), await world.call(kit.good, return_state=True), Completed()]

    assert end_of(world, body).message == "All states completed."


@pytest.mark.parametrize(
    ("states", "kind", "message"),
    [
        ([Completed(), Completed()], StateType.COMPLETED, "All states completed."),
        ([Completed(), Failed()], StateType.FAILED, "1/2 states failed."),
        ([Crashed(), Failed(), Completed()], StateType.FAILED, "2/3 states failed."),
        ([Completed(), Cancelled(), Failed()], StateType.CANCELLED, "1/3 states cancelled."),
        ([Cancelled(), Paused()], StateType.CANCELLED, "1/2 states cancelled."),
        ([Completed(), Running(), Pending()], StateType.FAILED, "2/3 states are not final."),
    ],
    ids=str,
)
def test_states_are_aggregated_by_the_worst_of_them(
    world: World, states: list[State[Any]], kind: StateType, message: str
) -> None:
    async def body() -> Any:
        return states

    state = end_of(world, body)
    assert (state.type, state.message) == (kind, message)


def test_a_child_that_was_cancelled_cancels_the_flow_that_returns_it(world: World, kit: Kit) -> None:
    gate = world.gate()

    @world.task
    async def late() -> None:
        await gate.passed()

    async def body() -> Any:
        first = late.submit()
        second = kit.good.submit(wait_for=[first])
        second.cancel()
        gate.open()
        return [first, second]

    state = end_of(world, body)
    assert (state.type, state.message) == (StateType.CANCELLED, "1/2 states cancelled.")


def test_one_that_never_started_fails_the_flow_that_returns_it(world: World, kit: Kit) -> None:
    async def body() -> Any:
        failed = kit.bad.submit()
        return [kit.good.submit(failed), kit.good.submit(1)]

    state = end_of(world, body)
    assert (state.type, state.message) == (StateType.FAILED, "1/2 states are not final.")


def test_futures_among_other_data_become_states_and_decide_nothing(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return {"good": kit.good.submit(1), "bad": [kit.bad.submit(), 3]}

    state = end_of(world, body)
    assert state.is_completed()
    found = state.result()
    assert found["good"].result() == 1
    assert found["bad"][0].is_failed()
    assert found["bad"][1] == 3


def test_an_empty_list_is_data(world: World) -> None:
    async def body() -> Any:
        return []

    state = end_of(world, body)
    assert (state.type, state.message, state.result()) == (StateType.COMPLETED, None, [])


def test_quoted_states_are_data(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return quote([await world.call(kit.bad, return_state=True)])

    state = end_of(world, body)
    assert state.is_completed()
    assert state.result().unquote()[0].is_failed()


def test_quoted_futures_are_data(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return quote(kit.bad.submit())

    state = end_of(world, body)
    assert state.is_completed()
    assert isinstance(state.result().unquote(), Future)


def test_a_future_of_another_flow_is_waited_for(world: World) -> None:
    """A subflow returns a future of its parent's, which ends only after the subflow's own children."""
    gate = world.gate()

    class Box:
        def __init__(self, future: Any) -> None:
            self.future = future

    @world.task
    async def late() -> str:
        await gate.passed()
        return "here"

    @world.task
    def opener() -> None:
        gate.open()

    @world.flow
    async def inner(box: Box) -> Any:
        opener.submit()
        return box.future

    async def body() -> Any:
        state = await world.call(inner, Box(late.submit()), return_state=True)
        return state.message

    assert world.body(body) == "All states completed."


# None, and nobody looked.


def test_none_completes_the_run_where_nothing_was_started(world: World) -> None:
    async def body() -> None:
        pass

    state = end_of(world, body)
    assert (state.type, state.message) == (StateType.COMPLETED, None)
    assert world.body(body) is None


def test_none_completes_the_run_where_all_children_completed(world: World, kit: Kit) -> None:
    async def body() -> None:
        kit.good.submit()
        kit.good.map(range(3))
        await world.call(kit.good)

    assert end_of(world, body).is_completed()


def test_none_fails_the_run_where_a_child_failed_and_nobody_looked(world: World, kit: Kit) -> None:
    async def body() -> None:
        kit.good.submit()
        kit.bad.submit("the first")

    state = end_of(world, body)
    assert state.is_failed()
    assert state.message.startswith("1 of 2 runs failed and nobody looked at it; the first: bad-")
    assert state.message.endswith("Broken: the first")
    with pytest.raises(Broken, match="the first"):
        world.body(body)


def test_the_message_counts_the_failed(world: World, kit: Kit) -> None:
    async def body() -> None:
        kit.bad.map(["a", "b", "c"])
        kit.good.map(range(1_000))

    state = end_of(world, body)
    assert state.message.startswith("3 of 1,003 runs failed and nobody looked at them; the first: bad-")


@pytest.mark.parametrize("look", ["result", "exception", "state", "return_state", "waiting for it"])
def test_a_failure_that_somebody_looked_at_does_not_count(world: World, kit: Kit, look: str) -> None:
    async def body() -> None:
        if look == "return_state":
            await world.call(kit.bad, return_state=True)
            return
        future = kit.bad.submit()
        if look == "result":
            await world.error(future)
        elif look == "exception":
            await world.error(future)
            future.result(raise_on_failure=False)
        elif look == "state":
            await world.ended(future)
            assert future.state.is_failed()
        else:
            await world.ended(future)  # gives the state, in sync code by asking for it

    assert end_of(world, body).is_completed()


def test_the_state_alone_counts_as_looked_at(world: World, kit: Kit) -> None:
    async def body() -> None:
        future = kit.bad.submit()
        if world.async_flows:
            await future.wait_async()
        else:
            future.wait()
            assert future.state.is_failed()

    assert end_of(world, body).is_completed()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_waiting_in_sync_code_without_asking_for_the_state_is_not_looking(kind: str) -> None:
    def bad() -> None:
        raise Broken("as ever")

    async def abad() -> None:
        raise Broken("as ever")

    @flow
    def body() -> None:
        (task(bad) if kind == "sync" else task(abad)).submit().wait()

    assert body(return_state=True).is_failed()


def test_an_exception_of_a_direct_call_that_was_caught_counts_as_looked_at(world: World, kit: Kit) -> None:
    async def body() -> None:
        with pytest.raises(Broken):
            await world.call(kit.bad)

    assert end_of(world, body).is_completed()


@pytest.mark.parametrize("kind", ["task", "flow"])
def test_a_crash_of_a_direct_call_that_was_caught_counts_as_looked_at_too(world: World, kind: str) -> None:
    class Boom(BaseException):
        pass

    async def crashes() -> None:
        raise Boom

    called = getattr(world, kind)(crashes)

    @world.flow
    async def body() -> None:
        with suppress(Boom):
            await world.call(called)

    assert world.run(body, return_state=True).is_completed()


@pytest.mark.parametrize("kind", ["task", "flow"])
def test_a_crash_in_the_background_that_nobody_looked_at_counts(world: World, kind: str) -> None:
    class Boom(BaseException):
        pass

    async def crashes() -> None:
        raise Boom

    called = getattr(world, kind)(crashes)

    @world.flow
    async def body() -> None:
        called.submit() if kind == "task" else Engine.current().start(called)

    assert world.run(body, return_state=True).is_failed()


def test_a_run_that_used_the_exception_of_another_has_looked_at_it(world: World, kit: Kit) -> None:
    async def body() -> None:
        kit.good.submit(allow_failure(kit.bad.submit()))

    assert end_of(world, body).is_completed()


def test_with_other_data_than_none_unseen_failures_do_not_count(world: World, kit: Kit) -> None:
    async def body() -> Any:
        kit.bad.submit()
        return 0

    assert end_of(world, body).is_completed()


def test_a_subflow_that_failed_counts_as_a_child(world: World) -> None:
    @world.flow
    def inner() -> None:
        raise Broken("inside")

    async def looked() -> None:
        await world.call(inner, return_state=True)

    async def caught() -> None:
        with pytest.raises(Broken):
            await world.call(inner)

    async def not_caught() -> None:
        await world.call(inner)

    assert end_of(world, looked).is_completed()
    assert end_of(world, caught).is_completed()
    assert end_of(world, not_caught).is_failed()


def test_tasks_of_a_subflow_count_for_the_subflow_and_not_for_its_parent(world: World, kit: Kit) -> None:
    @world.flow
    async def inner() -> int:
        kit.bad.submit()
        return 1

    async def body() -> None:
        await world.call(inner)

    assert end_of(world, body).is_completed()


def test_a_task_that_a_task_started_counts_for_the_flow(world: World, kit: Kit) -> None:
    @world.task
    def parent() -> int:
        kit.bad.submit()
        return 1

    async def body() -> None:
        await world.result(parent.submit())

    state = end_of(world, body)
    assert state.is_failed()
    assert state.message.startswith("1 of 2 runs failed")


def test_runs_that_never_started_or_were_cancelled_do_not_count(world: World, kit: Kit) -> None:
    gate = world.gate()

    @world.task
    async def late() -> None:
        await gate.passed()

    async def body() -> None:
        failed = kit.bad.submit()
        kit.good.submit(failed)
        first = late.submit()
        kit.good.submit(wait_for=[first]).cancel()
        gate.open()
        await world.error(failed)

    assert end_of(world, body).is_completed()


# Structured: a flow ends when all that it started has ended.


def test_a_flow_ends_when_all_that_it_started_has_ended(world: World) -> None:
    gate = world.gate()
    seen: list[str] = []

    @world.task
    async def late(name: str) -> None:
        await gate.passed()
        seen.append(name)

    @world.task
    def opener() -> None:
        gate.open()

    async def body() -> None:
        late.submit("submitted")
        late.map(["mapped", "too"])
        seen.append("body")
        opener.submit()

    world.body(body)
    assert seen[0] == "body"
    assert sorted(seen[1:]) == ["mapped", "submitted", "too"]


def test_it_does_so_when_its_body_raised_too(world: World) -> None:
    gate = world.gate()
    seen: list[str] = []

    @world.task
    async def late() -> None:
        await gate.passed()
        seen.append("late")

    @world.task
    def opener() -> None:
        gate.open()

    async def body() -> None:
        late.submit()
        opener.submit()
        raise Broken("as ever")

    assert end_of(world, body).is_failed()
    assert seen == ["late"]


def test_it_waits_for_what_its_tasks_started_too(world: World) -> None:
    gate = world.gate()
    seen: list[str] = []

    @world.task
    async def late() -> None:
        await gate.passed()
        seen.append("late")

    @world.task
    def parent() -> None:
        late.submit()
        gate.open()

    async def body() -> None:
        parent.submit()

    world.body(body)
    assert seen == ["late"]


def test_no_run_is_left_pending(world: World, kit: Kit) -> None:
    futures: list[Any] = []

    async def body() -> None:
        first = kit.good.map(range(20))
        second = kit.good.map(first)
        futures.extend([*first, *second, kit.good.submit(second)])

    world.body(body)
    assert {future.state.type for future in futures} == {StateType.COMPLETED}


# Runs of tasks make states of what they return by the same rules.


def test_a_task_that_returns_states_is_aggregated(world: World, kit: Kit) -> None:
    @world.task
    def states() -> Any:
        return [Completed(), Failed()]

    async def body() -> Any:
        return quote(await world.ended(states.submit()))

    state = world.body(body).unquote()
    assert (state.type, state.message) == (StateType.FAILED, "1/2 states failed.")


def test_a_task_that_returns_a_state_made_by_hand_ends_in_it(world: World) -> None:
    @world.task
    def skip() -> Any:
        return Completed(name="Skipped", message="nothing to do", data=[])

    async def body() -> Any:
        state = await world.call(skip, return_state=True)
        return (state.name, state.message, state.result())

    assert world.body(body) == ("Skipped", "nothing to do", [])


def test_a_returned_list_that_raises_when_it_is_looked_into_ends_its_run(world: World) -> None:
    """Found by hand: the run was never told how it ended, and went on for ever."""

    class Hostile(list[Any]):
        def __len__(self) -> int:
            raise LookupError("not my day")

        __bool__ = __len__

    given = Hostile([1])

    @world.task
    def hostile() -> Any:
        return given

    async def body() -> Any:
        future = hostile.submit()
        assert (await world.ended(future)).is_completed()
        return quote(await world.result(future))

    assert world.body(body).unwrap() is given


def test_a_generator_that_a_task_returns_becomes_a_list() -> None:
    @task
    def generate() -> Any:
        return (each for each in range(3))

    @flow
    def body() -> Any:
        return generate()

    assert body() == [0, 1, 2]


def test_return_state_gives_the_final_state_and_raises_nothing(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return quote(
            [
                await world.call(kit.bad, return_state=True),
                await world.call(kit.good, 3, return_state=True),
            ]
        )

    bad, good = world.body(body).unquote()
    assert bad.is_failed()
    assert good.result() == 3


def test_in_sync_code_submit_may_give_the_final_state() -> None:
    @task
    def bad() -> None:
        raise Broken("as ever")

    @flow
    def body() -> None:
        state = bad.submit(return_state=True)
        assert state.is_failed()

    assert body(return_state=True).is_completed()
