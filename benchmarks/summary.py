"""What the figures of several rounds come to: medians, spreads, ratios, verdicts.

A ratio is formed within a round, where floor and millrace ran one after the other, and the median is taken over the
rounds: a machine that is slower for a while slows both.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import attrs

from benchmarks.model import Document, Goal, Kind, Row, judge


@attrs.frozen
class Round:
    """What the works of one goal came to in one round.

    Args:
        figures: By name: `work.value`.
        failures: By key of the work: why there is no figure.
    """

    figures: Mapping[str, float]
    failures: Mapping[str, str]


def summarise(goal: Goal, rounds: Sequence[Round]) -> Document:
    """Bring the rounds of one goal together.

    Args:
        goal: The goal.
        rounds: What its works came to, round by round.
    """
    return {
        "number": goal.number,
        "title": goal.title,
        "rows": [_summarise_row(row, rounds) for row in goal.rows],
        "failures": sorted({f"{work}: {reason}" for each in rounds for work, reason in each.failures.items()}),
    }


def failures(goals: Sequence[Document]) -> list[str]:
    """Name each work that failed, as lines for people."""
    return [f"goal {goal['number']}, {failure}" for goal in goals for failure in goal["failures"]]


def _summarise_row(row: Row, rounds: Sequence[Round]) -> Document:
    complete = [each.figures for each in rounds if all(name in each.figures for name in row.figures)]
    subject = None if row.kind is Kind.GROWTH else _spread([each[row.subject[0]] for each in complete])
    floor = None if row.floor is None else _spread([each[row.floor] for each in complete])
    ratio = _spread([found for each in complete if (found := _ratio(row, each)) is not None])
    judged = subject if row.kind is Kind.ABSOLUTE else ratio
    reason = _reason(row, rounds) if len(complete) < len(rounds) else None
    figure = None if judged is None or reason is not None else judged["median"]
    return {
        "name": row.name,
        "unit": row.unit,
        "kind": row.kind.value,
        "millrace": subject,
        "floor": floor,
        "ratio": ratio,
        "limits": None if row.limits is None else attrs.asdict(row.limits),
        "verdict": judge(figure, row.limits).value,
        "reason": reason,
    }


def _ratio(row: Row, figures: Mapping[str, float]) -> float | None:
    subjects = [figures[name] for name in row.subject]
    if row.kind is Kind.GROWTH:
        return max(subjects) / min(subjects)
    if row.floor is None or not figures[row.floor]:
        return None
    return subjects[0] / figures[row.floor]


def _spread(values: Sequence[float]) -> Document | None:
    """Median, smallest, largest, and the values themselves."""
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}


def _reason(row: Row, rounds: Sequence[Round]) -> str:
    """Why a row has no figure, or none that can be relied on."""
    for each in rounds:
        for name in row.figures:
            found = each.failures.get(name.partition(".")[0])
            if found is not None:
                return found
    return "there is no such figure"
