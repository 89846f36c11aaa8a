"""Flows that another process can find by name."""

from __future__ import annotations

import attrs

from millrace import flow, suspend_flow_run, task

broken = [True]
ran: list[str] = []


@flow
def doubled(number: int, *, wrong: bool) -> int:
    if wrong and broken:
        raise OSError("disk full")
    return number * 2


@attrs.frozen
class Approval:
    by: str
    at: int


@task
def prepare() -> None:
    ran.append("prepare")


@flow
def approved() -> str:
    prepare()
    approval = suspend_flow_run(wait_for_input=Approval)
    return f"{approval.by} at {approval.at}"
