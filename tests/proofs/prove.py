"""All proofs, one after the other, and one table of what was tried and what held.

    python -m tests.proofs.prove               run them all; about an hour
    python -m tests.proofs.prove --write       and write the table into docs/reliability.md
    python -m tests.proofs.prove --scale 0.1   a tenth of all that is tried many times
    python -m tests.proofs.prove --only kills --folder F   one of them
    python -m tests.proofs.prove --only simulation --log L --write   the rows of one; the others stay as they are

What a proof came to stays in the folder, if one is given; one that is there is not run again, but is in the table.
A proof that ends with another code than 0 has failed, whatever its rows say; one that leaves no rows gets one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.proofs.verdicts import FILE, Row, gathered, table

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reliability.md"
BEGIN: Final = "<!-- proof: written by python -m tests.proofs.prove --write -->"
END: Final = "<!-- end of proof -->"

SEEDS: Final = 8_000
"""Simulations, unless it is told otherwise."""


@attrs.frozen
class Proof:
    """One proof.

    Args:
        name: What it is about.
        command: What is run, behind the name of the interpreter.
    """

    name: str
    command: Sequence[str]


def proofs(scale: float = 1.0, log: Path | None = None) -> list[Proof]:
    """All of them.

    Args:
        scale: How much there is of what is tried many times.
        log: What simulations have come to already; see `tests.simulation`.
    """

    def many(count: int) -> str:
        return str(max(1, round(count * scale)))

    kills = ["-m", "tests.proofs.kills", "--kills", many(200), "--points", many(5)]
    simulation = ["-m", "tests.simulation", "--proof", "--count", many(SEEDS)]
    return [
        Proof("types", ["-m", "mypy"]),
        Proof("types of ordinary use", ["tests/typing/completeness.py"]),
        Proof("security", ["-m", "tests.proofs.threats"]),
        Proof("kills", kills),
        Proof("kills with PostgreSQL", [*kills, "--store", "postgres"]),
        Proof("outages", ["-m", "tests.proofs.outages", "--stops", many(50)]),
        Proof("races", ["-m", "tests.proofs.races", "--races", many(10_000)]),
        Proof("power cuts", ["-m", "tests.proofs.cuts", "--seeds", many(20)]),
        Proof("other semantics than Prefect's", ["tests/differential/run.py", "--flows", many(300)]),
        Proof("soak", ["-m", "tests.proofs.soak", "--minutes", f"{5 * scale:g}", "--runs", many(1_000_000)]),
        Proof("simulation", simulation if log is None else [*simulation, "--log", str(log)]),
        Proof("ablations", ["-m", "tests.simulation", "--ablations"]),
    ]


@attrs.frozen
class Verdict:
    """What a proof came to.

    Args:
        rows: Its rows.
        seconds: How long it took.
    """

    rows: list[Row]
    seconds: float

    def write(self, file: Path) -> None:
        """Keep it."""
        file.write_text(json.dumps(attrs.asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Verdict:
        """As it was kept."""
        kept = json.loads(file.read_text(encoding="utf-8"))
        return cls([Row(**each) for each in kept["rows"]], kept["seconds"])


def run(proof: Proof, folder: Path) -> Verdict:
    """Run a proof, and give what it came to."""
    print(f"\n== {proof.name}: {' '.join(proof.command)}", flush=True)  # noqa: T201  # it takes a while
    file = folder / f"{proof.name}.rows"
    file.unlink(missing_ok=True)  # of one that was stopped
    began = time.monotonic()
    environment = {**os.environ, FILE: str(file)}
    code = subprocess.run([sys.executable, *proof.command], check=False, cwd=ROOT, env=environment).returncode
    seconds = time.monotonic() - began
    rows = gathered(file) or [Row(proof.name, f"{seconds:.0f} s", holds=not code)]
    if code and all(each.holds for each in rows):
        rows.append(Row(proof.name, f"it has ended with {code}", holds=False))
    return Verdict(rows, seconds)


def come_to(proof: Proof, folder: Path, *, wanted: bool) -> Verdict | None:
    """What a proof came to: as the folder has it, or as it is run now, if it is wanted."""
    kept = folder / f"{proof.name}.json"
    if kept.exists():
        return Verdict.read(kept)
    if not wanted:
        return None
    verdict = run(proof, folder)
    verdict.write(kept)
    return verdict


def with_table(page: str, rows: Sequence[Row], headline: str, *, keeps: bool = False) -> str:
    """A page with the table of now between its markers.

    Args:
        page: The page.
        rows: What was tried.
        headline: How.
        keeps: What stands there of other proofs stays, and how these were made.
    """
    before, _, rest = page.partition(BEGIN)
    there, _, after = rest.partition(END)
    if keeps:
        lines = there.strip().splitlines()
        heads = [line for line in lines if line and not line.startswith("|")]
        headline = "\n".join([*(line for line in heads if _command(line) != _command(headline)), headline])
        rows = _replaced([_row(line) for line in lines if line.startswith("| ")][1:], rows)
    return f"{before}{BEGIN}\n\n{headline}\n\n{table(rows)}\n\n{END}{after}"


def _command(headline: str) -> str:
    """The command that a headline names."""
    return headline.split("`")[1] if headline.count("`") > 1 else headline


def _row(line: str) -> Row:
    tried, came_to, held = (cell.strip() for cell in line.strip("|").split(" | "))
    return Row(tried, came_to, held == "held")


def _replaced(there: Sequence[Row], made: Sequence[Row]) -> list[Row]:
    """Rows that stand on the page, those in the place of which there are new ones, and what is new altogether."""
    new = {each.tried: each for each in made}
    return [*(new.pop(each.tried, each) for each in there), *new.values()]


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="how much of what is tried many times")
    parser.add_argument("--only", action="append", help="the name of a proof; may be given several times")
    parser.add_argument("--folder", type=Path, help="where what they come to is kept")
    parser.add_argument("--log", type=Path, help="what simulations have come to already")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(exist_ok=True)
        made = [
            come_to(each, folder, wanted=not given.only or each.name in given.only)
            for each in proofs(given.scale, given.log)
        ]
    verdicts = [each for each in made if each is not None]
    rows = [row for each in verdicts for row in each.rows]
    print(f"\n{table(rows)}")  # noqa: T201  # what was asked for
    if given.write:
        minutes = sum(each.seconds for each in verdicts) / 60
        asked = "" if given.scale == 1 else f" --scale {given.scale:g}"
        asked += "".join(f" --only '{each}'" if " " in each else f" --only {each}" for each in given.only or ())
        asked += " --log FILE" if given.log else ""
        python = f"Python {platform.python_version()}"
        headline = (
            f"`python -m tests.proofs.prove{asked}`, with {python} on {platform.system()}: {minutes:.0f} minutes."
        )
        page = with_table(PAGE.read_text(encoding="utf-8"), rows, headline, keeps=bool(given.only))
        PAGE.write_text(page, encoding="utf-8")
    return int(not all(each.holds for each in rows))


if __name__ == "__main__":
    sys.exit(main())
