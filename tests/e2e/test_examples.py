"""The examples run, by themselves and from the command line, and print what they say they print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.programs import ROOT, python

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def test_every_example_is_tested() -> None:
    assert EXAMPLES == [
        "in_a_service.py", "newsletter.py", "service.py", "stdlib_census.py", "survives.py", "ten_lines.py",
    ]  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_begins_with_its_story(name: str) -> None:
    assert (ROOT / "examples" / name).read_text(encoding="utf-8").startswith('"""')


def test_ten_lines_counts_the_links() -> None:
    assert python(ROOT / "examples" / "ten_lines.py") == (0, "5\n", "")


def test_ten_lines_runs_from_the_command_line_too() -> None:
    done = python("-m", "millrace", "run", "examples/ten_lines.py", "-p", 'urls=["/", "/about"]', "--json")

    assert (done.code, done.out) == (0, "3\n")


def test_the_one_that_survives_needs_no_store_to_run(tmp_path: Path) -> None:
    done = python(ROOT / "examples" / "survives.py", cwd=tmp_path)

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "22 letters are out"


def test_the_newsletter_waits_for_its_approval_on_record(tmp_path: Path) -> None:
    store = ("--store", "sqlite:///runs.db")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    drafted = python("-m", "millrace", "run", "examples/newsletter.py", "-p", "issue=7", "-q", *store, cwd=tmp_path)
    assert (drafted.code, drafted.out) == (0, "drafting news\ndrafting letters\n")
    assert drafted.err.startswith("newsletter/issue-7 is suspended. To let it go on: millrace runs resume ")

    wrong = python("-m", "millrace", "runs", "resume", "issue-7", "--input", '{"of": "Ada"}', *store, cwd=tmp_path)

    assert (wrong.code, wrong.out) == (1, "")
    assert "run_input" in wrong.err


def test_the_census_runs_from_the_command_line_too() -> None:
    done = python("-m", "millrace", "run", "examples/stdlib_census.py:census", "-p", "limit=2", "--json", "-q")

    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["task_runs"] == {"completed": 5}


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn"])
def test_the_service_says_what_to_install_where_that_is_missing(missing: str) -> None:
    start = f"import runpy, sys; sys.modules[{missing!r}] = None; runpy.run_path('examples/service.py')"
    done = python("-c", start)
    assert (done.code, done.out) == (1, "")
    said = f"There is no {missing} here, and this example is a service. Install it: pip install fastapi uvicorn"
    assert done.err.splitlines() == [said]


def test_the_service_starts_a_flow_looks_after_it_and_cancels_one() -> None:
    done = python(ROOT / "examples" / "in_a_service.py")

    assert (done.code, done.err) == (0, "")
    told = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", done.out)
    told = re.sub(r"/runs/[0-9a-f]{8}", "/runs/ID", re.sub(r"'name': '[a-z-]+'", "'name': NAME", told))
    assert [re.sub(r" +", " ", line) for line in told.splitlines()] == [
        "POST /count/3 {'id': 'ID'}",
        "GET /runs/ID {'name': NAME, 'state': 'Completed()'}",
        "POST /count/1000000 {'id': 'ID'}",
        "DELETE /runs/ID {'name': NAME, 'state': \"Cancelled('It was cancelled.')\"}",
        "The engine is closed: 0 flows are left.",
    ]
