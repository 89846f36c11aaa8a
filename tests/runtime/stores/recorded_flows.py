"""Flows that another process can find by name."""

from __future__ import annotations

import os

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


@task
def number(each: int) -> int:
    ran.append(f"number {each}")
    return each * 10


@task
def last() -> int:
    ran.append("last")
    if dies:
        os._exit(9)
    return 7


dies: list[bool] = []  # the process ends in `last`, as if it were killed


@flow
def inside(start: int) -> int:
    return number(start) + number(start + 1)


@flow(version="3")
def sums(*, first: int = 1) -> int:
    """Some calls, a map and a subflow, before what the process may die in."""
    return number(first) + sum(number.map([2, 3]).result()) + inside(4) + last()
