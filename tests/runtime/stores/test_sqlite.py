"""What is special about the store in a file: who may open it, where it may lie, which versions are used."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, Engine, StoreError, StoreInUse, StoreRefused, flow
from millrace.runtime.stores.opening import store_of
from millrace.runtime.stores.port import Owner
from millrace.runtime.stores.rows import RunFilter
from millrace.runtime.stores.sqlite import SqliteStore, safety
from millrace.runtime.stores.sqlite.migrating import steps
from tests.runtime.stores.killing import engine_of
from tests.runtime.stores.places import FLOW, Writer, in_sqlite, running_flow

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    store.open(Owner("process 1 on mill", 1))
    return store


# Who has it.


def test_two_engines_cannot_write_to_one_file(path: Path) -> None:
    with engine_of(SqliteStore(path)), pytest.raises(StoreInUse, match=rf"process {os.getpid()} on .* has it open"):
        Engine(store=SqliteStore(path))
    Engine(store=SqliteStore(path)).close()


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"grace_seconds": "5"}, {"limits": 3}, {"limits": {"http": "many"}}], ids=str
)
def test_an_engine_that_was_refused_for_something_else_does_not_have_it(path: Path, wrong: dict[str, Any]) -> None:
    """Found by hand: the file stayed locked until the process ended."""
    with pytest.raises(ConfigurationError):
        Engine(store=SqliteStore(path), **wrong)

    Engine(store=SqliteStore(path)).close()


def test_another_process_is_told_who_has_it_and_may_read(path: Path) -> None:
    program = f"""
from millrace import *
try:
    Engine(store="sqlite:///{path}")
except StoreInUse as error:
    print(error)
print([run.flow_name for run in read_flow_runs(store=SqliteStore({str(path)!r}, read_only=True))])
"""

    @flow
    def body() -> None: ...

    with engine_of(SqliteStore(path)):
        body()
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )

    first, second = done.stdout.splitlines()
    assert f"process {os.getpid()} on " in first
    assert "has it open. End that process first, or open the store with ?mode=ro, which only reads." in first
    assert second == "['body']"


def test_the_lock_of_a_process_that_was_killed_is_free(path: Path) -> None:
    program = f"""
import os, signal
from millrace import Engine
engine = Engine(store="sqlite:///{path}")
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == -9

    opened(path).close()


def test_a_store_that_is_read_only_cannot_be_written_to(path: Path) -> None:
    opened(path).close()

    with pytest.raises(StoreRefused, match="it was opened to read only"):
        Engine(store=f"sqlite:///{path}?mode=ro")


def test_a_reader_cannot_write(path: Path) -> None:
    store = opened(path)
    store.read_flow_runs(RunFilter())
    assert store._reader is not None

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._reader.execute("DELETE FROM flow_runs")

    store.close()


def test_a_file_that_is_not_there_cannot_be_read(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such file"):
        SqliteStore(path).read_flow_runs(RunFilter())

    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_writes_nothing_and_leaves_the_lock_to_its_parent(path: Path) -> None:
    program = f"""
import os
from millrace import Engine, StoreError, StoreInUse, flow
from millrace.runtime.entering import ENTERED

@flow
def body():
    return 1

engine = Engine(store="sqlite:///{path}")
ENTERED.set(engine)
print(body())
child = os.fork()
if not child:
    try:
        body()
    except StoreError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(body())
try:
    Engine(store="sqlite:///{path}")
except StoreInUse:
    print("in use")
engine.close()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-u", "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=30
    )

    lines = done.stdout.splitlines()
    assert lines[0] == "1"
    assert "this process is a fork of the one that has it open" in lines[1]
    assert lines[2:] == ["1", "in use"]


# Where it lies.


def test_its_files_are_their_owner_s_alone(path: Path) -> None:
    mask = os.umask(0)
    try:
        writer = Writer.of(in_sqlite(path.parent))
        writer.write(*running_flow())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        writer.store.close()
    finally:
        os.umask(mask)

    assert set(modes) == {"runs.db", "runs.db-wal", "runs.db-shm", "runs.db.lock"}
    assert set(modes.values()) == {0o600}


def test_when_it_is_closed_all_is_in_one_file(path: Path) -> None:
    writer = Writer.of(in_sqlite(path.parent))
    writer.write(*running_flow())
    assert writer.store.read_flow_run(FLOW) is not None
    writer.store.close()

    assert {file.name for file in path.parent.iterdir()} == {"runs.db", "runs.db.lock"}


def test_a_folder_that_others_may_write_to_is_refused(path: Path) -> None:
    path.parent.chmod(0o777)

    with pytest.raises(StoreRefused, match="others than its owner may write to the folder"):
        opened(path)

    path.parent.chmod(0o1777)  # where nobody can put another file in its place
    opened(path).close()


def test_a_file_that_others_may_write_to_is_refused(path: Path) -> None:
    opened(path).close()
    path.chmod(0o666)

    with pytest.raises(StoreRefused, match="others than its owner may write to it"):
        opened(path)
    with pytest.raises(StoreRefused, match="others than its owner may write to it"):
        SqliteStore(path).read_flow_runs(RunFilter())


def test_a_link_in_its_place_is_refused(path: Path) -> None:
    other = path.with_name("other.db")
    opened(other).close()
    path.symlink_to(other)

    with pytest.raises(StoreRefused, match="it cannot be opened"):
        opened(path)


def test_a_folder_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(StoreRefused, match="its folder cannot be used"):
        opened(path.parent / "nowhere" / "runs.db")


def test_something_else_than_a_file_is_refused(path: Path) -> None:
    path.mkdir()

    with pytest.raises(StoreRefused):
        opened(path)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"])
def test_a_file_system_of_other_machines_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(safety, "file_system_of", lambda _folder: kind)

    with pytest.raises(StoreRefused, match=f"is on a file system of kind '{kind}'"):
        opened(path)


def test_the_kind_of_a_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/vda / ext4 rw 0 0\nserver:/a /srv/with\\040space nfs4 rw 0 0\ntmpfs /srv tmpfs rw 0 0\n")

    assert safety.file_system_of(Path("/srv/with space/runs"), mounts) == "nfs4"
    assert safety.file_system_of(Path("/srv/x"), mounts) == "tmpfs"
    assert safety.file_system_of(Path("/home"), mounts) == "ext4"
    assert not safety.file_system_of(Path("/home"), tmp_path / "none")


# Which versions.


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
        ((3, 54, 1), False),
    ],
)
def test_versions_with_the_reset_race_are_known_and_used_by_a_single_writer(
    version: tuple[int, int, int], *, affected: bool
) -> None:
    assert safety.has_reset_race(version) is affected
    safety.check_version(version, "runs.db")


@pytest.mark.parametrize("version", [(3, 36, 0), (3, 31, 1), (2, 8, 17)])
def test_versions_without_what_it_needs_are_refused(version: tuple[int, int, int]) -> None:
    with pytest.raises(StoreRefused, match=r"the store needs 3\.37\.0 or newer"):
        safety.check_version(version, "runs.db")


def test_on_a_version_with_the_race_it_says_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "millrace.store"):
        opened(path).close()

    said = "Nothing else may write to" in caplog.text
    assert said is safety.has_reset_race(sqlite3.sqlite_version_info[:3])


def test_a_commit_waits_for_the_disk_unless_it_is_told_otherwise(path: Path) -> None:
    for synchronous, number in (("FULL", 2), ("NORMAL", 1)):
        store = SqliteStore(path, synchronous=synchronous)
        store.open(Owner("process 1 on mill", 1))
        assert store._writer is not None
        assert store._writer.execute("PRAGMA synchronous").fetchone() == (number,)
        assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        store.close()


# The schema.


def test_a_store_of_a_later_version_is_refused(path: Path) -> None:
    opened(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(steps()) + 1}")

    with pytest.raises(StoreRefused, match="it was written by a later version of millrace"):
        opened(path)
    with pytest.raises(StoreRefused, match="it was written by a later version of millrace"):
        SqliteStore(path).read_flow_runs(RunFilter())


def test_a_database_of_something_else_is_refused_and_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    path.chmod(0o600)

    with pytest.raises(StoreRefused, match="it is a database of something else"):
        opened(path)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("Dear diary, ...\n" * 100)
    path.chmod(0o600)

    with pytest.raises(StoreError, match="file is not a database"):
        opened(path)


def test_a_step_that_fails_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [*steps(), "CREATE TABLE more (a) STRICT;\nCREATE TABLE wrong ("]
    monkeypatch.setattr("millrace.runtime.stores.sqlite.migrating.steps", lambda _: [*broken[:-1], broken[-1] + ");"])

    with pytest.raises(StoreError):
        opened(path)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)


# URLs.


@pytest.mark.parametrize(
    ("url", "path", "synchronous", "read_only"),
    [
        ("sqlite:///runs.db", Path("runs.db").absolute(), "FULL", False),
        ("sqlite:////srv/runs.db", Path("/srv/runs.db"), "FULL", False),
        ("sqlite:////srv/my%20runs.db?synchronous=normal", Path("/srv/my runs.db"), "NORMAL", False),
        ("sqlite:////srv/runs.db?mode=ro", Path("/srv/runs.db"), "FULL", True),
    ],
)
def test_a_url_names_a_file(url: str, path: Path, synchronous: str, *, read_only: bool) -> None:
    store = store_of(url)

    assert isinstance(store, SqliteStore)
    assert (store.path, store.synchronous, store.read_only) == (path, synchronous, read_only)


@pytest.mark.parametrize(
    "url",
    [
        "", "runs.db", "sqlite:", "sqlite:///", "sqlite://runs.db", "mysql://server/runs", "sqlite:///a?mode=rw",
        "sqlite:///a?synchronous=OFF", "sqlite:///a?timeout=3", "memory://shared",
    ],
)  # fmt: skip
def test_what_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="'store' takes"):
        Engine(store=url)


@pytest.mark.parametrize("option", ["OFF", "EXTRA", "full", None])
def test_a_commit_that_waits_for_nothing_is_not_offered(path: Path, option: str) -> None:
    with pytest.raises(ConfigurationError, match="'synchronous' takes 'FULL' or 'NORMAL'"):
        SqliteStore(path, synchronous=option)


def test_names_in_a_store_are_values_and_never_statements(path: Path) -> None:
    statements: set[str] = set()

    def connect(*arguments: object, **options: object) -> sqlite3.Connection:
        made = sqlite3.connect(*arguments, **options)  # type: ignore[call-overload]
        made.set_trace_callback(None)
        return made  # type: ignore[no-any-return]

    store = SqliteStore(path, connect=connect)
    with engine_of(store):
        for name in ("'; DROP TABLE runs; --", "\N{SNOWMAN}", 'a"b', "%s", "\0"):

            @flow(name=name)
            def body() -> str:
                return "kept"

            body()
            assert [run.flow for run in store.read_flow_runs(RunFilter(of=[name]))] == [name]
            statements.add(name)
        assert len(store.read_flow_runs(RunFilter())) == len(statements)
