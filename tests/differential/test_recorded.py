"""Generated flows come to what Prefect recorded, and the list of differences is complete and true.

`make differential` asks Prefect anew; here its recorded answers stand for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace import Engine
from millrace.runtime.entering import stand_in
from tests.differential.comparing import failures, unequal
from tests.differential.differences import DIFFERENCES, Difference, rewritten
from tests.differential.engines import Millrace
from tests.differential.parameters import PLACE, converted
from tests.differential.play import play
from tests.differential.scripts import script

HERE = Path(__file__).parent
LIST = HERE.parents[1] / "docs" / "differences.md"
RECORDED = {
    answer["seed"]: answer["seen"] for answer in map(json.loads, (HERE / "recorded.jsonl").read_text().splitlines())
}


@pytest.fixture
def side() -> Iterator[Millrace]:
    engine = Engine()
    with stand_in(engine):
        yield Millrace()
    engine.close()


PARAMETERS = RECORDED.pop(PLACE)


def test_parameters_become_what_prefect_recorded(side: Millrace) -> None:
    made = json.loads(json.dumps(converted(side)))

    assert len(made) > 1_200
    assert list(unequal(made, PARAMETERS)) == []


@pytest.mark.parametrize("seed", RECORDED)
def test_a_generated_flow_comes_to_what_prefect_recorded(side: Millrace, seed: int) -> None:
    seen = json.loads(json.dumps(play(side, script(seed))))

    assert list(unequal(seen, rewritten(RECORDED[seed]))) == []


@pytest.mark.parametrize("each", DIFFERENCES, ids=lambda each: each.case.__name__)
def test_a_listed_difference_is_one(side: Millrace, each: Difference) -> None:
    gave = json.loads(json.dumps(each.case(side)))

    assert gave == each.millrace
    assert each.millrace != each.prefect


def listed() -> set[tuple[int, int]]:
    """Section and bullet of everything on the list; 0 for what stands above the bullets."""
    text = re.sub(r"```.*?```", "", LIST.read_text(), flags=re.DOTALL)
    found: set[tuple[int, int]] = set()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, rest = section.partition("\n")
        number = int(heading.split(".")[0])
        bullets = len(re.findall(r"^- ", rest, flags=re.MULTILINE))
        found |= {(number, bullet) for bullet in range(1, bullets + 1)}
        if not rest.lstrip().startswith("- "):
            found.add((number, 0))
    return found


def test_everything_on_the_list_has_a_case_and_every_case_is_on_the_list() -> None:
    assert {(each.section, each.bullet) for each in DIFFERENCES} == listed()


def test_what_differs_and_is_not_listed_is_found() -> None:
    seed, seen = next(iter(RECORDED.items()))
    ours = rewritten(seen)
    assert failures(({seed: ours}, _given("millrace")), ({seed: seen}, _given("prefect")), [seed]) == []

    ours = {**ours, "flows": [*ours["flows"], ["PENDING:Pending"]]}
    [failure] = failures(({seed: ours}, _given("millrace")), ({seed: seen}, _given("prefect")), [seed])
    assert failure.startswith(f"flow {seed} differs in 1 places:")


def test_a_listed_difference_that_shows_no_more_is_found() -> None:
    gave = _given("prefect") | {_place(DIFFERENCES[0]): DIFFERENCES[0].millrace}

    [failure] = failures(({}, _given("millrace")), ({}, gave), [])

    assert failure == "difference 1.0 (servers): prefect gave 0, and 1 is written down"


def test_a_missing_answer_is_found() -> None:
    assert failures(({}, _given("millrace")), ({1: {}}, _given("prefect")), [1]) == ["flow 1: millrace gave no answer"]


def _given(engine: str) -> dict[tuple[int, int, str], Any]:
    return {_place(each): getattr(each, engine) for each in DIFFERENCES}


def _place(each: Difference) -> tuple[int, int, str]:
    return each.section, each.bullet, each.case.__name__
