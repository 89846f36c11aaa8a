"""Pausing: a flow run waits for a person, or for another program, and goes on when told to.

Decides what pausing, suspending and resuming mean for the body of a flow: a paused one blocks where it is; a suspended
one ends for now, and runs again from its recorded results. Whether a run may be paused, and what that means for its
tasks, is decided by the rules. Nobody polls: whoever resumes wakes whoever waits.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, overload
from uuid import UUID

import attrs

from millrace.actors.errors import (
    CancelledRun,
    ConfigurationError,
    FlowPauseTimeout,
    MissingContextError,
    ParameterTypeError,
    Pause,
    PauseRefused,
)
from millrace.actors.messages import Lapsed
from millrace.actors.seconds import checked_limit
from millrace.actors.states import Paused, Suspended
from millrace.actors.timestamps import from_nanoseconds
from millrace.actors.verdicts import Answer
from millrace.runtime import interrupting
from millrace.runtime.attempt import run_blocking
from millrace.runtime.context import CURRENT
from millrace.runtime.effects import BLOCKING, ON_LOOP, Effects
from millrace.runtime.engine import Engine
from millrace.runtime.engines import engine_at_hand, engine_that_runs
from millrace.runtime.logs import get_run_logger
from millrace.runtime.pauses import Pausing, Unconverted
from millrace.runtime.proposing import put_to
from millrace.runtime.run_ids import number_of
from millrace.runtime.running import running_loop
from millrace.runtime.settings import STORE
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.stores.port import Store


def pause_flow_run(  # what a pause is made of
    wait_for_input: Any = None,
    timeout: float | None = 3600,
    key: str | None = None,
    *,
    flow_run_id: UUID | str | None = None,
    store: Store | str | None = None,
) -> Any:
    """Pause the flow run that this code belongs to, or another one, until somebody resumes it.

    Tasks that run go on, and no other one starts. In sync code it blocks; in async code it is awaited. Inside a task it
    pauses the flow run of the task. Whoever pauses with the key of the present pause waits for the end of that, too.

    With an id it pauses that run, in this process or in another one that has the same store, and does not wait for the
    end of the pause. The body of that run goes on as far as it can without starting anything.

    Args:
        wait_for_input: The type of what `resume_flow_run` is to be given: an attrs class, a dataclass, or any other
            type that parameters may have. None: whatever it is given.
        timeout: Seconds. Not resumed by then, the flow run is FAILED. None for no limit.
        key: A pause with the same key happens once in a run, also when its body is run again. By default pauses are
            counted, in the flow's body and in each task run by itself.
        flow_run_id: The flow run; by default the one that this code belongs to.
        store: The store, or its URL, of a run of another process; by default that of `MILLRACE_STORE`. Then the id may
            be a beginning that no other run has.

    Returns:
        What the run was resumed with, converted to the type; with an id None. In async code, something to await for
        that.

    Raises:
        MissingContextError: there is neither an id, nor a flow run that this code belongs to.
        RunNotFound: no flow run with that id is running here, nor is one in the store.
        RunEnded: it has ended already. (In a store.)
        PauseRefused: the flow run is not RUNNING, so it cannot be paused.
        OwnerUnreachable: the process that runs it is over, or does not answer.
        FlowPauseTimeout: it was not resumed in time. The run is FAILED then, whatever is made of this.
        CancelledRun: it was cancelled, or stopped otherwise, instead.
        ConfigurationError: the timeout is no number above 0.

    Cancellation: only the wait ends; the flow run stays paused, until it is resumed or stopped.
    """
    if flow_run_id is not None and not _is_around(flow_run_id):
        return _pause_by_id(_ById(flow_run_id, store, timeout, key, wait_for_input), suspends=False)
    run, body = _flow_run("pause_flow_run()")
    pausing, seconds = _pausing(run, wait_for_input, timeout, key, body, suspends=False)
    if body.blocks:
        return run_blocking(_pause(run, pausing, seconds, BLOCKING))
    return _pause(run, pausing, seconds, ON_LOOP)


async def _pause(run: FlowRun, wanted: Pausing, seconds: float | None, fx: Effects) -> Any:
    pauses = run.pauses  # these, though the run may have ended by the time that the wait has
    if wanted.key in pauses.given:
        return _given(run, wanted)
    pausing = pauses.begin(wanted, waits=True)
    while pausing.outside and pausing is not wanted:
        pauses.refuse_if_suspended()
        await pausing.end.wait(ThreadWaiter() if fx is BLOCKING else LoopWaiter(run.engine.lane_here()))
        interrupting.check()
        if not pausing.resumed:
            break
        pausing = pauses.begin(wanted, waits=True)
    if pausing is wanted:
        _propose(run, pausing)
        if fx is BLOCKING and running_loop() is not None:
            get_run_logger().warning(
                "Flow run '%s' is paused in sync code on the thread of an event loop, which is held up until another "
                "thread resumes the run.",
                run.name,
            )
        lane = run.lane_that_turns if fx is BLOCKING else run.lane_for_async
        _set_alarm(run, pausing, seconds, lane)
    await pausing.end.wait(ThreadWaiter() if fx is BLOCKING else LoopWaiter(run.engine.lane_here()))
    interrupting.check()
    if pausing.resumed:
        return pauses.given[pausing.key]
    if pausing.refused:
        raise PauseRefused(run.name, pausing.refused)
    if pausing.lapsed:
        raise FlowPauseTimeout(run.name, seconds or 0.0)
    raise CancelledRun(f"The flow run '{run.name}' was stopped while it was paused: {run.stopping or run.state}")


@overload
def suspend_flow_run(wait_for_input: Any = ..., *, timeout: float | None = ..., key: str | None = ...) -> Any: ...
@overload
def suspend_flow_run(
    wait_for_input: Any = ...,
    *,
    flow_run_id: UUID | str,
    timeout: float | None = ...,
    key: str | None = ...,
    store: Store | str | None = ...,
) -> Any: ...
def suspend_flow_run(  # what a suspension is made of
    wait_for_input: Any = None,
    *,
    flow_run_id: UUID | str | None = None,
    timeout: float | None = None,
    key: str | None = None,
    store: Store | str | None = None,
) -> Any:
    """End the work on a flow run for now; resuming it runs the flow again from its recorded results.

    Called inside of the flow, or of a task of it, it ends that body at once. With an id, from anywhere, the flow's body
    ends at its next call of a task. Tasks that run go on to their end; the others are started anew when the body is run
    again. Results are recorded where the flow has `persist_result=True` or retries; without, all runs anew.

    Args:
        wait_for_input: As for `pause_flow_run`.
        flow_run_id: The flow run; by default the one that this code belongs to.
        timeout: Seconds. Not resumed by then, the flow run is FAILED. None for no limit.
        key: As for `pause_flow_run`.
        store: As for `pause_flow_run`.

    Returns:
        When the flow has been resumed and its body comes here again: what it was resumed with. In async code it may be
        awaited, and has acted when it is.

    Raises:
        MissingContextError: there is neither an id, nor a flow run that this code belongs to.
        RunNotFound: no flow run with that id is running here, nor is one in the store.
        RunEnded: it has ended already. (In a store.)
        PauseRefused: the flow run is not RUNNING, or is a subflow, which cannot be suspended by itself.
        OwnerUnreachable: the process that runs it is over, or does not answer.
        Pause: ends the body. It is not to be caught.
        ConfigurationError: the timeout is no number above 0.
    """
    if flow_run_id is not None and not _is_around(flow_run_id):
        return _pause_by_id(_ById(flow_run_id, store, timeout, key, wait_for_input), suspends=True)
    run, current = _flow_run("suspend_flow_run()")
    _check_outermost(run)
    pausing, seconds = _pausing(run, wait_for_input, timeout, key, current, suspends=True)
    if pausing.key in run.pauses.given:
        return _at_hand(_given(run, pausing), blocks=current.blocks)
    if run.pauses.begin(pausing) is pausing:
        _propose(run, pausing)
        _set_alarm(run, pausing, seconds, run.engine.own_lane)  # the loop of the flow may end before
    raise Pause(run.state)


@attrs.frozen
class _ById:
    """A pause of a run that is named by its id. See `pause_flow_run`."""

    flow_run_id: UUID | str
    store: Store | str | None
    timeout: float | None
    key: str | None
    wait_for_input: Any = None


def pause_from_outside(  # what a pause is made of
    run: FlowRun, timeout: float | None, key: str | None, *, suspends: bool, wait_for_input: Any = None
) -> None:
    """Pause or suspend a run of this engine, not from its own body; see `pause_flow_run` and `suspend_flow_run`."""
    if suspends:
        _check_outermost(run)
    pausing, seconds = _pausing(run, wait_for_input, timeout, key, None, suspends=suspends)
    pausing.outside = True
    if pausing.key not in run.pauses.given and run.pauses.begin(pausing) is pausing:
        _propose(run, pausing)
        _set_alarm(run, pausing, seconds, run.engine.own_lane)  # the loop of the flow may end before


def _check_outermost(run: FlowRun) -> None:
    """Check that a run may be suspended by itself.

    Raises:
        PauseRefused: it is a subflow.
    """
    if run.parent is not None:
        raise PauseRefused(run.name, "it is a subflow, which cannot be suspended by itself; suspend the outermost flow")


def _pause_by_id(wanted: _ById, *, suspends: bool) -> Any:
    """Pause or suspend a run of this process or of another one. In async code, something to await for that."""
    current = CURRENT.get()
    blocks = running_loop() is None if current is None else current.blocks
    engine = engine_with(wanted.flow_run_id, wanted.store)
    if engine is not None:
        run = engine.find_flow_run(wanted.flow_run_id)
        pause_from_outside(run, wanted.timeout, wanted.key, suspends=suspends, wait_for_input=wanted.wait_for_input)
        return _at_hand(None, blocks=blocks)
    if wanted.wait_for_input is not None:
        raise ConfigurationError("wait_for_input", wanted.wait_for_input, "nothing, for a run of another process")
    checked_limit("timeout", wanted.timeout)
    from millrace.runtime.stores import by_id  # noqa: PLC0415  # few programs steer others

    steered = by_id.Steered.of(wanted.store)

    def ask() -> None:
        with steered:
            by_id.pause(steered, wanted.flow_run_id, wanted.timeout, wanted.key, suspends=suspends)

    return ask() if blocks else by_id.elsewhere(ask)


def _is_around(flow_run_id: UUID | str) -> bool:
    """Whether the code at hand belongs to the flow run with an id."""
    current = CURRENT.get()
    return current is not None and current.scope.flow is not None and str(current.scope.uuid) == str(flow_run_id)


def engine_with(flow_run_id: UUID | str, store: Store | str | None) -> Engine | None:
    """The engine that is to act on a run; None where that is for the process that has a store open."""
    if store is not None:
        return None
    engine = engine_at_hand()
    if engine is None or not engine.has_flow_run(flow_run_id):
        engine = engine_that_runs(flow_run_id) or engine  # a thread is in no block, whatever engine its process has
    if engine is None and STORE.read() is None:
        engine = Engine.current()
    if engine is None or (
        engine.chronicle is None and STORE.read() is not None and not engine.runs_flow(number_of(flow_run_id))
    ):
        return None
    return engine


def _pausing(  # what a pause is made of
    run: FlowRun,
    wait_for_input: Any,
    timeout: float | None,
    key: str | None,
    body: TaskRun | FlowRun | None,
    *,
    suspends: bool,
) -> tuple[Pausing, float | None]:
    """A pause, and the seconds that it may last."""
    seconds = checked_limit("timeout", timeout)
    until = None if seconds is None else from_nanoseconds(run.engine.now() + round(seconds * 1e9))
    known: Any
    if key is not None or body is None:
        known, text = (object() if key is None else key), key
    else:
        known, text = run.pauses.number(body)
    make = Suspended if suspends else Paused
    return Pausing(known, make(pause_expiration_time=until, pause_key=text), wait_for_input), seconds


def _propose(run: FlowRun, pausing: Pausing) -> None:
    """Have the run enter the state of a pause.

    Raises:
        PauseRefused: it may not.
    """
    verdict = put_to(run, pausing.state)
    if verdict.answer is not Answer.ACCEPT:
        run.pauses.refuse(pausing, verdict.reason)
        raise PauseRefused(run.name, verdict.reason)


def _set_alarm(run: FlowRun, pausing: Pausing, seconds: float | None, lane: Callable[[], LoopLane]) -> None:
    if seconds is None or pausing.end.is_open:
        return

    def lapse() -> None:
        if run.pauses.take(pausing.state, pausing):
            pausing.lapsed = True
            run.tell(Lapsed(pausing.id, FlowPauseTimeout(run.name, seconds), run.engine.now()))
            pausing.over()

    pausing.ends_by(run.engine.timers.call_at(run.engine.now() + round(seconds * 1e9), lapse, lane))


def _given(run: FlowRun, wanted: Pausing) -> Any:
    """What the run was resumed with from a pause."""
    given = run.pauses.given[wanted.key]
    if isinstance(given, Unconverted):
        given = run.pauses.given[wanted.key] = converted(run, wanted.wait_for_input, given.value)
    return given


def converted(run: FlowRun, wanted: Any, given: Any) -> Any:
    """The input of a run as its body wants it.

    Raises:
        ParameterTypeError: it cannot be converted.
    """
    if wanted is None:
        return given
    from millrace.runtime.validation.converting import Converters  # noqa: PLC0415  # few pauses take input
    from millrace.runtime.validation.wrong import Wrong  # noqa: PLC0415

    convert = Converters().hook(wanted)
    try:
        return convert(given)
    except Wrong as problem:
        wrong = problem
    if given is None:
        try:
            return convert({})  # a class of which all fields have defaults
        except Wrong as problem:
            if any(path for path, _ in problem.problems):
                wrong = problem
    assert run.flow is not None  # the engine's own scope is never paused
    raise ParameterTypeError(run.flow.name, dict(wrong.inside("run_input")))


class _AtHand:
    """A value that may be awaited."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._value
        yield


def _at_hand(value: Any, *, blocks: bool) -> Any:
    return value if blocks else _AtHand(value)


def _flow_run(call: str) -> tuple[FlowRun, TaskRun | FlowRun]:
    """The flow run that this code belongs to, and the run whose body the code is.

    Raises:
        MissingContextError: it belongs to none.
    """
    current = CURRENT.get()
    if current is None or current.scope.flow is None:
        raise MissingContextError(call, "a flow run")
    return current.scope, current
