"""The chart of throughput against the limit: what was measured, the fit, the knee, and others beside it.

Decides what is drawn of each, and where its name stands.
"""

from __future__ import annotations

from typing import Final

from millrace.runtime.benching import units
from millrace.runtime.benching.charts.drawing import line, marker, path, text
from millrace.runtime.benching.charts.frames import (
    BOTTOM,
    LEFT,
    NAMED,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Box,
    all_points,
    frame,
    hits,
    knee_below,
    knee_line,
    limit_scale,
    svg,
    title,
)
from millrace.runtime.benching.charts.scales import Linear, Log, along
from millrace.runtime.benching.knee import SHARE, Verdict
from millrace.runtime.benching.report import Report

THROUGHPUT_HEIGHT: Final = 370
CURVE_POINTS: Final = 160

ROOM_BELOW: Final = 60
"""What a name takes below its sign, with a remark at the foot of the chart."""

ROOM_FOR_SIDE: Final = 190
"""What a remark beside the knee takes."""


def throughput_chart(report: Report) -> str:
    """Throughput against the limit: what was measured, the fit, the knee, and others beside it."""
    box = (LEFT, TOP, WIDTH - RIGHT, THROUGHPUT_HEIGHT - BOTTOM)
    x = limit_scale(report, box)
    top = max((point.throughput.high for point in all_points(report)), default=1.0) or 1.0
    y = Linear((0.0, top * 1.22), (box[3], box[1]))
    parts = [
        title("Throughput", "completed runs a second"),
        *knee_below(report, x, box),
        *frame(report, x, Axis(y, y.ticks(), units.rate_tick), box),
        *_curves(report, x, y, box),
        *_rivals(report, x, y),
        *_points(report, x, y),
        *knee_line(report, x, box, label=True),
        *_sides(report, x, box),
        *_adaptive(report, x, y),
        *hits(report, x, box),
    ]
    return svg(parts, THROUGHPUT_HEIGHT, f"Throughput against the limit. {report.finding.sentence}")


def _curves(report: Report, x: Log, y: Linear, box: Box) -> list[str]:
    found = report.finding
    if found.fit is None or not found.fitted:
        return []
    limits = along(min(found.fitted), max(found.fitted), CURVE_POINTS)
    rate = found.fit.law(1) if found.verdict in NAMED else 0.0
    parts: list[str] = []
    ideal = [(x(n), y(rate * n)) for n in limits if rate and rate * n <= y.values[1]]
    if len(ideal) > 1:
        parts.append(path(ideal, "ideal"))
    if found.verdict is Verdict.FOUND and found.best is not None and found.knee is not None:
        level = y(SHARE * found.best)
        parts.append(line((x(found.knee), level), (box[2], level), "share"))
        parts.append(text(f"{SHARE:.0%} of peak", box[2] + 6, level + 4, "quiet small"))
    if found.scalability is not None and found.scalability.law != found.fit.law:
        parts.append(path([(x(n), y(min(found.scalability.law(n), y.values[1]))) for n in limits], "usl"))
    parts.append(path([(x(n), y(min(found.fit.law(n), y.values[1]))) for n in limits], "fit"))
    return [*parts, *_legend(report, box)]


def _legend(report: Report, box: Box) -> list[str]:
    """What the lines are, at the right end of the line with the title."""
    found = report.finding
    entries = [("fit", f"{found.fit.title} fit")] if found.fit is not None else []
    if found.fit is not None and found.scalability is not None and found.scalability.law != found.fit.law:
        entries.append(("usl", "USL fit"))
    if found.verdict in NAMED:
        entries.append(("ideal", "if each added as much as the first"))
    parts: list[str] = []
    at = box[2] + RIGHT - 8.0
    for class_, name in reversed(entries):
        at -= 6.6 * len(name)
        parts.append(text(name, at, 20, "quiet small"))
        parts.append(line((at - 30, 16), (at - 6, 16), class_))
        at -= 44
    return parts


def _points(report: Report, x: Log, y: Linear) -> list[str]:
    parts: list[str] = []
    for point in report.points:
        at, spread = x(point.limit), point.throughput
        if spread.high > spread.low:
            parts.append(line((at, y(spread.low)), (at, y(spread.high)), "whisker"))
        hollow = "" if point.limit in report.finding.fitted else " hollow"
        said = f"limit {point.limit}: {units.rate(spread.median)} runs/s"
        parts.append(marker(0, at, y(spread.median), 4.5, f"point{hollow}", title=said))
    return parts


def _rivals(report: Report, x: Log, y: Linear) -> list[str]:
    parts: list[str] = []
    ends: list[float] = []
    for number, points in enumerate(report.rivals.values(), 1):
        places = [(x(point.limit), y(point.throughput.median)) for point in points]
        if len(places) > 1:
            parts.append(path(places, f"rival rival-{number}"))
        parts.extend(marker(number + 1, *place, 3.2, f"sign-{number}") for place in places)
        ends.append(places[-1][1])
    left = x.places[0] + 14
    for number, name in enumerate(report.rivals, 1):
        at = y.places[1] + 14 + 18 * number
        parts.append(line((left, at - 4), (left + 26, at - 4), f"rival rival-{number}"))
        parts.append(marker(number + 1, left + 13, at - 4, 3.2, f"sign-{number}"))
        parts.append(text(name, left + 34, at, "small halo"))
    if report.rivals:
        at = y.places[1] + 14
        parts.append(marker(0, left + 13, at - 4, 4.5, "point"))
        parts.append(text("millrace", left + 34, at, "small halo"))
    return parts


def _adaptive(report: Report, x: Log, y: Linear) -> list[str]:
    found = report.adaptive
    if found is None:
        return []
    at, height = x(found.choice.median), y(found.point.throughput.median)
    name = f"adaptive: {units.limit(found.choice.median)}"
    near_end = at > x.places[1] - 100
    below = height + 22 if height < y.places[0] - ROOM_BELOW else height - 12
    label = text(name, at - 12 if near_end else at + 12, below, f"adaptive-text halo{' end' if near_end else ''}")
    said = f"the adaptive limit chose {units.limit(found.choice.median)}"
    return [marker(1, at, height, 6, "adaptive", title=said), label]


def _sides(report: Report, x: Log, box: Box) -> list[str]:
    """What more in flight brings, on each side of the knee, where there is room to say so."""
    found = report.finding
    if found.verdict not in NAMED or found.knee is None:
        return []
    beyond = "more in flight, longer waits →" if found.verdict is Verdict.FOUND else "more in flight, more failures →"
    at, height = x(found.knee), box[3] - 10
    parts: list[str] = []
    if at - box[0] > ROOM_FOR_SIDE:
        parts.append(text("← more in flight, more done", at - 10, height, "quiet small halo end"))
    if box[2] - at > ROOM_FOR_SIDE:
        parts.append(text(beyond, at + 10, height, "quiet small halo"))
    return parts
