"""Statistics: what an engine holds at one moment.

Decides what is counted. Decides nothing by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine


@attrs.frozen
class OffloadStats:
    """The threads of an offload at one moment.

    Args:
        threads: Alive.
        busy: Running a body, abandoned ones included.
        lent: Blocked in a body that waits for other runs.
        abandoned: Running a body whose run has ended already, or is in a later attempt.
        limit: How many may be busy and not lent, abandoned ones aside.
    """

    threads: int
    busy: int
    lent: int
    abandoned: int
    limit: int


@attrs.frozen
class EngineStats:
    """What an engine holds at one moment.

    Args:
        flow_runs: Flow runs that have not ended.
        task_runs: Task runs that have not ended, inside flows and outside.
        threads: Its own threads for sync functions.
    """

    flow_runs: int
    task_runs: int
    threads: OffloadStats

    @classmethod
    def of(cls, engine: Engine) -> Self:
        """What an engine holds now."""
        flow_runs = engine.flow_runs()
        return cls(
            flow_runs=len(flow_runs),
            task_runs=sum(
                run.live - sum(child.is_flow for child in tuple(run.children.values()))
                for run in (engine.root, *flow_runs)
            ),
            threads=engine.offload.stats(),
        )
