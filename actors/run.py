"""What every run is: an actor that holds a state, judges proposals by the rules, and remembers its way.

Decides: whether a proposal is accepted, what the run's state is, its sequence numbers, its times. Does not know what a
body is, nor who waits; `task_run` and `supervisor` say what each message means to a run of their kind.

Memory: a run that goes the ordinary way (created, admitted, returned data) holds no `State` at all. The plain PENDING
it began with, the plain first RUNNING and the plain COMPLETED say nothing but their time and the data, which the run
knows anyway; `state` and `history` make them when somebody looks, always with the same ids.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from millrace.actors.events import Event, Journal
from millrace.actors.instructions import Notify, Order, Tell
from millrace.actors.mailbox import Mailbox
from millrace.actors.messages import Cancel, Committed, Unwatch, Watch
from millrace.actors.rules import TRANSITION_CAP, Picked, answer_a_repeated_proposal_as_before
from millrace.actors.state_details import RETRYING
from millrace.actors.states import DEFAULT_NAMES, TERMINAL, State, StateDetails, StateType, make_state
from millrace.actors.timestamps import from_nanoseconds, span
from millrace.actors.verdicts import Answer, Verdict, abort, accept

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_PENDING = StateType.PENDING
_RUNNING = StateType.RUNNING
_CANCELLING = StateType.CANCELLING
_CANCELLED = StateType.CANCELLED
_FAILED = StateType.FAILED
_PLAIN_WAY = (_PENDING, _RUNNING, _CANCELLING)  # the states that a run may have left without remembering them

NOT_READY = "NotReady"
"""Name of the PENDING state that is final for its run: something it depends on did not complete."""


class RunActor(Mailbox):
    """A run: of a task or of a flow. See the module's docstring."""

    plain_rules: ClassVar[Picked]  # the rules by pair, for proposals without details
    detailed_rules: ClassVar[Picked]  # the same for proposals with details

    __slots__ = (
        "_data", "_past", "_state", "cancellation", "created", "ended", "id", "journal", "looked_at", "run_count",
        "sequence", "started", "type", "watchers",
    )  # fmt: skip

    def __init__(self, run_id: int, created: int, journal: Journal) -> None:
        super().__init__()
        self.id = run_id  # 128 bits; a UUID when somebody looks
        self.created = created  # ns since the epoch; the time of event 0
        self.journal = journal  # where this run's events go
        self.type: StateType = _PENDING  # always the type of `state`
        self._state: State[Any] | None = None  # None: plain, made when looked at
        self._data: Any = None  # what a plain COMPLETED holds
        self._past: list[State[Any]] | None = None  # states left, without the plain first ones
        self.sequence = 0  # of the present state; the next one has the next number
        self.started = 0  # ns of the first RUNNING; 0 before
        self.ended = 0  # ns of the end; 0 before. Set once: what was told stays true
        self.run_count = 0  # attempts admitted
        self.watchers: list[Any] | None = None  # who is to be told of the end; None after it
        self.cancellation: Cancel | None = None  # that was asked for while the body ran
        self.looked_at = False  # somebody took result, exception or final state

    # What a run of each kind adds.

    @property
    def name(self) -> str:
        """The display name."""
        raise NotImplementedError

    def ids(self) -> tuple[int | None, int | None]:
        """The ids that a state of this run carries: of the flow run, of the task run."""
        raise NotImplementedError

    def count_setback(self) -> None:
        """It ended otherwise than COMPLETED: count that where its kind keeps account. In its supervisor's turn."""

    # What it knows about itself.

    @property
    def state(self) -> State[Any]:
        """The present state."""
        while True:
            state, kind, sequence = self._state, self.type, self.sequence
            if state is None:
                state = self._plain(kind, sequence)
            if sequence == self.sequence:  # else another thread changed the run while it was being read
                return state

    @property
    def told_state(self) -> State[Any]:
        """The state that may be told: while its end is withheld, the one before."""
        while True:
            sequence = self.sequence
            state = self.state if self.done or not self.ended else (self._previous() or self.state)
            if sequence == self.sequence:
                return state

    @property
    def done(self) -> bool:
        """Whether the run has ended, and that may be told; for its future, nothing changes any more."""
        return self.ended != 0 and self.watchers.__class__ is not Withheld

    def history(self) -> list[State[Any]]:
        """Every state the run has had, first to last."""
        past = self._past or []
        plain = _PLAIN_WAY[: self.sequence - len(past)]
        return [*(self._plain(kind, number) for number, kind in enumerate(plain)), *past, self.state]

    @property
    def run_time(self) -> int:
        """Nanoseconds in RUNNING, over all attempts that have ended."""
        spans = pairwise(self.history())
        return sum(max(0, after.nanoseconds - state.nanoseconds) for state, after in spans if state.type is _RUNNING)

    @property
    def start_time(self) -> datetime | None:
        """When it first entered RUNNING, in UTC; None before."""
        return from_nanoseconds(self.started) if self.started else None

    @property
    def end_time(self) -> datetime | None:
        """When it ended, in UTC; None before."""
        return from_nanoseconds(self.ended) if self.ended else None

    @property
    def expected_start_time(self) -> datetime:
        """When it was to start, in UTC: the time that it was scheduled for as it was made, else when that was."""
        first, *then = self.history()[:2]
        made = then[0] if then and then[0].state_details.deferred else first
        return made.state_details.scheduled_time or first.timestamp

    @property
    def total_run_time(self) -> timedelta:
        """How long it has been RUNNING, over all attempts that have ended."""
        return span(self.run_time)

    def trail(self) -> str:
        """The last steps as text, for errors."""
        return " -> ".join(state.name for state in self.history()[-6:])

    def _plain(self, kind: StateType, sequence: int) -> State[Any]:
        """A state that says nothing but what the run knows anyway."""
        message = data = None
        if (kind is _CANCELLING or kind is _CANCELLED) and self.cancellation is not None:
            message = self.cancellation.reason
        elif kind is not _PENDING and kind is not _RUNNING:
            data = self._data
        flow, task = self.ids()
        at = self._plain_time(kind)
        return make_state(kind, DEFAULT_NAMES[kind], message, data, at, flow, task, sequence)

    def present(self) -> tuple[str | None, str | None, Any, int, StateDetails | None]:
        """What its present state says, for a record of it, which makes no `State` of a plain one.

        Returns:
            Its name, None for the usual one; its message; its data; its time; and its details, if it has any.
        """
        state, kind = self._state, self.type
        if state is not None:
            name = None if state.name == DEFAULT_NAMES[kind] else state.name
            details = state.state_details if state.has_details else None
            return name, state.message, state.data, state.nanoseconds, details
        message = data = None
        if (kind is _CANCELLING or kind is _CANCELLED) and self.cancellation is not None:
            message = self.cancellation.reason
        elif kind is not _PENDING and kind is not _RUNNING:
            data = self._data
        return None, message, data, self._plain_time(kind), None

    def restore(self, states: list[State[Any]], attempts: int) -> None:
        """Go on where another process has left the run. Before anybody else knows it.

        Args:
            states: All states that it has had.
            attempts: How many attempts it has had.
        """
        *past, present = states
        self.created = states[0].nanoseconds
        self.started = next((state.nanoseconds for state in states if state.type is _RUNNING), 0)
        self.run_count = attempts
        self.sequence = len(past)
        self.type = present.type
        self._state = present
        self._past = past or None

    def _plain_time(self, kind: StateType) -> int:
        if kind is _PENDING:
            return self.created
        if kind is _RUNNING:
            return self.started
        return self.cancellation.at if kind is _CANCELLING and self.cancellation is not None else self.ended

    # Proposals.

    def judge(self, proposed: StateType, state: State[Any] | None, at: int) -> Verdict | None:
        """What the rules say of a proposal; None for yes. Changes nothing."""
        plain = state is None or not state.has_details
        for decide in (self.plain_rules if plain else self.detailed_rules)[self.type][proposed]:
            verdict = decide(self, proposed, state, at)
            if verdict is not None:
                return verdict
        return None

    def propose(self, state: State[Any], at: int, cause: str, *, force: bool = False) -> Verdict:
        """Judge a proposed state and apply what comes of it. In the run's turn only.

        Returns:
            The verdict; its state is the run's state now, as recorded.
        """
        if force:
            verdict = answer_a_repeated_proposal_as_before(self, state.type, state, at)
        elif self.sequence >= TRANSITION_CAP and not state.is_final():
            verdict = abort(f"it has changed its state {TRANSITION_CAP:,} times and goes in circles")
        else:
            verdict = self.judge(state.type, state, at)
        if verdict is None:
            return accept(self.enter(state, at, "forced" if force else cause))
        if verdict.answer is Answer.REJECT and verdict.state is not None:
            entered = self.enter(verdict.state, at, cause)
            return Verdict(Answer.REJECT, entered, verdict.reason)
        return verdict

    def enter(self, state: State[Any], at: int, cause: str) -> State[Any]:
        """Make a state the run's state: an accepted transition. In the run's turn only."""
        at = self._in_order(at)
        sequence = self.sequence + 1
        flow, task = self.ids()
        entered = state.adopt(at, flow, task, sequence)
        if entered.type is _FAILED and self.run_count > 1:
            entered.note_attempts(self.run_count)
        self._leave_state()
        self.type = entered.type
        self._state = entered
        self.sequence = sequence
        if entered.type is _RUNNING:
            self._count_attempt(at)
        if self.journal.listening:
            self.record(cause)
        return entered

    def start_plainly(self, at: int, cause: str) -> None:
        """Enter RUNNING for an attempt, with nothing to say but the time."""
        if self.sequence == 0:
            self.type = _RUNNING
            self.started = at
            if at < self.created:
                self.started = self.created
            self.run_count += 1
            self.sequence = 1
            if self.journal.listening:
                self.record(cause)
        else:
            again = self.run_count > 0 and self.type is StateType.SCHEDULED
            self._count_attempt(self._in_order(at))  # before it is told of: the record says which attempt it is
            self.become(_RUNNING, None, None, at, cause, RETRYING if again else None)

    def end_plainly(self, kind: StateType, data: Any, at: int, cause: str) -> None:
        """Enter COMPLETED or CANCELLED for good, with nothing to say but the data and the time, the run's end."""
        if self._state is not None or self.type is not _RUNNING or at < self.started:
            at = self._in_order(at)
        if self._state is not None:
            self._leave_state()
        listening = self.journal.listening
        if listening:
            self.withhold()
        self.type = kind
        self._state = None
        self._data = data
        self.ended = at
        self.sequence += 1
        if listening:
            self.record(cause)

    def cancel_plainly(self, cancellation: Cancel) -> None:
        """Enter CANCELLING, with nothing to say but what was asked for."""
        if self.sequence == 1 and self._state is None:
            at = self._in_order(cancellation.at)
            self.cancellation = cancellation if at == cancellation.at else Cancel(cancellation.reason, at)
            self._leave_state()
            self.type = _CANCELLING
            self.sequence = 2
            if self.journal.listening:
                self.record("cancel")
        else:
            self.cancellation = self.cancellation or cancellation  # the history of the first one is made of it
            self.become(_CANCELLING, cancellation.reason, None, cancellation.at, "cancel")

    def become(  # noqa: PLR0917  # called for transitions by the hundred thousand
        self, kind: StateType, message: str | None, data: Any, at: int, cause: str, name: str | None = None
    ) -> None:
        """Enter a state of the run's own making, with no details but the run's ids."""
        at = self._in_order(at)
        sequence = self.sequence + 1
        flow, task = self.ids()
        state = make_state(kind, name or DEFAULT_NAMES[kind], message, data, at, flow, task, sequence)
        self._leave_state()
        self.type = kind
        self._state = state
        self.sequence = sequence
        if self.journal.listening:
            self.record(cause)

    @property
    def entered(self) -> int:
        """When it entered its present state, in nanoseconds since the epoch."""
        state = self._state
        return self._plain_time(self.type) if state is None else state.nanoseconds

    def _in_order(self, at: int) -> int:
        """A time, or that of the present state if it is later: of two threads, the first to ask may be heard second."""
        return max(at, self.entered)

    def _count_attempt(self, at: int) -> None:
        self.run_count += 1
        if self.started == 0:
            self.started = at

    def _leave_state(self) -> None:
        """Remember the present state as one that was; a plain one is made again when it is asked for."""
        state = self._state
        if self.ended:
            state = self.state  # by force only; the plain one is made now, as it cannot be told from the run any more
        if state is not None:
            if self._past is None:
                self._past = []
            self._past.append(state)

    def record(self, cause: str) -> None:
        """Append the present state to the journal. Only called when somebody listens."""
        journal = self.journal
        if journal.keeper is not None:
            journal.keeper(self, cause)
        if journal.sink is not None:
            self.publish(Event(self.state, self._previous(), self.sequence, cause, self.name))

    def publish(self, event: Event) -> None:
        """Tell whoever listens of an event."""
        sink = self.journal.sink
        if sink is not None:
            sink(event)

    def _previous(self) -> State[Any] | None:
        """The state before the present one."""
        if self._past:
            return self._past[-1]
        before = self.sequence - 1
        return None if before < 0 else self._plain(_PLAIN_WAY[before], before)

    # Who waits for the end. From the end on, the watchers belong to whoever carries out SETTLE.

    def _watch(self, message: Watch) -> Order | None:
        if self.done:
            return Notify(message.watcher)
        if self.watchers is None:
            self.watchers = []
        self.watchers.append(message.watcher)
        return None

    def _unwatch(self, message: Unwatch) -> Order | None:
        if self.watchers is not None and not self.ended:
            self.watchers = [each for each in self.watchers if each is not message.watcher] or None
        return None

    def withhold(self) -> None:
        """The run is about to end: tell nobody before its end is committed, where a record is kept of it."""
        if self.journal.keeper is not None:
            self.watchers = Withheld(self.watchers or ())

    def _committed(self, message: Committed) -> Order | None:
        """The end of the run is on record, or never will be."""
        if message.error is not None:
            text = f"It had come to {self.state}, which could not be recorded: {message.error}"
            self.become(StateType.CRASHED, text, message.error, message.at, "lost")
        watchers, self.watchers = self.watchers, None
        return Tell(watchers or ())

    handlers: ClassVar = {Watch: _watch, Unwatch: _unwatch, Committed: _committed}


class Withheld(list[Any]):
    """Who is to be told of the end of a run that has ended, once that is committed."""

    __slots__ = ()


def is_final(state: State[Any]) -> bool:
    """Whether a state ends its run: it is terminal, or PENDING because something it depends on did not complete."""
    return state.type in TERMINAL or (state.type is _PENDING and state.name == NOT_READY)
