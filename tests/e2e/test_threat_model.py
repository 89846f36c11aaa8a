"""The threat model is true in so far as each test that it names is there, and each threat names one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.programs import ROOT

PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)
UNTESTED = {"The code of flows"}


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_a_test_that_is_named_is_there(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", Path(ROOT, file).read_text(encoding="utf-8"), re.MULTILINE)


def test_each_threat_names_its_tests_or_says_that_it_is_not_defended() -> None:
    sections = {text.partition("\n")[0]: text for text in re.split("^## ", PAGE, flags=re.MULTILINE)[1:]}

    assert len(sections) == 14
    assert {title for title, text in sections.items() if "`tests/" not in text} == UNTESTED
