"""The threats: every test that docs/threat-model.md names is run, and counted threat by threat."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.proofs.verdicts import Row, tell

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "threat-model.md"
NAMED: Final = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`(?:: ([^\n]+(?:\n  [^\n]+)*))?")


def threats(page: str) -> dict[str, list[tuple[str, str]]]:
    """By threat: the file and the name of each test that stands by it."""
    sections = re.split("^## ", page, flags=re.MULTILINE)[1:]
    found = {text.partition("\n")[0]: [(each[0], each[1]) for each in NAMED.findall(text)] for text in sections}
    return {title: tests for title, tests in found.items() if tests}


def outcomes(tests: list[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """By name of a test: how many cases of it have passed, and how many have not."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        names = [f"{file}::{name}" for file, name in tests]
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", f"--junitxml={report}", *dict.fromkeys(names)]
        subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.DEVNULL)
        cases = ET.parse(report).iter("testcase") if report.exists() else ()  # noqa: S314  # ours
        found: dict[str, tuple[int, int]] = {}
        for case in cases:
            name = case.get("name", "").partition("[")[0]
            passed, failed = found.get(name, (0, 0))
            well = case.find("failure") is None and case.find("error") is None
            found[name] = (passed + well, failed + (not well))
    return found


def main() -> int:
    """Prove it from the command line."""
    by_threat = threats(PAGE.read_text(encoding="utf-8"))
    found = outcomes([test for tests in by_threat.values() for test in tests])
    rows: list[Row] = []
    for title, tests in by_threat.items():
        counts = [found.get(name, (0, 1)) for _, name in tests]
        passed, failed = sum(each[0] for each in counts), sum(each[1] for each in counts)
        text = f"{len(tests)} tests, {passed} cases passed" + (f", {failed} FAILED" if failed else "")
        rows.append(Row(f"security: {title[0].lower()}{title[1:]}", text, holds=not failed))
    return tell(rows)


if __name__ == "__main__":
    sys.exit(main())
