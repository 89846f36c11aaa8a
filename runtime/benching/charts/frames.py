"""Frames: what the charts of a report have in common: size, axes, the line of the knee, what can be pointed at.

Decides how the limits lie along a chart, and what stands on both sides of the knee.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from typing import Final

import attrs

from millrace.runtime.benching.charts.drawing import NAMESPACE, element, line, text
from millrace.runtime.benching.charts.scales import Log, Scale
from millrace.runtime.benching.figures import Point
from millrace.runtime.benching.knee import Verdict
from millrace.runtime.benching.report import Report

WIDTH: Final = 860
LEFT, RIGHT, TOP, BOTTOM = 64, 96, 44, 46

ROOM_FOR_NAME: Final = 130
"""What the name of the knee takes beside its line."""

NAMED: Final = {Verdict.FOUND: "knee", Verdict.FAILING: "before failures"}
"""What the right limit is called; anything else is "enough"."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of where a chart has its curves."""


def title(name: str, more: str) -> str:
    """The name of a chart, and what it is about."""
    return element(
        "text",
        element("tspan", escape(name), class_="title"),
        element("tspan", escape(more), class_="quiet small", dx=10),
        x=LEFT - 48,
        y=20,
    )


def svg(parts: Sequence[str], height: int, label: str) -> str:
    """A chart of its parts; the label is for those who cannot see it."""
    return element(
        "svg", element("title", escape(label)), *parts,
        xmlns=NAMESPACE, class_="chart", viewBox=f"0 0 {WIDTH} {height}", width=WIDTH, height=height, role="img",
    )  # fmt: skip


def all_points(report: Report) -> list[Point]:
    """Every point that is drawn."""
    found = [*report.points, *(point for points in report.rivals.values() for point in points)]
    return found if report.adaptive is None else [*found, report.adaptive.point]


def limit_scale(report: Report, box: Box) -> Log:
    """Where each limit lies: equal ratios are equal distances."""
    limits = [float(point.limit) for point in report.points] or [1.0]
    if report.adaptive is not None:
        limits.append(report.adaptive.choice.median)
    return Log((min(limits) / 1.15, max(*limits, 2 * min(limits)) * 1.15), (box[0], box[2]))


@attrs.frozen
class Axis:
    """The axis of what is measured.

    Args:
        scale: Where a value lies.
        ticks: The values that are written beside it.
        written: How.
    """

    scale: Scale
    ticks: Sequence[float]
    written: Callable[[float], str]


def frame(report: Report, x: Log, y: Axis, box: Box, *, named: bool = True) -> list[str]:
    """Grid, axes, and what is written along them; along that of the limits only where it is named here."""
    left, _, right, bottom = box
    places = [(tick, y.scale(tick)) for tick in y.ticks]
    parts = [line((left, place), (right, place), "grid") for _, place in places]
    parts.extend(
        text(y.written(tick) if tick else "0", left - 8, place + 4, "quiet small end") for tick, place in places
    )
    parts.append(line((left, bottom), (right, bottom), "axis"))
    if named:
        parts.extend(limit_axis(report, x, right, bottom))
    return parts


def limit_axis(report: Report, x: Log, right: float, bottom: float) -> list[str]:
    """What is written along the axis of the limits: each that was measured, where there is room."""
    parts: list[str] = []
    last = -100.0
    for point in report.points:
        at = x(point.limit)
        parts.append(line((at, bottom), (at, bottom + 4), "axis"))
        if at - last >= 22:  # noqa: PLR2004  # three digits and some air
            parts.append(text(str(point.limit), at, bottom + 18, "small middle"))
            last = at
    parts.append(
        text(
            "limit (the most runs in flight; equal steps are equal ratios)",
            right,
            bottom + 36,
            "quiet small end",
        )
    )
    return parts


def knee_below(report: Report, x: Log, box: Box) -> list[str]:
    """What lies under the curves: how far the rounds disagree, and where more in flight is for nothing."""
    found = report.finding
    if found.knee is None:
        return []
    left, top, right, bottom = box
    parts: list[str] = []
    if found.verdict in NAMED:
        at = x(found.knee)
        parts.append(element("rect", x=at, y=top, width=right - at, height=bottom - top, class_="waste"))
    if found.range is not None and found.range.high > found.range.low:
        low, high = (min(right, max(left, x(edge))) for edge in (found.range.low, found.range.high))
        parts.append(element("rect", x=low, y=top, width=high - low, height=bottom - top, class_="knee-range"))
    return parts


def knee_line(report: Report, x: Log, box: Box, *, label: bool = False) -> list[str]:
    """The line of the right limit, and its name."""
    found = report.finding
    if found.knee is None:
        return []
    at = x(found.knee)
    parts = [line((at, box[1] - 6), (at, box[3]), "knee")]
    if label:
        name = f"{NAMED.get(found.verdict, 'enough')}: {found.limit}"
        near_end = at > box[2] - ROOM_FOR_NAME
        side, shift = (" end", -8) if near_end else ("", 8)
        parts.append(text(name, at + shift, box[1] + 6, f"knee-text halo{side}"))
        if found.agreed is not None:
            low, high = found.agreed
            said = f"single rounds: {low}" if low == high else f"single rounds: {low} to {high}"
            parts.append(text(said, at + shift, box[1] + 22, f"quiet small halo{side}"))
    return parts


def hits(report: Report, x: Log, box: Box) -> list[str]:
    """What can be pointed at: a column for each limit that was measured."""
    limits = [point.limit for point in report.points]
    edges = [box[0], *((x(a) + x(b)) / 2 for a, b in pairwise(limits)), box[2]]
    return [
        element(
            "rect", x=start, y=box[1], width=end - start, height=box[3] - box[1], class_="hit", tabindex="0",
            data_limit=limit, data_x=f"{x(limit):.1f}", data_top=f"{box[1]}", data_bottom=f"{box[3]:.1f}",
            aria_label=f"limit {limit}",
        )
        for limit, start, end in zip(limits, edges, edges[1:], strict=False)
    ]  # fmt: skip
