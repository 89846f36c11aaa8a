"""The rules: what a proposal meets on its way to becoming a run's state.

An ordered list of small functions, each with the pairs of states it is about. The first that has an answer gives it;
where none has, the proposal is accepted. `transitions` says what is possible at all; the rules say what is allowed now.
They read a run and never change it, know no clock (the time of the proposal comes with it), and are picked by pair
ahead of time, so that an ordinary transition runs only the rules that can have an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import Pause
from millrace.actors.made_states import make_awaiting, make_found, make_retrying
from millrace.actors.states import TERMINAL, AwaitingRetry, Cancelled, Paused, Retrying, State, StateDetails, StateType
from millrace.actors.stored_result import Found
from millrace.actors.timestamps import from_nanoseconds
from millrace.actors.transitions import possible
from millrace.actors.values import Value, put
from millrace.actors.verdicts import Verdict, abort, accept, reject, wait

if TYPE_CHECKING:
    from millrace.actors.run import RunActor
    from millrace.actors.supervisor import Supervisor
    from millrace.actors.task_run import TaskRunActor

ANY: Final = frozenset(StateType)

PUT_OFF: Final = "Its flow run was suspended; the body makes another run in its place when it is run again."

TRANSITION_CAP: Final = 100_000
"""A run with so many transitions is going in circles: from then on it accepts nothing but its end."""

Decide = Callable[[Any, StateType, "State[Any] | None", int], "Verdict | None"]
"""(run, proposed type, proposed state or None for a plain one, time of the proposal in ns) -> answer or None."""


class Rule(Value):
    """One rule.

    Args:
        decide: The rule itself.
        current: The states a run may be in for the rule to apply.
        proposed: The proposed states the rule is about.
        reads_details: It looks at the details of the proposed state, so that it cannot apply to one without.
    """

    __slots__ = ("current", "decide", "proposed", "reads_details")

    decide: Decide
    current: frozenset[StateType]
    proposed: frozenset[StateType]
    reads_details: bool

    def __init__(
        self,
        decide: Decide,
        current: frozenset[StateType] = ANY,
        proposed: frozenset[StateType] = ANY,
        *,
        reads_details: bool = False,
    ) -> None:
        put(self, "decide", decide)
        put(self, "current", current)
        put(self, "proposed", proposed)
        put(self, "reads_details", reads_details)


def answer_a_repeated_proposal_as_before(
    run: RunActor, _proposed: StateType, state: State[Any] | None, _at: int
) -> Verdict | None:
    """A transition id that already set a state gives that state again and makes no second transition."""
    transition_id = None if state is None else state.transition_id
    if transition_id is None:
        return None
    for earlier in run.history():
        if earlier.transition_id == transition_id:
            return accept(earlier)
    return None


def _same_transition(state: State[Any] | None) -> StateDetails | None:
    """Details for what is set in place of a proposed state, so that the same proposal, repeated, finds it."""
    if state is None or not state.has_details:
        return None
    return StateDetails(transition_id=state.transition_id)


def keep_terminal_states(run: RunActor, proposed: StateType, _state: State[Any] | None, _at: int) -> Verdict | None:
    """Nothing leaves a terminal state; a retry of the flow makes new runs, and force passes by this rule."""
    return abort(f"it is {run.type} already, which is final, and cannot become {proposed}")


def follow_the_table(run: RunActor, proposed: StateType, _state: State[Any] | None, _at: int) -> Verdict | None:
    """A pair of states that is not in the table is refused."""
    if possible(run.type, proposed):
        return None
    return abort(f"{proposed} does not follow {run.type}")


def pause_only_what_runs(run: RunActor, _proposed: StateType, _state: State[Any] | None, _at: int) -> Verdict | None:
    """Pausing a run that is not running is an error."""
    return abort(f"only a run that is RUNNING can be paused, and this one is {run.type}")


def run_only_in_a_running_flow(
    run: TaskRunActor[Any], _proposed: StateType, state: State[Any] | None, _at: int
) -> Verdict | None:
    """A task enters RUNNING only while its flow is RUNNING."""
    supervisor = run.node.supervisor
    return None if supervisor.admits else _not_admitted(supervisor, state)


def begin_only_in_a_running_flow(
    run: Supervisor[Any], _proposed: StateType, state: State[Any] | None, _at: int
) -> Verdict | None:
    """So does a subflow. One whose body has begun, and was paused by itself, goes on as a task that runs does."""
    around = run.around
    return None if around is None or around.admits or run.attempting else _not_admitted(around, state)


def wait_for_nothing_in_a_suspended_flow(
    run: Supervisor[Any], _proposed: StateType, state: State[Any] | None, _at: int
) -> Verdict | None:
    """A subflow that waits for its time does not wait for it in a flow that is suspended: it never begins there."""
    around = run.around
    return _not_admitted(around, state) if around is not None and around.suspends and around.paused else None


def _not_admitted(supervisor: Supervisor[Any], state: State[Any] | None) -> Verdict | None:
    """What becomes of a run whose flow does not run now. In one that is suspended it never will: it ends.

    One that goes on in this very moment, as another thread has its turn, runs.
    """
    if supervisor.goes_on:
        return None
    if supervisor.suspends and supervisor.paused:
        pause = Pause(supervisor.state)  # is raised to the body that waits for this run: it is to end for now
        put_off = Cancelled(message=PUT_OFF, data=pause, state_details=_same_transition(state))
        return reject(put_off, "the flow run is suspended")
    if supervisor.paused:
        paused = Paused(message="The flow run is paused.", state_details=_same_transition(state))
        return reject(paused, "the flow run is paused")
    return abort(f"its flow run is {supervisor.standing}")


def run_not_before_its_time(run: RunActor, _proposed: StateType, _state: State[Any] | None, at: int) -> Verdict | None:
    """A run that is scheduled for later waits until then."""
    scheduled = run.state.scheduled_ns
    if scheduled is None or scheduled <= at:
        return None
    return wait(scheduled, f"it is scheduled for {from_nanoseconds(scheduled).isoformat()}")


def retry_what_failed(
    run: TaskRunActor[Any], _proposed: StateType, state: State[Any] | None, at: int
) -> Verdict | None:
    """FAILED is never recorded while retries remain: the run waits for its next attempt, or starts it, instead.

    In a flow that is being stopped nothing is tried again; in one that is paused the next attempt waits for admission,
    and in one that is suspended it is not admitted any more, which nobody is to wait for. Where attempts need slots it
    waits for these in its turn: whoever fails again and again does not keep the others from them.
    """
    policy = run.node.retry
    supervisor = run.node.supervisor
    retry = run.failures + 1
    if retry > policy.retries or not (supervisor.goes_on or supervisor.paused):
        return None
    if run.sequence >= TRANSITION_CAP:
        return None
    if _is_the_last(state):
        return None
    advice = run.advice
    if not advice.retry:
        return None
    delay = 0 if supervisor.suspends else policy.delay_before(retry, advice.drawn)
    at_once = delay <= 0 and supervisor.admits and not run.node.takes_slots
    return _another_attempt(retry, policy.retries, state, None if at_once else at + round(delay * 1e9))


def _is_the_last(state: State[Any] | None) -> bool:
    """Whether a failure says that it is not to be tried again."""
    return state is not None and state.has_details and state.state_details.retriable is False


def _retrying(message: str, details: StateDetails | None) -> State[Any]:
    return make_retrying(message) if details is None else Retrying(message=message, state_details=details)


def _awaiting_retry(at: int, message: str, details: StateDetails | None) -> State[Any]:
    scheduled = (at + 999) // 1000 * 1000  # datetimes have microseconds; rounded up, because a retry is never early
    if details is None:
        return make_awaiting("AwaitingRetry", message, scheduled)
    return AwaitingRetry(scheduled_time=from_nanoseconds(scheduled), message=message, state_details=details)


def _another_attempt(retry: int, retries: int, state: State[Any] | None, due: int | None) -> Verdict:
    """A failure is not recorded; the run is to be tried again instead.

    Args:
        retry: Which retry it is, counted from 1.
        retries: How many there may be.
        state: The failure.
        due: When it is to be admitted again, in nanoseconds since the epoch; None for now, without being admitted.
    """
    reason = f"retry {retry} of {retries}"
    message = f"Retry {retry} of {retries}, after {state if state is not None else 'a failure'}."
    details = _same_transition(state)
    again = _retrying(message, details) if due is None else _awaiting_retry(due, message, details)
    return reject(again, reason)


def retry_the_flow(run: Supervisor[Any], _proposed: StateType, state: State[Any] | None, at: int) -> Verdict | None:
    """A flow run that failed runs its body again while retries are left; not if its crashes were too many.

    A subflow of a flow that is paused or suspended waits for admission first, as the retry of a task does.
    """
    policy = run.retry
    retry = run.run_count
    if retry < 1 or retry > policy.retries or run.escalated is not None:
        return None
    if run.sequence >= TRANSITION_CAP or _is_the_last(state):
        return None
    around = run.around
    delay = 0 if around is not None and around.suspends else policy.delay_before(retry)
    at_once = delay <= 0 and (around is None or around.admits)
    return _another_attempt(retry, policy.retries, state, None if at_once else at + round(delay * 1e9))


def give_what_was_found(
    _run: TaskRunActor[Any], _proposed: StateType, state: State[Any] | None, _at: int
) -> Verdict | None:
    """A run whose result lies in the cache already is COMPLETED with that, and its body does not run."""
    if state is None or not isinstance(state.data, Found):
        return None
    return reject(state_of_found(state, state.data), "its result is in the cache")


def state_of_found(looked: State[Any], found: Found) -> State[Any]:
    """The state of a run that gets what was found.

    Args:
        looked: The RUNNING state that says under which key was looked.
        found: What was found.
    """
    return make_found(found, looked)


_GUARDS: Final = (
    Rule(answer_a_repeated_proposal_as_before, reads_details=True),
    Rule(keep_terminal_states, current=TERMINAL),
    Rule(pause_only_what_runs, current=ANY - {StateType.RUNNING}, proposed=frozenset({StateType.PAUSED})),
    Rule(follow_the_table),
)

_NOT_BEFORE_ITS_TIME: Final = Rule(
    run_not_before_its_time, current=frozenset({StateType.SCHEDULED}), proposed=frozenset({StateType.RUNNING})
)

TASK_RULES: Final = (
    *_GUARDS,
    _NOT_BEFORE_ITS_TIME,
    Rule(run_only_in_a_running_flow, current=ANY - {StateType.RUNNING}, proposed=frozenset({StateType.RUNNING})),
    Rule(give_what_was_found, proposed=frozenset({StateType.RUNNING}), reads_details=True),
    Rule(retry_what_failed, current=frozenset({StateType.RUNNING}), proposed=frozenset({StateType.FAILED})),
)
"""The rules a task run's proposals meet, in order."""

FLOW_RULES: Final = (
    *_GUARDS,
    Rule(
        wait_for_nothing_in_a_suspended_flow,
        current=frozenset({StateType.SCHEDULED}),
        proposed=frozenset({StateType.RUNNING}),
    ),
    _NOT_BEFORE_ITS_TIME,
    Rule(begin_only_in_a_running_flow, current=ANY - {StateType.RUNNING}, proposed=frozenset({StateType.RUNNING})),
    Rule(retry_the_flow, current=frozenset({StateType.RUNNING}), proposed=frozenset({StateType.FAILED})),
)
"""The rules a flow run's proposals meet, in order."""

Picked = dict[StateType, dict[StateType, tuple[Decide, ...]]]
"""By present and proposed state: the rules that can have an answer, in their order."""


def pick(rules: Iterable[Rule], *, detailed: bool) -> Picked:
    """The rules that can have an answer, by pair of states, in their order.

    `follow_the_table` is left out for the pairs that the table has, the rules about details where there are none.
    """
    ordered = tuple(rules)
    return {
        current: {
            proposed: tuple(
                rule.decide
                for rule in ordered
                if current in rule.current
                and proposed in rule.proposed
                and (detailed or not rule.reads_details)
                and not (rule.decide is follow_the_table and possible(current, proposed))
            )
            for proposed in StateType
        }
        for current in StateType
    }
