"""Validation: what must be true of a run's actor after every message, checked where somebody asks for it.

Decides what an actor may never do, whatever it was told: each rule looks at what the actor was before a message and
at what it is after it, and knows the number of the invariant in docs/reliability.md. It asks the actors' own rules
nothing, so that it sees where one of these is missing.

Handlers are looked up in tables. Where validation is switched on the tables hold handlers that look before and after;
where it is not, they hold the handlers themselves, and nothing is paid. It is for tests and simulations: a broken
invariant is a fault of the engine's, and there is nothing that a user could do about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from millrace.actors.instructions import SETTLE, Judge
from millrace.actors.messages import Admit, Committed, Expired, Propose, Raised, Returned, Stopped
from millrace.actors.rules import TRANSITION_CAP
from millrace.actors.run import RunActor, is_final
from millrace.actors.states import TERMINAL, StateType
from millrace.actors.supervisor import Supervisor
from millrace.actors.task_run import TaskRunActor

MOST_AT_ONCE: Final = 2
"""Transitions that one message may make: a flow that is suspended is CANCELLING and then CANCELLED by one."""

_AFTER_CANCELLING = (StateType.CANCELLING, StateType.CANCELLED, StateType.CRASHED)


class Before:
    """What an actor was before a message."""

    __slots__ = ("ended", "final", "may_begin", "nanoseconds", "sequence", "type")

    def __init__(self, actor: RunActor, message: Any) -> None:
        self.type = actor.type
        self.sequence = actor.sequence
        self.ended = actor.ended
        self.nanoseconds = actor.entered
        self.final = bool(actor.ended) and (actor.type in TERMINAL or is_final(actor.state))
        # Only where it matters: at the end of the stack there may be room for what is checked, and not for looking.
        self.may_begin = isinstance(message, Admit) and _may_begin(actor)


Rule = Callable[[Any, Before, Any, Any], str]
"""(actor, what it was before, message, instruction) -> what is wrong; empty where nothing is."""


def _forced(message: Any) -> bool:
    return isinstance(message, Propose) and message.force


def sequence_is_dense(actor: RunActor, before: Before, _message: Any, _order: Any) -> str:
    """Every transition has the next number."""
    made = actor.sequence - before.sequence
    if not 0 <= made <= MOST_AT_ONCE:
        return f"2, {made} transitions at once"
    return "2, another state with the same number" if not made and actor.type is not before.type else ""


def time_goes_forward(actor: RunActor, before: Before, _message: Any, _order: Any) -> str:
    """No state is entered before the one that it follows."""
    back = actor.sequence > before.sequence and actor.entered < before.nanoseconds
    return "2, time goes back" if back else ""


def an_end_is_the_end(actor: RunActor, before: Before, message: Any, _order: Any) -> str:
    """Nothing follows the end of a run, except by force, or where it cannot be recorded; its time stays what it is."""
    if not before.ended:
        return ""
    if actor.ended != before.ended:
        return "4, it has ended twice"
    changed = actor.sequence != before.sequence and before.final  # else it was forced out of its end
    wrong = changed and not _forced(message) and not isinstance(message, Committed)
    return "4, something follows its end" if wrong else ""


def an_end_is_told_once(actor: RunActor, before: Before, _message: Any, order: Any) -> str:
    """Whoever waits is told when the run ends, and only then; and then it is in a final state."""
    ends = bool(actor.ended) and not before.ended
    if ends and actor.type not in TERMINAL and not is_final(actor.state):
        return "10, it has ended in a state that is not final"
    if ends and order is not SETTLE:
        return "10, it has ended, and nobody is told"
    return "10, it is told of an end that is none" if order is SETTLE and not ends else ""


def failed_is_the_last_word(actor: TaskRunActor[Any], before: Before, message: Any, _order: Any) -> str:
    """FAILED is not recorded while retries are left."""
    told = isinstance(message, (Raised, Returned, Expired))
    if not told or actor.type is not StateType.FAILED or before.type is not StateType.RUNNING:
        return ""
    supervisor, advice = actor.node.supervisor, message.advice
    allowed = supervisor.admits and actor.sequence <= TRANSITION_CAP and (advice is None or advice.retry)
    retries = actor.node.retry.retries
    wrong = allowed and actor.failures < retries and actor.state.state_details.retriable is not False
    return f"6, it has failed with {retries - actor.failures} retries left" if wrong else ""


def attempts_are_bounded(actor: TaskRunActor[Any], before: Before, message: Any, _order: Any) -> str:
    """There are as many attempts as the first one, the retries and the restarts; more only from outside."""
    if actor.sequence == before.sequence or isinstance(message, Propose):
        return ""
    states = actor.history() if actor.failures > actor.node.retry.retries else ()
    unplanned = sum(state.type is StateType.SCHEDULED and state.name != "AwaitingRetry" for state in states)
    wrong = bool(states) and actor.type is StateType.RUNNING and actor.failures > actor.node.retry.retries + unplanned
    return f"6, attempt {actor.run_count} with {actor.node.retry.retries} retries" if wrong else ""


def cancelling_ends_cancelled(actor: RunActor, before: Before, message: Any, _order: Any) -> str:
    """From CANCELLING a run comes to CANCELLED, or to CRASHED, and to nothing else."""
    wrong = before.type is StateType.CANCELLING and actor.type not in _AFTER_CANCELLING and not _forced(message)
    return f"7, CANCELLING is left for {actor.type}" if wrong else ""


def what_it_waits_for_has_ended(actor: TaskRunActor[Any], before: Before, message: Any, _order: Any) -> str:
    """A task does not run before its upstream runs have ended."""
    begins = actor.type is StateType.RUNNING and before.type is not StateType.RUNNING
    return "8, it runs before its upstream runs have ended" if begins and actor.unready and not _forced(message) else ""


def it_begins_in_a_running_flow(actor: RunActor, before: Before, message: Any, _order: Any) -> str:
    """A run is admitted only while the flow around it is RUNNING; one that is paused meanwhile may be told of first."""
    begins = isinstance(message, Admit) and actor.type is StateType.RUNNING and before.type is not StateType.RUNNING
    wrong = begins and not (before.may_begin or _may_begin(actor))
    return "8, it runs although its flow does not" if wrong else ""


def _may_begin(actor: RunActor) -> bool:
    around = actor.node.supervisor if isinstance(actor, TaskRunActor) else getattr(actor, "around", None)
    return around is None or around.admits or around.goes_on or getattr(actor, "attempting", False)


def children_are_accounted_for(actor: Supervisor[Any], _before: Before, _message: Any, _order: Any) -> str:
    """Every child that was started lives, or has ended in some way and was counted."""
    ended = sum(actor.tally.values())
    if actor.live < 0 or actor.spawned != actor.live + ended:
        return f"12, of {actor.spawned} children {actor.live} live and {ended} have ended"
    if actor.live < len(actor.children):
        return f"12, {len(actor.children)} children are there, and {actor.live} live"
    return ""


def no_child_outlives_it(actor: Supervisor[Any], before: Before, message: Any, _order: Any) -> str:
    """A flow ends after its last child, unless its loop or its coroutine is gone, or it was given up."""
    ends = bool(actor.ended) and not before.ended
    given_up = isinstance(message, Stopped) or (
        isinstance(message, Raised) and isinstance(message.error, GeneratorExit)
    )
    return f"13, it has ended, and {actor.live} children live" if ends and actor.live and not given_up else ""


def restarts_are_bounded(actor: Supervisor[Any], _before: Before, message: Any, order: Any) -> str:
    """Within the window there are no more restarts than the policy allows."""
    if not isinstance(order, Judge) or not order.restart:
        return ""
    policy = actor.crash_policy
    since = message.at - round(policy.within_seconds * 1e9)
    times = () if actor.window is None else actor.window.times()
    restarts = sum(since <= at <= message.at for at in times)
    return f"17, {restarts} restarts, where {policy.max_restarts} are allowed" if restarts > policy.max_restarts else ""


def it_does_not_go_in_circles(actor: RunActor, _before: Before, _message: Any, _order: Any) -> str:
    """A run's transitions are bounded."""
    return f"24, {actor.sequence:,} transitions" if actor.sequence > TRANSITION_CAP + MOST_AT_ONCE else ""


OF_RUNS: Final[tuple[Rule, ...]] = (
    sequence_is_dense,
    time_goes_forward,
    an_end_is_the_end,
    an_end_is_told_once,
    cancelling_ends_cancelled,
    it_begins_in_a_running_flow,
    it_does_not_go_in_circles,
)
OF_TASK_RUNS: Final[tuple[Rule, ...]] = (
    *OF_RUNS,
    failed_is_the_last_word,
    attempts_are_bounded,
    what_it_waits_for_has_ended,
)
OF_SUPERVISORS: Final[tuple[Rule, ...]] = (
    *OF_RUNS,
    children_are_accounted_for,
    no_child_outlives_it,
    restarts_are_bounded,
)

WHATEVER_HAPPENS: Final[tuple[Rule, ...]] = (an_end_is_the_end, children_are_accounted_for)
"""What is looked at even where a message has changed no state and led to nothing."""

_KINDS: Final[tuple[tuple[Any, tuple[Rule, ...]], ...]] = (
    (TaskRunActor, OF_TASK_RUNS),
    (Supervisor, OF_SUPERVISORS),
)


def switch_on(report: Callable[[str], None]) -> Callable[[], None]:
    """Have every message to every run checked, from now on.

    Args:
        report: Called with what is wrong, in the actor's turn, on the thread that has it; it may raise.

    Returns:
        A function that puts back what was there.
    """
    in_hand: set[int] = set()
    before = [(kind, kind.handlers) for kind, _ in _KINDS]
    for kind, rules in _KINDS:
        kind.handlers = {
            message: _checked(handler, rules, in_hand, report) for message, handler in kind.handlers.items()
        }

    def switch_off() -> None:
        for kind, handlers in before:
            kind.handlers = handlers

    return switch_off


def _checked(
    handler: Callable[[Any, Any], Any], rules: tuple[Rule, ...], in_hand: set[int], report: Callable[[str], None]
) -> Callable[[Any, Any], Any]:
    still = tuple(rule for rule in rules if rule in WHATEVER_HAPPENS)

    def handle(actor: Any, message: Any) -> Any:
        if id(actor) in in_hand:
            report(f"15, {actor.name} handles two messages at once: {message!r}")
        in_hand.add(id(actor))
        try:
            was = Before(actor, message)
            order = handler(actor, message)
            moved = actor.sequence != was.sequence or order is not None or actor.type is not was.type
            for rule in rules if moved else still:
                problem = rule(actor, was, message, order)
                if problem:
                    report(f"{problem}: {actor.name}, told {type(message).__name__}; its way: {actor.trail()}")
        finally:
            in_hand.discard(id(actor))
        return order

    return handle
