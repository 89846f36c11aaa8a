"""All proofs, one after the other, and one table of what was tried and what held.

    python -m tests.proofs.prove           run them all; about an hour
    python -m tests.proofs.prove --write   and write the table into docs/reliability.md

A proof that ends with another code than 0 has failed, whatever its rows say; one that leaves no rows gets one.
"""

from __future__ import annotations

import argparse
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


@attrs.frozen
class Proof:
    """One proof.

    Args:
        name: What it is about.
        command: What is run, behind the name of the interpreter.
    """

    name: str
    command: Sequence[str]


def proofs(seeds: int, minutes: float) -> list[Proof]:
    """All of them.

    Args:
        seeds: How many simulations there are.
        minutes: How long the soak is.
    """
    kills = ["-m", "tests.proofs.kills", "--kills", "200", "--points", "5"]
    return [
        Proof("types", ["-m", "mypy"]),
        Proof("types of ordinary use", ["tests/typing/completeness.py"]),
        Proof("security", ["-m", "tests.proofs.threats"]),
        Proof("kills", kills),
        Proof("kills with PostgreSQL", [*kills, "--store", "postgres"]),
        Proof("outages", ["-m", "tests.proofs.outages", "--stops", "50"]),
        Proof("races", ["-m", "tests.proofs.races", "--races", "10000"]),
        Proof("power cuts", ["-m", "tests.proofs.cuts", "--seeds", "20"]),
        Proof("other semantics than Prefect's", ["tests/differential/run.py"]),
        Proof("soak", ["-m", "tests.proofs.soak", "--minutes", str(minutes)]),
        Proof("simulation", ["-m", "tests.simulation", "--proof", "--count", str(seeds)]),
    ]


def run(proof: Proof, folder: Path) -> list[Row]:
    """Run a proof, and give what it came to."""
    print(f"\n== {proof.name}: {' '.join(proof.command)}", flush=True)  # noqa: T201  # it takes a while
    file = folder / f"{proof.name}.rows"
    began = time.monotonic()
    environment = {**os.environ, FILE: str(file)}
    code = subprocess.run([sys.executable, *proof.command], check=False, cwd=ROOT, env=environment).returncode
    rows = gathered(file) or [Row(proof.name, f"{time.monotonic() - began:.0f} s", holds=not code)]
    if code and all(each.holds for each in rows):
        rows.append(Row(proof.name, f"it has ended with {code}", holds=False))
    return rows


def with_table(page: str, rows: Sequence[Row], headline: str) -> str:
    """A page with the table of now between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{headline}\n\n{table(rows)}\n\n{END}{after}"


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8_000, help="simulations")
    parser.add_argument("--minutes", type=float, default=5.0, help="of the soak")
    parser.add_argument("--only", action="append", help="the name of a proof; may be given several times")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        chosen = [each for each in proofs(given.seeds, given.minutes) if not given.only or each.name in given.only]
        rows = [row for each in chosen for row in run(each, Path(folder))]
    print(f"\n{table(rows)}")  # noqa: T201  # what was asked for
    if given.write:
        minutes = (time.monotonic() - began) / 60
        python = f"Python {platform.python_version()}"
        headline = f"`python -m tests.proofs.prove`, with {python} on {platform.system()}: {minutes:.0f} minutes."
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), rows, headline), encoding="utf-8")
    return int(not all(each.holds for each in rows))


if __name__ == "__main__":
    sys.exit(main())
