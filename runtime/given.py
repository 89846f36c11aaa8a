"""Given: what is settled about a task run before it is made, by a caller that takes the place of the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from millrace.runtime.inputs import Inputs
from millrace.runtime.tracking import TaskRunInput


@attrs.frozen
class Given:
    """What is settled about a task run before it is made.

    Args:
        run_id: Its id; 0 for one of the flow run's own numbers.
        dependencies: By parameter: what it depends on, beside what its arguments show.
    """

    run_id: int = 0
    dependencies: Mapping[str, Iterable[TaskRunInput]] = attrs.field(factory=dict)

    def added_to(self, inputs: Inputs | None) -> Inputs | None:
        """The inputs of the run, with the dependencies that are given."""
        if not self.dependencies:
            return inputs
        both = Inputs() if inputs is None else inputs
        for name, references in self.dependencies.items():
            for reference in references:
                both.add(name, reference)
        return both
