"""The chart of runs in flight over time, of a few trials side by side.

Decides how each is drawn; which trials are shown is up to the report.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from millrace.runtime.benching import units
from millrace.runtime.benching.charts.drawing import line, path, text
from millrace.runtime.benching.charts.frames import LEFT, TOP, WIDTH, Box, svg, title
from millrace.runtime.benching.charts.scales import Linear
from millrace.runtime.benching.figures import Timeline
from millrace.runtime.benching.report import Report

TIMELINE_HEIGHT: Final = 210


def timeline_chart(report: Report) -> str:
    """Runs in flight over time, of a few trials side by side."""
    shown = report.timelines
    gap = 34.0
    width = (WIDTH - LEFT - 16 - gap * (len(shown) - 1)) / max(1, len(shown))
    parts = [title("In flight", "over the time of one trial; dashed: the limit")]
    for number, each in enumerate(shown):
        left = LEFT + number * (width + gap)
        parts.extend(_timeline(each, (left, TOP + 20, left + width, TIMELINE_HEIGHT - 40.0)))
    return svg(parts, TIMELINE_HEIGHT, "Runs in flight over time: " + "; ".join(each.label for each in shown))


def _timeline(each: Timeline, box: Box) -> list[str]:
    left, top, right, bottom = box
    highest = max(*each.in_flight, *(limit for _, limit in each.limits), each.limit if not each.limits else 1, 1)
    x = Linear((0.0, each.seconds[-1]), (left, right))
    y = Linear((0.0, highest * 1.1), (bottom, top))
    parts = [text(each.label, left, top - 8, "small")]
    for tick in y.ticks(4):
        parts.append(line((left, y(tick)), (right, y(tick)), "grid"))
        parts.append(text(units.limit(tick), left - 5, y(tick) + 4, "quiet small end"))
    starts = (0.0, *each.seconds[:-1])
    corners = [
        corner
        for start, end, number in zip(starts, each.seconds, each.in_flight, strict=True)
        for corner in ((x(start), y(number)), (x(end), y(number)))
    ]
    parts.append(path([(left, bottom), *corners, (right, bottom)], "flight"))
    parts.append(line((left, bottom), (right, bottom), "axis"))
    if each.limits:
        changes = [*each.limits, (each.seconds[-1], each.limits[-1][1])]
        steps = [
            corner
            for (at, limit), (until, _) in pairwise(changes)
            for corner in ((x(at), y(limit)), (x(until), y(limit)))
        ]
        parts.append(path(steps, "adaptive-line"))
    else:
        parts.append(line((left, y(each.limit)), (right, y(each.limit)), "limit"))
    parts.extend(
        text(f"{tick:g} s" if tick else "0", x(tick), bottom + 18, "quiet small middle") for tick in x.ticks(4)
    )
    return parts
