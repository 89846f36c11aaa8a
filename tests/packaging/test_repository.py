"""The repository: what a newcomer finds in it, and that each chore has its word."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHORES = ("setup", "demo", "test", "lint", "types", "bench", "bench-peers", "clean")


def test_each_chore_has_its_word_and_says_what_it_is() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    described = dict(re.findall(r"^([a-z-]+):[^\n]*?## (.+)$", makefile, re.MULTILINE))

    assert set(CHORES) <= described.keys()
    assert all(described.values())


def test_a_change_has_to_pass_what_everybody_can_run() -> None:
    gate = ROOT / ".ci" / "run"

    assert os.access(gate, os.X_OK)
    assert re.findall(r"^make .+$", gate.read_text(encoding="utf-8"), re.MULTILINE) == [
        "make lint",
        "make types",
        "make test",
    ]


@pytest.mark.parametrize("floor", ["actors", "runtime"])
def test_the_door_has_a_link_to_each_floor(floor: str) -> None:
    link = ROOT / "src" / "millrace" / floor

    assert link.is_symlink()
    assert link.readlink() == Path("..", "..", floor)
    assert (ROOT / floor / "__init__.py").is_file()


def test_whoever_looks_for_the_papers_finds_them() -> None:
    for name in ("README.md", "CHANGELOG.md", "docs/architecture.md", "docs/benchmarks.md", "src/millrace/py.typed"):
        assert (ROOT / name).is_file(), name
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n")
    assert PYPROJECT["project"]["license"] == "MIT"


def test_python_3_11_is_enough_and_every_extra_brings_something() -> None:
    assert PYPROJECT["project"]["requires-python"] == ">=3.11"
    assert all(PYPROJECT["project"]["optional-dependencies"].values())


def test_all_code_is_checked_by_two_type_checkers_in_their_strictest_mode() -> None:
    tools = PYPROJECT["tool"]

    assert tools["mypy"]["strict"] is True
    assert tools["pyright"]["typeCheckingMode"] == "strict"
    for checker in (tools["mypy"]["files"], tools["pyright"]["include"]):
        assert {"src/millrace", "tests"} <= set(checker)
