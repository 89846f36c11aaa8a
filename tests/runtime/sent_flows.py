"""Flows that tests send to processes of their own, which import this module."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from millrace import Cancelled, TerminationSignal, current, flow, task

IMPORTED_WITH = os.environ.get("MILLRACE_THREADS")


@task
def double(number: int) -> int:
    return 2 * number


def note(path: Path, **facts: Any) -> None:
    """Write down what is true in this process."""
    facts |= {"pid": os.getpid(), "tags": current.flow_run.tags, "imported_with": IMPORTED_WITH}
    path.write_text(json.dumps(facts), encoding="utf-8")


@flow
def plain(path: Path, number: int) -> int:
    doubled = double(number) + double.submit(number).result()
    note(path, doubled=doubled, shell=os.environ.get("SHELL_OF_TEST"))
    return doubled


@flow
async def in_a_loop(path: Path, numbers: list[int]) -> None:
    note(path, doubled=await double.map(numbers))


class Crawler:
    """Has a flow as a method."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @flow
    def crawl(self, number: int) -> None:
        note(self.path, doubled=double(number))


@flow
async def waiting(path: Path) -> None:
    with path.open("w", encoding="utf-8") as told:
        print("begun", file=told, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print("over", file=told)


@flow
def ending(how: str) -> Any:
    """End otherwise than completed."""
    if how == "raise":
        raise ValueError("no")
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "terminate":
        raise TerminationSignal(15)
    return Cancelled()
