"""Attempts that end otherwise than by their own outcome: deadlines, bodies that are left behind, crashes, restarts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from millrace.actors.errors import TaskRunTimeoutError
from millrace.actors.instructions import EXECUTE, PARK, SETTLE, STOP_ATTEMPT, Escalate, Order, WakeAt
from millrace.actors.mailbox import Message
from millrace.actors.messages import Admit, Cancel, Expired, Judged, Propose, Queued, Raised, Returned, Stopped
from millrace.actors.policies import NO_ADVICE, Advice, CrashPolicy, RetryPolicy
from millrace.actors.states import TERMINAL, Completed, Crashed, Failed, Paused, Pending, Running, StateType
from millrace.actors.task_run import Facts
from tests.actors.runs import SECOND, Flow, TaskRun, at, propose, running_flow, task_run

pytestmark = pytest.mark.usefixtures("surroundings")

LATE = [
    Returned("chip", at(9), 1),
    Returned(Failed(), at(9), 1),
    Raised(ValueError(), at(9), attempt=1),
    Raised(TaskRunTimeoutError("carve-001", 1), at(9), attempt=1),
    Raised(SystemExit(), at(9), attempt=1),
    Raised(GeneratorExit(), at(9), cancelled=True, attempt=1),
]
BY_NAME = ["value", "state", "exception", "timeout", "exit", "cancellation"]


def begun(**given: Any) -> TaskRun:
    """A run whose first attempt began in second 1."""
    run = task_run(**given)
    assert run.ask(Admit(at(1))) is EXECUTE
    return run


def expired(seconds: float, attempt: int = 1, *, stops: bool = False, advice: Advice | None = None) -> Expired:
    return Expired(1.5, at(seconds), attempt, stops=stops, advice=advice)


def names(run: TaskRun) -> list[str]:
    return [state.name for state in run.history()]


def restarting(**options: Any) -> Flow:
    """A flow whose policy restarts what crashes."""
    flow = running_flow()
    flow.crash_policy = CrashPolicy(restart="task", **options)
    return flow


# A body that cannot be stopped is left behind at its deadline.


def test_at_its_deadline_a_run_is_timed_out_and_says_who_had_how_long() -> None:
    run = begun()

    assert run.ask(expired(2.5)) is SETTLE
    assert (run.type, run.state.name) == (StateType.FAILED, "TimedOut")
    assert isinstance(run.state.data, TaskRunTimeoutError)
    assert (run.state.data.run, run.state.data.seconds) == ("carve-001", 1.5)
    assert run.state.message == str(run.state.data)
    assert run.ended == run.state.nanoseconds == at(2.5)


@pytest.mark.parametrize("late", LATE, ids=BY_NAME)
def test_what_a_body_comes_to_after_the_deadline_is_a_dead_letter(late: Message) -> None:
    run = begun()
    run.ask(expired(2.5))
    state = run.state

    assert run.ask(late) is None
    assert (run.dead_letters, run.state) == (1, state)


@pytest.mark.parametrize("late", LATE, ids=BY_NAME)
def test_beside_the_next_attempt_it_is_a_dead_letter_too(late: Message) -> None:
    run = begun(retries=1)
    assert run.ask(expired(2.5)) is EXECUTE

    assert run.ask(late) is None
    assert (run.dead_letters, run.type, run.run_count) == (1, StateType.RUNNING, 2)
    assert run.ask(Returned("plank", at(10), 2)) is SETTLE
    assert run.state.result() == "plank"


@pytest.mark.parametrize("late", LATE, ids=BY_NAME)
def test_it_is_one_while_the_next_attempt_is_waited_for_as_well(late: Message) -> None:
    """Found by reading: the run was waiting for its retry when the body failed, and ended FAILED with retries left."""
    run = begun(retries=1, delays=(20,))
    assert isinstance(run.ask(expired(2.5)), WakeAt)

    assert run.ask(late) is None
    assert (run.dead_letters, run.state.name) == (1, "AwaitingRetry")
    assert run.ask(Admit(at(22.5))) is EXECUTE
    assert run.ask(Returned("plank", at(23), 2)) is SETTLE


def test_a_delay_before_the_retry_is_counted_from_the_deadline() -> None:
    run = begun(retries=1, delays=(4,))

    order = run.ask(expired(2.5))

    assert isinstance(order, WakeAt)
    assert order.at == at(6.5)
    assert run.state.message == (
        "Retry 1 of 1, after TimedOut(\"Task run 'carve-001' exceeded its timeout of 1.5 seconds.\", type=FAILED)."
    )


@pytest.mark.parametrize("retries", range(4))
def test_a_timeout_uses_up_a_retry_like_any_failure(retries: int) -> None:
    run = begun(retries=retries)

    orders = [run.ask(expired(2 + number, number)) for number in range(1, retries + 2)]

    assert orders == [EXECUTE] * retries + [SETTLE]
    assert run.state.name == "TimedOut"
    assert run.run_count == retries + 1


def test_a_deadline_of_an_attempt_that_is_over_means_nothing() -> None:
    run = begun(retries=1)
    run.ask(Raised(ValueError(), at(2), attempt=1))

    assert run.ask(expired(2.5, 1)) is None
    assert run.ask(expired(2.5, 3)) is None
    assert (run.type, run.run_count) == (StateType.RUNNING, 2)


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("state", ["pending", "awaiting its retry", *sorted(TERMINAL)])
def test_a_deadline_means_nothing_to_a_run_without_a_body(state: str, *, stops: bool) -> None:
    run = task_run(retries=1, delays=(3,))
    if state != "pending":
        run.ask(Admit(at(1)))
    if state == "awaiting its retry":
        run.ask(Raised(ValueError(), at(2), attempt=1))
    elif state != "pending":
        propose(run, Completed() if state == "COMPLETED" else Crashed() if state == "CRASHED" else Failed(), force=True)
    sequence = run.sequence

    assert run.ask(expired(2.5, run.run_count, stops=stops)) is None
    assert run.sequence == sequence
    assert not run.stopping


# A body that can be stopped is told to, and its attempt has timed out whatever it then comes to.


def test_a_body_that_can_be_stopped_is_stopped_at_its_deadline() -> None:
    run = begun()

    assert run.ask(expired(2.5, stops=True)) is STOP_ATTEMPT
    assert (run.type, run.done, run.stopping) == (StateType.RUNNING, False, True)


@pytest.mark.parametrize("outcome", [LATE[number] for number in (0, 1, 2, 3, 5)], ids=[*BY_NAME[:4], BY_NAME[5]])
@pytest.mark.parametrize("numbered", [True, False])
def test_whatever_it_comes_to_then_it_has_timed_out_when_its_time_was_over(outcome: Any, *, numbered: bool) -> None:
    run = begun()
    run.ask(expired(2.5, stops=True))
    outcome = Returned(outcome.value, at(3), numbered) if isinstance(outcome, Returned) else outcome

    assert run.ask(outcome) is SETTLE
    assert (run.state.name, run.state.nanoseconds) == ("TimedOut", at(2.5))
    assert isinstance(run.state.data, TaskRunTimeoutError)
    assert run.ended == at(2.5)
    assert not run.stopping


def test_an_exit_out_of_a_body_that_is_being_stopped_is_a_crash() -> None:
    run = begun(retries=3)
    run.ask(expired(2.5, stops=True))

    assert run.ask(Raised(SystemExit(1), at(3), attempt=1)) is SETTLE
    assert run.type is StateType.CRASHED


def test_a_body_that_does_not_stop_is_left_behind() -> None:
    run = begun(retries=1)
    run.ask(expired(2.5, stops=True))

    assert run.ask(expired(7.5)) is EXECUTE
    assert run.history()[-1].nanoseconds == at(2.5)
    assert run.ask(Returned("chip", at(8), 1)) is None
    assert (run.type, run.run_count, run.dead_letters) == (StateType.RUNNING, 2, 1)


def test_a_body_is_told_to_stop_once() -> None:
    run = begun()
    run.ask(expired(2.5, stops=True))

    assert run.ask(expired(2.6, stops=True)) is None
    run.ask(Returned("chip", at(3), 1))
    assert run.ended == at(2.5)


def test_a_run_that_is_given_up_after_its_deadline_has_timed_out() -> None:
    run = begun()
    run.ask(expired(2.5, stops=True))

    assert run.ask(Stopped(Crashed(message="its loop has ended"), at(4))) is SETTLE
    assert run.state.name == "TimedOut"


def test_the_next_attempt_is_not_held_to_the_deadline_of_the_one_before() -> None:
    run = begun(retries=2)
    run.ask(expired(2.5, stops=True))
    run.ask(Returned("chip", at(3), 1))
    assert not run.stopping

    assert run.ask(Returned("plank", at(4), 2)) is SETTLE
    assert run.state.result() == "plank"


def test_times_never_go_back_though_another_state_was_proposed_after_the_deadline() -> None:
    run = begun()
    run.ask(expired(2.5, stops=True))
    propose(run, Paused(), 4)
    run.ask(Returned("chip", at(5), 1))

    times = [state.nanoseconds for state in run.history()]
    assert times == sorted(times)
    assert names(run) == ["Pending", "Running", "Paused", "TimedOut"]


# Timeouts and cancellations.


def test_a_cancellation_after_the_deadline_decides_while_the_body_has_not_stopped() -> None:
    run = begun(retries=1)
    run.ask(expired(2.5, stops=True))

    assert run.ask(Cancel("enough", at(3))) is STOP_ATTEMPT
    assert run.ask(Raised(GeneratorExit(), at(4), cancelled=True, attempt=1)) is SETTLE
    assert names(run) == ["Pending", "Running", "Cancelling", "Cancelled"]


@pytest.mark.parametrize("stops", [True, False])
def test_a_deadline_after_a_cancellation_changes_nothing(*, stops: bool) -> None:
    run = begun()
    run.ask(Cancel("enough", at(2)))

    assert run.ask(expired(2.5, stops=stops)) is None
    assert run.ask(Returned("chip", at(4), 1)) is SETTLE
    assert names(run) == ["Pending", "Running", "Cancelling", "Cancelled"]


def test_a_run_that_awaits_its_retry_after_a_timeout_is_cancelled_at_once() -> None:
    run = begun(retries=1, delays=(5,))
    run.ask(expired(2.5))

    assert run.ask(Cancel("enough", at(3))) is SETTLE
    assert run.type is StateType.CANCELLED


RACERS: dict[str, Message] = {
    "success": Returned("plank", at(2), 1),
    "failure": Raised(ValueError(), at(2), attempt=1),
    "deadline": expired(2),
    "stop": expired(2, stops=True),
    "cancellation": Cancel("enough", at(2)),
    "stopped": Stopped(Crashed(), at(2), interrupted=True),
}


@pytest.mark.parametrize("retries", [0, 2])
def test_of_all_that_may_end_a_run_in_the_same_moment_one_decides_in_every_order(retries: int) -> None:
    """With retries, too, each attempt has one outcome, and what came of the run is never taken back."""
    wrong: list[str] = []
    for order in itertools.permutations(RACERS, 4):
        run = begun(retries=retries)
        orders: list[Order | None] = []
        for name in order:
            done, state = run.done, run.state
            orders.append(run.ask(RACERS[name]))
            if done and (run.state != state or orders[-1] is not None):
                wrong.append(f"{order}: it went on to {run.state} after {state}")
        if orders.count(SETTLE) > 1 or orders.count(SETTLE) != run.done or run.run_count > 2:
            wrong.append(f"{order}: {run.trail()}")
        if run.done and len(TERMINAL & {each.type for each in run.history()}) != 1:
            wrong.append(f"{order}: {run.trail()}")

    assert wrong == []


@pytest.mark.parametrize(
    ("first", "expected"), [("success", "Completed"), ("deadline", "TimedOut"), ("stopped", "Crashed")]
)
def test_the_first_that_ends_the_run_decides(first: str, expected: str) -> None:
    for other in RACERS.values():
        run = begun()
        run.ask(RACERS[first])
        run.ask(other)
        assert run.state.name == expected


# What is said about a retry.


def test_a_failure_that_the_upper_floor_advises_against_is_not_tried_again() -> None:
    run = begun(retries=3)

    assert run.ask(Raised(ValueError(), at(2), attempt=1, advice=Advice(retry=False))) is SETTLE
    assert run.type is StateType.FAILED


@pytest.mark.parametrize("advised", [True, False])
def test_a_timeout_is_a_failure_to_be_asked_about(*, advised: bool) -> None:
    left, stopped, returned = begun(retries=1), begun(retries=1), begun(retries=1)
    for run in (stopped, returned):
        run.ask(expired(2.5, stops=True))
    advice = Advice(retry=advised)

    orders = [
        left.ask(expired(2.5, advice=advice)),
        stopped.ask(Raised(GeneratorExit(), at(3), cancelled=True, attempt=1, advice=advice)),
        returned.ask(Returned("chip", at(3), 1, advice)),
    ]

    assert orders == [EXECUTE if advised else SETTLE] * 3


def test_what_was_said_about_one_retry_is_not_said_about_the_next() -> None:
    run = begun(retries=2)
    run.node.retry = RetryPolicy(2, (10,), jitter=0.5)
    first = run.ask(Raised(ValueError(), at(2), attempt=1, advice=Advice(drawn=0.0)))
    assert isinstance(first, WakeAt)
    assert first.at == at(7)
    run.ask(Admit(at(7)))

    second = run.ask(Raised(ValueError(), at(8), attempt=2))

    assert isinstance(second, WakeAt)
    assert second.at == at(18)


def test_a_run_that_waits_for_its_retry_keeps_nothing_of_what_was_said_about_it() -> None:
    """There may be a million of them."""
    run = begun(retries=2)
    run.node.retry = RetryPolicy(2, (10,), jitter=0.5)

    run.ask(Raised(ValueError(), at(2), attempt=1, advice=Advice(drawn=0.0)))

    assert run.state.name == "AwaitingRetry"
    assert run.facts is None


@pytest.mark.parametrize(("fact", "value"), [("name", "chips-7"), ("over", 1), ("restarts", 1), ("crashed", 1)])
def test_a_run_that_waits_for_its_retry_knows_what_else_there_was_to_know(fact: str, value: Any) -> None:
    run = begun(retries=2)
    run.node.retry = RetryPolicy(2, (10,), jitter=0.5)
    setattr(run.known(), fact, value)

    run.ask(Raised(ValueError(), at(2), attempt=0, advice=Advice(drawn=0.0)))

    assert run.state.name == "AwaitingRetry"
    assert run.facts is not None
    assert getattr(run.facts, fact) == value
    assert run.advice is NO_ADVICE


def test_facts_say_nothing_until_one_is_added() -> None:
    assert Facts().say_nothing
    for fact, value in {
        "advice": Advice(drawn=0.0), "crashed": 1, "expired": expired(2.5), "name": "chips-7", "over": 1, "restarts": 1,
    }.items():  # fmt: skip
        facts = Facts()
        setattr(facts, fact, value)
        assert not facts.say_nothing, fact


def test_a_retry_is_never_early_though_a_datetime_has_no_nanoseconds() -> None:
    run = begun(retries=1)
    run.node.retry = RetryPolicy(1, (1e-9,))

    order = run.ask(Raised(ValueError(), at(2) + 1, attempt=1))

    assert isinstance(order, WakeAt)
    assert order.at == at(2) + 1_000


# The number of an attempt.


def test_what_is_proposed_while_a_body_runs_is_no_other_attempt() -> None:
    """Found by reading: the body's result was taken for that of an earlier attempt, and the run never ended."""
    run = begun()
    propose(run, Running(message="still at it"), 2)
    assert run.run_count == 1

    assert run.ask(Returned("plank", at(3), 1)) is SETTLE


def test_a_run_that_is_paused_and_goes_on_is_in_the_same_attempt() -> None:
    run = begun()
    propose(run, Paused(), 2)
    propose(run, Running(), 3)

    assert run.ask(Returned("plank", at(4), 1)) is SETTLE
    assert run.run_count == 1


def test_a_failure_that_is_proposed_while_a_body_runs_leaves_the_outcome_to_the_body() -> None:
    run = begun(retries=1)
    propose(run, Failed(), 2)
    assert run.state.name == "Retrying"

    assert run.ask(Returned("plank", at(3), 1)) is SETTLE
    assert run.state.result() == "plank"


def test_a_run_that_was_scheduled_from_outside_while_its_body_ran_ends_with_that() -> None:
    """Found by reading: the outcome was dropped, and nobody was to wake the run."""
    run = begun(retries=1, delays=(5,))
    propose(run, Failed(), 2)
    assert run.type is StateType.SCHEDULED

    assert run.ask(Returned("plank", at(3), 1)) is SETTLE
    assert run.state.result() == "plank"


# Crashes.


CRASHES: list[tuple[BaseException, bool]] = [(SystemExit(1), False), (GeneratorExit(), True)]


@pytest.mark.parametrize(("error", "cancelled"), CRASHES, ids=["exit", "cancellation"])
def test_where_crashes_are_restarted_the_supervisor_is_asked(error: BaseException, cancelled: bool) -> None:
    run = begun(flow=restarting())
    error = error if not cancelled else BaseException("cancelled")

    order = run.ask(Raised(error, at(2), cancelled, 1))

    assert isinstance(order, Escalate)
    assert (order.state.type, order.state.data, order.at) == (StateType.CRASHED, error, at(2))
    assert (run.type, run.done) == (StateType.RUNNING, False)


def crashed(**given: Any) -> TaskRun:
    """A run whose first attempt has crashed in second 2, and whose supervisor has not said yet what follows."""
    run = begun(**{"flow": restarting()} | given)
    assert isinstance(run.ask(Raised(SystemExit(1), at(2), attempt=1)), Escalate)
    return run


def judged(seconds: float, *, restart: bool) -> Judged:
    return Judged(Crashed(message="axe broke"), at(seconds), restart=restart)


def test_a_run_that_is_restarted_begins_another_attempt_and_says_why() -> None:
    run = crashed()

    assert run.ask(judged(3, restart=True)) is EXECUTE
    assert (run.type, run.run_count, run.failures) == (StateType.RUNNING, 2, 0)
    assert str(run.state) == "Retrying(\"Restart 1, after Crashed('axe broke').\", type=RUNNING)"
    assert run.ask(Returned("plank", at(4), 2)) is SETTLE


def test_a_run_that_is_not_restarted_stays_crashed() -> None:
    run = crashed(retries=3)

    assert run.ask(judged(3, restart=False)) is SETTLE
    assert str(run.state) == "Crashed('axe broke')"
    assert run.run_count == 1


@pytest.mark.parametrize("retries", range(3))
def test_a_restart_uses_up_no_retry(retries: int) -> None:
    run = crashed(retries=retries)
    run.ask(judged(2, restart=True))

    orders = [run.ask(Raised(ValueError(), at(3), attempt=number)) for number in range(2, retries + 3)]

    assert orders == [EXECUTE] * retries + [SETTLE]
    assert run.run_count == retries + 2


def test_between_crash_and_verdict_the_run_has_no_body_and_a_cancellation_ends_it() -> None:
    run = crashed()

    assert run.ask(Cancel("enough", at(2.5))) is SETTLE
    assert run.ask(judged(3, restart=True)) is None
    assert (run.type, run.run_count, run.dead_letters) == (StateType.CANCELLED, 1, 1)


@pytest.mark.parametrize("stops", [True, False])
def test_between_crash_and_verdict_a_deadline_means_nothing(*, stops: bool) -> None:
    """Found by reading: the run was retried for its timeout and restarted for its crash, with two bodies at once."""
    run = crashed(retries=1)

    assert run.ask(expired(2.5, stops=stops)) is None
    assert run.ask(judged(3, restart=True)) is EXECUTE
    assert run.run_count == 2


def test_a_run_that_was_begun_anew_from_outside_before_the_verdict_is_not_restarted_as_well() -> None:
    run = crashed()
    propose(run, Running(), 2.5)
    assert run.orders == [EXECUTE]

    assert run.ask(judged(3, restart=True)) is None
    assert (run.run_count, run.dead_letters) == (2, 1)


def test_a_verdict_is_heard_once() -> None:
    run = crashed()
    run.ask(judged(3, restart=True))

    assert run.ask(judged(4, restart=True)) is None
    assert run.run_count == 2


def test_an_attempt_that_crashed_after_its_deadline_leaves_nothing_to_the_next() -> None:
    """Found by reading: the next attempt was taken to have timed out, whatever it came to."""
    run = begun(flow=restarting())
    run.ask(expired(1.5, stops=True))
    run.ask(Raised(SystemExit(1), at(2), attempt=1))
    run.ask(judged(3, restart=True))
    assert not run.stopping

    assert run.ask(Returned("plank", at(4), 2)) is SETTLE
    assert run.state.result() == "plank"


def test_in_a_flow_that_is_paused_a_restart_waits_like_a_retry() -> None:
    """Found by reading: the restart passed by the rule that nothing runs in a paused flow."""
    flow = restarting()
    run = crashed(flow=flow)
    propose(flow, Paused(), 2.5)

    order = run.ask(judged(3, restart=True))

    assert isinstance(order, WakeAt)
    assert order.at == at(3)
    assert run.state.message == "Restart 1, after Crashed('axe broke')."
    assert run.ask(Admit(at(3))) is PARK
    assert run.type is StateType.PAUSED
    propose(flow, Running(), 4)
    assert run.ask(Admit(at(5))) is EXECUTE
    assert run.failures == 0


@pytest.mark.parametrize(
    "message",
    [
        Raised(KeyboardInterrupt(), at(2), attempt=1),
        Raised(GeneratorExit(), at(2), attempt=1),
        Raised(SystemExit(), at(2), attempt=1, for_good=True),
        Stopped(Crashed(), at(2)),
        Stopped(Crashed(), at(2), interrupted=True),
    ],
    ids=["interrupt", "closing", "end of the driver", "given up", "interrupted"],
)
def test_what_has_nowhere_to_run_any_more_is_not_restarted(message: Message) -> None:
    run = begun(flow=restarting())

    assert run.ask(message) is SETTLE
    assert run.type is StateType.CRASHED


def test_a_run_that_does_nothing_but_crash_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.actors.task_run.TRANSITION_CAP", 50)
    run = begun(flow=restarting(max_restarts=10**9))
    for _ in range(100):
        order = run.ask(Raised(SystemExit(), at(2), attempt=run.run_count))
        if order is SETTLE:
            break
        run.ask(judged(2, restart=True))

    assert run.type is StateType.CRASHED
    assert run.sequence <= 51


def test_run_time_is_that_of_all_attempts() -> None:
    run = begun(flow=restarting(), retries=1, delays=(10,))
    run.ask(Raised(SystemExit(), at(2), attempt=1))
    run.ask(judged(3, restart=True))
    run.ask(expired(7, 2))
    run.ask(Admit(at(17)))
    run.ask(Returned("plank", at(20), 3))

    assert names(run) == ["Pending", "Running", "Retrying", "AwaitingRetry", "Retrying", "Completed"]
    assert run.run_time == (6 + 3) * SECOND


def test_a_proposal_that_is_refused_while_a_body_runs_changes_no_number() -> None:
    run = begun()
    run.tell(Propose(Pending(), at(2)))

    assert (run.run_count, run.ask(Returned("plank", at(3), 1))) == (1, SETTLE)


# What a record of an attempt says.


def noted(run: TaskRun | Flow) -> list[tuple[StateType, int]]:
    """The states that a run enters from now on, each with the attempts that whoever keeps a record is told of."""
    entered: list[tuple[StateType, int]] = []
    run.journal.keeper = lambda of, _cause: entered.append((of.type, of.run_count))
    run.journal.sink = None  # says that somebody listens
    return entered


def test_the_record_of_a_run_that_has_waited_for_its_attempt_says_which_one_that_is() -> None:
    run = task_run(retries=1, delays=(60,))
    entered = noted(run)

    run.tell(Queued("the limit 'narrow'", at(1), 0))
    run.ask(Admit(at(2)))
    run.ask(Stopped(Failed(), at(3)))
    run.ask(Admit(at(70)))

    assert [kind for kind, _ in entered] == [
        StateType.SCHEDULED, StateType.RUNNING, StateType.SCHEDULED, StateType.RUNNING,
    ]  # fmt: skip
    assert [attempts for _, attempts in entered] == [0, 1, 1, 2]


def test_so_does_that_of_a_flow_run_that_is_tried_again() -> None:
    flow = running_flow()
    flow.retry = RetryPolicy(1, (60,))
    entered = noted(flow)

    flow.ask(Raised(ValueError(), at(1), attempt=1))
    flow.ask(Admit(at(70)))

    assert entered == [(StateType.SCHEDULED, 1), (StateType.RUNNING, 2)]
