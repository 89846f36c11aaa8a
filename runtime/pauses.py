"""Pauses: what a flow run remembers of its pauses, and which of its tasks wait for the end of one.

Decides that each pause is ended by one and no other (whoever resumes, or its time), that a pause with the same key
happens once, and that no task is forgotten that was refused because of one. What pausing and resuming mean for a body
is `pausing`'s; what they mean for the run's state, the supervisor's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import Pause, PauseRefused
from millrace.actors.instructions import GoOn, Order
from millrace.actors.messages import Stopped
from millrace.actors.rules import PUT_OFF
from millrace.actors.states import Cancelled, State, StateType
from millrace.runtime.bells import Latch

if TYPE_CHECKING:
    from uuid import UUID

    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.timers import Alarm


class Pausing:
    """One pause of a flow run.

    Args:
        key: A pause with the same key happens once.
        state: The state that is proposed for it.
        wait_for_input: The type of what is to be given when the run is resumed; None for anything.
    """

    __slots__ = (
        "_alarm", "end", "id", "key", "lapsed", "outside", "refused", "resumed", "state", "wait_for_input",
    )  # fmt: skip

    def __init__(self, key: Hashable, state: State[Any], wait_for_input: Any) -> None:
        self.key = key
        self.state = state
        self.id = state.id  # drawn now: of two who look at it at once, later, each would draw one
        self.wait_for_input = wait_for_input
        self.end = Latch()  # opened when it ends, however that is
        self.outside = False  # it was not the run's own body, or one of a task of it, that has paused
        self.resumed = False
        self.lapsed = False  # its time was over first
        self.refused = ""  # why it has never begun
        self._alarm: Alarm | None = None

    def ends_by(self, alarm: Alarm) -> None:
        """A timer has been set, which is of no use any more once the pause has ended."""
        self._alarm = alarm
        if self.end.is_open:
            alarm.call_off()

    def over(self) -> None:
        """It has ended: wake whoever waits for that. From any thread."""
        self.end.open()
        if self._alarm is not None:
            self._alarm.call_off()


class Unconverted:
    """What a run was resumed with by somebody who did not know the type that it waits for.

    Args:
        value: As it was given.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Pauses:
    """The pauses of one flow run."""

    __slots__ = ("_calls_before", "_counts", "_lock", "_parked", "_run", "_taken", "given", "present")

    def __init__(self, run: FlowRun) -> None:
        self._run = run
        self._lock = Lock()
        self._counts: dict[tuple[int, int], int] = {}  # by run and attempt: pauses without a key of their own
        self._calls_before: dict[Hashable, int] = {}  # by task: its calls in earlier attempts of the flow run
        self._parked: list[Callable[[], None]] = []  # to be called when the run goes on
        self._taken: dict[UUID, Pausing | None] = {}  # by id of the state: somebody is about to end this pause
        self.present: Pausing | None = None  # the one that the run is in, or is about to be; nobody is ending it yet
        self.given: dict[Hashable, Any] = {}  # by key of those that are over: what the run was resumed with

    # Keys.

    def number(self, body: FlowRun | TaskRun) -> tuple[Hashable, str]:
        """The key of a pause that was given none: its number in the body at hand, which is the same in each attempt.

        Returns:
            The key, and what to call it.
        """
        with self._lock:
            at = (body.id, 0 if body.is_flow else body.run_count)
            number = self._counts[at] = self._counts.get(at, 0) + 1
        if body.is_flow:
            return (number,), str(number)
        run: TaskRun = body  # type: ignore[assignment]
        place = run.key - self._calls_before.get(run.task.identity, 0)
        return (run.task.name, place, number), f"{run.name}-{number}"

    def restore(self, answers: Mapping[Hashable, Any]) -> None:
        """Take over what the run was resumed with in other processes: values that are not converted yet, by key."""
        self.given.update({key: Unconverted(value) for key, value in answers.items()})

    def begin_again(self) -> None:
        """The body is about to run once more: count from the start."""
        with self._lock:
            ended = [pausing for pausing in self._taken.values() if pausing is not None]
            self._taken.clear()
            self._counts.clear()
            self._calls_before = {site.task.identity: site.calls for site in self._run.sites()}
        for pausing in ended:
            pausing.over()

    # The way of a pause.

    def begin(self, pausing: Pausing, *, waits: bool = False) -> Pausing:
        """A body wants to pause.

        Args:
            pausing: The pause.
            waits: It can wait for the end of a pause that somebody outside has begun.

        Returns:
            The pause; another one with the same key, or such a one, if the run is in that.

        Raises:
            PauseRefused: it is in a pause with another key.
        """
        with self._lock:
            present = self.present
            if present is None:
                self.present = pausing
                return pausing
        if present.key == pausing.key or (waits and present.outside):
            return present
        raise PauseRefused(self._run.name, "it is paused already")

    def refuse(self, pausing: Pausing, reason: str) -> None:
        """The run cannot be paused now."""
        with self._lock:
            if self.present is pausing:
                self.present = None
        pausing.refused = reason
        pausing.over()

    def take(self, paused: State[Any], pausing: Pausing | None) -> bool:
        """Take the right to end a pause; whether nobody else had it before.

        Args:
            paused: The state that the run was found in.
            pausing: The pause that made it; None if it was proposed from outside.
        """
        with self._lock:
            if paused.id in self._taken or self._run.state.id != paused.id:
                return False
            self._taken[paused.id] = pausing
            if self.present is pausing:
                self.present = None
            return True

    def perform(self, instruction: Order) -> None:
        """Carry out what the supervisor instructs about a pause."""
        if isinstance(instruction, GoOn):
            self._go_on(instruction.paused)
        else:
            self._end_waiting()

    def _go_on(self, paused: UUID) -> None:
        """The run is RUNNING again: wake whoever waits for that.

        Args:
            paused: The id of the state that it has left.
        """
        with self._lock:
            pausing = self._taken.pop(paused, None)
            present = self.present
            if present is not None and present.id == paused:  # nobody has resumed it, but it was set to RUNNING
                pausing, self.present = present, None
                self.given.setdefault(present.key, None)
            parked, self._parked = self._parked, []
        if pausing is not None:
            pausing.resumed = True
            pausing.over()
        for go_on in parked:
            go_on()

    def stop(self) -> None:
        """The run is being stopped, or has ended: no pause matters any more, and what was parked never starts."""
        with self._lock:
            pauses = [self.present, *self._taken.values()]
            self.present = None
            self._taken.clear()
            self._parked = []
        for pausing in pauses:
            if pausing is not None:
                pausing.over()

    # The tasks of the run.

    def refuse_if_suspended(self) -> None:
        """End the body here where the run is suspended.

        Raises:
            Pause: it is.
        """
        if self._run.suspends:
            raise Pause(self._run.state)

    def park(self, go_on: Callable[[], None]) -> None:
        """Call something that has a child admitted as soon as the flow run goes on; or now, if that is not paused."""
        with self._lock:
            waits = self._run.paused
            if waits:
                self._parked.append(go_on)
        if not waits:
            go_on()

    def _end_waiting(self) -> None:
        """The run is suspended: what waits for another attempt will not have it here."""
        for child in tuple(self._run.children.values()):
            if child.type is not StateType.SCHEDULED:
                continue
            if child.is_flow:
                subflow: FlowRun = child  # type: ignore[assignment]
                if subflow.conductor is not None:
                    subflow.conductor.ask_again()
            else:
                put_off = Cancelled(message=PUT_OFF, data=Pause(self._run.state))
                child.tell(Stopped(put_off, self._run.engine.now()))
