"""Given: what is settled about a task run before it is made, by a caller that takes the place of the engine."""

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


@attrs.frozen
class Given:
    """What is settled about a task run before it is made.

    Args:
        run_id: Its id; 0 for one of the flow run's own numbers.
        dependencies: By parameter: what it depends on, beside what its arguments show.
    """

    run_id: int = 0
    dependencies: Mapping[str, Iterable[TaskRunInput]] = attrs.field(factory=dict)

    def id_in(self, flow_run: FlowRun, number: int) -> int:
        """The id of the run.

        Args:
            flow_run: Where the run is to be made.
            number: One of the flow run's own, for a run without an id.

        Raises:
            ConfigurationError: the id is that of a run that is going on there, or that is on record.
        """
        if self.run_id in flow_run.children:
            raise ConfigurationError("task_run_id", UUID(int=self.run_id), "the id of no run that is going on")
        chronicle = flow_run.engine.chronicle
        if self.run_id and chronicle is not None and not chronicle.take_id(self.run_id):
            raise ConfigurationError("task_run_id", UUID(int=self.run_id), "the id of no run that is on record")
        return self.run_id or number

    def added_to(self, inputs: Inputs | None) -> Inputs | None:
        """The inputs of the run, with the dependencies that are given."""
        if not self.dependencies:
            return inputs
        both = Inputs() if inputs is None else inputs
        for name, references in self.dependencies.items():
            for reference in references:
                both.add(name, reference)
        return both
