"""What is put off is sealed where there is a key: nobody else can have written a call, or what it came to."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from millrace import DistributedFuture, Engine, SerializationError, StateType, TaskWorker
from tests.loose import task
from tests.runtime.deferred.places import PATIENCE_SECONDS

KEY = "sixteen characters, or more"
_opened: list[str] = []


def _note() -> None:
    _opened.append("opened")


class Evil:
    """Leaves a trace when its pickle is opened."""

    def __reduce__(self) -> Any:
        return _note, ()


@task
def double(number: int) -> int:
    return 2 * number


@task
def negate(number: int) -> int:
    return -number


@task
def fails(number: int) -> None:
    raise ValueError(f"not {number}")


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The queue, beside the store of the engine at hand."""
    monkeypatch.setenv("MILLRACE_STORE_KEY", KEY)
    _opened.clear()
    with Engine(store=f"sqlite:///{tmp_path / 'runs.db'}"):
        yield tmp_path / "runs.db-queue"


def work_off(*futures: DistributedFuture[Any]) -> None:
    """Have a worker run what was put off."""
    chronicle = Engine.current().chronicle
    assert chronicle is not None
    worker = TaskWorker(double, negate, fails, store=chronicle.writer.store)
    thread = Thread(target=worker.run)
    thread.start()
    for future in futures:
        future.wait(PATIENCE_SECONDS)
    worker.stop()
    thread.join(PATIENCE_SECONDS)


def change(path: Path, statement: str, *values: Any) -> None:
    """Do what somebody may do who can write to the file."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(statement, values).rowcount > 0
        connection.commit()


def column(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return [value for (value,) in connection.execute(statement)]


def test_calls_and_what_they_come_to_are_sealed_and_read_with_the_key(path: Path) -> None:
    good, bad = double.delay(21), fails.delay(1)
    assert column(path, "SELECT tag FROM calls") == ["sealed:pickle"] * 2
    work_off(good, bad)

    assert good.result() == 42
    with pytest.raises(ValueError, match="not 1"):
        bad.result()
    assert column(path, "SELECT tag FROM results") == ["sealed:pickle"] * 2


def test_arguments_that_somebody_else_has_written_are_not_opened(path: Path) -> None:
    future = double.delay(1)
    change(path, "UPDATE calls SET tag = 'pickle', blob = ?", pickle.dumps(([Evil()], {})))
    work_off(future)

    assert future.state.type is StateType.FAILED
    assert "it is not sealed" in str(future.state.message)
    assert _opened == []


def test_arguments_that_were_changed_are_refused(path: Path) -> None:
    future = double.delay(1)
    (blob,) = column(path, "SELECT blob FROM calls")
    change(path, "UPDATE calls SET blob = ?", blob[:-1] + bytes([blob[-1] ^ 1]))
    work_off(future)

    assert "it was changed, or moved" in str(future.state.message)


def test_arguments_are_those_of_their_run_and_their_task_alone(path: Path) -> None:
    one, other, third = double.delay(1), double.delay(2), negate.delay(3)
    first, second, _ = column(path, "SELECT blob FROM calls ORDER BY job")
    change(path, "UPDATE calls SET blob = ? WHERE blob = ?", second, first)
    change(path, "UPDATE jobs SET key = ? WHERE key = ?", double.task_key, negate.task_key)
    work_off(one, other, third)

    assert other.result() == 4
    for future in (one, third):
        assert "it was changed, or moved" in str(future.state.message)


def test_what_a_run_came_to_is_not_opened_where_somebody_else_has_written_it(path: Path) -> None:
    future = double.delay(1)
    work_off(future)
    change(path, "UPDATE results SET tag = 'pickle', blob = ?", pickle.dumps(Evil()))

    with pytest.raises(SerializationError, match="it is not sealed"):
        DistributedFuture[int](future.task_run_id).result()
    assert _opened == []
