"""The supervisor: its account of the children, how it spreads an end, and how it judges the flow's final state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from millrace.actors.errors import Abort, RestartLimitExceeded, TerminationSignal
from millrace.actors.instructions import EXECUTE, IDLE, JOIN, SETTLE, STOP_CHILDREN, Judge, Notify, WakeAt
from millrace.actors.messages import (
    Admit,
    Born,
    Cancel,
    ChildCrashed,
    ChildEnded,
    ChildrenDropped,
    ChildSeen,
    Interrupt,
    Propose,
    Raised,
    Returned,
    Spawned,
    Stopped,
    Unwatch,
    UpstreamEnded,
    Watch,
)
from millrace.actors.policies import CrashPolicy, RestartWindow, RetryPolicy
from millrace.actors.states import (
    TERMINAL,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    State,
    StateType,
)
from tests.actors.runs import (
    Flow,
    Outside,
    TaskRun,
    at,
    bring_flow_to,
    bring_task_run_to,
    child_of,
    end_child,
    moment,
    pending_flow,
    propose,
    running_flow,
    task_run,
)

pytestmark = pytest.mark.usefixtures("surroundings")


def account(flow: Flow) -> tuple[int, int, list[int], dict[str, int]]:
    """How many were ever started, how many live, the keys of those that are there, and how the others ended."""
    keys = [child.key for child in flow.children.values() if isinstance(child, TaskRun)]
    return flow.spawned, flow.live, keys, {str(kind): count for kind, count in flow.tally.items()}


# The flow's own way.


def test_a_flow_run_admits_children_from_its_admission_to_its_end() -> None:
    flow = pending_flow()
    assert not flow.admits

    assert flow.ask(Admit(at(1))) is EXECUTE
    assert flow.admits
    assert flow.type is StateType.RUNNING

    assert flow.ask(Returned("planks", at(3))) is SETTLE
    assert not flow.admits
    assert (flow.type, flow.ended, flow.state.result()) == (StateType.COMPLETED, at(3), "planks")


@pytest.mark.parametrize("outcome", [Returned("planks", at(3)), Raised(ValueError("flood"), at(3))], ids=repr)
def test_a_flow_whose_body_has_ended_waits_for_what_was_started_meanwhile(outcome: Any) -> None:
    flow = running_flow()
    late = child_of(flow)

    assert flow.ask(outcome) is JOIN
    assert (flow.type, flow.admits) == (StateType.RUNNING, True)

    end_child(flow, late)
    assert flow.ask(outcome) is SETTLE


def test_a_flow_that_is_cancelled_between_two_attempts_waits_for_what_was_started_meanwhile() -> None:
    flow = running_flow()
    flow.retry = RetryPolicy(retries=1, delays=(60.0,))
    assert isinstance(flow.ask(Raised(ValueError("flood"), at(3))), WakeAt)
    late = child_of(flow)  # by code that the body has left behind

    assert flow.ask(Cancel("enough", at(4))) is STOP_CHILDREN
    cancelled = Raised(asyncio.CancelledError(), at(5), cancelled=True)
    assert flow.ask(cancelled) is JOIN
    assert not flow.ended

    assert late.ask(Cancel("enough", at(4))) is SETTLE
    flow.tell(ChildEnded(late))
    assert flow.ask(cancelled) is SETTLE
    assert (flow.type, flow.live) == (StateType.CANCELLED, 0)


def test_what_is_started_while_the_end_of_the_body_waits_in_line_is_waited_for() -> None:
    flow = running_flow()
    assert flow._take_turn()  # another thread has something handled
    flow.tell(Returned("planks", at(3)))
    flow.tell(Spawned(1, (late := task_run(flow),)))
    flow._turn = None
    flow.tell(Unwatch(object()))  # whoever comes next sees to what waits

    assert flow.orders == [JOIN]
    assert (flow.type, flow.live) == (StateType.RUNNING, 1)

    end_child(flow, late)
    assert flow.ask(Returned("planks", at(3))) is SETTLE


def test_what_comes_after_the_end_is_stopped() -> None:
    flow = running_flow()
    assert flow.ask(Returned("planks", at(3))) is SETTLE
    counted, made = task_run(flow, number=1), task_run(flow, number=2)

    assert flow.ask(Spawned(1, (counted,))) is STOP_CHILDREN
    assert flow.ask(Spawned(1)) is STOP_CHILDREN
    assert flow.ask(Born((made,))) is STOP_CHILDREN
    assert flow.children == {counted.id: counted, made.id: made}


def test_a_flow_whose_coroutine_was_closed_waits_for_nothing() -> None:
    flow = running_flow()
    child_of(flow)

    assert flow.ask(Raised(GeneratorExit(), at(3))) is SETTLE


def test_a_flow_run_that_raises_fails() -> None:
    flow = running_flow()
    error = ValueError("flood")

    assert flow.ask(Stopped(Failed(data=error), at(1))) is SETTLE
    assert (flow.type, flow.state.data) == (StateType.FAILED, error)


def test_a_flow_run_whose_body_raises_says_what_was_raised() -> None:
    flow = running_flow()
    error = ValueError("flood")

    assert flow.ask(Raised(error, at(1))) is SETTLE
    assert str(flow.state) == "Failed('ValueError: flood')"
    assert flow.state.data is error


def test_a_flow_run_whose_body_exits_crashes() -> None:
    flow = running_flow()

    assert flow.ask(Raised(SystemExit(1), at(1))) is SETTLE
    assert flow.type is StateType.CRASHED


def test_a_flow_run_that_is_interrupted_crashes() -> None:
    flow = running_flow()
    flow.tell(Interrupt("the lights went out", at(1)))

    assert flow.ask(Stopped(Crashed(message="cut off"), at(2), interrupted=True)) is SETTLE
    assert str(flow.state) == "Crashed('cut off')"


@pytest.mark.parametrize("kind", sorted(TERMINAL))
@pytest.mark.parametrize(
    "late",
    [Returned("chips", at(5)), Raised(ValueError(), at(5)), Stopped(Failed(), at(5))],
    ids=["value", "exception", "failure"],
)
def test_what_a_body_comes_to_after_the_end_is_a_dead_letter(kind: StateType, late: Any) -> None:
    flow = bring_flow_to(kind)
    state = flow.state

    assert flow.ask(late) is None
    assert flow.dead_letters == 1
    assert flow.state == state


def test_the_scope_outside_of_flows_gives_its_children_no_flow_id() -> None:
    child = child_of(running_flow(kind=Outside))

    assert child.state.state_details.flow_run_id is None
    assert child.state.state_details.task_run_id == child.uuid


# The account of the children.


def test_children_are_counted_when_they_start_and_when_they_end() -> None:
    flow = running_flow()
    first, second = child_of(flow, 1), child_of(flow, 2)
    assert account(flow) == (2, 2, [0, 1], {})

    end_child(flow, first)
    assert account(flow) == (2, 1, [1], {"COMPLETED": 1})

    end_child(flow, second, Failed())
    assert account(flow) == (2, 0, [], {"COMPLETED": 1, "FAILED": 1})


def test_a_whole_map_is_counted_at_once_and_its_children_are_known_when_they_are_made() -> None:
    flow = running_flow()
    flow.tell(Spawned(3))
    assert account(flow) == (3, 3, [], {})

    made = [task_run(flow, number=number) for number in (1, 2)]
    flow.tell(Born(tuple(made)))
    assert account(flow) == (3, 3, [0, 1], {})

    for child in made:
        end_child(flow, child)
    assert account(flow) == (3, 1, [], {"COMPLETED": 2})


def test_a_child_that_ended_before_its_birth_was_told_is_not_kept() -> None:
    """Somebody cancels it as soon as they see it, before the map has told of it."""
    flow = running_flow()
    flow.tell(Spawned(2))
    child = task_run(flow)
    child.tell(Cancel("enough", at(1)))
    flow.tell(ChildEnded(child))

    flow.tell(Born((child,)))

    assert account(flow) == (2, 1, [], {"CANCELLED": 1})


def test_a_run_that_has_the_id_of_one_whose_end_is_told_late_is_kept() -> None:
    """1. A run ends, and who waits for it is told. 2. They have it run again. 3. The flow is told of the end."""
    flow = running_flow()
    first = child_of(flow)
    again = child_of(flow)
    assert first.id == again.id

    end_child(flow, first)
    assert flow.children == {again.id: again}

    end_child(flow, again)
    assert (flow.children, flow.live) == ({}, 0)


def test_children_that_are_dropped_count_as_cancelled() -> None:
    flow = running_flow()
    flow.tell(Spawned(1000))

    flow.tell(ChildrenDropped(998))
    assert account(flow) == (1000, 2, [], {"CANCELLED": 998})


def test_idle_is_said_when_the_last_child_has_ended_and_not_before() -> None:
    flow = running_flow()
    children = [child_of(flow, number) for number in range(1, 4)]

    said: list[int] = []
    for count, child in enumerate(children, start=1):
        end_child(flow, child)
        said += [count] * (IDLE in flow.orders)
        flow.orders.clear()
    assert said == [3]


def test_idle_is_said_when_the_last_children_are_dropped() -> None:
    flow = running_flow()
    flow.tell(Spawned(3))

    assert flow.ask(ChildrenDropped(2)) is None
    assert flow.ask(ChildrenDropped(1)) is IDLE


def test_idle_is_said_each_time_the_last_child_has_ended() -> None:
    flow = running_flow()
    for number in (1, 2):
        end_child(flow, child_of(flow, number))

    assert flow.orders == [IDLE, IDLE]


def test_children_are_shown_by_state_without_zeros() -> None:
    flow = running_flow()
    flow.tell(Spawned(10))
    waits, runs, cancelling = (task_run(flow, number=number) for number in (1, 2, 3))
    flow.tell(Born((waits, runs, cancelling)))
    runs.tell(Admit(at(1)))
    cancelling.tell(Admit(at(1)))
    cancelling.tell(Cancel("enough", at(1)))
    for number, state in enumerate([None, Failed(), Failed(), Crashed()], start=4):
        child = task_run(flow, number=number)
        flow.tell(Born((child,)))
        end_child(flow, child, state)
    flow.tell(ChildrenDropped(1))

    assert flow.counts() == {
        "completed": 1,
        "failed": 2,
        "crashed": 1,
        "cancelled": 1,
        "pending": 3,  # one that was made, and two that were not
        "running": 1,
        "cancelling": 1,
    }
    assert sum(flow.counts().values()) == flow.spawned


def test_the_account_of_a_task_counts_what_did_not_complete() -> None:
    flow = running_flow()
    children = [child_of(flow, number) for number in range(1, 6)]
    for child in children[1:]:
        child.node = children[0].node
    for child, state in zip(children, [None, Failed(), Failed(), Crashed()], strict=False):
        end_child(flow, child, state)
    children[4].tell(Cancel("enough", at(1)))
    flow.tell(ChildEnded(children[4]))

    assert children[0].node.setbacks == {StateType.FAILED: 2, StateType.CRASHED: 1, StateType.CANCELLED: 1}


def test_a_flow_run_without_children_shows_none() -> None:
    assert running_flow().counts() == {}


# The final state.


def test_a_flow_that_returns_nothing_fails_if_a_child_failed_and_nobody_looked_at_it() -> None:
    flow = running_flow()
    error = ValueError("knot")
    end_child(flow, child_of(flow, 1), Failed(data=error))
    end_child(flow, child_of(flow, 2))

    flow.tell(Returned(None, at(3)))

    assert flow.type is StateType.FAILED
    assert flow.state.message == ("1 of 2 runs failed and nobody looked at it; the first: carve-001, ValueError: knot")
    with pytest.raises(ValueError, match=r"^knot$") as caught:
        flow.state.result()
    assert caught.value is error


def test_the_message_counts_the_failed_and_names_the_first_that_ended() -> None:
    flow = running_flow()
    flow.tell(Spawned(1200))
    first, second = task_run(flow, number=9), task_run(flow, number=4)
    end_child(flow, first, Crashed(message="axe broke"))
    end_child(flow, second, Failed(data=ValueError("knot")))
    flow.tell(ChildrenDropped(1198))

    flow.tell(Returned(None, at(3)))

    assert flow.state.message == (
        "2 of 1,200 runs failed and nobody looked at them; the first: carve-009, Crashed('axe broke')"
    )
    assert flow.state.data == first.state


def test_what_the_first_one_says_may_be_impossible_to_say() -> None:
    """Found by hand: the flow run was never told how it ended, and went on for ever."""

    class Hidden(Exception):
        def __str__(self) -> str:
            raise LookupError

    flow = running_flow()
    end_child(flow, child_of(flow, 1), Failed(data=Hidden()))

    flow.tell(Returned(None, at(3)))

    assert str(flow.state.message).endswith("the first: carve-001, Hidden (its text cannot be shown)")


@pytest.mark.parametrize(
    ("failed", "shown"),
    [
        (Failed(data=ValueError("knot\nin line two")), "ValueError: knot"),
        (Failed(data=ValueError()), "ValueError"),
        (Failed(data=ValueError("k" * 500)), "ValueError: " + "k" * 187 + "…"),
        (Failed(message="no wood"), "Failed('no wood')"),
        (Failed(), "Failed()"),
        (Failed(name="TimedOut"), "TimedOut(type=FAILED)"),
    ],
    ids=["several lines", "no text", "long", "message", "nothing", "name"],
)
def test_what_the_first_one_says_fits_into_one_line(failed: State[Any], shown: str) -> None:
    flow = running_flow()
    end_child(flow, child_of(flow), failed)

    flow.tell(Returned(None, at(3)))

    assert flow.state.message == f"1 of 1 runs failed and nobody looked at it; the first: carve-001, {shown}"


@pytest.mark.parametrize("state", [Failed(), Crashed()], ids=["failed", "crashed"])
def test_a_failure_that_was_looked_at_after_its_end_does_not_count(state: State[Any]) -> None:
    flow = running_flow()
    child = child_of(flow)
    end_child(flow, child, state)
    assert list(flow.unseen.values()) == [child]

    child.looked_at = True
    flow.tell(ChildSeen(child))
    flow.tell(Returned(None, at(3)))

    assert flow.type is StateType.COMPLETED


def test_a_failure_that_was_looked_at_before_its_end_was_told_does_not_count() -> None:
    flow = running_flow()
    child = child_of(flow)
    child.ask(Admit(at(1)))
    child.ask(Stopped(Failed(), at(1)))
    child.looked_at = True
    flow.tell(ChildSeen(child))

    flow.tell(ChildEnded(child))
    flow.tell(Returned(None, at(3)))

    assert flow.type is StateType.COMPLETED


def test_of_several_failures_each_has_to_be_looked_at() -> None:
    flow = running_flow()
    children = [child_of(flow, number) for number in (1, 2)]
    for child in children:
        end_child(flow, child, Failed())
    flow.tell(ChildSeen(children[0]))

    flow.tell(Returned(None, at(3)))

    assert flow.state.message == "1 of 2 runs failed and nobody looked at it; the first: carve-002, Failed()"


def test_a_flow_that_returns_data_is_completed_whatever_its_children_came_to() -> None:
    flow = running_flow()
    end_child(flow, child_of(flow), Failed())

    flow.tell(Returned(0, at(3)))

    assert flow.type is StateType.COMPLETED
    assert flow.state.result() == 0


def test_children_that_were_cancelled_or_not_ready_do_not_make_a_flow_fail() -> None:
    flow = running_flow()
    cancelled = child_of(flow, 1)
    cancelled.tell(Cancel("enough", at(1)))
    flow.tell(ChildEnded(cancelled))
    unready = task_run(flow, number=2, unready=1)
    flow.tell(Spawned(1, (unready,)))
    unready.tell(UpstreamEnded(good=False, name="fell-001", state=Failed(), at=at(2)))
    flow.tell(ChildEnded(unready))

    flow.tell(Returned(None, at(3)))

    assert flow.type is StateType.COMPLETED
    assert flow.live == 0


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["COMPLETED", "COMPLETED"], "Completed('All states completed.')"),
        (["COMPLETED", "FAILED", "CRASHED"], "Failed('2/3 states failed.')"),
        (["COMPLETED", "CANCELLED", "FAILED"], "Cancelled('1/3 states cancelled.')"),
    ],
)
@pytest.mark.parametrize("collect", [list, tuple, set])
def test_states_that_are_returned_are_judged_as_one(
    kinds: list[str], expected: str, collect: Callable[[list[State[Any]]], Any]
) -> None:
    flow = running_flow()
    states: list[State[Any]] = []
    for number, kind in enumerate(kinds, start=1):
        states.append(bring_task_run_to(StateType(kind), number=number).state)

    flow.tell(Returned(collect(states), at(3)))

    assert str(flow.state) == expected


def test_a_state_made_by_hand_and_returned_decides_against_what_the_children_came_to() -> None:
    flow = running_flow()
    end_child(flow, child_of(flow), Failed())

    flow.tell(Returned(Completed(message="good enough"), at(3)))

    assert str(flow.state) == "Completed('good enough')"


@pytest.mark.parametrize(
    "state",
    [Running(), Pending(), Paused(), Cancelling()],
    ids=["Running", "Pending", "Paused", "Cancelling"],
)
def test_a_returned_state_that_is_not_final_fails_the_flow(state: State[Any]) -> None:
    flow = running_flow()

    assert flow.ask(Returned(state, at(3))) is SETTLE
    assert str(flow.state) == f"Failed({f'The flow returned {state}, which is not final.'!r})"


def test_a_returned_state_of_a_run_that_goes_on_fails_the_flow() -> None:
    flow = running_flow()

    flow.tell(Returned([bring_task_run_to(StateType.RUNNING).state], at(3)))

    assert str(flow.state) == "Failed('1/1 states are not final.')"


def test_the_end_of_a_body_ends_its_run_whatever_was_proposed_meanwhile() -> None:
    flow = running_flow()
    propose(flow, Paused())

    assert flow.ask(Returned("planks", at(6))) is SETTLE
    assert flow.state.result() == "planks"
    assert not flow.admits


def test_a_returned_state_with_a_transition_id_that_set_another_state_ends_the_flow() -> None:
    """Found by reading: the flow run ended in the earlier state, which was RUNNING."""
    flow = running_flow()
    details = {"transition_id": "00000000-0000-0000-0000-00000000004d"}
    propose(flow, Running(state_details=details))

    assert flow.ask(Returned(Completed(state_details=details), at(6))) is SETTLE
    assert flow.type is StateType.COMPLETED


def test_what_nobody_looked_at_is_let_go_of_at_the_end() -> None:
    flow = running_flow()
    end_child(flow, child_of(flow), Failed())
    flow.tell(Returned(None, at(3)))

    assert flow.unseen == {}


def test_outside_of_flows_failures_are_not_kept_as_nobody_judges_them() -> None:
    """Found by reading: the engine's own scope never ends, and kept every failed run for ever."""
    outside = running_flow(kind=Outside)
    end_child(outside, child_of(outside), Failed())

    assert outside.unseen == {}
    assert outside.tally == {StateType.FAILED: 1}


# Cancellation.


def test_a_cancellation_is_spread_to_the_children_and_ends_the_run_when_the_body_has_ended() -> None:
    flow = running_flow()
    child_of(flow)

    assert flow.ask(Cancel("enough", at(1))) is STOP_CHILDREN
    assert str(flow.state) == "Cancelling('enough')"
    assert (flow.admits, flow.stopping, flow.done) == (False, "enough", False)
    assert flow.ask(Stopped(Crashed(), at(2), interrupted=True)) is SETTLE
    assert flow.type is StateType.CANCELLED


@pytest.mark.parametrize(
    "outcome",
    [
        Returned("planks", at(3)),
        Returned(None, at(3)),
        Returned(Failed(), at(3)),
        Raised(ValueError(), at(3)),
        Raised(GeneratorExit(), at(3), cancelled=True),
        Stopped(Failed(), at(3)),
        Stopped(Crashed(), at(3), interrupted=True),
    ],
    ids=["value", "nothing", "state", "exception", "cancellation", "failure", "interrupt"],
)
def test_whatever_a_cancelled_body_comes_to_its_run_is_cancelled(outcome: Any) -> None:
    flow = running_flow()
    end_child(flow, child_of(flow), Failed())
    flow.tell(Cancel("enough", at(1)))

    assert flow.ask(outcome) is SETTLE
    assert flow.type is StateType.CANCELLED


def test_a_crash_while_it_is_cancelled_is_a_crash() -> None:
    flow = running_flow()
    flow.tell(Cancel("enough", at(1)))

    flow.tell(Raised(SystemExit(1), at(2)))

    assert flow.type is StateType.CRASHED


def test_children_that_start_while_it_is_being_stopped_are_stopped_too() -> None:
    flow = running_flow()
    flow.tell(Spawned(1))
    flow.tell(Cancel("enough", at(1)))

    assert flow.ask(Spawned(1, (task_run(flow),))) is STOP_CHILDREN
    assert flow.ask(Born((task_run(flow, number=2),))) is STOP_CHILDREN
    assert account(flow) == (2, 2, [0, 1], {})


def test_a_run_is_cancelled_once() -> None:
    flow = running_flow()
    flow.tell(Cancel("enough", at(1)))

    assert flow.ask(Cancel("really", at(2))) is None
    assert flow.stopping == "enough"


@pytest.mark.parametrize("kind", sorted(TERMINAL))
@pytest.mark.parametrize("message", [Cancel("late", at(5)), Interrupt("late", at(5))], ids=["cancel", "interrupt"])
def test_after_the_end_there_is_nothing_to_stop(kind: StateType, message: Any) -> None:
    flow = bring_flow_to(kind)
    state, stopping = flow.state, flow.stopping

    assert flow.ask(message) is None
    assert (flow.state, flow.stopping) == (state, stopping)


def test_a_run_that_is_cancelled_before_its_admission_is_not_admitted() -> None:
    flow = pending_flow()
    flow.tell(Cancel("enough", at(1)))

    assert flow.ask(Admit(at(2))) is None
    assert flow.type is StateType.CANCELLING


def test_a_paused_run_can_be_cancelled() -> None:
    flow = running_flow()
    propose(flow, Paused())

    assert flow.ask(Cancel("enough", at(6))) is STOP_CHILDREN
    assert flow.type is StateType.CANCELLING


def test_a_cancelling_state_from_outside_cancels_the_run() -> None:
    flow = running_flow()

    propose(flow, Cancelling(message="enough"))
    propose(flow, Cancelling(message="really"))

    assert flow.orders == [STOP_CHILDREN]
    assert flow.stopping == "enough"


def test_a_cancelling_state_without_a_message_gives_the_children_a_reason_too() -> None:
    flow = running_flow()

    propose(flow, Cancelling())

    assert flow.stopping == "no reason was given"


@pytest.mark.parametrize("message", [Cancel("", at(1)), Interrupt("", at(1))], ids=["cancel", "interrupt"])
def test_a_run_that_is_stopped_for_no_reason_is_stopped_all_the_same(message: Any) -> None:
    """Found by reading: the reason is also the fact, and children that started later were not stopped."""
    flow = running_flow()

    flow.tell(message)

    assert flow.stopping == "no reason was given"
    assert flow.ask(Spawned(1)) is STOP_CHILDREN


def test_a_run_that_was_forced_to_its_end_is_stopped_without_leaving_that_state() -> None:
    """Found by the invariant: from a terminal state nothing goes to CANCELLING."""
    flow = running_flow()
    propose(flow, Completed(), force=True)

    assert flow.ask(Cancel("enough", at(6))) is STOP_CHILDREN
    assert (flow.type, flow.stopping) == (StateType.COMPLETED, "enough")


# Interrupts.


def test_an_interrupt_stops_the_children_and_leaves_the_state_to_what_the_body_comes_to() -> None:
    flow = running_flow()

    assert flow.ask(Interrupt("the lights went out", at(1))) is STOP_CHILDREN
    assert (flow.type, flow.admits) == (StateType.RUNNING, False)
    assert flow.standing == "being stopped: the lights went out"
    assert flow.ask(Spawned(1)) is STOP_CHILDREN


def test_an_interrupt_keeps_the_first_reason() -> None:
    flow = running_flow()
    flow.tell(Cancel("enough", at(1)))

    assert flow.ask(Interrupt("the lights went out", at(2))) is STOP_CHILDREN
    assert flow.stopping == "enough"


def test_after_an_interrupt_nothing_is_admitted_whatever_is_proposed() -> None:
    flow = running_flow()
    flow.tell(Interrupt("the lights went out", at(1)))

    propose(flow, Paused())
    propose(flow, Running())

    assert not flow.admits


def test_a_run_that_is_interrupted_before_its_admission_admits_no_child() -> None:
    flow = pending_flow()
    flow.tell(Interrupt("the lights went out", at(1)))
    flow.tell(Admit(at(2)))

    assert not flow.admits


# Pauses.


def test_a_paused_flow_admits_nothing_until_it_runs_again() -> None:
    flow = running_flow()

    propose(flow, Paused())
    assert (flow.admits, flow.paused, flow.standing) == (False, True, "PAUSED")

    propose(flow, Running())
    assert (flow.admits, flow.paused) == (True, False)


def test_what_is_proposed_does_not_end_the_run_before_its_body_ends() -> None:
    flow = running_flow()
    orders = len(flow.orders)

    propose(flow, Scheduled(scheduled_time=moment(9)))
    propose(flow, Cancelled(), force=True)

    assert len(flow.orders) == orders
    assert not flow.done


# Watchers.


def test_who_watches_is_there_at_the_end_and_who_comes_after_it_is_told_at_once() -> None:
    flow = running_flow()
    early, gone, late = object(), object(), object()
    flow.tell(Watch(early))
    flow.tell(Watch(gone))
    flow.tell(Unwatch(gone))
    flow.tell(Returned("planks", at(2)))

    assert flow.watchers == [early]
    order = flow.ask(Watch(late))
    assert isinstance(order, Notify)
    assert order.watcher is late
    assert flow.watchers == [early]


def test_where_nobody_watches_there_is_nobody_to_take_back() -> None:
    flow = running_flow()

    flow.tell(Unwatch(object()))

    assert flow.watchers is None


# Crashes of children.


def policy_of(flow: Flow, **options: Any) -> Flow:
    """The same flow, under a policy that restarts."""
    flow.crash_policy = CrashPolicy(restart="task", **options)
    flow.window = RestartWindow(flow.crash_policy)
    return flow


def crash_for_good(flow: Flow) -> None:
    """A child crashes, and the policy has it stand."""
    child = child_of(flow)
    child.ask(Admit(at(1)))
    crash(flow, child)
    child.ask(Stopped(Crashed(message="axe broke"), at(2)))
    flow.tell(ChildEnded(child))


def crash(flow: Flow, child: TaskRun, seconds: float = 2) -> Judge:
    """Have a child crash and its supervisor judge that."""
    order = flow.ask(ChildCrashed(child, Crashed(message="axe broke"), at(seconds)))
    assert isinstance(order, Judge)
    assert (order.child, str(order.state), order.at) == (child, "Crashed('axe broke')", at(seconds))
    return order


def verdicts(flow: Flow, times: list[float]) -> list[bool]:
    """Whether a child that crashes at these times is restarted, each time."""
    child = child_of(flow)
    return [crash(flow, child, each).restart for each in times]


@pytest.mark.parametrize("intensity", range(6))
def test_crashes_within_the_intensity_are_restarted_and_one_more_escalates(intensity: int) -> None:
    flow = policy_of(running_flow(), max_restarts=intensity, within_seconds=60)

    assert verdicts(flow, [2.0] * (intensity + 2)) == [True] * intensity + [False, False]
    assert flow.escalated is not None


def test_the_crashes_of_all_children_count_together() -> None:
    flow = policy_of(running_flow(), max_restarts=2)
    children = [child_of(flow, number) for number in (1, 2, 3)]

    assert [crash(flow, child).restart for child in children] == [True, True, False]


def test_each_flow_run_counts_for_itself() -> None:
    for _ in range(3):
        assert verdicts(policy_of(running_flow()), [2]) == [True]


@pytest.mark.parametrize("then", ["fail", "cancel_siblings"])
def test_too_many_crashes_make_the_flow_fail_whatever_its_body_returns(then: Any) -> None:
    flow = policy_of(running_flow(), max_restarts=0, then=then)
    crash_for_good(flow)

    assert flow.ask(Returned("planks", at(5))) is SETTLE
    assert flow.type is StateType.FAILED
    assert isinstance(flow.state.data, RestartLimitExceeded)
    assert flow.state.message == (
        "RestartLimitExceeded: Task run 'carve-001' crashed and was not restarted: its flow run allows 0 restarts "
        "within 5 seconds. The crash: Crashed('axe broke')"
    )


def test_what_the_body_raises_is_said_first() -> None:
    flow = policy_of(running_flow(), max_restarts=0)
    crash_for_good(flow)

    flow.ask(Raised(ValueError("flood"), at(5)))

    assert str(flow.state) == "Failed('ValueError: flood')"


def test_the_siblings_go_on_where_the_policy_says_no_more() -> None:
    flow = policy_of(running_flow(), max_restarts=0)

    assert not crash(flow, child_of(flow)).stop_siblings
    assert (flow.admits, flow.stopping) == (True, "")
    assert flow.ask(Spawned(1, (task_run(flow, number=2),))) is None


def test_the_siblings_are_cancelled_where_the_policy_says_so_and_no_other_is_started() -> None:
    flow = policy_of(running_flow(), max_restarts=0, then="cancel_siblings")

    assert crash(flow, child_of(flow)).stop_siblings
    assert (flow.admits, flow.type) == (False, StateType.RUNNING)
    assert flow.stopping == str(flow.escalated)
    assert flow.ask(Spawned(1, (task_run(flow, number=2),))) is STOP_CHILDREN


def test_the_siblings_are_cancelled_once() -> None:
    flow = policy_of(running_flow(), max_restarts=0, then="cancel_siblings")
    first, second = child_of(flow, 1), child_of(flow, 2)
    crash(flow, first)
    escalated = flow.escalated

    assert not crash(flow, second).stop_siblings
    assert flow.escalated is escalated


@pytest.mark.parametrize("end", [Cancel("enough", at(1)), Interrupt("lights out", at(1))], ids=["cancel", "interrupt"])
def test_a_flow_that_is_being_stopped_restarts_nothing(end: Any) -> None:
    flow = policy_of(running_flow(), max_restarts=9)
    child = child_of(flow)
    flow.ask(end)

    assert not crash(flow, child).restart
    assert flow.escalated is None


def test_a_flow_run_that_has_ended_restarts_nothing() -> None:
    flow = policy_of(bring_flow_to(StateType.COMPLETED), max_restarts=9)

    assert not crash(flow, task_run(flow)).restart


def test_a_cancelled_flow_is_cancelled_also_where_crashes_were_too_many() -> None:
    flow = policy_of(running_flow(), max_restarts=0)
    crash_for_good(flow)
    flow.ask(Cancel("enough", at(3)))

    flow.ask(Returned(None, at(4)))

    assert flow.type is StateType.CANCELLED


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TerminationSignal(15), Abort("no"), GeneratorExit()], ids=repr)
def test_what_is_meant_for_the_whole_program_is_not_asked_about(error: BaseException) -> None:
    flow = policy_of(running_flow())

    assert not flow.restarts_after(Crashed(data=error))
    assert flow.restarts_after(Crashed(data=SystemExit(1)))
    assert not running_flow().restarts_after(Crashed(data=SystemExit(1)))


def test_a_crash_that_comes_while_the_supervisor_is_busy_is_judged_afterwards() -> None:
    flow = policy_of(running_flow())
    child = child_of(flow)

    def reply(_verdict: Any) -> None:
        flow.tell(ChildCrashed(child, Crashed(), at(2)))
        assert flow.orders == []

    flow.tell(Propose(Pending(), at(2), reply=reply))

    (order,) = flow.orders
    assert isinstance(order, Judge)
    assert (order.child, order.restart) == (child, True)
