"""What holds for all tests: messages to runs are checked, and what is drawn at random is drawn alike each time.

Also which cases of a test with parameters are run, where not all are.
"""

from __future__ import annotations

import random
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import settings

from millrace.actors import validation
from tests.postgres import Server

settings.register_profile("gate", deadline=None, derandomize=True)
settings.load_profile("gate")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that leaves cases out."""
    parser.addoption(
        "--share",
        type=int,
        metavar="N",
        help="run N cases at most of each test with parameters: for a second version of Python, where others run all",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose the cases, others for each version of Python, and the same each time."""
    share: int | None = config.getoption("--share")
    if share is None:
        return
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    chosen: set[pytest.Item] = set()
    for test, found in cases.items():
        draw = random.Random(f"{test} {sys.version_info[:2]}")
        chosen.update(draw.sample(found, min(share, len(found))))
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


@pytest.fixture(scope="session", autouse=True)
def _interrupts_arrive() -> None:
    """Let this process and those it starts hear of Ctrl-C: whoever runs tests in the background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server of PostgreSQL's, for all tests that need one."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture(scope="session", autouse=True)
def _validated() -> Iterator[list[str]]:
    """Check the invariants of the actors in all tests; what was broken in the present one."""
    broken: list[str] = []
    switch_off = validation.switch_on(broken.append)
    yield broken
    switch_off()


@pytest.fixture(autouse=True)
def invariants_hold(_validated: list[str]) -> Iterator[list[str]]:
    """Check that the test has broken none."""
    _validated.clear()
    yield _validated
    assert not _validated, f"{len(_validated)} broken invariants; the first: {_validated[0]}"
