"""The documents are true: their code runs, prints what they say, and their links lead somewhere.

A block of Python is a whole programme. A block of text right after it is what it prints. In a block for the console a
line that begins with `$ millrace` is a command, and the lines after it are what that prints to stdout; `Killed` at the
end stands for what a shell says of a process that was. The commands of a block share a folder.
"""

from __future__ import annotations

import re
import runpy
import shlex
import signal
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.programs import ROOT, python
from tests.postgres import USER, Server

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    printed: str | None  # the block of text right after it


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages, in some languages only if any are named."""
    found: list[Block] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        matches = list(FENCE.finditer(text))
        for match, following in pairwise([*matches, None]):
            if match is None or (languages and match[1] not in languages):
                continue
            printed = None
            if following is not None and following[1] == "text" and not text[match.end() : following.start()].strip():
                printed = following[2]
            found.append(Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2], printed))
    return found


def named(block: Block) -> str:
    """What a test of the block is called."""
    return f"{block.page.name}:{block.line}"


PROGRAMMES = blocks("python")
CONSOLES = [block for block in blocks("console") if "$ millrace " in block.text]


@pytest.fixture
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a page that speaks of the database `runs` such a one, at the server that the environment names."""
    block: Block = request.getfixturevalue("block")
    if "postgresql:///runs" in block.text:
        server: Server = request.getfixturevalue("postgres")
        server.make_database("runs")
        for name, value in (("PGHOST", "127.0.0.1"), ("PGPORT", str(server.port)), ("PGUSER", USER)):
            monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("block", PROGRAMMES, ids=named)
def test_the_code_runs_and_prints_what_the_page_says(block: Block, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(block.text, encoding="utf-8")

    done = python(script, cwd=tmp_path)

    assert (done.code, done.err) == (0, "")
    assert done.out == (block.printed or "")


@pytest.mark.parametrize("block", CONSOLES, ids=named)
def test_the_commands_print_what_the_page_says(block: Block, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shown = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    for command, said in (each.split("\n", 1) for each in shown):
        programme, *arguments = shlex.split(command)
        done = python("-m", programme, *arguments, cwd=tmp_path)

        expected = said.removesuffix("Killed\n")
        assert done.code == (0 if expected == said else -signal.SIGKILL), command
        assert without_chance(done.out) == without_chance(expected), command


BY_CHANCE = (
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.+]+"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8,32}\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b(\d+ h )?[\d.]+ (ms|s|min)( \d+ s)?( ago)?(?= |,|$)", re.MULTILINE), "SPAN"),
    (re.compile(r"\bprocess \d+ on [\w.-]+"), "PROCESS"),
    (re.compile(r"\b([\d.]+ KiB|\d+ bytes)"), "SIZE"),
    (re.compile(r"\S*/examples/"), "examples/"),
    (re.compile(r"\S*/runs\.db"), "runs.db"),
    (re.compile(r" +"), " "),
)
"""What is not the same whenever a command runs: times, ids, places; and so how wide a column is."""


def without_chance(text: str) -> str:
    """What is printed, with words in place of what is up to chance."""
    for pattern, word in BY_CHANCE:
        text = pattern.sub(word, text)
    return text


def test_there_is_code_to_run() -> None:
    pages = {"differences", "flows", "results-and-caching", "retries-and-timeouts", "settings", "streams", "tasks"}
    pages |= {"durability", "runs", "transactions"}

    assert {block.page.stem for block in PROGRAMMES} >= {"README", *pages}
    assert CONSOLES


def test_every_block_says_what_it_is() -> None:
    known = {"python", "text", "console", "mermaid", "toml", "json", "sql"}

    assert [named(block) for block in blocks() if block.language not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken: list[str] = []
    for target in LINK.findall(text):
        if target.startswith(("https://", "http://")):
            continue
        name, _, heading = target.partition("#")
        found = page if not name else page.parent / name
        if not found.exists() or (heading and heading not in headings(found)):
            broken.append(target)

    assert broken == []


def headings(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", line.lower()).strip().replace(" ", "-") for line in lines}


def test_the_diagram_of_states_is_that_of_the_table() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "state_diagram.py"))
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    assert script["diagram"]() in page
    assert script["with_diagram"](page) == page, "run `python docs/state_diagram.py`"
