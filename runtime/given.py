"""Given: what is settled about a task run before it is made, by a caller that takes the place of the engine.

Decides whether an id may be had: one that no run has, or that of a run on record which is to be executed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import attrs

from millrace.actors.errors import ConfigurationError
from millrace.runtime.inputs import Inputs
from millrace.runtime.tracking import TaskRunInput

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.stores.rows import TaskRunRow


@attrs.define(eq=False)
class Given:
    """What is settled about a task run before it is made.

    Args:
        run_id: Its id; 0 for one of the flow run's own numbers.
        dependencies: By parameter: what it depends on, beside what its arguments show.
        again: A run on record that has the id is executed again, if it may be.
    """

    run_id: int = 0
    dependencies: Mapping[str, Iterable[TaskRunInput]] = attrs.field(factory=dict)
    again: bool = False
    _earlier: TaskRunRow | None = attrs.field(default=None, init=False)  # the run on record that is executed again

    def id_in(self, flow_run: FlowRun, number: int, task: str) -> int:
        """The id of the run.

        Args:
            flow_run: Where the run is to be made.
            number: One of the flow run's own, for a run without an id.
            task: The name of its task.

        Raises:
            ConfigurationError: the id is that of a run that is going on there; or of one that is on record, and is not
                to be executed again, or may not be; or of one that was put off.
        """
        child = flow_run.children.get(self.run_id)
        if child is not None and not child.done:  # else its end is told, and its supervisor is about to hear of it
            raise ConfigurationError("task_run_id", UUID(int=self.run_id), "the id of no run that is going on")
        chronicle = flow_run.engine.chronicle
        if self.again and self.run_id and chronicle is not None and chronicle.is_put_off(self.run_id):
            expected = "the id of no run that was put off, which a worker executes; call delay() for another one"
            raise ConfigurationError("task_run_id", UUID(int=self.run_id), expected)
        if self.run_id and chronicle is not None and not chronicle.take_id(self.run_id):
            self._earlier = chronicle.take_again(self.run_id, flow_run, task) if self.again else None
            if self._earlier is None:
                expected = "the id of no run that is on record"
                if self.again:
                    expected += ", but of one of the same task, outside of any flow, that has CRASHED or FAILED"
                raise ConfigurationError("task_run_id", UUID(int=self.run_id), expected)
        return self.run_id or number

    def tell_of(self, run: TaskRun) -> None:
        """Tell whoever listens that the run is there; or that it goes on, where it was on record."""
        chronicle = run.node.scope.engine.chronicle
        if self._earlier is None or chronicle is None:
            run.record("created")
        else:
            chronicle.go_on(run, self._earlier)

    def added_to(self, inputs: Inputs | None) -> Inputs | None:
        """The inputs of the run, with the dependencies that are given."""
        if not self.dependencies:
            return inputs
        both = Inputs() if inputs is None else inputs
        for name, references in self.dependencies.items():
            for reference in references:
                both.add(name, reference)
        return both
