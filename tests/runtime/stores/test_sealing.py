"""What stands in a store is sealed where there is a key: nobody else can have written it, changed it, or moved it."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from millrace import (
    ConfigurationError,
    Engine,
    RunNotResumable,
    flow,
    read_flow_run,
    read_flow_runs,
    resume_flow_run,
    resume_run,
    suspend_flow_run,
    task,
)
from millrace.actors.errors import SerializationError
from millrace.actors.stored_result import MISSING
from millrace.runtime.stores.records import Entry, Value
from millrace.runtime.stores.sealing import ENTRY, check_entry, opened, parameter_of, result_of, seal_of, sealed
from tests.runtime.stores.killing import Kill, Ran, engine_of, killed, resumed
from tests.runtime.stores.places import Place
from tests.runtime.worlds import SYNC

KEY = "sixteen characters, or more"
OTHER = "another key of the same length"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORE_KEY", KEY)


def test_a_sealed_value_is_opened_where_it_stands() -> None:
    value = sealed(Value("json", b"[1, 2]"), result_of(7))
    assert value.tag == "sealed:json"
    assert opened(value, result_of(7)) == Value("json", b"[1, 2]")


def test_a_value_with_any_byte_changed_is_refused() -> None:
    value = sealed(Value("json", b"[1, 2]"), result_of(7))
    assert value.blob is not None
    blob = value.blob
    changed = [blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :] for at in range(len(blob))]
    cut = [blob[:length] for length in range(len(blob))]
    for each in (*changed, *cut, blob + b"\0"):
        with pytest.raises(SerializationError, match="changed, or moved"):
            opened(Value(value.tag, each), result_of(7))
    with pytest.raises(SerializationError, match="changed, or moved"):
        opened(Value("sealed:pickle", blob), result_of(7))


def test_a_value_that_was_moved_is_refused() -> None:
    value = sealed(Value("json", b"1"), result_of(7))
    for where in (result_of(8), parameter_of(7, "result"), f"{result_of(7)} "):
        with pytest.raises(SerializationError, match="changed, or moved"):
            opened(value, where)


def test_another_key_seals_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    value = sealed(Value("json", b"1"), result_of(7))
    monkeypatch.setenv("MILLRACE_STORE_KEY", OTHER)
    with pytest.raises(SerializationError, match="changed, or moved"):
        opened(value, result_of(7))


def test_what_has_no_seal_is_refused_where_there_is_a_key() -> None:
    with pytest.raises(SerializationError, match="it is not sealed, and MILLRACE_STORE_KEY is set"):
        opened(Value("json", b"1"), result_of(7))


def test_without_a_key_nothing_is_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_STORE_KEY")
    value = Value("json", b"1")
    assert sealed(value, result_of(7)) is value
    assert opened(value, result_of(7)) is value
    assert seal_of(7, "f", Entry("", "", "f")) == {}
    check_entry(7, "f", Entry("", "", "f"), None)


def test_a_place_that_a_flow_was_not_in_is_refused() -> None:
    entry = Entry("/srv/shop.py", "shop", "nightly")
    seal = seal_of(7, "nightly", entry)[ENTRY]
    check_entry(7, "nightly", entry, seal)
    for run, name, where, found in (
        (8, "nightly", entry, seal),
        (7, "weekly", entry, seal),
        (7, "nightly", Entry("/elsewhere/shop.py", "shop", "nightly"), seal),
        (7, "nightly", Entry("/srv/shop.py", "os", "nightly"), seal),
        (7, "nightly", entry, None),
    ):
        with pytest.raises(SerializationError):
            check_entry(run, name, where, found)


def test_a_key_that_is_too_short_is_an_error_that_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORE_KEY", "short-secret")
    with pytest.raises(ConfigurationError, match="at least 16 characters") as error, Engine(store="memory://"):
        pass
    assert "short-secret" not in str(error.value)


def test_a_sealed_run_is_resumed_and_read(kill: Kill, ran: Ran) -> None:
    @task
    def work(number: int) -> int:
        ran(number)
        return number

    @task
    def numbers() -> Generator[int]:
        ran("numbers")
        yield from (1, 2)

    @flow
    def part(number: int) -> int:
        return work(number)

    @flow
    def body(first: int) -> Any:
        found = work(first), list(numbers()), part(5)
        kill.here()
        return found

    left = killed(SYNC, kill, body, 3)
    ran.forget()
    with engine_of(left) as engine:
        run = read_flow_runs(flows=["body"])[0]
        assert read_flow_run(run.id).parameters == {"first": 3}
        assert resumed(SYNC, engine, body) == (3, [1, 2], 5)
        assert read_flow_run(run.id).state.data == (3, [1, 2], 5)
    assert ran.calls == []


def test_what_a_run_was_resumed_with_is_sealed_too(place: Place, ran: Ran) -> None:
    fails = [True]

    @flow
    def body() -> str:
        given = suspend_flow_run(wait_for_input=str)
        if fails:
            raise OSError
        return str(given)

    with engine_of(place.store()) as engine:
        body(return_state=True)
        run = read_flow_runs()[0]
        with pytest.raises(OSError):  # noqa: PT011
            resume_flow_run(run.id, "Ada").result()
        fails.clear()
        assert resumed(SYNC, engine, body) == "Ada"


class Trap:
    """Executed where its pickle is opened."""

    def __reduce__(self) -> Any:
        return opened_trap, ()


sprung: list[bool] = []


def opened_trap() -> int:
    sprung.append(True)
    return 1


def file_of(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "runs.db"


@pytest.mark.parametrize("has_key", [True, False])
def test_a_result_that_somebody_else_has_written_is_not_opened(
    tmp_path: Path, ran: Ran, monkeypatch: pytest.MonkeyPatch, *, has_key: bool
) -> None:
    if not has_key:
        monkeypatch.delenv("MILLRACE_STORE_KEY")
    fails = [True]

    @task
    def work() -> int:
        ran("work")
        return 1

    @flow
    def body() -> int:
        found = work()
        if fails:
            raise OSError
        return found

    path = file_of(tmp_path)
    with engine_of(f"sqlite:///{path}"):
        body(return_state=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE task_runs SET tag = 'pickle', blob = ?", (pickle.dumps(Trap()),))
    fails.clear()
    sprung.clear()
    ran.forget()

    with engine_of(f"sqlite:///{path}"):
        assert resume_run(read_flow_runs()[0].id, body) == 1
    assert (bool(sprung), ran.calls) == ((False, ["work"]) if has_key else (True, []))  # the trap works


def test_a_parameter_that_somebody_else_has_written_is_refused(tmp_path: Path) -> None:
    @flow
    def body(number: int) -> None:
        raise OSError(number)

    path = file_of(tmp_path)
    with engine_of(f"sqlite:///{path}"):
        body(1, return_state=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        changed = "UPDATE parameters SET tag = 'pickle', blob = ? WHERE name = 'number'"
        connection.execute(changed, (pickle.dumps(Trap()),))
    sprung.clear()

    with engine_of(f"sqlite:///{path}"):
        run = read_flow_runs()[0]
        assert read_flow_run(run.id).parameters == {"number": MISSING}
        with pytest.raises(RunNotResumable, match="its parameter 'number' cannot be had"):
            resume_run(run.id, body)
    assert not sprung


def test_a_flow_is_not_imported_from_where_somebody_else_says(tmp_path: Path) -> None:
    @flow
    def body() -> None:
        raise OSError

    path = file_of(tmp_path)
    trap = tmp_path / "trap.py"
    trap.write_text("raise SystemExit('imported')")
    with engine_of(f"sqlite:///{path}"):
        body(return_state=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE flow_runs SET file = ?, module = 'trap'", (str(trap),))

    with engine_of(f"sqlite:///{path}"):
        run = read_flow_runs()[0]
        with pytest.raises(RunNotResumable, match=r"is not looked for .*changed on record"):
            resume_run(run.id)
        with pytest.raises(OSError):  # noqa: PT011
            resume_run(run.id, body)
