"""Documents: what is on record of runs, as JSON.

Decides the names of the fields, which scripts depend on: ids are complete, times ISO 8601 in UTC.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from millrace.runtime.cli.times import iso
from millrace.runtime.stores.rows import FlowRunRow, StateRow, StoreFacts, TaskRunRow


def of_state(row: StateRow) -> dict[str, Any]:
    """A state."""
    return {"type": str(row.type), "name": row.name, "message": row.message, "timestamp": iso(row.at)}


def of_event(row: StateRow) -> dict[str, Any]:
    """A state as an event: with its place among those of the run, and what led to it."""
    return {"sequence": row.sequence, **of_state(row), "cause": row.cause}


def of_flow_run(row: FlowRunRow) -> dict[str, Any]:
    """A flow run, without its parameters."""
    entry = row.entry
    return {
        "id": _id(row.id),
        "name": row.name,
        "flow": row.flow,
        "version": row.version,
        "state": of_state(row.state),
        "tags": sorted(row.tags),
        "created": iso(row.created),
        "started": iso(row.started),
        "ended": iso(row.ended),
        "attempts": row.attempts,
        "deaths": row.deaths,
        "suspended": row.suspended and not row.ahead,
        "parent_flow_run": _id(row.parent),
        "parent_task_run": _id(row.parent_task_run),
        "entry": f"{entry.file or entry.module}:{entry.name}",
    }


def of_task_run(row: TaskRunRow) -> dict[str, Any]:
    """A task run."""
    return {
        "id": _id(row.id),
        "name": row.name,
        "task": row.task,
        "key": row.key,
        "state": of_state(row.state),
        "tags": sorted(row.tags),
        "created": iso(row.created),
        "started": iso(row.started),
        "ended": iso(row.ended),
        "attempts": row.attempts,
        "flow_run": _id(row.flow_run),
        "parent_task_run": _id(row.parent),
        "inputs": {name: list(ids) for name, ids in row.inputs.items()},
    }


def of_facts(store: str, facts: StoreFacts, *, is_open: bool) -> dict[str, Any]:
    """What there is in a store."""
    return {
        "store": store,
        "open": is_open,
        "owner": facts.owner,
        "opened": iso(facts.opened),
        "flow_runs": {str(kind): count for kind, count in sorted(facts.flow_runs.items())},
        "task_runs": facts.task_runs,
        "bytes": facts.size,
        "free_bytes": facts.free,
        "schema": facts.schema,
    }


def _id(run: int | None) -> str | None:
    return None if run is None else str(UUID(int=run))
