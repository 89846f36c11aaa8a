"""Taking up: a flow run of this engine that nobody sees through is executed by whoever has come for it.

Decides which runs those are: one that was made ahead, and one that is suspended, whose body has ended for now. The
latter goes on as if it had been resumed without anything. That only one of those who come does it is decided by the
run's actor; a body that goes on is nobody's to run beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from millrace.actors.errors import ConfigurationError, NotPausedError, RunNotResumable
from millrace.actors.messages import TakeUp
from millrace.actors.states import StateType
from millrace.runtime.hearing import hears_of
from millrace.runtime.unpausing import end_pause
from millrace.runtime.waiting import ThreadWaiter

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow import BaseFlow
    from millrace.runtime.flow_run import FlowRun


def taken_up(
    engine: Engine, run_id: UUID | str, flow: BaseFlow[Any, Any] | None, parameters: Mapping[str, Any] | None
) -> tuple[FlowRun, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Take a run that waits in its engine: nobody else will execute it.

    Args:
        engine: The engine.
        run_id: The id of the run.
        flow: What it is to be a run of; None for whatever it is.
        parameters: In place of those that it was made with.

    Returns:
        The run, and the arguments of its body.

    Raises:
        RunNotFound: the engine has no such run.
        ConfigurationError: it is a run of another flow.
        SignatureMismatchError: the parameters do not fit.
        ParameterTypeError: it is suspended, and waits for an input that has to be given.
        RunNotResumable: somebody else executes it, or it was cancelled.
    """
    run = engine.find_flow_run(run_id)
    made_of = run.flow
    assert made_of is not None  # the engine's own scope is not among its flow runs
    if flow is not None and flow != made_of:
        raise ConfigurationError("flow", flow, f"{made_of!r}, of which the run was made")
    given = dict(run.parameters if parameters is None else parameters)
    call = made_of.shape.call_of(given)
    if not (_taken_up_after_a_pause(run) if run.suspends else _asked(run)):
        advice = "Use resume_flow_run()." if run.type is StateType.PAUSED else ""
        raise RunNotResumable(
            run.name, f"it is {run.type}, and no run that was made ahead and waits for somebody", advice
        )
    run.parameters = given
    return run, call


def _taken_up_after_a_pause(run: FlowRun) -> bool:
    if not run.let_go or hears_of(run.uuid):
        return False
    try:
        paused = end_pause(run, None)
    except NotPausedError:  # somebody else has resumed it
        return False
    if not _asked(run, paused):
        return False
    if run.conductor is not None:
        run.conductor.let_go()
    run.begin_again()
    return True


def _asked(run: FlowRun, paused: UUID | None = None) -> bool:
    """Whether the run's actor has whoever asks here execute it."""
    if hears_of(run.uuid):
        return False
    answers: list[bool] = []
    answered = ThreadWaiter()

    def reply(taken: bool) -> None:  # noqa: FBT001  # an answer
        answers.append(taken)
        answered.notify()

    run.tell(TakeUp(reply, run.engine.now(), paused))
    answered.wait()  # at once, unless another thread has the run's turn for a moment
    return answers == [True]
