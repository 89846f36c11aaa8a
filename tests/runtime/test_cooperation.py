"""How sync code learns that it should stop: each run is put where it can be, and asked from inside.

No body runs here. What the actor of a run would be told, it is told by the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

import pytest

from millrace import CancelledRun, Engine, FlowRunTimeoutError, TaskRunTimeoutError, flow, task
from millrace.actors.instructions import EXECUTE
from millrace.actors.messages import Admit, Cancel, Expired, Interrupt, Propose, Raised, Returned, Stopped
from millrace.actors.outcomes import timed_out
from millrace.actors.states import Completed, Crashed, Failed, Scheduled, StateType
from millrace.runtime.context import ATTEMPT, CURRENT
from millrace.runtime.cooperation import cancelled, check_cancelled
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.runs import TaskRun
from tests.clock import VirtualTime


class Nowhere:
    """A lane on which nothing runs."""

    def dispatch(self, run: TaskRun) -> None:
        """Never run it."""

    def dispatch_map(self, cursor: Any) -> None:
        """Never run them."""

    def stop(self, run: TaskRun) -> None:
        """There is no body to stop."""


class World:
    """Runs that go on only when they are told."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.engine = Engine(clock=self.time.now, timers=self.time)
        self.made: list[TaskRun] = []

    def begun(self, **options: Any) -> TaskRun:
        """A task run whose first attempt has begun."""
        run = self.engine.root.start_run(task(**options)(_body), (), {}, None, Nowhere(), in_line=False)
        self.made.append(run)
        self.admit(run)
        return run

    def admit(self, run: TaskRun) -> None:
        """Begin an attempt."""
        assert run.ask(Admit(self.time.now())) is EXECUTE

    def begun_flow(self) -> FlowRun:
        """A flow run whose body has begun."""
        run = FlowRun(self.engine, flow(_body), {})
        assert run.ask(Admit(self.time.now())) is EXECUTE
        return run

    def expire(self, run: TaskRun, *, stops: bool = False) -> None:
        """The time of the attempt is over."""
        run.tell(Expired(2.5, self.time.now(), run.run_count, stops=stops))

    def end(self) -> None:
        """End what is left."""
        for run in self.made:
            if not run.ended:
                run.give_up("The test is over.")


def _body() -> None:
    """Stands for the body that nobody calls."""


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.end()


def inside(run: TaskRun | FlowRun, ask: Callable[[], Any] = cancelled, attempt: int = 1) -> Any:
    """Ask something as code of an attempt of a run does."""
    context = Context()
    context.run(CURRENT.set, run)
    context.run(ATTEMPT.set, attempt)
    return context.run(ask)


def told(run: TaskRun | FlowRun, kind: type[Exception], attempt: int = 1) -> str:
    """What is raised in code of an attempt of a run that should stop."""
    assert inside(run, cancelled, attempt) is True
    with pytest.raises(kind) as caught:
        inside(run, check_cancelled, attempt)
    assert type(caught.value) is kind
    return str(caught.value).replace(run.name, "NAME")


def test_outside_of_any_run_nothing_is_cancelled() -> None:
    assert cancelled() is False
    check_cancelled()


def test_a_run_that_goes_on_is_not_cancelled(world: World) -> None:
    for run in (world.begun(), world.begun(timeout_seconds=2.5), world.begun_flow()):
        assert inside(run) is False
        inside(run, check_cancelled)


# Tasks.


def test_a_run_that_is_being_cancelled_says_why(world: World) -> None:
    run = world.begun()
    run.cancel("too slow")
    assert run.type is StateType.CANCELLING
    assert told(run, CancelledRun) == "The cancellation of task run 'NAME' was asked for: too slow"


def test_a_run_that_was_cancelled_still_knows_why(world: World) -> None:
    run = world.begun()
    run.cancel("too slow")
    run.abandon_body()
    assert (run.type, run.state.message) == (StateType.CANCELLED, "too slow")
    assert told(run, CancelledRun) == "The cancellation of task run 'NAME' was asked for: too slow"


def test_a_cancellation_without_a_reason_says_so(world: World) -> None:
    run = world.begun()
    run.tell(Cancel("", world.time.now()))
    assert told(run, CancelledRun) == "The cancellation of task run 'NAME' was asked for: no reason was given."


def test_a_run_that_timed_out_says_so(world: World) -> None:
    run = world.begun(timeout_seconds=2.5)
    world.expire(run)
    assert run.type is StateType.FAILED
    assert told(run, TaskRunTimeoutError) == "Task run 'NAME' exceeded its timeout of 2.5 seconds."


def test_the_error_raised_is_not_the_one_on_record(world: World) -> None:
    run = world.begun(timeout_seconds=2.5)
    world.expire(run)
    with pytest.raises(TaskRunTimeoutError) as caught:
        inside(run, check_cancelled)
    assert caught.value is not run.state.data
    assert run.state.data.__traceback__ is None


def test_a_body_whose_time_is_over_is_told_before_it_has_stopped(world: World) -> None:
    run = world.begun(timeout_seconds=2.5)
    world.expire(run, stops=True)
    assert run.type is StateType.RUNNING
    assert told(run, TaskRunTimeoutError) == "Task run 'NAME' exceeded its timeout of 2.5 seconds."


def test_a_cancellation_counts_more_than_a_deadline(world: World) -> None:
    run = world.begun(timeout_seconds=2.5)
    world.expire(run, stops=True)
    run.cancel("not wanted any more")
    expected = "The cancellation of task run 'NAME' was asked for: not wanted any more"
    assert told(run, CancelledRun) == expected
    run.tell(Stopped(Failed(), world.time.now()))
    assert run.type is StateType.CANCELLED
    assert told(run, CancelledRun) == expected


def test_an_attempt_that_timed_out_is_told_while_the_run_waits_for_the_next(world: World) -> None:
    run = world.begun(timeout_seconds=2.5, retries=1, retry_delay_seconds=60)
    world.expire(run)
    assert (run.type, run.run_count) == (StateType.SCHEDULED, 1)
    assert told(run, TaskRunTimeoutError) == "Task run 'NAME' exceeded its timeout of 2.5 seconds."


@pytest.mark.parametrize("ended", [False, True])
def test_an_attempt_that_timed_out_is_told_although_the_next_goes_well(world: World, *, ended: bool) -> None:
    run = world.begun(timeout_seconds=2.5, retries=1)
    world.expire(run)
    assert (run.type, run.run_count) == (StateType.RUNNING, 2)
    if ended:
        run.tell(Returned("well", world.time.now()))
        assert run.state.is_completed()
    assert told(run, TaskRunTimeoutError, attempt=1) == "Task run 'NAME' exceeded its timeout of 2.5 seconds."


def test_the_next_attempt_goes_on(world: World) -> None:
    run = world.begun(timeout_seconds=2.5, retries=1, retry_delay_seconds=60)
    world.expire(run)
    world.time.advance(60)
    world.admit(run)
    assert inside(run, attempt=1) is True
    assert inside(run, attempt=2) is False
    inside(run, check_cancelled, attempt=2)


def test_an_attempt_without_a_deadline_that_the_run_has_left_behind_is_told_to_stop(world: World) -> None:
    run = world.begun(task_run_name=lambda: "any", retries=1)
    run.tell(Raised(ValueError("no"), world.time.now()))
    assert run.run_count == 2
    expected = "An attempt of task run 'NAME' is over, and the run goes on without it."
    assert told(run, CancelledRun, attempt=1) == expected
    assert inside(run, attempt=2) is False


def test_the_number_of_an_attempt_is_compared_only_where_there_is_one(world: World) -> None:
    """1. A task that sets no number is called by one in its first attempt. 2. It is tried again: the 1 is not its."""
    run = world.begun(retries=2)
    run.tell(Raised(ValueError("no"), world.time.now()))
    assert run.run_count == 2
    assert run.node.conduct is None
    assert inside(run, attempt=1) is False
    conducted = world.begun(timeout_seconds=2.5, retries=2)
    conducted.tell(Raised(ValueError("no"), world.time.now()))
    assert inside(conducted, attempt=0) is False
    assert inside(conducted, attempt=1) is True


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (lambda run, at: run.tell(Returned("done", at)), "Completed()"),
        (lambda run, at: run.tell(Propose(Completed(message="by hand"), at, force=True)), "Completed('by hand')"),
        (lambda run, at: run.tell(Stopped(Failed(message="no"), at)), "Failed('no')"),
        (lambda run, at: run.tell(Stopped(Crashed(message="given up"), at)), "Crashed('given up')"),
    ],
    ids=("returned", "forced", "failed", "given-up"),
)
def test_what_goes_on_after_the_end_of_its_run_is_told_how_it_ended(
    world: World, end: Callable[[TaskRun, int], None], how: str
) -> None:
    run = world.begun()
    end(run, world.time.now())
    assert told(run, CancelledRun) == f"The task run 'NAME' has ended: {how}."


def test_a_run_that_is_rescheduled_by_hand_goes_on_as_far_as_plain_code_knows(world: World) -> None:
    run = world.begun()
    run.tell(Propose(Scheduled(), world.time.now()))
    assert run.type is StateType.SCHEDULED
    assert inside(run) is False


# Flows.


def test_a_flow_run_that_is_being_cancelled_says_why(world: World) -> None:
    run = world.begun_flow()
    run.cancel("too slow")
    expected = "The cancellation of flow run 'NAME' was asked for: too slow"
    assert told(run, CancelledRun) == expected
    run.tell(Returned(None, world.time.now()))
    assert run.type is StateType.CANCELLED
    assert told(run, CancelledRun) == expected


def test_a_flow_run_that_is_interrupted_says_why(world: World) -> None:
    run = world.begun_flow()
    run.tell(Interrupt("a child crashed", world.time.now()))
    assert run.type is StateType.RUNNING
    assert told(run, CancelledRun) == "The cancellation of flow run 'NAME' was asked for: a child crashed"


def test_a_flow_run_that_timed_out_says_so(world: World) -> None:
    run = world.begun_flow()
    run.tell(Stopped(timed_out(FlowRunTimeoutError(run.name, 60)), world.time.now()))
    assert told(run, FlowRunTimeoutError) == "Flow run 'NAME' exceeded its timeout of 60 seconds."


def test_a_flow_run_that_has_ended_says_how(world: World) -> None:
    run = world.begun_flow()
    run.tell(Returned(3, world.time.now()))
    assert told(run, CancelledRun) == "The flow run 'NAME' has ended: Completed()."


def test_the_attempt_of_a_task_around_a_flow_is_not_the_flows(world: World) -> None:
    run = world.begun_flow()
    assert inside(run, attempt=5) is False
