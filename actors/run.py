"""What every run is: an actor that holds a state, judges proposals by the rules, and remembers its way.

Decides: whether a proposal is accepted, what the run's state is, its sequence numbers, its times. Does not know what a body
is, nor who waits; `task_run` and `supervisor` say what each message means to a run of their kind.

Memory: a run that goes the ordinary way (created, admitted, ended) holds one `State` only, its last. The plain PENDING it
began with and the plain first RUNNING say nothing but their time, which the run knows anyway; `history` makes them again,
with the same ids.
"""

from __future__ import annotations

from typing import Any, ClassVar

from millrace.actors.events import Event, Journal
from millrace.actors.mailbox import Mailbox
from millrace.actors.rules import Pair, Picked
from millrace.actors.states import DEFAULT_NAMES, TERMINAL, State, StateType, make_state
from millrace.actors.verdicts import Answer, Verdict, accept

_PENDING = StateType.PENDING
_RUNNING = StateType.RUNNING

NOT_READY = "NotReady"
"""Name of the PENDING state that is final for its run: something it depends on did not complete."""

TRANSITION_CAP = 100_000
"""A run with more transitions than this is going in circles: proposals to it are refused."""


class RunActor(Mailbox):
    """A run: of a task or of a flow. See the module's docstring."""

    __slots__ = (
        "_past",
        "_state",
        "created",
        "ended",
        "id",
        "looked_at",
        "run_count",
        "run_time",
        "sequence",
        "started",
        "type",
        "watchers",
    )

    plain_rules: ClassVar[Picked]  # the rules by pair, for proposals without details
    detailed_rules: ClassVar[Picked]  # the same for proposals with details

    def __init__(self, run_id: int, created: int) -> None:
        super().__init__()
        self.id = run_id  # 128 bits; a UUID when somebody looks
        self.created = created  # ns since the epoch; the time of event 0
        self.type: StateType = _PENDING  # always the type of `state`
        self._state: State[Any] | None = None  # None: plain, to be made from the times when looked at
        self._past: list[State[Any]] | None = None  # the states left, without the plain first ones
        self.sequence = 0  # of the present state; the next one has the next number
        self.started = 0  # ns of the first RUNNING; 0 before
        self.ended = 0  # ns of the end; 0 before. Set once: the outcome of a run does not change for who waited
        self.run_count = 0  # attempts admitted
        self.run_time = 0  # ns in RUNNING, attempts that are over only
        self.watchers: list[Any] | None = None  # who is to be told of the end; None again from then on
        self.looked_at = False  # somebody took the result, the exception or the final state

    # What a run of each kind adds.

    @property
    def journal(self) -> Journal:
        """Where this run's events go."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The display name."""
        raise NotImplementedError

    def ids(self) -> tuple[int | None, int | None]:
        """The ids that a state of this run carries: of the flow run, of the task run."""
        raise NotImplementedError

    # What it knows about itself.

    @property
    def state(self) -> State[Any]:
        """The present state."""
        if self._state is None:
            at = self.started if self.type is _RUNNING else self.created
            return self._make(self.type, at, self.sequence)
        return self._state

    @property
    def done(self) -> bool:
        """Whether the run has ended; for its future, nothing changes any more."""
        return self.ended != 0

    def history(self) -> list[State[Any]]:
        """Every state the run has had, first to last."""
        past = self._past or []
        recorded = len(past) + (self._state is not None)
        plain = [(_PENDING, self.created), (_RUNNING, self.started)][: self.sequence + 1 - recorded]
        states = [self._make(kind, at, number) for number, (kind, at) in enumerate(plain)]
        states += past
        if self._state is not None:
            states.append(self._state)
        return states

    def trail(self) -> str:
        """The last steps as text, for errors."""
        return " -> ".join(state.name for state in self.history()[-6:])

    def _make(
        self,
        kind: StateType,
        at: int,
        sequence: int,
        name: str | None = None,
        message: str | None = None,
        data: Any = None,
    ) -> State[Any]:
        flow, task = self.ids()
        return make_state(kind, name or DEFAULT_NAMES[kind], message, data, at, flow, task, sequence)

    # Proposals.

    def judge(self, proposed: StateType, state: State[Any] | None, at: int) -> Verdict | None:
        """What the rules say of a proposal; None for yes. Changes nothing."""
        pair: Pair = (self.type, proposed)
        plain = state is None or not state.has_details
        for decide in (self.plain_rules if plain else self.detailed_rules)[pair]:
            verdict = decide(self, proposed, state, at)
            if verdict is not None:
                return verdict
        return None

    def propose(self, state: State[Any], at: int, cause: str, *, force: bool = False) -> Verdict:
        """Judge a proposed state and apply what comes of it. In the run's turn only.

        Returns:
            The verdict; its state is the run's state now, as recorded.
        """
        verdict = None if force else self.judge(state.type, state, at)
        if verdict is None:
            return accept(self.enter(state, at, "forced" if force else cause))
        if verdict.answer is Answer.REJECT and verdict.state is not None:
            entered = self.enter(verdict.state, at, cause)
            return Verdict(Answer.REJECT, entered, verdict.reason)
        return verdict

    def enter(self, state: State[Any], at: int, cause: str) -> State[Any]:
        """Make a state the run's state: an accepted transition. In the run's turn only."""
        sequence = self.sequence + 1
        flow, task = self.ids()
        entered = state.adopt(at, flow, task, sequence)
        self._leave_state(at)
        self.type = entered.type
        self._state = entered
        self.sequence = sequence
        if entered.type is _RUNNING:
            self._count_attempt(at)
        if self.journal.sink is not None:
            self.record(cause)
        return entered

    def start_plainly(self, at: int, cause: str) -> None:
        """Enter RUNNING for an attempt, with nothing to say but the time."""
        if self.sequence == 0:
            self.type = _RUNNING
            self.sequence = 1
            self._count_attempt(at)
            if self.journal.sink is not None:
                self.record(cause)
        else:
            self.enter(self._make(_RUNNING, at, self.sequence + 1), at, cause)

    def finish_plainly(self, kind: StateType, message: str | None, data: Any, at: int, cause: str) -> None:
        """Enter a terminal state that this run made itself."""
        sequence = self.sequence + 1
        flow, task = self.ids()
        state = make_state(kind, DEFAULT_NAMES[kind], message, data, at, flow, task, sequence)
        self._leave_state(at)
        self.type = kind
        self._state = state
        self.sequence = sequence
        if self.journal.sink is not None:
            self.record(cause)

    def _count_attempt(self, at: int) -> None:
        self.run_count += 1
        if self.started == 0:
            self.started = at

    def _leave_state(self, at: int) -> None:
        """Remember the present state as one that was."""
        state = self._state
        if self.type is _RUNNING:
            self.run_time += at - (self.started if state is None else state.nanoseconds)
        if state is not None:
            if self._past is None:
                self._past = []
            self._past.append(state)

    def record(self, cause: str) -> None:
        """Append the present state to the journal. Only called when somebody listens."""
        sink = self.journal.sink
        if sink is not None:
            history = self.history()
            previous = history[-2] if len(history) > 1 else None
            sink(Event(history[-1], previous, self.sequence, cause, self.name))


def is_final(state: State[Any]) -> bool:
    """Whether a state ends its run: it is terminal, or PENDING because something it depends on did not complete."""
    return state.type in TERMINAL or (state.type is _PENDING and state.name == NOT_READY)
