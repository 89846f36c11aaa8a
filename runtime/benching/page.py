"""The page: a report as one HTML file that needs nothing else, and no network.

Decides what stands in which place of the template, `page.html`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

from millrace.actors.adaptive import AdaptiveLimit
from millrace.runtime.benching import units
from millrace.runtime.benching.charts.frames import NAMED
from millrace.runtime.benching.charts.latency import latency_chart
from millrace.runtime.benching.charts.picture import css, headline
from millrace.runtime.benching.charts.throughput import throughput_chart
from millrace.runtime.benching.charts.timeline import timeline_chart
from millrace.runtime.benching.document import as_document
from millrace.runtime.benching.figures import FILLS, Point
from millrace.runtime.benching.knee import SHARE, in_words
from millrace.runtime.benching.plan import LONGER
from millrace.runtime.benching.report import Report
from millrace.runtime.benching.table import adaptive_note

_COLUMNS = ("limit", "runs/s", "p50", "p95", "p99", "queued", "errors", "loop lag", "threads", "memory", "runs")


def as_html(report: Report) -> str:
    """The page."""
    template = Template((files("millrace.runtime.benching") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        headline=escape(headline(report)),
        sentence=escape(report.finding.sentence),
        css=css(),
        notes="\n".join(f'<p class="quiet">{escape(note)}</p>' for note in _notes(report)),
        facts="\n".join(_facts(report)),
        throughput=throughput_chart(report),
        latency=latency_chart(report),
        timelines=f'<figure id="timelines">{timeline_chart(report)}</figure>' if report.timelines else "",
        table=_table(report),
        comparison=_comparison(report) if report.rivals else "",
        method="\n".join(f"<p>{escape(each)}</p>" for each in _method(report)),
        setting="\n".join(_setting(report)),
        # A script may hold anything but its own end tag.
        document=json.dumps(as_document(report), ensure_ascii=False).replace("</", "<\\/"),
    )


def _notes(report: Report) -> list[str]:
    notes = list(report.finding.notes)
    if report.unfinished is not None:
        notes.append(report.unfinished)
    return notes


def _facts(report: Report) -> Iterable[str]:
    """The numbers that matter most."""
    found = report.finding
    if found.limit is not None and found.fit is not None:
        yield _fact(str(found.limit), "the right limit", "knee")
        yield _fact(f"{units.rate(found.fit.law(found.limit))}/s", "throughput there, by the fit")
    at_knee = next((point for point in report.points if point.limit == report.knee_at), None)
    if at_knee is not None and at_knee.latency is not None:
        yield _fact(units.seconds(at_knee.latency.p95), f"p95 latency under {at_knee.limit}, the nearest measured")
    if report.points and report.points[-1].latency is not None:
        yield _fact(units.seconds(report.points[-1].latency.p95), f"p95 latency under {report.points[-1].limit}")
    if report.adaptive is not None:
        rate = units.rate(report.adaptive.point.throughput.median)
        yield _fact(
            units.limit(report.adaptive.choice.median),
            f"what the adaptive limit {'chose' if report.adaptive.settled else 'had come to, still moving'} ({rate}/s)",
            "adaptive",
        )


def _fact(value: str, label: str, class_: str = "") -> str:
    return f'<div class="fact {class_}"><b>{escape(value)}</b><span>{escape(label)}</span></div>'


def _table(report: Report) -> str:
    rows = [_head((*_COLUMNS, ""))]
    for point in report.points:
        knee = point.limit == report.knee_at
        out = report.finding.fitted and point.limit not in report.finding.fitted
        note = NAMED.get(report.finding.verdict, "enough") if knee else "not in the fit" if out else ""
        rows.append(_row(point, str(point.limit), note, "knee" if knee else ""))
    if report.adaptive is not None:
        note = adaptive_note(report.adaptive)
        rows.append(_row(report.adaptive.point, "adaptive", note, "adaptive"))
    return f"<table>\n{''.join(rows)}</table>"


def _head(names: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr>\n"


def _row(point: Point, name: str, note: str, class_: str) -> str:
    cells = _cells(point, name)
    told = "\n".join(f"{title:<9} {cell}" for title, cell in zip(_COLUMNS, cells, strict=True))
    written = "".join(
        f'<td class="error">{escape(cell)}</td>' if title == "errors" and point.errors else f"<td>{escape(cell)}</td>"
        for title, cell in zip(_COLUMNS, cells, strict=True)
    )
    return (
        f'<tr class="{class_}" data-limit="{escape(name)}" data-tip="{escape(told)}">'
        f'{written}<td class="note">{escape(note)}</td></tr>\n'
    )


def _cells(point: Point, name: str) -> list[str]:
    latency = point.latency
    return [
        name,
        units.rate(point.throughput.median),
        *(
            units.seconds(each)
            for each in ((None, None, None) if latency is None else (latency.p50, latency.p95, latency.p99))
        ),
        units.seconds(None if point.queueing is None else point.queueing.p50),
        f"{point.errors:,}",
        units.seconds(point.lag),
        str(point.threads),
        units.memory(point.memory_bytes),
        f"{point.runs:,}",
    ]


def _comparison(report: Report) -> str:
    names = ["millrace", *report.rivals]
    columns = [{point.limit: point for point in each} for each in (report.points, *report.rivals.values())]
    rows = [_head(("limit", *names))]
    for point in report.points:
        found = [column.get(point.limit) for column in columns]
        cells = "".join(f"<td>{'–' if each is None else units.rate(each.throughput.median)}</td>" for each in found)
        rows.append(f"<tr><td>{point.limit}</td>{cells}</tr>\n")
    return (
        '<h2>The same work under other limits</h2>\n<p class="quiet">Completed runs a second, in the same rounds.</p>\n'
        f'<div class="scroll"><table id="comparison">\n{"".join(rows)}</table></div>'
    )


def _method(report: Report) -> Iterable[str]:
    plan, found = report.plan, report.finding
    yield (
        f"Each limit was given {report.setting.items:,} items, all at once, or as many as it finished in "
        f"{plan.seconds:g} seconds, {plan.rounds} times, in turn with the others. Throughput counts completed runs "
        "from when the limit was filled until the last item had begun; a point is the median of the rounds, its "
        "line their range. Latency is a run's time from its slot to its end; queued is what it waited for the slot "
        f"(median). A limit that was not filled {FILLS} times is left out of the fit."
    )
    yield (
        f"The knee is the smallest limit that reaches {SHARE:.0%} of the highest throughput, on the curve that "
        "describes the measurements best: the Universal Scalability Law (N. J. Gunther, Guerrilla Capacity "
        "Planning, 2007), or a straight rise to a capacity (P. J. Denning and J. P. Buzen, 1978). Not the peak "
        "itself: near it the curve is flat, and the last twentieth of throughput is the dearest in latency."
    )
    if report.adaptive is not None:
        yield (
            f"The adaptive limit knows of no curve, and had {LONGER} times as long. It lets latency rise to "
            f"{AdaptiveLimit().tolerance:g} times the lowest before it holds back; so where more in flight only waits, "
            "it comes to rest above the knee."
        )
    for each in (found.fit, found.scalability if found.fit != found.scalability else None):
        if each is not None:
            yield f"{in_words(each)[0].upper()}{in_words(each)[1:]}."


def _setting(report: Report) -> Iterable[str]:
    setting = report.setting
    facts = {"command": setting.command, "measured": setting.started, **setting.machine}
    for name, value in facts.items():
        shown = f"<code>{escape(value)}</code>" if name == "command" else escape(value)
        yield f"<dt>{escape(name)}</dt><dd>{shown}</dd>"
