"""Runs for tests of the lower floor: actors that write down what they are told to do, at times that a test chooses.

Nothing here acts: an instruction is only noted. What the upper floor would do next, a test does by sending a message.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from millrace.actors.events import Event, Journal
from millrace.actors.instructions import SETTLE, Order
from millrace.actors.mailbox import Mailbox, Message
from millrace.actors.messages import Admit, Cancel, ChildEnded, Propose, Returned, Spawned, Stopped
from millrace.actors.policies import RetryPolicy
from millrace.actors.run import RunActor
from millrace.actors.states import (
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
from millrace.actors.supervisor import Supervisor
from millrace.actors.task_run import TaskNode, TaskRunActor
from millrace.actors.timestamps import from_nanoseconds
from millrace.actors.verdicts import Verdict

SECOND = 10**9
START = 1_700_000_000 * SECOND
FLOW_ID = 0x0190_0000_0000_7000_8000_0000_0000_0000


def at(seconds: float) -> int:
    """A time, in nanoseconds since the epoch: so many seconds after the start of the test's world."""
    return START + round(seconds * SECOND)


def moment(seconds: float) -> datetime:
    """The same as users see it."""
    return from_nanoseconds(at(seconds))


# Actors.


class Flow(Supervisor[RunActor]):
    """A flow run that notes its instructions."""

    def __init__(self, run_id: int, created: int, journal: Journal, name: str) -> None:
        super().__init__(run_id, created, journal, name)
        self.orders: list[Order] = []

    def perform(self, instruction: Order) -> None:
        self.orders.append(instruction)


class Outside(Flow):
    """The engine's scope, for runs outside of any flow."""

    @property
    def flow_id(self) -> int | None:
        return None


class TaskRun(TaskRunActor[TaskNode]):
    """A task run that notes its instructions."""

    def __init__(self, number: int, journal: Journal, node: TaskNode, unready: int) -> None:
        super().__init__(FLOW_ID + number, at(0), journal, node, number - 1, None, unready)
        self.orders: list[Order] = []

    def perform(self, instruction: Order) -> None:
        self.orders.append(instruction)


def pending_flow(name: str = "brook", *, sink: Callable[[Event], None] | None = None, kind: type[Flow] = Flow) -> Flow:
    """A flow run that has not been admitted; made at second 0."""
    flow = kind(FLOW_ID, at(0), Journal(sink), name)
    if sink is not None:
        flow.record("created")
    return flow


def running_flow(name: str = "brook", *, sink: Callable[[Event], None] | None = None, kind: type[Flow] = Flow) -> Flow:
    """A flow run that was admitted in second 0."""
    flow = pending_flow(name, sink=sink, kind=kind)
    flow.ask(Admit(at(0)))
    return flow


def task_run(
    flow: Flow | None = None,
    *,
    number: int = 1,
    retries: int = 0,
    delays: tuple[float, ...] = (),
    unready: int = 0,
    sink: Callable[[Event], None] | None = None,
) -> TaskRun:
    """A task run, made at second 0 in a running flow where none is given; its events go to `sink`."""
    node = TaskNode("carve", flow or running_flow(), RetryPolicy(retries, delays))
    run = TaskRun(number, Journal(sink), node, unready)
    if sink is not None:
        run.record("created")
    return run


def child_of(flow: Flow, number: int = 1) -> TaskRun:
    """A task run that its flow counts."""
    run = task_run(flow, number=number)
    flow.tell(Spawned(1, (run,)))
    return run


def end_child(flow: Flow, child: TaskRun, state: State[Any] | None = None, seconds: float = 1.0) -> None:
    """See a child through to COMPLETED, or to another state, and tell its flow."""
    child.ask(Admit(at(seconds)))
    message = Returned("plank", at(seconds)) if state is None else Stopped(state, at(seconds))
    assert child.ask(message) is SETTLE
    flow.tell(ChildEnded(child))


# Proposals.

MAKE: Mapping[StateType, Callable[..., State[Any]]] = {
    StateType.SCHEDULED: Scheduled,
    StateType.PENDING: Pending,
    StateType.RUNNING: Running,
    StateType.COMPLETED: Completed,
    StateType.FAILED: Failed,
    StateType.CANCELLED: Cancelled,
    StateType.CRASHED: Crashed,
    StateType.PAUSED: Paused,
    StateType.CANCELLING: Cancelling,
}


def make(kind: StateType, **given: Any) -> State[Any]:
    """A state of a type, made by hand; a scheduled one is due from second 1 on."""
    if kind is StateType.SCHEDULED:
        given = {"scheduled_time": moment(1)} | given
    return MAKE[kind](**given)


def propose(run: RunActor, state: State[Any], seconds: float = 5.0, *, force: bool = False) -> Verdict:
    """Propose a state from outside, as `propose_state` does, and give the verdict."""
    verdicts: list[Verdict] = []
    run.tell(Propose(state, at(seconds), force, verdicts.append))
    (verdict,) = verdicts
    return verdict


def bring_task_run_to(kind: StateType, sink: Callable[[Event], None] | None = None, *, number: int = 1) -> TaskRun:
    """A task run in a state of a type, brought there by ordinary messages in seconds 1 and 2; nothing is noted yet."""
    run = task_run(number=number, sink=sink)
    if kind is StateType.SCHEDULED:
        propose(run, make(kind), 1)
    elif kind is StateType.CANCELLED:
        run.tell(Cancel("enough", at(1)))
    elif kind is not StateType.PENDING:
        run.tell(Admit(at(1)))
    _bring_on(run, kind)
    run.orders.clear()
    assert run.type is kind
    return run


def bring_flow_to(kind: StateType, sink: Callable[[Event], None] | None = None) -> Flow:
    """The same for a flow run."""
    flow = pending_flow(sink=sink)
    if kind is StateType.SCHEDULED:
        propose(flow, make(kind), 1)
    elif kind is not StateType.PENDING:
        flow.tell(Admit(at(1)))
    if kind is StateType.CANCELLED:
        flow.tell(Cancel("enough", at(2)))
        flow.tell(Stopped(Crashed(), at(2), interrupted=True))
    _bring_on(flow, kind)
    flow.orders.clear()
    assert flow.type is kind
    return flow


def _bring_on(run: RunActor, kind: StateType) -> None:
    if kind is StateType.COMPLETED:
        run.tell(Returned("plank", at(2)))
    elif kind is StateType.FAILED or kind is StateType.CRASHED:
        run.tell(Stopped(make(kind), at(2)))
    elif kind is StateType.PAUSED:
        propose(run, make(kind), 2)
    elif kind is StateType.CANCELLING:
        run.tell(Cancel("enough", at(2)))


def everything_about(run: RunActor) -> dict[str, Any]:
    """What a refused proposal must leave as it was."""
    return {
        "type": run.type,
        "state": run.state.id,
        "sequence": run.sequence,
        "history": [(state.id, str(state), state.nanoseconds) for state in run.history()],
        "times": (run.created, run.started, run.ended, run.run_time),
        "attempts": run.run_count,
        "dead letters": run.dead_letters,
    }


def check_chain(run: RunActor, events: list[Event]) -> None:
    """Check what has to be true of any run and all of its events."""
    assert [event.sequence for event in events] == list(range(run.sequence + 1)), "sequence numbers are dense"
    assert events[0].previous is None
    assert events[0].follows is None
    for before, event in itertools.pairwise(events):
        assert event.follows == before.id, f"{event} does not know the event before it"
        assert event.previous == before.state
    assert [event.state for event in events] == run.history(), "a run's state is the fold of its events"
    assert events[-1].state == run.state
    assert run.state.type is run.type
    assert len({event.id for event in events}) == len(events)
    assert all(event.cause and event.run_name == run.name for event in events)
    times = [event.state.nanoseconds for event in events]
    assert times == sorted(times), "timestamps never go backwards"


# Mailboxes.


class Call(Message):
    """A message that brings along what is to be done with it; what that returns is the instruction."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act


class UrgentCall(Call):
    """The same, ahead of data."""

    control = True


def _do(_actor: Mailbox, message: Call) -> Any:
    return message.act()


class Doer(Mailbox):
    """An actor that does what its messages say."""

    handlers: ClassVar = {Call: _do, UrgentCall: _do}

    def __init__(self) -> None:
        super().__init__()
        self.performed: list[Any] = []

    def perform(self, instruction: Any) -> None:
        if callable(instruction):
            instruction()
        self.performed.append(instruction)
