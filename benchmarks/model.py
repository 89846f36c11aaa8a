"""What a goal is made of: works that are run, rows that are judged, limits, verdicts.

Decides when a limit is held. Knows neither how works are run nor how rows are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import attrs

Document = dict[str, Any]
"""Plain JSON."""


class Kind(StrEnum):
    """Which figure of a row is judged."""

    RATIO = "ratio"
    """The subject over the floor."""
    ABSOLUTE = "absolute"
    """The subject itself; a floor stands beside it for orientation."""
    GROWTH = "growth"
    """The largest of several subjects over the smallest."""


class Verdict(StrEnum):
    """What a row came to."""

    STRETCH = "stretch held"
    HELD = "goal held"
    MISSED = "missed"
    UNJUDGED = "–"
    """The row is there for orientation."""


@attrs.frozen
class Limits:
    """What a row is to reach; smaller is better.

    Args:
        goal: The largest figure that holds the goal.
        stretch: The largest that holds the stretch goal; None where there is none.
        shown: The goal in words, where the number alone would mislead.
    """

    goal: float
    stretch: float | None = None
    shown: str | None = None


@attrs.frozen
class Work:
    """Something to run in a process of its own.

    Args:
        function: The function's place below `benchmarks.works`, as in `floors.task_group`.
        arguments: Its arguments by name: plain JSON.
        environment: Variables that its process gets.
    """

    function: str
    arguments: Mapping[str, Any] = {}
    environment: Mapping[str, str] = {}


@attrs.frozen
class Row:
    """One line of the table.

    A figure is named `work.value`: the work by its key in the goal, the value by its key in what the function returns.

    Args:
        name: What is measured.
        subject: The figure of millrace; several for growth.
        unit: Of the subject and the floor.
        floor: The figure it is compared with.
        kind: What is judged.
        limits: What is to be reached; None for a row that is there for orientation.
    """

    name: str
    subject: tuple[str, ...]
    unit: str
    floor: str | None = None
    kind: Kind = Kind.RATIO
    limits: Limits | None = None

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of all figures that the row is made of."""
        return self.subject if self.floor is None else (*self.subject, self.floor)


@attrs.frozen
class Goal:
    """Works that are run together, round by round, and the rows that come of them.

    Args:
        number: The goal's number, by which it is asked for.
        title: What it is about.
        works: By key, in the order of the first round; each floor stands beside what is measured against it.
        rows: In the order of the table.
        profiled: Keys of the works that `--profile` looks into.
        instrument: What it looks with: `calls`, `bytes` or `imports`.
    """

    number: int
    title: str
    works: Mapping[str, Work]
    rows: tuple[Row, ...]
    profiled: tuple[str, ...] = ()
    instrument: str = "calls"


def judge(figure: float | None, limits: Limits | None) -> Verdict:
    """What a figure comes to.

    Args:
        figure: The median over the rounds; None where something failed.
        limits: What is to be reached; None where nothing is.
    """
    if limits is None:
        return Verdict.UNJUDGED
    if figure is None or figure > limits.goal:
        return Verdict.MISSED
    if limits.stretch is not None and figure <= limits.stretch:
        return Verdict.STRETCH
    return Verdict.HELD
