"""What is not the engine's own text makes no line of a log: one record is one line, but for tracebacks."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace import INPUTS, LocalStorage, MemoryStorage, transaction
from millrace.runtime.one_line import engine_logger, one_line
from tests.loose import flow, task

MARK = "FORGED"
FORGERIES = [
    f"x\n{MARK}",
    f"x\r\n{MARK}",
    f"x\r{MARK}",
    f"x\u2028{MARK}",
    f"x\u2029{MARK}",
    f"x\x85{MARK}",
    f"x\x0b{MARK}",
    f"x\x0c{MARK}",
    f"x\x1c{MARK}",
    f"x\x1b[2K\x1b[1G{MARK}",
    f"x\x9b2K{MARK}",
    f"x\x08\x08{MARK}",
    f"x\x00{MARK}",
    f"x\u202e{MARK}",
    f"x\udcff{MARK}",
]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, as a file of it would be."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    root = logging.getLogger("millrace")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


def made(fn: Callable[..., Any], **options: Any) -> Any:
    """A task."""
    return task(**options)(fn)


class Hostile:
    """Raises whenever something is made of it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ValueError(self.text)


def cached(text: str) -> None:
    made(lambda given: None, name=text, cache_policy=INPUTS, result_storage=MemoryStorage())(Hostile(text))


def kept(text: str) -> None:
    made(lambda: Hostile(text), name=text, result_storage=MemoryStorage())()


def rolled_back(text: str) -> None:
    keep = made(lambda: Hostile(text), name=text, result_storage=MemoryStorage())
    flow(name=text)(lambda: keep())(return_state=True)  # noqa: PLW0108  # flows are made of functions


def hooked(text: str) -> None:
    def hook(called: Any, run: Any, state: Any) -> None:
        raise RuntimeError

    hook.__qualname__ = hook.__name__ = text
    made(lambda: None, name=text, on_completion=[hook])()


def conditioned(text: str) -> None:
    def condition(called: Any, run: Any, state: Any) -> bool:
        raise RuntimeError

    made(lambda: int(text), name=text, retries=1, retry_condition_fn=condition)(return_state=True)


def called_back(text: str) -> None:
    def body() -> None:
        future = made(lambda: None, name=text).submit()
        future.wait()
        future.add_done_callback(lambda _: int("no"))

    flow(body)()


SOURCES = [cached, kept, rolled_back, hooked, conditioned, called_back]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_no_text_of_somebody_else_s_begins_a_line(log: io.StringIO, source: Callable[[str], None]) -> None:
    for text in FORGERIES:
        source(text)

    lines = log.getvalue().splitlines()
    assert sum(MARK in line for line in lines) >= len(FORGERIES)  # it was there to be escaped
    assert not any(line.startswith(MARK) for line in lines)
    assert all(line.isprintable() for line in lines if MARK in line)


def test_a_damaged_record_under_a_hostile_key_is_told_on_one_line(log: io.StringIO, tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "results")
    load = made(lambda: 1, name="load", result_storage=storage, cache_key_fn=lambda context, given: f"k\n{MARK}")
    load()
    [file] = (tmp_path / "results").iterdir()
    file.write_bytes(b"damaged")
    load()

    assert "cannot be used" in log.getvalue()
    assert not any(line.startswith(MARK) for line in log.getvalue().splitlines())


def test_a_name_of_a_transaction_is_on_one_line(log: io.StringIO) -> None:
    with transaction(key=f"k\n{MARK}", store=None) as txn:
        txn.stage(None, on_commit_hooks=[lambda _: int("no")])

    assert not any(line.startswith(MARK) for line in log.getvalue().splitlines())


@pytest.mark.parametrize("text", FORGERIES)
def test_what_is_escaped_can_be_read(text: str) -> None:
    assert MARK in one_line(text)
    assert one_line(text).isprintable()


def test_other_texts_stay_as_they_are() -> None:
    assert one_line("Größe 3, файл, 文件 🙂 \\n") == "Größe 3, файл, 文件 🙂 \\n"


def test_a_record_says_where_it_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    logger = engine_logger("tests")
    logger.warning("%s is %d, or %.1f", "it", 3, 2.5)

    [record] = caplog.records
    assert (record.getMessage(), record.name, record.module) == ("it is 3, or 2.5", "millrace.tests", "test_one_line")
