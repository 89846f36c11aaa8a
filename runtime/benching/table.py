"""The table: a report as text for a terminal.

Decides the columns, and what is said beside the rows and below. `paint` colours what stands out, where it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from millrace.runtime.benching import units
from millrace.runtime.benching.figures import Point
from millrace.runtime.benching.knee import Verdict, in_words
from millrace.runtime.benching.report import Adaptive, Report

Paint = Callable[[str, str], str]
"""Colours a text as one of `knee`, `error`, `quiet`, `strong`."""

_HEAD = ("limit", "runs/s", "p50", "p95", "p99", "queued", "errors", "loop lag", "threads", "memory")


def plain(text: str, _how: str) -> str:
    """No colour."""
    return text


def as_text(report: Report, paint: Paint = plain) -> str:
    """The whole report."""
    parts = [_table(report, paint)] if report.points else []
    if report.rivals:
        parts.append(_comparison(report, paint))
    parts.append(_conclusion(report, paint))
    return "\n\n".join(parts)


def _table(report: Report, paint: Paint) -> str:
    points = list(report.points)
    rows = [_cells(point, str(point.limit)) for point in points]
    notes = [_note(report, point) for point in points]
    if report.adaptive is not None:
        rows.append(_cells(report.adaptive.point, "adaptive"))
        notes.append(adaptive_note(report.adaptive))
    lines = _aligned([_HEAD, *rows])
    told = [paint(lines[0], "quiet")]
    for line, row, note in zip(lines[1:], rows, notes, strict=True):
        shown = line if row[6] == "0" else _painted_errors(line, row[6], paint)
        told.append(f"{shown}   {paint(note, 'knee')}" if note else shown)
    return "\n".join(told)


def adaptive_note(found: Adaptive) -> str:
    """What is said of the limit that finds itself."""
    chosen = units.limit(found.choice.median)
    return f"chose {chosen}" if found.settled else f"came to {chosen}, and had not settled"


def _cells(point: Point, name: str) -> tuple[str, ...]:
    latency = point.latency
    return (
        name,
        units.rate(point.throughput.median),
        *(units.seconds(None if latency is None else each) for each in _percentiles(point)),
        units.seconds(None if point.queueing is None else point.queueing.p50),
        f"{point.errors:,}",
        units.seconds(point.lag),
        f"{point.threads}",
        units.memory(point.memory_bytes),
    )


def _percentiles(point: Point) -> tuple[float | None, ...]:
    latency = point.latency
    return (None, None, None) if latency is None else (latency.p50, latency.p95, latency.p99)


def _note(report: Report, point: Point) -> str:
    found = report.finding
    if point.limit != report.knee_at:
        return "" if point.limit in found.fitted or not found.fitted else "(not in the fit)"
    if found.verdict is Verdict.FAILING:
        return "← the last before failures"
    if found.verdict is not Verdict.FOUND or found.fit is None or found.peak is None or found.best is None:
        return "← enough"
    kind = f"{found.fit.title} fit: best {units.limit(found.peak)}, peak {units.rate(found.best)}/s"
    return f"← knee {found.limit} ({kind})"


def _painted_errors(line: str, errors: str, paint: Paint) -> str:
    before, found, after = line.rpartition(f" {errors} ")
    return f"{before} {paint(errors, 'error')} {after}" if found else line


def _comparison(report: Report, paint: Paint) -> str:
    """Throughput of all under each limit; what failed on the way is told beside."""
    names = ["millrace", *report.rivals]
    columns = [{point.limit: point for point in each} for each in (report.points, *report.rivals.values())]
    rows = [(str(point.limit), *(_of_rival(each.get(point.limit)) for each in columns)) for point in report.points]
    lines = _aligned([("limit", *names), *rows])
    title = paint("runs/s of the same work under other limits, in the same rounds:", "quiet")
    return "\n".join([title, paint(lines[0], "quiet"), *lines[1:]])


def _of_rival(point: Point | None) -> str:
    return "–" if point is None else units.rate(point.throughput.median)


def _conclusion(report: Report, paint: Paint) -> str:
    found = report.finding
    lines = [paint(found.sentence, "strong")]
    if found.agreed is not None:
        low, high = found.agreed
        agreed = f"at {low}" if low == high else f"between {low} and {high}"
        lines.append(f"The single rounds have their knee {agreed}.")
    if found.fit is not None:
        lines.append(f"{in_words(found.fit)[0].upper()}{in_words(found.fit)[1:]}.")
        if found.scalability is not None and found.scalability.law != found.fit.law:
            lines.append(f"{in_words(found.scalability)}: the other describes them better.")
    lines.extend(found.notes)
    if report.unfinished is not None:
        lines.append(paint(report.unfinished, "error"))
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of one width each, to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
