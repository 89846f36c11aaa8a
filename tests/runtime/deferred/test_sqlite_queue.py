"""What is particular to the queue in a file: processes that die, files and sockets, and a disk that fails."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from millrace.actors.errors import StoreError, StoreRefused
from millrace.actors.states import StateType
from millrace.runtime.deferred.sqlite import SqliteQueue, bells
from millrace.runtime.stores.sqlite import places
from tests.runtime.deferred.places import Hand, Rung, completed, job
from tests.runtime.stores.failing import Faults


@pytest.fixture
def here(tmp_path: Path) -> Iterator[SqliteQueue]:
    """The queue."""
    made = SqliteQueue(tmp_path / "runs.db")
    yield made
    made.close()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[SqliteQueue]:
    """The same as another process sees it."""
    made = SqliteQueue(tmp_path / "runs.db")
    yield made
    made.close()


# Workers that are over.


def test_what_a_dead_worker_had_is_taken_by_another_one_at_once(here: SqliteQueue, there: SqliteQueue) -> None:
    here.put(job())
    one, other = Hand(here), Hand(there)
    assert one.take() == [1]
    assert other.take() == []
    other.rung.clear()

    one.die()

    assert other.rung.wait()
    assert other.take() == [1]
    row = there.read(1)
    assert row is not None
    assert row.lost == 1
    states = there.read_states(1)
    assert [state.name for state in states] == ["Scheduled", "Pending", "Scheduled", "Pending"]
    assert states[2].message == "Its worker, process 7 on mill, is over."
    other.leave()


def test_what_a_dead_worker_had_is_taken_by_the_next_one_that_comes(here: SqliteQueue, there: SqliteQueue) -> None:
    here.put(job())
    one = Hand(here)
    one.take()
    one.die()

    other = Hand(there)

    assert other.take() == [1]
    other.leave()


def test_a_run_that_has_outlived_ten_workers_is_given_up(here: SqliteQueue, there: SqliteQueue) -> None:
    here.put(job(1))
    here.put(job(2), awaited=[1])
    told = Rung()
    there.watch(1, told)
    for _ in range(10):
        hand = Hand(here)
        assert hand.take(1) == [1]
        hand.die()

    last = Hand(here)

    assert last.take(1) == [2]
    assert told.wait()
    row = there.read(1)
    assert row is not None
    assert (row.state.type, row.lost) == (StateType.CRASHED, 10)
    assert row.state.message == (
        "It is given up: 10 workers have ended while they had it; the last was process 7 on mill."
    )
    last.leave()


def test_a_run_that_was_to_be_cancelled_is_when_its_worker_dies(here: SqliteQueue, there: SqliteQueue) -> None:
    here.put(job())
    one = Hand(here)
    one.take()
    here.cancel(1, "Nobody wants it.", 150)
    one.die()

    other = Hand(there)

    assert other.take() == []
    assert [state.name for state in there.read_states(1)] == ["Scheduled", "Pending", "Cancelled"]
    other.leave()


def test_the_living_lose_nothing(here: SqliteQueue, there: SqliteQueue) -> None:
    here.put(job())
    one, other = Hand(here), Hand(there)
    one.take()

    assert other.take() == []

    one.exchange(completed())
    row = there.read(1)
    assert row is not None
    assert (row.state.type, row.lost) == (StateType.COMPLETED, 0)
    one.leave()
    other.leave()


# Files and sockets.


def test_all_files_are_for_their_owner_alone(here: SqliteQueue, tmp_path: Path) -> None:
    hand = Hand(here)
    here.put(job())

    assert stat.S_IMODE(bells.folder_for(here.path).stat().st_mode) == 0o700
    modes = {
        path.relative_to(tmp_path).as_posix().partition("worker-")[0]: stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
    }

    assert modes == {
        "runs.db-queue": 0o600,
        "runs.db-queue-wal": 0o600,
        "runs.db-queue-shm": 0o600,
        "runs.db-queue.lock": 0o600,
        "runs.db-queue.d": 0o700,
        "runs.db-queue.d/": 0o600,
    }
    hand.leave()


def test_nothing_is_left_of_who_has_gone(here: SqliteQueue, tmp_path: Path) -> None:
    hand = Hand(here)
    here.put(job())
    here.watch(1, Rung())
    here.cancel(1, "Nobody wants it.", 150)
    hand.leave()
    here.close()

    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "runs.db-queue",
        "runs.db-queue.d",
        "runs.db-queue.lock",
    ]


def test_a_bell_of_a_dead_process_is_taken_down(here: SqliteQueue) -> None:
    here.put(job(1))
    Hand(here).leave()
    folder = bells.folder_for(here.path)
    place = folder / "worker-of-the-dead.bell"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    assert place.exists()

    here.put(job(2))

    assert not place.exists()


def test_nonsense_is_no_more_than_a_ring(here: SqliteQueue) -> None:
    hand = Hand(here)
    (place,) = bells.folder_for(here.path).glob("*.bell")
    hand.rung.clear()

    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(str(place))
        visitor.sendall(b"x" * 100_000)

    assert hand.rung.wait()
    here.put(job())
    assert hand.take() == [1]
    hand.leave()


def test_bells_hang_elsewhere_where_the_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    here, there = SqliteQueue(folder / "runs.db"), SqliteQueue(folder / "runs.db")
    hand = Hand(there)
    hand.rung.clear()

    here.put(job())

    assert hand.rung.wait()
    assert hand.take() == [1]
    assert bells.folder_for(here.path).parent == places.TEMPORARY / f"millrace-{os.getuid()}"
    hand.leave()
    for each in (here, there):
        each.close()
    assert not bells.folder_for(here.path).exists()


def test_a_folder_that_others_may_use_is_refused(here: SqliteQueue, tmp_path: Path) -> None:
    (tmp_path / "runs.db-queue.d").mkdir(mode=0o755)

    with pytest.raises(StoreRefused, match="not a folder of this user's alone"):
        Hand(here)


def test_a_file_that_others_may_write_to_is_refused(here: SqliteQueue, tmp_path: Path) -> None:
    (tmp_path / "runs.db-queue").touch()
    (tmp_path / "runs.db-queue").chmod(0o666)

    with pytest.raises(StoreRefused, match="others than its owner may write to it"):
        here.put(job())


def test_a_file_of_something_else_is_refused(here: SqliteQueue, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "runs.db-queue") as other:
        other.execute("CREATE TABLE notes (text)")
    other.close()

    with pytest.raises(StoreRefused, match="it is a database of something else"):
        here.put(job())


# A disk that fails.


def test_what_fails_is_told_and_the_queue_goes_on(tmp_path: Path) -> None:
    faults = Faults()
    here = SqliteQueue(tmp_path / "runs.db", faults.connect)
    here.put(job(1))
    statements = faults.count
    here.put(job(2))
    statements = faults.count - statements
    accepted = {1, 2}

    for number in range(statements):
        faults.at = faults.count + number + 1
        with suppress(StoreError):
            here.put(job(10 + number))
            accepted.add(10 + number)  # not every statement fails the call: the rollback does not
        faults.at = 0

    hand = Hand(here)
    assert accepted <= set(hand.take())
    assert len(accepted) < 2 + statements
    hand.leave()
    here.close()


def test_runs_are_given_out_once_however_many_processes_take_them(here: SqliteQueue, there: SqliteQueue) -> None:
    for number in range(1, 31):
        here.put(job(number))
    hands = [Hand(here), Hand(there), Hand(here)]

    taken = [hand.take(4) for _ in range(4) for hand in hands]

    assert sorted(number for each in taken for number in each) == list(range(1, 31))
    for hand in hands:
        hand.leave()
