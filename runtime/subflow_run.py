"""Subflow runs: the task run that stands for a subflow in the flow run around it.

Decides nothing, and is no actor: whatever it says is read from the run of the subflow when somebody looks, so a subflow
that nobody looks at costs a number. Its states are those of the subflow's run, as those of a task run of the parent's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs

from millrace.actors.events import Event
from millrace.actors.states import State
from millrace.actors.values import with_changes

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.tracking import TaskRunInput


@attrs.frozen
class SubflowTaskRun:
    """The task run that stands for a subflow in the flow run around it.

    Args:
        id: Its number.
        key: Which run of a flow with that name this is in the flow run around it, counted from 0.
        flow_run: The run of the subflow.
        around: The flow run around it.
    """

    id: int
    key: int
    flow_run: FlowRun = attrs.field(repr=False, eq=False)
    around: FlowRun = attrs.field(repr=False, eq=False)

    @property
    def uuid(self) -> UUID:
        """Its id as users see it."""
        return UUID(int=self.id)

    @property
    def name(self) -> str:
        """Its name: that of the flow, and the end of the id."""
        flow = self.flow_run.flow
        return f"{'' if flow is None else flow.name}-{self.id & 0xFFF:03x}"

    @property
    def dynamic_key(self) -> str:
        """Its key as text."""
        return str(self.key)

    @property
    def parent(self) -> int | None:
        """The number of the task run that called the subflow; None where the flow itself did."""
        return self.flow_run.caller

    @property
    def tags(self) -> frozenset[str]:
        """The tags of the subflow's run."""
        return self.flow_run.tags

    @property
    def task_inputs(self) -> dict[str, list[TaskRunInput]]:
        """What the subflow depends on, by parameter."""
        flow = self.flow_run.flow
        names = () if flow is None else flow.shape.names
        return {name: [] for name in names} | {name: list(found) for name, found in self.flow_run.sources.items()}

    @property
    def state(self) -> State[Any]:
        """The present state: that of the subflow's run."""
        return self.history()[-1]

    def history(self) -> list[State[Any]]:
        """Every state it has had, first to last: those of the subflow's run."""
        return [self._own(state, number) for number, state in enumerate(self.flow_run.history())]

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.flow_run.done

    @property
    def run_count(self) -> int:
        """How many attempts there have been."""
        return self.flow_run.run_count

    @property
    def start_time(self) -> datetime | None:
        """When the subflow's run first entered RUNNING; None before."""
        return self.flow_run.start_time

    @property
    def end_time(self) -> datetime | None:
        """When it ended; None before."""
        return self.flow_run.end_time

    @property
    def expected_start_time(self) -> datetime:
        """When it was to start."""
        return self.flow_run.expected_start_time

    @property
    def total_run_time(self) -> timedelta:
        """How long it has been RUNNING, over all attempts that have ended."""
        return self.flow_run.total_run_time

    def event(self, event: Event) -> Event:
        """An event of the subflow's run, as one of this."""
        before = event.previous
        return with_changes(
            event,
            state=self._own(event.state, event.sequence),
            previous=None if before is None else self._own(before, event.sequence - 1),
            run_name=self.name,
        )

    def _own(self, state: State[Any], number: int) -> State[Any]:
        """A state of the subflow's run, as one of this."""
        details = with_changes(state.state_details, child_flow_run_id=self.flow_run.uuid)
        same = State[Any](
            type=state.type, name=state.name, message=state.message, data=state.data, state_details=details
        )
        return same.adopt(state.nanoseconds, self.around.id, self.id, number)
