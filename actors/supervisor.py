"""The supervisor: the flow run's own actor, which owns everything the flow starts.

Decides whether children may start, keeps account of them, spreads cancellation, and judges the flow's final state. A flow
ends only when its last child has ended, and a child never outlives it. Does not know bodies, loops or threads.

An engine has one supervisor without a flow, for the tasks that run outside of any; it always admits and never ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Generic, TypeVar

from millrace.actors.events import Journal
from millrace.actors.instructions import EXECUTE, IDLE, SETTLE, STOP_CHILDREN, Notify, Order
from millrace.actors.messages import (
    Admit,
    Born,
    Cancel,
    ChildEnded,
    ChildrenDropped,
    ChildSeen,
    Interrupt,
    Propose,
    Returned,
    Spawned,
    Stopped,
    Unwatch,
    Watch,
)
from millrace.actors.outcomes import return_value_to_state
from millrace.actors.rules import FLOW_RULES, pick
from millrace.actors.run import RunActor
from millrace.actors.states import Cancelled, Cancelling, Failed, State, StateType
from millrace.actors.verdicts import Answer, abort

_FAILURES = (StateType.FAILED, StateType.CRASHED)
_RUNNING = StateType.RUNNING
_CANCELLING = StateType.CANCELLING

C = TypeVar("C", bound=RunActor)


class Supervisor(RunActor, Generic[C]):
    """A flow run and all that it started. See the module's docstring."""

    __slots__ = ("_journal", "_name", "admits", "children", "live", "spawned", "stopping", "tally", "unseen")

    plain_rules: ClassVar = pick(FLOW_RULES, detailed=False)
    detailed_rules: ClassVar = pick(FLOW_RULES, detailed=True)

    def __init__(self, run_id: int, name: str, created: int, journal: Journal) -> None:
        super().__init__(run_id, created)
        self._name = name
        self._journal = journal
        self.admits = False  # whether children may start: exactly while RUNNING and not being stopped
        self.stopping = ""  # why the children are being stopped; empty while they are not
        self.spawned = 0  # children ever started
        self.live = 0  # children started and not ended, made or not; 0 once the run has ended
        self.children: dict[int, C] = {}  # by id: made and not ended; len <= live
        self.tally: dict[StateType, int] = {}  # children ended, by the type of their last state
        self.unseen: dict[int, C] = {}  # by id: failed, and nobody took result, exception or state; in order of ending
        if journal.sink is not None:
            self.record("created")

    @property
    def journal(self) -> Journal:
        return self._journal

    @property
    def name(self) -> str:
        return self._name

    @property
    def flow_id(self) -> int | None:
        """The flow run's id, as its children's states carry it."""
        return self.id

    @property
    def standing(self) -> str:
        """Why it admits nothing, as the end of a sentence."""
        return f"being stopped: {self.stopping}" if self.stopping else str(self.type)

    def ids(self) -> tuple[int | None, int | None]:
        return self.id, None

    def receive(self, message: Any) -> Order | None:
        return _HANDLERS[message.__class__](self, message)

    def enter(self, state: State[Any], at: int, cause: str) -> State[Any]:
        entered = super().enter(state, at, cause)
        self.admits = entered.type is _RUNNING and not self.stopping
        return entered

    # Children.

    def _spawned(self, message: Spawned) -> Order | None:
        self.spawned += message.count
        self.live += message.count
        for child in message.children:
            self.children[child.id] = child
        return STOP_CHILDREN if self.stopping else None

    def _born(self, message: Born) -> Order | None:
        for child in message.children:
            if not child.ended:
                self.children[child.id] = child
        return STOP_CHILDREN if self.stopping else None

    def _child_ended(self, message: ChildEnded) -> Order | None:
        child = message.child
        self.children.pop(child.id, None)
        kind = child.type
        tally = self.tally
        tally[kind] = tally.get(kind, 0) + 1
        if kind in _FAILURES and not child.looked_at:
            self._keep_unseen(child)
        self.live -= 1
        return None if self.live else IDLE

    def _keep_unseen(self, child: C) -> None:
        self.unseen[child.id] = child

    def _children_dropped(self, message: ChildrenDropped) -> Order | None:
        self.tally[StateType.CANCELLED] = self.tally.get(StateType.CANCELLED, 0) + message.count
        self.live -= message.count
        return None if self.live else IDLE

    def _child_seen(self, message: ChildSeen) -> Order | None:
        self.unseen.pop(message.child.id, None)
        return None

    # The flow's own way.

    def _admit(self, message: Admit) -> Order | None:
        if self.judge(_RUNNING, None, message.at) is not None:
            return None
        self.start_plainly(message.at, "admitted")
        self.admits = not self.stopping
        return EXECUTE

    def _returned(self, message: Returned) -> Order | None:
        return self._conclude(self.judge_return(message.value), message.at, "returned")

    def _stopped(self, message: Stopped) -> Order | None:
        if self.type is _CANCELLING and (message.interrupted or message.state.type is not StateType.CRASHED):
            return self._conclude(Cancelled(), message.at, "cancel")
        return self._conclude(message.state, message.at, "raised")

    def judge_return(self, value: Any) -> State[Any]:
        """The final state that a returned value makes, children considered.

        A returned state, or a collection of nothing but states, decides by itself; so does any other data, which is
        COMPLETED. A flow that returns nothing fails if a child failed and nobody looked at it: where it differs from
        Prefect, which counts every child (2) or none (3).
        """
        if self.type is _CANCELLING:
            return Cancelled()
        if value is None and self.unseen:
            return self._failed_unseen()
        state = return_value_to_state(value)
        if state.is_final():
            return state
        return Failed(message=f"The flow returned {state}, which is not final.")

    def _failed_unseen(self) -> State[Any]:
        first = next(iter(self.unseen.values()))
        count = len(self.unseen)
        return Failed(
            message=(
                f"{count:,} of {self.spawned:,} runs failed and nobody looked at "
                f"{'it' if count == 1 else 'them'}; the first: {first.name}, {_brief(first.state)}"
            ),
            data=first.state,
        )

    def _conclude(self, state: State[Any], at: int, cause: str) -> Order | None:
        if self.ended:
            self.dead_letters += 1
            return None
        verdict = self.propose(state, at, cause)
        if verdict.answer is Answer.ABORT:
            # Only from outside could the state have moved: a body that has ended ends its run whatever was proposed.
            self.enter(state, at, "forced")
        self.ended = at
        self.admits = False
        self.unseen.clear()
        return SETTLE

    def _cancel(self, message: Cancel) -> Order | None:
        if self.ended or self.type is _CANCELLING:
            return None
        self.stopping = message.reason
        self.enter(Cancelling(message=message.reason), message.at, "cancel")
        return STOP_CHILDREN

    def _interrupt(self, message: Interrupt) -> Order | None:
        if self.ended:
            return None
        self.stopping = self.stopping or message.reason
        self.admits = False
        return STOP_CHILDREN

    def _propose(self, message: Propose) -> Order | None:
        state = message.state
        if state.is_final() and not message.force:
            verdict = abort("a flow run ends when its body and its children have; cancel it instead")
        else:
            verdict = self.propose(state, message.at, "proposed", force=message.force)
        if message.reply is not None:
            message.reply(verdict)
        if verdict.answer is not Answer.ABORT and self.type is _CANCELLING and not self.stopping:
            self.stopping = state.message or "cancelled by proposal"
            return STOP_CHILDREN
        return None

    def _watch(self, message: Watch) -> Order | None:
        if self.ended:
            return Notify(message.watcher)
        self.watchers = [*(self.watchers or ()), message.watcher]
        return None

    def _unwatch(self, message: Unwatch) -> Order | None:
        self.watchers = [each for each in self.watchers or () if each is not message.watcher]
        return None

    def counts(self) -> dict[str, int]:
        """Children by state: `pending` (started, not made yet, or not admitted), `running` and so on, without zeros."""
        counts = {kind.lower(): number for kind, number in self.tally.items()}
        made = _count(child.type for child in tuple(self.children.values()))
        unborn = self.live - sum(made.values())
        if unborn > 0:
            made[StateType.PENDING] = made.get(StateType.PENDING, 0) + unborn
        for kind, number in made.items():
            counts[kind.lower()] = counts.get(kind.lower(), 0) + number
        return counts


def _count(kinds: Iterable[StateType]) -> dict[StateType, int]:
    counts: dict[StateType, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _brief(state: State[Any]) -> str:
    """What a failed state says, on one line."""
    text = f"{type(state.data).__name__}: {state.data}" if isinstance(state.data, BaseException) else str(state)
    first_line = text.splitlines()[0] if text else state.name
    return first_line if len(first_line) <= 200 else first_line[:199] + "…"


_HANDLERS: dict[type, Callable[[Supervisor[Any], Any], Order | None]] = {
    Admit: Supervisor._admit,
    Returned: Supervisor._returned,
    Stopped: Supervisor._stopped,
    Propose: Supervisor._propose,
    Spawned: Supervisor._spawned,
    Born: Supervisor._born,
    ChildEnded: Supervisor._child_ended,
    ChildrenDropped: Supervisor._children_dropped,
    ChildSeen: Supervisor._child_seen,
    Cancel: Supervisor._cancel,
    Interrupt: Supervisor._interrupt,
    Watch: Supervisor._watch,
    Unwatch: Supervisor._unwatch,
}
