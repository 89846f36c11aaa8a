"""The ledger of an engine: every event of every run, and what must be true of them.

The numbers are those of the invariants in docs/reliability.md.
"""

from __future__ import annotations

from typing import Any

from millrace import Engine, Event, State, StateType

_S = StateType
_TERMINAL = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.CRASHED})
_BEFORE_RUNNING = frozenset({_S.PENDING, _S.SCHEDULED, _S.RUNNING, _S.PAUSED})


class Broken(AssertionError):  # it is what is so
    """An invariant does not hold."""


def is_final(state: State[Any]) -> bool:
    """Whether a state ends its run."""
    return state.type in _TERMINAL or (state.type is _S.PENDING and state.name == "NotReady")


# What must be true of an event and the one before it, in order.


def _begins(event: Event, last: Event | None) -> str:
    if last is not None:
        return ""
    if event.sequence or event.previous is not None:
        return "2, the first event has another number than 0"
    return "" if event.state.type in {_S.PENDING, _S.SCHEDULED} else "3, it begins neither PENDING nor SCHEDULED"


def _follows(event: Event, last: Event | None) -> str:
    if last is None:
        return ""
    if event.sequence != last.sequence + 1:
        return "2, a gap between two events"
    previous = event.previous
    if previous is not last.state and (previous is None or previous.id != last.state.id):
        return "1, an event does not follow the one before it"
    return ""


def _goes_forward(event: Event, last: Event | None) -> str:
    back = last is not None and event.state.nanoseconds < last.state.nanoseconds
    return "2, time goes back within a run" if back else ""


def _ends_once(event: Event, last: Event | None) -> str:
    again = last is not None and is_final(last.state) and event.cause not in {"forced", "lost"}
    return "4, something follows the end of a run" if again else ""


def _runs_after_what_it_may(event: Event, last: Event | None) -> str:
    wrong = last is not None and event.state.type is _S.RUNNING and last.state.type not in _BEFORE_RUNNING
    return "3, RUNNING follows a state that it may not follow" if wrong else ""


def _is_cancelled_in_the_end(event: Event, last: Event | None) -> str:
    cancelling = last is not None and last.state.type is _S.CANCELLING
    wrong = cancelling and event.state.type not in {_S.CANCELLED, _S.CRASHED}
    return "7, CANCELLING is left for something else than CANCELLED or CRASHED" if wrong else ""


RULES = (_begins, _follows, _goes_forward, _ends_once, _runs_after_what_it_may, _is_cancelled_in_the_end)


class Ledger:
    """Keeps the events of an engine.

    Args:
        engine: The engine.
        note: Told of each.
    """

    def __init__(self, engine: Engine, note: Any) -> None:
        self.chains: dict[int, list[Event]] = {}
        self.names: dict[int, str] = {}
        self.broken: list[str] = []
        self._engine = engine
        self._note = note
        self._flows: dict[int, set[int]] = {}  # task runs by flow run
        self.on_run: Any = None
        self.runs_body: Any = lambda _run, _attempt: False
        self.on_record: dict[int, int] = {}  # by run that another process has begun: the number of its next event
        self._only_made: list[tuple[int, Event]] = []  # runs that were PENDING when their flow run ended, with this
        self.lost: set[int] = set()  # runs of which something was told after the store had failed
        engine.subscribe(self.hear)

    def hear(self, event: Event) -> None:
        """An event."""
        state = event.state
        flow, run = state._flow, state._task  # as numbers: what makes ids of them takes longer than all the rest
        key = run or flow
        assert key is not None
        chain = self.chains.setdefault(key, [])
        if key not in self.names:
            self.names[key] = f"r{len(self.names)}"
            if self.on_run is not None:
                self.on_run()
        self._note(f"{self.names[key]} {event}")
        last = chain[-1] if chain else None
        if last is None and key in self.on_record:
            problem = "" if event.sequence == self.on_record[key] else "2, it does not go on where it was on record"
        else:
            problem = next(filter(None, (rule(event, last) for rule in RULES)), "") or self._problem_of_task(
                event, last
            )
        if problem:
            self.broken.append(f"{problem}: {self.names[key]} {event}; before: {[str(each) for each in chain[-6:]]}")
        chain.append(event)
        chronicle = self._engine.chronicle
        if chronicle is not None and chronicle.writer.failed is not None:
            self.lost.add(key)
        if run is not None and flow is not None:
            self._flows.setdefault(flow, set()).add(run)
        elif run is None and state.type in _TERMINAL and event.cause != "forced":
            left = [each for each in sorted(self._flows.get(key, ())) if not is_final(self.chains[each][-1].state)]
            self._only_made += [(each, event) for each in left if len(self.chains[each]) == 1]
            left = [each for each in left if len(self.chains[each]) > 1]
            if left:
                names = [f"{self.names[each]} {self.chains[each][-1]}" for each in left]
                self.broken.append(f"13, flow run {event} has ended before {names}")

    def _problem_of_task(self, event: Event, last: Event | None) -> str:
        """What is wrong between a task run and its flow, or its body."""
        state = event.state
        kind, run = state.type, state._task
        if run is None or last is None:
            return ""
        is_subflow = state.has_details and state.state_details.child_flow_run_id is not None
        may_run = ("forced", "resumed", "proposed") if is_subflow else ("forced",)  # it may have been paused by itself
        if kind is _S.RUNNING and last.state.type is not _S.RUNNING and event.cause not in may_run:
            # Of a pause and an admission in one moment either may be told first; what was admitted, actors look at.
            flow = self.chains.get(state._flow or 0)
            return "8, it runs although its flow has ended" if flow and flow[-1].state.type in _TERMINAL else ""
        if is_subflow:
            return ""
        if kind is _S.COMPLETED and event.cause == "returned" and self.runs_body(run, self.attempts(event)):
            return "9, it is COMPLETED, and its body goes on"
        return ""

    def attempts(self, event: Event) -> int:
        """How many attempts a run has had."""
        return sum(
            each.state.type is _S.RUNNING and each.cause != "resumed" for each in self.chains[event.state._task or 0]
        )

    def check(self) -> None:
        """Whether all has been as it must be.

        Raises:
            Broken: it has not.
        """
        # Somebody has looked at a run of a map that had been dropped, and so made it; or code that a task had left
        # behind has started something in the moment in which the flow ended. Then it is cancelled, and never runs.
        for run, end in self._only_made:
            chain = self.chains[run]
            if len(chain) > 1 and chain[1].cause != "cancel":
                self.broken.append(f"13, flow run {end} has ended before {self.names[run]} {chain[1]}")
        if self.broken:
            raise Broken(self.broken[0])

    @property
    def ended(self) -> int:
        """How many runs have ended."""
        return sum(is_final(chain[-1].state) for chain in self.chains.values())

    def unfinished(self) -> list[str]:
        """The runs that have not ended."""
        return [f"{self.names[key]} {chain[-1]}" for key, chain in self.chains.items() if not is_final(chain[-1].state)]
