"""Proposing a state to a run from outside of it. Decides nothing but who may wait: the run's actor answers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from millrace.actors.errors import Abort, ConfigurationError, RunNotFound
from millrace.actors.messages import Propose
from millrace.actors.states import State, is_state
from millrace.actors.verdicts import Answer, Verdict, abort
from millrace.runtime.engine import Engine
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.hearing import hears_of
from millrace.runtime.run_ids import number_of
from millrace.runtime.runs import TaskRun
from millrace.runtime.waiting import ThreadWaiter


def propose_state(
    state: State[Any],
    *,
    task_run_id: UUID | str | None = None,
    flow_run_id: UUID | str | None = None,
    force: bool = False,
) -> State[Any]:
    """Propose a state to a run of the current engine that has not ended.

    Args:
        state: The state.
        task_run_id: The task run to propose it to; or
        flow_run_id: the flow run.
        force: Pass by the rules; the transition is recorded as forced.

    Returns:
        The run's state after the answer: the proposed one if it was accepted, another one if it was rejected, the
        old one if the proposal has to wait.

    Raises:
        ConfigurationError: it is no state, or not exactly one id was given. A `ValueError`.
        RunNotFound: no such run is alive in this engine.
        Abort: the run's actor refused, or this is a listener that is told of a transition of the very run; the run
            keeps its state.
    """
    if (task_run_id is None) == (flow_run_id is None):
        raise ConfigurationError("task_run_id", task_run_id, "the id of a task run, unless 'flow_run_id' has one")
    if not is_state(state):
        raise ConfigurationError("state", state, "a State, such as Running()")
    engine = Engine.current()
    run: TaskRun | FlowRun
    if flow_run_id is not None:
        run = engine.find_flow_run(flow_run_id)
    else:
        assert task_run_id is not None  # one of the two is given
        run = find_task_run(engine, task_run_id)
    verdict = put_to(run, state, force=force)
    if verdict.answer is Answer.ABORT:
        raise Abort(f"{run.name}: {verdict.reason}")
    return run.state if verdict.state is None else verdict.state


def put_to(run: TaskRun | FlowRun, state: State[Any], *, force: bool = False) -> Verdict:
    """Propose a state to a run, and wait for what its actor answers.

    Args:
        run: The run.
        state: The state.
        force: Pass by the rules.
    """
    if hears_of(run.uuid):
        return abort("a listener is told of a transition while the run waits, so propose it when that has returned")
    answers: list[Verdict] = []
    answered = ThreadWaiter()

    def reply(verdict: Verdict) -> None:
        answers.append(verdict)
        answered.notify()

    run.tell(Propose(state, run.engine.now(), force, reply))
    answered.wait()  # at once, unless another thread has the run's turn for a moment
    return answers[0]


def find_task_run(engine: Engine, task_run_id: UUID | str) -> TaskRun:
    """A task run that has not ended.

    Raises:
        RunNotFound: there is none with that id in this engine.
    """
    number = number_of(task_run_id, "task run")
    for scope in (engine.root, *engine.flow_runs()):
        child = scope.children.get(number)
        if isinstance(child, TaskRun):
            return child
    raise RunNotFound(task_run_id, "task run")
