"""Current: what the code at hand may read about the runs that it belongs to, without being given them.

Decides which runs these are: the innermost flow run, also from inside its tasks, and the innermost task run, also from
inside a subflow that it has called. Everything is looked up when it is read. Outside of any such run nothing is an
error: what is not there is None, empty, or 0, so that helpers can be called from anywhere.

    from millrace import current

    logger.info("in %s of %s", current.task_run.name, current.flow_run.name)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from millrace.runtime.context import CURRENT

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun

__all__ = ("flow_run", "task_run")


class _Accessor:
    """What the accessors share: an attribute that is not there is told with those that are."""

    def __dir__(self) -> list[str]:
        return sorted(name for name, each in vars(type(self)).items() if isinstance(each, property))

    if not TYPE_CHECKING:  # type checkers are to know the attributes that there are, and no others

        def __getattr__(self, name: str) -> Any:
            there = ", ".join(dir(self))
            raise AttributeError(f"A {self._noun} has no '{name}' to be read here. There are: {there}.")

    @staticmethod
    def _text(number: int | None) -> str | None:
        return None if number is None else str(UUID(int=number))


class CurrentFlowRun(_Accessor):
    """The innermost flow run that the code at hand belongs to: `millrace.current.flow_run`."""

    _noun = "flow run"

    @property
    def id(self) -> str | None:
        """Its id, as text. None outside of any."""
        run = _flow_run()
        return None if run is None else self._text(run.id)

    @property
    def name(self) -> str | None:
        """Its name. None outside of any."""
        run = _flow_run()
        return None if run is None else run.name

    @property
    def flow_name(self) -> str | None:
        """The name of its flow. None outside of any."""
        run = _flow_run()
        return None if run is None or run.flow is None else run.flow.name

    @property
    def flow_version(self) -> str | None:
        """The version of its flow. None outside of any, and where the flow has none."""
        run = _flow_run()
        return None if run is None or run.flow is None else run.flow.version

    @property
    def parameters(self) -> dict[str, Any]:
        """Its parameters by name, as the body got them. Empty outside of any."""
        run = _flow_run()
        return {} if run is None else run.parameters

    @property
    def tags(self) -> list[str]:
        """Its tags, sorted. Empty outside of any."""
        run = _flow_run()
        return [] if run is None else sorted(run.tags)

    @property
    def run_count(self) -> int:
        """Which attempt of it this is, from 1. 0 outside of any."""
        run = _flow_run()
        return 0 if run is None else run.run_count

    @property
    def parent_flow_run_id(self) -> str | None:
        """The id of the flow run around it, as text. None outside of any, and where it is no subflow."""
        run = _flow_run()
        around = None if run is None else _around(run)
        return None if around is None else self._text(around.id)

    @property
    def root_flow_run_id(self) -> str | None:
        """The id of the outermost flow run around it, which may be itself, as text. None outside of any."""
        run = _flow_run()
        around = run
        while around is not None:
            run, around = around, _around(around)
        return None if run is None else self._text(run.id)


class CurrentTaskRun(_Accessor):
    """The innermost task run that the code at hand belongs to: `millrace.current.task_run`."""

    _noun = "task run"

    @property
    def id(self) -> str | None:
        """Its id, as text. None outside of any."""
        run = _task_run()
        return None if run is None else self._text(run.id)

    @property
    def name(self) -> str | None:
        """Its name. None outside of any."""
        run = _task_run()
        return None if run is None else run.name

    @property
    def task_name(self) -> str | None:
        """The name of its task. None outside of any."""
        run = _task_run()
        return None if run is None else run.task.name

    @property
    def parameters(self) -> dict[str, Any]:
        """Its arguments by name, as the body got them. Empty outside of any, and once the run has ended."""
        run = _task_run()
        return {} if run is None else run.bound_parameters()

    @property
    def tags(self) -> list[str]:
        """Its tags, sorted. Empty outside of any."""
        run = _task_run()
        return [] if run is None else sorted(run.tags)

    @property
    def run_count(self) -> int:
        """Which attempt of it this is, from 1. 0 outside of any."""
        run = _task_run()
        return 0 if run is None else run.run_count


flow_run: Final = CurrentFlowRun()
"""Reads from the innermost flow run."""

task_run: Final = CurrentTaskRun()
"""Reads from the innermost task run."""


def _flow_run() -> FlowRun | None:
    run = CURRENT.get()
    scope = None if run is None else run.scope
    return None if scope is None or scope.flow is None else scope


def _around(run: FlowRun) -> FlowRun | None:
    parent = run.parent
    return None if parent is None or parent.flow is None else parent


def _task_run() -> TaskRun | None:
    """The run that the code belongs to, or the one that called the subflow that it belongs to, however far up."""
    run: Any = CURRENT.get()
    while run is not None and run.is_flow:
        caller, scope = run.caller, run.parent
        run = scope if caller is None or scope is None else scope.children.get(caller)
    found: TaskRun | None = run
    return found
