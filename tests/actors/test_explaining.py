"""`State.explain()`: why a state is what it is, in one sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from millrace.actors.errors import (
    FlowPauseTimeout,
    FlowRunTimeoutError,
    ParameterTypeError,
    RestartLimitExceeded,
    TaskRunTimeoutError,
    TerminationSignal,
)
from millrace.actors.explaining import LONGEST
from millrace.actors.messages import Admit, Cancel, ChildCrashed, Raised, Returned, UpstreamEnded
from millrace.actors.outcomes import (
    exception_to_crashed_state,
    exception_to_failed_state,
    failure,
    return_value_to_state,
    timed_out,
)
from millrace.actors.policies import CrashPolicy, RestartWindow
from millrace.actors.states import (
    MISSING,
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Retrying,
    Running,
    Scheduled,
    State,
    StateType,
    StoredResult,
    Suspended,
)
from tests.actors.runs import at, child_of, end_child, running_flow, task_run

NOON = datetime(2030, 1, 2, 12, 0, 0, tzinfo=UTC)


class Stored(StoredResult):
    """Where a result lies, which nobody may read."""


def of_a_run(state: State[Any]) -> State[Any]:
    """The same state as a run has it."""
    return state.adopt(at(1), 1, 2, 3)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        # What a body came to.
        (Completed(), "Completed: it came to no result."),
        (Completed(data=5), "Completed: it came to a result, of type int."),
        (Completed(data=[Completed]), "Completed: it came to a result, of type list."),
        (Completed(data=MISSING), "Completed: it came to a result, which was not kept."),
        (Completed(data=Stored()), "Completed: it came to a result, which lies in its storage."),
        (Completed(name="Skipped", message="Nothing was new."), "Skipped: Nothing was new."),
        (failure(ValueError("no such page")), "Failed: ValueError: no such page."),
        (failure(ValueError()), "Failed: ValueError."),
        (Failed(), "Failed: nothing more is known."),
        (Failed(message="It is Sunday."), "Failed: It is Sunday."),
        (Failed(data="It is Monday."), "Failed: It is Monday."),
        (Failed(data=ValueError("bare")), "Failed: ValueError: bare."),
        (Failed(data=KeyError()), "Failed: KeyError."),
        # Time.
        (
            timed_out(FlowRunTimeoutError("brook", 5)),
            "TimedOut: Flow run 'brook' exceeded its timeout of 5 seconds.",
        ),
        (timed_out(TaskRunTimeoutError("oak-1", 1)), "TimedOut: Task run 'oak-1' exceeded its timeout of 1 second."),
        (
            failure(TimeoutError("the server")),
            "TimedOut: Its own code ran into a timeout: TimeoutError: the server.",
        ),
        (
            exception_to_failed_state(FlowPauseTimeout("brook", 60)),
            "Failed: Flow run 'brook' was paused and not resumed within 60 seconds.",
        ),
        # Crashes.
        (Crashed(), "Crashed: something outside of its body ended it, and nothing more is known."),
        (exception_to_crashed_state(KeyboardInterrupt()), "Crashed: The run was ended by an interrupt signal."),
        (exception_to_crashed_state(TerminationSignal(15)), "Crashed: The run was ended by a termination signal."),
        (
            exception_to_crashed_state(RuntimeError("it did not stop")),
            "Crashed: The run was ended by an unexpected exception: RuntimeError: it did not stop.",
        ),
        (
            exception_to_failed_state(RestartLimitExceeded("oak-1", 2, 60, "Crashed('axe')")),
            (
                "Failed: Task run 'oak-1' crashed and was not restarted: its flow run allows 2 restarts within 60"
                " seconds. The crash: Crashed('axe')."
            ),
        ),
        # Cancellations.
        (Cancelled(), "Cancelled: it was cancelled, and no reason was given."),
        (Cancelled(message="The engine is closing."), "Cancelled: The engine is closing."),
        (Cancelling(message="enough"), "Cancelling: enough."),
        (Cancelling(), "Cancelling: its body has been told to stop, and no reason was given."),
        # What was found, and what was undone.
        (
            Completed(name="Cached", data=1, state_details={"cache_key": "abc"}),
            "Cached: its result was there already, under the cache key 'abc'.",
        ),
        (Completed(name="Cached", data=1), "Cached: its result was there already."),
        (Completed(data=1.5, state_details={"cache_key": "abc"}), "Completed: it came to a result, of type float."),
        (
            Completed(name="RolledBack", message="It was rolled back with its transaction."),
            "RolledBack: It was rolled back with its transaction.",
        ),
        # What has not ended.
        (Pending(), "Pending: it has not started yet."),
        (Running(), "Running: its body runs."),
        (
            Retrying(message="Retry 1 of 3, after Failed('ValueError: x')."),
            "Retrying: Retry 1 of 3, after Failed('ValueError: x').",
        ),
        (Scheduled(scheduled_time=NOON), "Scheduled: it waits for its time (due at 2030-01-02 12:00:00 UTC)."),
        (
            AwaitingRetry(scheduled_time=NOON, message="Retry 1 of 3, after Failed()."),
            "AwaitingRetry: Retry 1 of 3, after Failed() (due at 2030-01-02 12:00:00 UTC).",
        ),
        (Paused(), "Paused: it waits to be resumed."),
        (
            Suspended(pause_expiration_time=NOON),
            "Suspended: it waits to be resumed (until 2030-01-02 12:00:00 UTC).",
        ),
    ],
    ids=lambda each: "" if isinstance(each, State) else each,
)
def test_a_state_is_explained_in_one_sentence(state: State[Any], sentence: str) -> None:
    assert state.explain() == sentence


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([of_a_run(Completed()), of_a_run(Completed())], "Completed: All states completed."),
        (
            [of_a_run(Completed()), of_a_run(failure(ValueError("knot")))],
            "Failed: 1/2 states failed; the first: Failed, ValueError: knot.",
        ),
        (of_a_run(failure(ValueError("knot"))), "Failed: 1/1 states failed; the first: Failed, ValueError: knot."),
        (
            [Crashed(message="axe"), failure(ValueError("knot"))],
            "Failed: 2/2 states failed; the first: Crashed, axe.",
        ),
        (
            [failure(ValueError("knot")), Cancelled(message="enough"), Cancelled()],
            "Cancelled: 2/3 states cancelled; the first: Cancelled, enough.",
        ),
        (
            [Completed(), Running()],
            "Failed: 1/2 states are not final; the first: Running, its body runs.",
        ),
        (
            [of_a_run(return_value_to_state([failure(ValueError("deep")), Completed()]))],
            "Failed: 1/1 states failed; the first: Failed, ValueError: deep.",
        ),
    ],
    ids=str,
)
def test_of_states_that_were_returned_the_first_to_blame_is_named(value: Any, sentence: str) -> None:
    assert return_value_to_state(value).explain() == sentence


def test_states_in_one_another_without_end_are_explained_all_the_same() -> None:
    state = Failed(message="1/1 states failed.")
    state.data = [state]
    assert state.explain() == "Failed: 1/1 states failed."


def test_many_states_in_one_another_are_explained_without_going_down_by_calls() -> None:
    state: State[Any] = failure(ValueError("deep"))
    for _ in range(5_000):
        state = Failed(message="1/1 states failed.", data=state)
    assert state.explain().startswith("Failed: 1/1 states failed; the first: Failed, ")


def test_a_text_of_several_lines_becomes_one() -> None:
    error = ParameterTypeError("crawl", {"depth": "'x' is not a whole number", "urls[0]": "5 is no text"})
    sentence = failure(error).explain()
    assert sentence == (
        "Failed: Flow 'crawl' was given 2 invalid parameters: depth: 'x' is not a whole number urls[0]: 5 is no text."
    )


def test_a_long_text_is_cut() -> None:
    sentence = Failed(message="x" * 5_000).explain()
    assert len(sentence) <= LONGEST
    assert sentence.endswith("x….")


@pytest.mark.parametrize("message", ["one. ", "one.", "one"])
def test_every_sentence_ends_once(message: str) -> None:
    assert Failed(message=message).explain() == "Failed: one."


def test_braces_and_percents_are_text() -> None:
    assert Failed(message="100 % {of} %s").explain() == "Failed: 100 % {of} %s."


# As runs have them.


def test_a_flow_says_how_many_failed_and_the_first_of_them() -> None:
    flow = running_flow()
    for number in (1, 2, 3):
        end_child(flow, child_of(flow, number), failure(ConnectionError(f"host {number}")) if number > 1 else None)
    flow.ask(Returned(None, at(2)))
    name = f"carve-{(0x0190_0000_0000_7000_8000_0000_0000_0000 + 2) & 0xFFF:03x}"
    assert flow.state.explain() == (
        f"Failed: 2 of 3 runs failed and nobody looked at them; the first: {name}, ConnectionError: host 2."
    )


def test_a_run_that_has_used_up_its_retries_says_so() -> None:
    run = task_run(retries=2)
    run.tell(Admit(at(1)))
    for second in (2, 3, 4):
        run.ask(Raised(ValueError(f"knot {second}"), at(second)))
    assert run.state.explain() == "Failed: ValueError: knot 4 (attempt 3, the last one)."
    assert run.state.message == "ValueError: knot 4"
    assert run.state.state_details.attempts == 3


def test_a_run_that_was_tried_once_says_nothing_of_attempts() -> None:
    run = task_run()
    run.tell(Admit(at(1)))
    run.ask(Raised(ValueError("knot"), at(2)))
    assert run.state.explain() == "Failed: ValueError: knot."
    assert not run.state.has_details


def test_a_flow_run_that_has_used_up_its_retries_says_so() -> None:
    flow = running_flow()
    flow.retry = type(flow.retry)(1)
    for second in (2, 3):
        flow.ask(Raised(ValueError("knot"), at(second)))
    assert flow.state.explain() == "Failed: ValueError: knot (attempt 2, the last one)."


def test_a_run_that_was_cancelled_says_why_also_when_it_has_stopped() -> None:
    run = task_run()
    run.tell(Admit(at(1)))
    run.tell(Cancel("It was cancelled through its future.", at(2)))
    assert run.state.explain() == "Cancelling: It was cancelled through its future."
    run.tell(Returned(None, at(3)))
    assert run.type is StateType.CANCELLED
    assert run.state.explain() == "Cancelled: It was cancelled through its future."


def test_so_does_one_that_had_been_tried_before() -> None:
    run = task_run(retries=1)
    run.tell(Admit(at(1)))
    run.ask(Raised(ValueError(), at(2)))
    run.tell(Cancel("enough", at(3)))
    run.tell(Returned(None, at(4)))
    assert run.state.explain() == "Cancelled: enough."


def test_so_does_a_flow_run() -> None:
    flow = running_flow()
    flow.tell(Cancel("enough", at(2)))
    flow.tell(Returned(5, at(3)))
    assert flow.state.explain() == "Cancelled: enough."


def test_a_run_that_could_not_start_names_its_upstream_run() -> None:
    run = task_run(unready=1)
    run.tell(UpstreamEnded(good=False, name="fetch-17", state=failure(ValueError("gone")), at=at(2)))
    assert run.state.explain() == (
        "NotReady: Upstream task run 'fetch-17' did not reach COMPLETED: it is Failed('ValueError: gone')."
    )


def test_a_flow_whose_crashes_were_too_many_says_so() -> None:
    flow = running_flow()
    flow.crash_policy = CrashPolicy(restart="task", max_restarts=0)
    flow.window = RestartWindow(flow.crash_policy)
    child = child_of(flow)
    flow.ask(ChildCrashed(child, Crashed(message="axe broke"), at(2)))
    end_child(flow, child)
    flow.ask(Returned(None, at(3)))
    assert flow.state.explain().startswith("Failed: Task run 'carve-")
    assert "was not restarted: its flow run allows 0 restarts" in flow.state.explain()


def test_the_ids_of_a_run_do_not_matter() -> None:
    state = Failed(message="no", state_details={"task_run_id": UUID(int=5)})
    assert state.explain() == "Failed: no."
