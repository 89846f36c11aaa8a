"""Fault points: named moments at which a test may end the process, or have something fail.

Nothing happens at any of them unless a test has installed something in this process.
"""

from __future__ import annotations

from collections.abc import Callable

POINTS = (
    "group taken",
    "group encoded",
    "group begun",
    "group written",
    "group committed",
    "group acknowledged",
    "run claimed",
    "deaths marked",
)
"""All of them."""


def _nothing(_point: str) -> None:
    pass


_hook: list[Callable[[str], None]] = [_nothing]


def reach(point: str) -> None:
    """Be at a point."""
    _hook[0](point)


def install(hook: Callable[[str], None]) -> None:
    """Have a function called with the name of each point that is reached; for tests."""
    _hook[0] = hook
