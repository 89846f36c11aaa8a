"""The picture: all charts of a report in one SVG file, below the answer.

Decides how they stand together, what the answer is in a few words, and what all of it looks like.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from math import ceil

from millrace.runtime.benching.charts.drawing import NAMESPACE, element, text, wrapped
from millrace.runtime.benching.charts.frames import LEFT, WIDTH
from millrace.runtime.benching.charts.latency import LATENCY_HEIGHT, latency_chart
from millrace.runtime.benching.charts.throughput import THROUGHPUT_HEIGHT, throughput_chart
from millrace.runtime.benching.charts.timeline import TIMELINE_HEIGHT, timeline_chart
from millrace.runtime.benching.knee import Verdict
from millrace.runtime.benching.report import Report


def picture(report: Report) -> str:
    """All charts below the answer, as one SVG file that needs nothing else."""
    lines = wrapped(report.finding.sentence, 112)
    head = 62 + 20 * len(lines)
    drawn = [(throughput_chart(report), THROUGHPUT_HEIGHT), (latency_chart(report), LATENCY_HEIGHT)]
    if report.timelines:
        drawn.append((timeline_chart(report), TIMELINE_HEIGHT))
    parts = [text(headline(report), LEFT - 48, 38, "headline")]
    parts.extend(text(each, LEFT - 48, 64 + 20 * number, "quiet") for number, each in enumerate(lines))
    at = float(head)
    for chart, height in drawn:
        parts.append(element("g", chart, transform=f"translate(0 {at:.0f})"))
        at += height
    parts.append(text(f"{report.setting.command} · {report.setting.started}", LEFT - 48, at + 14, "quiet small"))
    height = ceil(at + 28)
    return "".join(
        (
            f'<svg xmlns="{NAMESPACE}" class="chart" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
            f"<title>{escape(headline(report))}</title><style>{css()}</style>",
            element("rect", x=0, y=0, width=WIDTH, height=height, class_="paper"),
            *parts,
            "</svg>\n",
        )
    )


def headline(report: Report) -> str:
    """The answer in a few words."""
    found = report.finding
    if found.limit is not None:
        return f"{report.setting.target}: a limit of {found.limit} is right"
    said = {
        Verdict.RISING: "no limit was too large yet",
        Verdict.SCATTERED: "the measurements follow no curve",
        Verdict.TOO_FEW: "too little was measured",
        Verdict.FAILED: "no run completed",
    }
    return f"{report.setting.target}: {said[found.verdict]}"


def css() -> str:
    """What the charts look like, light, dark and on paper."""
    return (files("millrace.runtime.benching.charts") / "charts.css").read_text(encoding="utf-8")
