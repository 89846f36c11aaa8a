"""The task-run actor: the way of an attempt, retries, dependencies, and a cancellation at each point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from millrace.actors.instructions import EXECUTE, PARK, READY, SETTLE, STOP_ATTEMPT, Notify, WakeAt
from millrace.actors.messages import Admit, Cancel, Propose, Raised, Returned, Stopped, Unwatch, UpstreamEnded, Watch
from millrace.actors.outcomes import aggregate
from millrace.actors.states import (
    TERMINAL,
    Cancelled,
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
from millrace.actors.verdicts import Answer, Verdict
from tests.actors.runs import SECOND, TaskRun, at, bring_task_run_to, moment, propose, running_flow, task_run

pytestmark = pytest.mark.usefixtures("surroundings")


def good(name: str = "fell-001", seconds: float = 2) -> UpstreamEnded:
    return UpstreamEnded(good=True, name=name, state=Completed(), at=at(seconds))


def bad(state: State[Any], name: str = "fell-001", seconds: float = 2) -> UpstreamEnded:
    return UpstreamEnded(good=False, name=name, state=state, at=at(seconds))


def steps(run: Any) -> list[str]:
    return [str(state) for state in run.history()]


def while_busy(run: TaskRun, act: Callable[[], None]) -> None:
    """Do something while the run has another message in hand: the answer to a proposal that is refused."""

    def reply(verdict: Verdict) -> None:
        assert verdict.answer is Answer.ABORT
        act()

    run.tell(Propose(Pending(), at(2), reply=reply))


# The ordinary way.


def test_a_run_begins_pending_is_admitted_and_ends_completed_with_its_value() -> None:
    run = task_run()
    assert (run.type, run.done, run.run_count) == (StateType.PENDING, False, 0)

    assert run.ask(Admit(at(1))) is EXECUTE
    assert (run.type, run.done, run.run_count) == (StateType.RUNNING, False, 1)

    assert run.ask(Returned("plank", at(3))) is SETTLE
    assert (run.type, run.done, run.run_count) == (StateType.COMPLETED, True, 1)
    assert run.state.result() == "plank"


def test_a_run_knows_when_it_was_made_when_it_began_when_it_ended_and_how_long_it_ran() -> None:
    run = task_run()
    run.ask(Admit(at(1)))
    run.ask(Returned("plank", at(3.5)))

    assert (run.created, run.started, run.ended) == (at(0), at(1), at(3.5))
    assert run.run_time == 2.5 * SECOND
    assert [state.nanoseconds for state in run.history()] == [at(0), at(1), at(3.5)]


def test_the_same_is_there_as_users_see_it() -> None:
    run = task_run(number=3)
    assert (run.expected_start_time, run.start_time, run.end_time) == (moment(0), None, None)

    run.ask(Admit(at(1)))
    run.ask(Returned("plank", at(3.5)))
    assert (run.start_time, run.end_time, run.total_run_time) == (moment(1), moment(3.5), timedelta(seconds=2.5))
    assert (run.dynamic_key, run.uuid.int) == ("2", run.id)


def test_a_run_is_named_after_its_task_and_the_end_of_its_id() -> None:
    assert task_run(number=0xABC).name == "carve-abc"


@pytest.mark.parametrize("value", [None, 0, "", [], [1, 2], (), {"state": Completed()}, [Completed(), 1]])
def test_data_that_is_not_states_only_is_a_result_as_it_is(value: Any) -> None:
    run = task_run()
    run.ask(Admit(at(1)))

    assert run.ask(Returned(value, at(2))) is SETTLE
    assert run.type is StateType.COMPLETED
    assert run.state.result() is value


def test_a_failure_ends_the_run_with_the_state_that_was_told() -> None:
    run = task_run()
    run.ask(Admit(at(1)))
    error = ValueError("knot")

    assert run.ask(Stopped(Failed(data=error, message="ValueError: knot"), at(2))) is SETTLE
    assert str(run.state) == "Failed('ValueError: knot')"
    assert run.state.data is error


def test_a_crash_ends_the_run_and_is_not_tried_again() -> None:
    run = task_run(retries=3)
    run.ask(Admit(at(1)))

    assert run.ask(Stopped(Crashed(message="cut off"), at(2), interrupted=True)) is SETTLE
    assert str(run.state) == "Crashed('cut off')"


def test_an_exception_makes_the_run_failed_and_says_what_was_raised() -> None:
    run = task_run()
    run.ask(Admit(at(1)))
    error = ValueError("knot")

    assert run.ask(Raised(error, at(2))) is SETTLE
    assert str(run.state) == "Failed('ValueError: knot')"
    assert run.state.data is error


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_is_raised_and_is_no_exception_is_a_crash_and_is_not_tried_again(
    error: BaseException,
    cancelled: bool,
) -> None:
    run = task_run(retries=3)
    run.ask(Admit(at(1)))

    assert run.ask(Raised(error, at(2), cancelled)) is SETTLE
    assert (run.type, run.state.data) == (StateType.CRASHED, error)


def test_an_exception_is_tried_again_while_retries_are_left() -> None:
    run = task_run(retries=1)
    run.ask(Admit(at(1)))

    assert run.ask(Raised(ValueError("first"), at(2))) is EXECUTE
    assert run.ask(Raised(ValueError("second"), at(3))) is SETTLE
    assert str(run.state) == "Failed('ValueError: second')"


def test_a_body_that_could_not_be_started_fails_without_an_attempt() -> None:
    run = task_run(retries=3)

    assert run.ask(Stopped(Failed(message="no such argument"), at(1))) is SETTLE
    assert steps(run) == ["Pending()", "Failed('no such argument')"]
    assert run.run_count == 0


# What the user returns decides.


@pytest.mark.parametrize("state", [Completed(data=1), Cancelled(message="no wood"), Crashed(message="axe broke")])
def test_a_final_state_made_by_hand_and_returned_is_the_runs_state(state: State[Any]) -> None:
    run = task_run()
    run.ask(Admit(at(1)))

    assert run.ask(Returned(state, at(2))) is SETTLE
    assert (run.type, run.state.message, run.state.data) == (state.type, state.message, state.data)


def test_states_of_other_runs_that_are_returned_are_judged_as_one() -> None:
    first, second = bring_task_run_to(StateType.COMPLETED), bring_task_run_to(StateType.FAILED)
    run = task_run()
    run.ask(Admit(at(1)))

    assert run.ask(Returned([first.state, second.state], at(2))) is SETTLE
    assert str(run.state) == "Failed('1/2 states failed.')"


def test_a_state_of_another_run_that_is_returned_is_judged_too() -> None:
    other = bring_task_run_to(StateType.COMPLETED)
    run = task_run(number=2)
    run.ask(Admit(at(1)))

    run.ask(Returned(other.state, at(2)))

    assert str(run.state) == "Completed('All states completed.')"
    assert run.state.id != other.state.id


@pytest.mark.parametrize("state", [Pending(), Running(), Paused()], ids=["Pending", "Running", "Paused"])
def test_a_returned_state_that_ends_nothing_and_schedules_nothing_fails_the_run(state: State[Any]) -> None:
    run = task_run()
    run.ask(Admit(at(1)))

    assert run.ask(Returned(state, at(2))) is SETTLE
    assert run.type is StateType.FAILED
    assert run.state.message == f"The task returned {state}, which is neither final nor scheduled."


def test_a_returned_scheduled_state_has_the_body_run_again_at_its_time() -> None:
    run = task_run()
    run.ask(Admit(at(1)))

    order = run.ask(Returned(Scheduled(scheduled_time=moment(9)), at(2)))

    assert isinstance(order, WakeAt)
    assert order.at == at(9)
    assert run.ask(Admit(at(9))) is EXECUTE
    assert run.run_count == 2
    assert run.ask(Returned("plank", at(11))) is SETTLE
    assert run.run_time == 3 * SECOND


# Admission.


@pytest.mark.parametrize("kind", sorted(TERMINAL))
def test_a_run_that_has_ended_is_not_admitted(kind: StateType) -> None:
    run = bring_task_run_to(kind)

    assert run.ask(Admit(at(5))) is None
    assert run.type is kind


def test_a_run_that_stands_in_line_twice_is_executed_once() -> None:
    """Found in the handing over between threads: whoever came second started the body again.

    1. A thread asks for admission while another has the run's turn, and leaves the message.
    2. The other thread handles it and puts the run in line once more, because EXECUTE is its to perform.
    3. The first sees that the run was granted and executes it.
    4. The line comes to the run, and asks for admission.
    """
    run = task_run(retries=1)

    assert run.ask(Admit(at(1))) is EXECUTE
    assert run.ask(Admit(at(1))) is None
    assert run.run_count == 1


def test_a_run_that_is_woken_by_two_timers_is_executed_once() -> None:
    run = task_run()
    propose(run, Scheduled(scheduled_time=moment(9)), 1)
    assert isinstance(run.ask(Admit(at(2))), WakeAt)  # it stood in line when it was scheduled

    assert [run.ask(Admit(at(9))) for _ in range(2)] == [EXECUTE, None]


def test_a_run_that_is_being_cancelled_is_not_admitted() -> None:
    run = bring_task_run_to(StateType.CANCELLING)

    assert run.ask(Admit(at(5))) is None
    assert run.type is StateType.CANCELLING


def test_a_run_that_comes_up_after_its_flow_was_cancelled_never_starts() -> None:
    flow = running_flow()
    run = task_run(flow)
    flow.tell(Cancel("enough", at(1)))

    assert run.ask(Admit(at(2))) is SETTLE
    assert str(run.state) == "Cancelled('It never started: its flow run is being stopped: enough.')"
    assert run.run_count == 0


# Retries.


@pytest.mark.parametrize("retries", range(6))
@pytest.mark.parametrize("delays", [(), (2,), (1, 0, 5)], ids=str)
def test_attempts_are_one_and_the_retries_delays_are_exact_and_failed_comes_last(
    retries: int, delays: tuple[float, ...]
) -> None:
    run = task_run(retries=retries, delays=delays)
    seconds, attempts = 1.0, 0
    order = run.ask(Admit(at(seconds)))
    while order is not SETTLE:
        assert order is EXECUTE
        attempts += 1
        assert StateType.FAILED not in {state.type for state in run.history()}
        seconds += 1
        order = run.ask(Stopped(Failed(message=f"attempt {attempts}"), at(seconds)))
        if isinstance(order, WakeAt):
            expected = delays[min(attempts, len(delays)) - 1]
            assert expected > 0
            assert order.at == at(seconds + expected)
            assert isinstance(run.ask(Admit(order.at - 1000)), WakeAt), "admitted too early"
            seconds += expected
            order = run.ask(Admit(at(seconds)))

    assert attempts == run.run_count == 1 + retries
    assert str(run.state) == f"Failed('attempt {attempts}')"
    assert [state.type for state in run.history()].count(StateType.FAILED) == 1
    assert run.run_time == attempts * SECOND
    assert run.sequence == len(run.history()) - 1


def test_a_retry_without_delay_is_executed_at_once_and_named_so() -> None:
    run = task_run(retries=1)
    run.ask(Admit(at(1)))

    assert run.ask(Stopped(Failed(), at(2))) is EXECUTE
    assert steps(run) == ["Pending()", "Running()", "Retrying('Retry 1 of 1, after Failed().', type=RUNNING)"]


def test_a_retry_that_succeeds_ends_the_run() -> None:
    run = task_run(retries=2, delays=(1,))
    run.ask(Admit(at(1)))
    run.ask(Stopped(Failed(), at(2)))
    run.ask(Admit(at(3)))

    assert run.ask(Returned("plank", at(4))) is SETTLE
    assert steps(run) == [
        "Pending()",
        "Running()",
        "AwaitingRetry('Retry 1 of 2, after Failed().', type=SCHEDULED)",
        "Retrying(type=RUNNING)",
        "Completed()",
    ]
    assert run.started == at(1)
    assert run.run_time == 2 * SECOND


def test_a_failure_that_says_it_is_not_retriable_is_not_tried_again() -> None:
    run = task_run(retries=3)
    run.ask(Admit(at(1)))

    assert run.ask(Stopped(Failed(state_details={"retriable": False}), at(2))) is SETTLE
    assert run.type is StateType.FAILED


@pytest.mark.parametrize("retriable", [True, None])
def test_a_failure_that_does_not_say_so_is_tried_again(retriable: bool | None) -> None:
    run = task_run(retries=1)
    run.ask(Admit(at(1)))

    assert run.ask(Stopped(Failed(state_details={"retriable": retriable}), at(2))) is EXECUTE


def test_a_failed_state_that_is_returned_is_tried_again_like_an_exception() -> None:
    run = task_run(retries=1)
    run.ask(Admit(at(1)))

    assert run.ask(Returned(Failed(message="first"), at(2))) is EXECUTE
    assert run.ask(Returned(Failed(message="second"), at(3))) is SETTLE
    assert str(run.state) == "Failed('second')"


def test_failed_states_of_other_runs_that_are_returned_are_tried_again_too() -> None:
    other = bring_task_run_to(StateType.FAILED)
    run = task_run(retries=1)
    run.ask(Admit(at(1)))

    assert run.ask(Returned([other.state], at(2))) is EXECUTE


def test_in_a_flow_that_is_being_stopped_nothing_is_tried_again() -> None:
    flow = running_flow()
    run = task_run(flow, retries=3)
    run.ask(Admit(at(1)))
    flow.tell(Cancel("enough", at(2)))

    assert run.ask(Stopped(Failed(), at(3))) is SETTLE
    assert run.type is StateType.FAILED


def test_a_failure_while_the_flow_is_paused_is_tried_again_when_it_goes_on() -> None:
    """Found by the invariant: a pause took the retries of the tasks that went on meanwhile."""
    flow = running_flow()
    run = task_run(flow, retries=1)
    run.ask(Admit(at(1)))
    propose(flow, Paused(), 2)

    order = run.ask(Stopped(Failed(), at(3)))

    assert isinstance(order, WakeAt)
    assert order.at == at(3)
    assert run.ask(Admit(at(3))) is PARK
    assert run.type is StateType.PAUSED
    propose(flow, Running(), 4)
    assert run.ask(Admit(at(5))) is EXECUTE
    assert run.ask(Stopped(Failed(), at(6))) is SETTLE
    assert run.run_count == 2


# Dependencies.


def test_a_run_is_ready_when_the_last_of_its_upstream_runs_has_ended_well() -> None:
    run = task_run(unready=3)

    assert [run.ask(good()) for _ in range(3)] == [None, None, READY]
    assert run.type is StateType.PENDING
    assert run.ask(Admit(at(3))) is EXECUTE


def test_a_run_that_comes_up_before_it_is_ready_stays_as_it_is() -> None:
    run = task_run(unready=1)

    assert run.ask(Admit(at(1))) is None
    assert run.sequence == 0
    assert run.ask(good()) is READY


def test_an_upstream_that_ended_badly_ends_the_run_not_ready_and_is_named() -> None:
    run = task_run(unready=2)

    assert run.ask(bad(Failed(message="knot"))) is SETTLE
    assert (run.type, run.state.name, run.done) == (StateType.PENDING, "NotReady", True)
    assert run.state.message == "Upstream task run 'fell-001' did not reach COMPLETED: it is Failed('knot')."
    assert run.run_count == 0


def test_the_failure_of_an_upstream_is_passed_where_it_is_allowed() -> None:
    """Whether it is, the upper floor says: the actor is told good or bad."""
    run = task_run(unready=1)

    assert run.ask(UpstreamEnded(good=True, name="fell-001", state=Failed(), at=at(2))) is READY


def test_the_message_of_a_run_far_down_a_line_stays_short() -> None:
    """Found with fifty runs in a row: each quoted the message of the one before, and quotes in quotes double."""
    run = task_run(unready=1)
    run.ask(bad(Failed(message='it\'s a "knot"')))
    for number in range(2, 60):
        upstream, run = run, task_run(number=number, unready=1)
        run.ask(bad(upstream.state, upstream.name))

    assert run.state.message == "Upstream task run 'carve-03a' did not reach COMPLETED: it is NotReady."


@pytest.mark.parametrize("message", [good(), bad(Failed())], ids=["well", "badly"])
def test_an_upstream_that_ends_after_the_run_changes_nothing(message: UpstreamEnded) -> None:
    run = task_run(unready=2)
    run.ask(bad(Failed()))
    sequence = run.sequence

    assert run.ask(message) is None
    assert run.sequence == sequence


@pytest.mark.parametrize("message", [good(), bad(Failed())], ids=["well", "badly"])
def test_a_run_that_was_forced_to_start_waits_for_no_upstream_any_more(message: UpstreamEnded) -> None:
    run = task_run(unready=1)
    propose(run, Running(), 1, force=True)
    assert run.orders == [EXECUTE]

    assert run.ask(message) is None
    assert run.type is StateType.RUNNING


# Cancellation, at each point.


def test_a_run_that_is_cancelled_before_it_starts_ends_at_once() -> None:
    run = task_run()

    assert run.ask(Cancel("enough", at(1))) is SETTLE
    assert str(run.state) == "Cancelled('enough')"
    assert run.ask(Admit(at(2))) is None
    assert run.run_count == 0


def test_a_run_that_is_cancelled_while_it_waits_for_upstream_runs_ends_at_once() -> None:
    run = task_run(unready=1)

    assert run.ask(Cancel("enough", at(1))) is SETTLE
    assert run.ask(good()) is None
    assert run.type is StateType.CANCELLED


def test_a_run_that_is_cancelled_while_its_body_runs_ends_when_that_has_stopped() -> None:
    run = task_run()
    run.ask(Admit(at(1)))

    assert run.ask(Cancel("enough", at(2))) is STOP_ATTEMPT
    assert str(run.state) == "Cancelling('enough')"
    assert not run.done
    assert run.ask(Stopped(Crashed(), at(3), interrupted=True)) is SETTLE
    assert run.type is StateType.CANCELLED
    assert run.run_time == 1 * SECOND


def test_a_run_that_is_cancelled_while_it_awaits_a_retry_ends_at_once() -> None:
    run = task_run(retries=1, delays=(5,))
    run.ask(Admit(at(1)))
    run.ask(Stopped(Failed(), at(2)))

    assert run.ask(Cancel("enough", at(3))) is SETTLE
    assert run.ask(Admit(at(7))) is None
    assert steps(run)[-1] == "Cancelled('enough')"
    assert run.run_count == 1


def test_a_run_that_is_cancelled_while_its_flow_is_paused_ends_at_once() -> None:
    flow = running_flow()
    run = task_run(flow)
    propose(flow, Paused())
    run.ask(Admit(at(2)))

    assert run.ask(Cancel("enough", at(3))) is SETTLE
    assert run.type is StateType.CANCELLED


@pytest.mark.parametrize("kind", sorted(TERMINAL))
def test_a_cancellation_after_the_end_changes_nothing(kind: StateType) -> None:
    run = bring_task_run_to(kind)
    state = run.state

    assert run.ask(Cancel("too late", at(5))) is None
    assert run.state == state


def test_a_run_is_cancelled_once() -> None:
    run = task_run()
    run.ask(Admit(at(1)))

    assert run.ask(Cancel("enough", at(2))) is STOP_ATTEMPT
    assert run.ask(Cancel("really", at(3))) is None
    assert str(run.state) == "Cancelling('enough')"


@pytest.mark.parametrize(
    "outcome",
    [
        Returned("plank", at(3)),
        Returned(Failed(), at(3)),
        Raised(ValueError(), at(3)),
        Raised(GeneratorExit(), at(3), cancelled=True),
        Stopped(Failed(), at(3)),
        Stopped(Failed(), at(3), interrupted=True),
        Stopped(Crashed(), at(3), interrupted=True),
    ],
    ids=["value", "state", "exception", "cancellation", "failure", "interrupted failure", "interrupted crash"],
)
def test_whatever_a_cancelled_body_comes_to_its_run_is_cancelled(outcome: Any) -> None:
    run = task_run(retries=3)
    run.ask(Admit(at(1)))
    run.ask(Cancel("enough", at(2)))

    assert run.ask(outcome) is SETTLE
    assert run.type is StateType.CANCELLED


def test_a_body_that_is_given_up_while_it_is_cancelled_makes_a_crash() -> None:
    run = task_run()
    run.ask(Admit(at(1)))
    run.ask(Cancel("enough", at(2)))

    assert run.ask(Stopped(Crashed(message="did not stop"), at(9))) is SETTLE
    assert str(run.state) == "Crashed('did not stop')"


def test_an_exit_out_of_a_body_that_is_cancelled_is_a_crash() -> None:
    run = task_run()
    run.ask(Admit(at(1)))
    run.ask(Cancel("enough", at(2)))

    assert run.ask(Raised(SystemExit(1), at(3))) is SETTLE
    assert run.type is StateType.CRASHED


def test_of_two_results_that_are_left_the_second_is_a_dead_letter() -> None:
    run = task_run()
    run.ask(Admit(at(1)))

    def both() -> None:
        run.tell(Returned("plank", at(2)))
        run.tell(Returned("chip", at(2)))

    while_busy(run, both)

    assert run.orders == [SETTLE]
    assert (run.state.result(), run.dead_letters) == ("plank", 1)


def test_a_cancellation_is_handled_before_a_result_that_waits() -> None:
    """Control goes ahead of data: the two come while the run is busy."""
    run = task_run()
    run.ask(Admit(at(1)))

    def both() -> None:
        run.tell(Returned("plank", at(2)))
        run.tell(Cancel("enough", at(2)))

    while_busy(run, both)

    assert run.orders == [STOP_ATTEMPT, SETTLE]
    assert run.type is StateType.CANCELLED


# Dead letters.


@pytest.mark.parametrize("kind", sorted(TERMINAL))
@pytest.mark.parametrize(
    "late",
    [Returned("chip", at(5)), Returned(Failed(), at(5)), Raised(ValueError(), at(5)), Stopped(Crashed(), at(5), True)],
    ids=["value", "state", "exception", "interrupt"],
)
def test_a_late_outcome_is_a_dead_letter(kind: StateType, late: Any) -> None:
    run = bring_task_run_to(kind)
    state, ended = run.state, run.ended

    assert run.ask(late) is None
    assert run.dead_letters == 1
    assert (run.state, run.ended) == (state, ended)


# Watchers.


def test_who_watches_before_the_end_is_there_when_it_comes() -> None:
    run = task_run()
    early, other = object(), object()

    assert run.ask(Watch(early)) is None
    run.ask(Admit(at(1)))
    assert run.ask(Watch(other)) is None
    assert run.ask(Returned("plank", at(2))) is SETTLE

    assert run.watchers == [early, other]


def test_who_watches_after_the_end_is_told_at_once() -> None:
    run = bring_task_run_to(StateType.COMPLETED)
    late = object()

    order = run.ask(Watch(late))

    assert isinstance(order, Notify)
    assert order.watcher is late
    assert run.watchers is None


def test_who_watches_a_run_that_is_not_ready_is_told_at_once() -> None:
    run = task_run(unready=1)
    run.ask(bad(Failed()))

    assert isinstance(run.ask(Watch(object())), Notify)


def test_who_takes_back_a_watcher_takes_back_no_other() -> None:
    class Alike:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Alike)

        def __hash__(self) -> int:
            return 0

    run = task_run()
    stays, goes = Alike(), Alike()
    run.ask(Watch(stays))
    run.ask(Watch(goes))

    assert run.ask(Unwatch(goes)) is None
    assert run.ask(Unwatch(object())) is None
    assert run.watchers is not None
    assert [watcher is stays for watcher in run.watchers] == [True]


def test_where_nobody_watches_there_is_nobody_to_take_back() -> None:
    run = task_run()

    assert run.ask(Unwatch(object())) is None
    assert run.watchers is None


def test_from_the_end_on_nobody_takes_a_watcher_back_from_those_who_are_being_told() -> None:
    """Found by reading: one taken from the list while others were told from it made one of them be passed over."""
    run = task_run()
    goes, stays = object(), object()
    run.ask(Watch(goes))
    run.ask(Watch(stays))
    run.ask(Cancel("enough", at(1)))
    told = run.watchers

    run.ask(Unwatch(goes))

    assert told == [goes, stays]


# A generator that is returned is no collection of states, and is not looked into in the run's turn.


def test_a_generator_that_is_returned_is_not_read_in_the_runs_turn() -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        read.append(1)
        yield 1

    run = task_run()
    run.ask(Admit(at(1)))
    run.ask(Returned(numbers(), at(2)))

    assert read == []


def test_an_aggregate_made_by_hand_and_returned_is_used_as_it_is() -> None:
    run = task_run()
    run.ask(Admit(at(1)))

    run.ask(Returned(aggregate([Completed(), Cancelled()]), at(2)))

    assert str(run.state) == "Cancelled('1/2 states cancelled.')"
