"""Shows what was measured, as text and as Markdown: all of it from the JSON, so that both can be made again later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.model import Document, Kind

HEADER: Final = ("#", "what", "floor", "millrace", "millrace / floor", "goal (stretch)", "verdict")
NOTHING: Final = "–"

Cells = Sequence[str]


def cells(goals: Sequence[Document]) -> list[Cells]:
    """The table of all goals, header first."""
    table: list[Cells] = [HEADER]
    for goal in goals:
        table.append((str(goal["number"]), str(goal["title"]), "", "", "", "", ""))
        table.extend(_row(row) for row in goal["rows"])
    return table


def text(table: Sequence[Cells]) -> str:
    """A table for the terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def markdown(table: Sequence[Cells]) -> str:
    """A table for a document."""
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
    rows.insert(1, "|" + " --- |" * len(table[0]))
    return "\n".join(rows)


def tally(goals: Sequence[Document]) -> str:
    """How many rows came to which verdict."""
    verdicts = [row["verdict"] for goal in goals for row in goal["rows"] if row["limits"] is not None]
    found = {verdict: verdicts.count(verdict) for verdict in ("stretch held", "goal held", "missed")}
    return ", ".join(f"{verdict}: {count}" for verdict, count in found.items())


def machine(document: Document) -> str:
    """The machine and the versions, in one line."""
    found = document["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items() if version is not None)
    return (
        f"{found['cpu']}, {found['cores']} cores, {found['memory_gb']} GB, {found['system']} {found['kernel']}; "
        f"{found['implementation']} {found['python']}, {packages}"
    )


def figure(spread: Document | None, unit: str) -> str:
    """A median, with its smallest and largest where there were several rounds."""
    if spread is None:
        return NOTHING
    shown = f"{digits(spread['median'])} {unit}"
    if len(spread["values"]) == 1:
        return shown
    return f"{shown} ({digits(spread['min'])} – {digits(spread['max'])})"


def digits(value: float) -> str:
    """Three digits, or all in front of the point; never minus nothing."""
    size = abs(value)
    if size >= 99.95:  # shown with one more digit it would be 100.0
        return f"{value:,.0f}"
    shown = f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"
    return "0.00" if shown == "-0.00" else shown


def _row(row: Document) -> Cells:
    verdict = row["verdict"] if row["reason"] is None else f"{row['verdict']}: {row['reason']}"
    return (
        "",
        row["name"],
        figure(row["floor"], row["unit"]),
        figure(row["millrace"], row["unit"]),
        figure(row["ratio"], "×"),
        _limits(row),
        verdict,
    )


def _limits(row: Document) -> str:
    limits = row["limits"]
    if limits is None:
        return NOTHING
    if limits["shown"] is not None:
        return str(limits["shown"])
    unit = row["unit"] if row["kind"] == Kind.ABSOLUTE else "×"
    stretch = "" if limits["stretch"] is None else f" ({round(limits['stretch'], 2):,g})"
    return f"≤ {round(limits['goal'], 2):,g} {unit}{stretch}"
