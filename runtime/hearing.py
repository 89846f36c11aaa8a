"""Hearing: which event this thread is telling listeners of, in the turn of the run that it is about.

Decides nothing; what waits for an answer of that very run asks here first, as it would wait for itself.
"""

from __future__ import annotations

from threading import local
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uuid import UUID

    from millrace.actors.events import Event


class _Hearing(local):
    event: Event | None = None  # that listeners are being told of on this thread


HEARING: Final = _Hearing()


def hears_of(run_id: UUID) -> bool:
    """Whether the code at hand is a listener, told of a transition that a run has not finished.

    Args:
        run_id: The run's id, or that of the flow run that a task run stands for.
    """
    event = HEARING.event
    if event is None:
        return False
    child = event.state.state_details.child_flow_run_id
    if event.sequence == 0 and child is None and event.task_run_id is not None:
        return False  # a task run is told of before anybody sends it messages
    return run_id == (child or event.task_run_id or event.flow_run_id)
