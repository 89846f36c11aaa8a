"""Verdicts: what a proof has tried and whether it held, as rows of one table.

Decides how rows are written and read again, so that proofs in processes of their own come together in one table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

FILE = "PROOF_ROWS"
"""The variable of the environment that names the file where rows are gathered."""


@attrs.frozen
class Row:
    """One thing that was tried.

    Args:
        tried: What.
        came_to: What it came to, in figures.
        holds: Whether that is as it must be.
    """

    tried: str
    came_to: str
    holds: bool


def table(rows: Iterable[Row]) -> str:
    """Rows as a table, as pages have it."""
    lines = ["| what was tried | what it came to | |", "|---|---|---|"]
    lines += [f"| {each.tried} | {each.came_to} | {'held' if each.holds else '**FAILED**'} |" for each in rows]
    return "\n".join(lines)


def tell(rows: Sequence[Row]) -> int:
    """Print rows, and leave them to whoever gathers them; the code to exit with."""
    gathered = os.environ.get(FILE)
    if gathered:
        with Path(gathered).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(attrs.asdict(each))}\n" for each in rows)
    print(table(rows), flush=True)  # noqa: T201  # what was asked for
    return int(not all(each.holds for each in rows))


def gathered(file: Path) -> list[Row]:
    """The rows that processes have left in a file."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Row(**json.loads(each)) for each in lines]
