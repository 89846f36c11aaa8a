"""The chart of latency against the limit, and of errors where there are any.

Decides which percentiles are drawn, and how.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from millrace.runtime.benching import units
from millrace.runtime.benching.charts.drawing import element, line, marker, path, text
from millrace.runtime.benching.charts.frames import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Box,
    frame,
    hits,
    knee_below,
    knee_line,
    limit_axis,
    limit_scale,
    svg,
    title,
)
from millrace.runtime.benching.charts.scales import Log, spaced
from millrace.runtime.benching.figures import Point
from millrace.runtime.benching.report import Report

LATENCY_HEIGHT: Final = 320

ERROR_STRIP: Final = 44
"""What the strip of errors takes of the chart, where there are any."""


def latency_chart(report: Report) -> str:
    """Latency against the limit, and errors where there are any."""
    measured = [point for point in report.points if point.latency is not None]
    failing = any(point.errors for point in report.points)
    bottom = LATENCY_HEIGHT - BOTTOM - (ERROR_STRIP if failing else 0)
    box = (LEFT, TOP, WIDTH - RIGHT, bottom)
    x = limit_scale(report, box)
    lowest = min((point.latency.p50 for point in measured if point.latency), default=1e-3)
    highest = max((point.latency.p99 for point in measured if point.latency), default=1.0)
    y = Log((max(lowest, 1e-6) * 0.7, max(highest, lowest * 2, 2e-6) * 1.3), (box[3], box[1]))
    parts = [
        title("Latency", "of a run, from its slot to its end"),
        *knee_below(report, x, box),
        *frame(report, x, Axis(y, y.ticks(), units.tick), box, named=not failing),
        *_percentiles(measured, x, y),
        *knee_line(report, x, box),
        *(_errors(report, x, box) if failing else ()),
        *hits(report, x, (box[0], box[1], box[2], LATENCY_HEIGHT - BOTTOM)),
    ]
    return svg(parts, LATENCY_HEIGHT, "Latency against the limit: median, 95th and 99th percentile.")


def _percentiles(measured: Sequence[Point], x: Log, y: Log) -> list[str]:
    found = [(x(point.limit), point.latency) for point in measured if point.latency is not None]
    if not found:
        return []
    lines = {
        name: [(at, y(max(getattr(latency, name), y.values[0]))) for at, latency in found]
        for name in ("p50", "p95", "p99")
    }
    parts = [path([*lines["p50"], *reversed(lines["p99"])], "band", closed=True)] if len(found) > 1 else []
    for name, places in lines.items():
        parts.append(path(places, name))
        parts.extend(marker(0, at, height, 2.8, f"{name}-dot") for at, height in places)
    tops = spaced([places[-1][1] for places in reversed(lines.values())], 15)
    for name, place in zip(reversed(lines), tops, strict=True):
        latency = getattr(found[-1][1], name)
        parts.append(text(f"{name} {units.seconds(latency)}", x.places[1] + 6, place + 4, f"small {name}-text"))
    return parts


def _errors(report: Report, x: Log, box: Box) -> list[str]:
    """A strip below the latencies: the share of runs that failed, under each limit."""
    top, bottom = box[3] + 12.0, box[3] + ERROR_STRIP
    parts = [
        text("failed", box[0] - 8, bottom - 4, "quiet small end"),
        line((box[0], bottom), (box[2], bottom), "axis"),
        *limit_axis(report, x, box[2], bottom),
    ]
    for point in report.points:
        height = (bottom - top - 12) * point.error_share
        if point.errors:
            at = x(point.limit)
            parts.append(
                element(
                    "rect", x=at - 9, y=bottom - max(1.5, height), width=18, height=max(1.5, height), class_="error-bar"
                )
            )
            share = f"{point.error_share:.0%}" if point.error_share >= 0.01 else "<1%"  # noqa: PLR2004
            parts.append(text(share, at, bottom - max(1.5, height) - 4, "small middle error-text"))
    return parts
