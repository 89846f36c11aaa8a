"""The demo tells the truth: its numbers are those that another way of counting comes to."""

from __future__ import annotations

import importlib.util
import json
import sys
import sysconfig
import tokenize
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from millrace import run
from tests.e2e.programs import ROOT, python

DEMO = ROOT / "examples" / "stdlib_census.py"
LIMIT = 40


def counted_by_tokens(path: Path) -> Counter[str]:
    """What is in a file, told by its tokens: no parser, and none of the demo's code."""
    counts: Counter[str] = Counter(files=1, lines=len(path.read_bytes().splitlines()))
    before = ""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.NAME and token.string in {"def", "class"}:
                kind = "classes" if token.string == "class" else "functions"
                counts["async_functions" if before == "async" else kind] += 1
            if token.type != tokenize.NL:
                before = token.string
    return counts


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The demo as a module."""
    spec = importlib.util.spec_from_file_location("stdlib_census", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "stdlib_census", module)
    spec.loader.exec_module(module)
    return module


def test_the_census_agrees_with_a_count_of_tokens(demo: ModuleType) -> None:
    done = python(DEMO, "--limit", str(LIMIT), "--json")
    library = Path(sysconfig.get_path("stdlib"))
    expected: dict[str, Counter[str]] = {}
    for path in demo.modules()[:LIMIT]:
        name = path.relative_to(library)
        package = name.parts[0] if len(name.parts) > 1 else "(single modules)"
        expected[package] = expected.get(package, Counter()) + counted_by_tokens(path)

    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)

    kinds = ("files", "lines", "functions", "async_functions", "classes")
    assert {name: [each[kind] for kind in kinds] for name, each in found["packages"].items()} == {
        name: [each[kind] for kind in kinds] for name, each in expected.items()
    }
    assert found["failed"] == {}
    assert found["task_runs"] == {"completed": 2 * LIMIT + 1}


def test_the_table_shows_the_numbers_and_the_rate() -> None:
    done = python(DEMO, "--limit", "3")

    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert lines[2].split() == ["package", "files", "lines", "functions", "async", "classes", "docstrings"]
    assert any(line.startswith("together") for line in lines)
    assert lines[-1].startswith("7 task runs in ")
    assert "7 completed" in lines[-1]


def test_a_file_that_does_not_parse_fails_alone(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "good.py").write_text("'Good.'\nclass C:\n    async def f(self): ...\n", encoding="utf-8")
    (tmp_path / "package" / "bad_syntax.py").write_text("x = 1\ndef f(:\n", encoding="utf-8")
    (tmp_path / "bad_coding.py").write_bytes(b"# coding: nonsense\n")
    (tmp_path / "single.py").write_text("def f(): ...\n", encoding="utf-8")
    monkeypatch.setattr(demo, "LIBRARY", tmp_path)

    found = run(demo.census)
    demo.show(found, 1.0)

    assert found.packages == {
        "(single modules)": demo.Counts(files=1, lines=1, functions=1),
        "package": demo.Counts(files=1, lines=3, async_functions=1, classes=1, docstrings=1),
    }
    assert found.failed.keys() == {"bad_coding.py", "package/bad_syntax.py"}
    assert found.failed["package/bad_syntax.py"] == "SyntaxError: invalid syntax, line 2"
    assert found.task_runs == {"completed": 7, "failed": 2}
    shown = capsys.readouterr().out
    assert "2 files could not be parsed" in shown
    assert "9 task runs in 1.0 s (7 completed, 2 failed): 9 a second" in shown


def test_a_library_without_files_that_are_wrong_is_said_to_be_so(
    demo: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.show(demo.Census(packages={}, failed={}, task_runs={"completed": 1}), 1.0)

    assert "Every file could be parsed." in capsys.readouterr().out
