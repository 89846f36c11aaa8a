"""What is particular to the queue in a database: workers that die, a server that goes away, and many at once."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from millrace import DistributedFuture, PostgresStore
from millrace.actors.errors import StoreError, StoreFenced
from millrace.actors.states import StateType
from millrace.runtime.deferred.opening import queue_at
from millrace.runtime.deferred.port import Step, Told
from millrace.runtime.deferred.postgres import PostgresQueue
from millrace.runtime.stores.postgres.address import Address
from millrace.runtime.stores.rows import RunFilter
from tests.postgres import HASTY, Server
from tests.runtime.deferred.places import Hand, Rung, completed, job, postgres_queue, running


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    """Where the store is."""
    with postgres.store("runs") as made:
        yield made


@pytest.fixture
def process(url: str) -> Iterator[Callable[[], PostgresQueue]]:
    """Makes the queue as one more process sees it."""
    made: list[PostgresQueue] = []

    def make() -> PostgresQueue:
        made.append(postgres_queue(url))
        return made[-1]

    yield make
    for each in made:
        if each._line is not None:
            each._line.sessions.clear()
        each._watchers.clear()
        each.close()


Process = Callable[[], PostgresQueue]


# Workers that are over.


def test_what_a_dead_worker_had_is_taken_by_another_one_at_once(process: Process) -> None:
    process().put(job())
    one, other = Hand(process()), Hand(process())
    assert one.take() == [1]
    assert other.take() == []
    other.rung.clear()

    one.die()

    assert other.rung.wait()
    assert other.take() == [1]
    row = other.queue.read(1)
    assert row is not None
    assert row.lost == 1
    states = other.queue.read_states(1)
    assert [state.name for state in states] == ["Scheduled", "Pending", "Scheduled", "Pending"]
    assert states[2].message == "Its worker, process 7 on mill, is over."
    other.leave()


def test_of_many_workers_somebody_notices_each_that_dies(process: Process) -> None:
    """They watch each other in a circle, which closes again around whoever is gone."""
    hands = [Hand(process()) for _ in range(4)]
    for hand in hands:
        hand.exchange()  # everybody knows of everybody
    putting = process()
    for at, dead in enumerate(hands[:-1]):
        putting.put(job(at + 1))
        assert dead.take() == [*range(1, at + 2)]
        for other in hands[at + 1 :]:
            other.rung.clear()

        dead.die()

        while not any(other.queue.read(at + 1).lost for other in hands[-1:]):  # type: ignore[union-attr]
            for other in hands[at + 1 :]:
                if other.rung._rung.acquire(timeout=0.05):
                    other.exchange()
    row = putting.read(1)
    assert row is not None
    assert row.lost == 3
    hands[-1].leave()


def test_what_a_dead_worker_had_is_taken_by_the_next_one_that_comes(process: Process) -> None:
    process().put(job())
    one = Hand(process())
    one.take()
    one.die()

    other = Hand(process())

    assert other.take_when_there() == [1]
    other.leave()


def test_a_run_that_has_outlived_ten_workers_is_given_up(process: Process) -> None:
    there = process()
    there.put(job(1))
    there.put(job(2), awaited=[1])
    told = Rung()
    there.watch(1, told)
    for _ in range(10):
        hand = Hand(process())
        assert hand.take_when_there(1) == [1]
        hand.die()

    last = Hand(process())

    assert last.take_when_there(1) == [2]
    assert told.wait()
    row = there.read(1)
    assert row is not None
    assert (row.state.type, row.lost) == (StateType.CRASHED, 10)
    last.leave()


def test_a_run_that_was_to_be_cancelled_is_when_its_worker_dies(process: Process) -> None:
    there = process()
    there.put(job())
    one = Hand(process())
    one.take()
    there.cancel(1, "Nobody wants it.", 150)
    one.die()

    other = Hand(process())

    assert other.take() == []
    while len(states := [state.name for state in there.read_states(1)]) == 2:  # a server notices a death a moment later
        assert other.rung.wait()
        assert other.take() == []
    assert states == ["Scheduled", "Pending", "Cancelled"]
    other.leave()


def test_who_was_taken_for_dead_is_told_so_and_changes_nothing(process: Process) -> None:
    process().put(job())
    one = Hand(process())
    one.take()
    one_queue: Any = one.queue
    line, session = one_queue._line, dict(one_queue._line.sessions)
    one.die()
    other = Hand(process())
    assert other.take_when_there() == [1]

    line.sessions.update(session)  # it has been asleep, and goes on
    with pytest.raises(StoreFenced):
        one.exchange(completed())

    assert [state.name for state in other.queue.read_states(1)][-1] == "Pending"
    other.leave()


def test_the_living_lose_nothing(process: Process) -> None:
    process().put(job())
    one, other = Hand(process()), Hand(process())
    one.take()

    assert other.take() == []

    one.exchange(completed())
    row = other.queue.read(1)
    assert row is not None
    assert (row.state.type, row.lost) == (StateType.COMPLETED, 0)
    one.leave()
    other.leave()


# Many at once.


def test_runs_are_given_out_once_however_many_take_them_at_once(process: Process) -> None:
    putting = process()
    for number in range(1, 61):
        putting.put(job(number))
    hands = [Hand(process()) for _ in range(4)]
    together = Barrier(4)

    def takes(hand: Hand) -> list[int]:
        together.wait()
        return [number for _ in range(5) for number in hand.take(3)]

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(takes, hands))

    assert sorted(number for each in taken for number in each) == list(range(1, 61))
    for hand in hands:
        hand.leave()


def test_a_run_that_is_put_off_while_what_it_waits_for_ends_is_not_forgotten(process: Process) -> None:
    """Who puts off and who ends do so at the same moment; one of the two sees the other."""
    putting, hand = process(), Hand(process())
    together = Barrier(2)

    def puts(number: int) -> None:
        together.wait()
        putting.put(job(1_000 + number), awaited=[number])

    with ThreadPoolExecutor(1) as pool:
        for number in range(1, 31):
            putting.put(job(number))
            assert hand.take(1) == [number]
            done = pool.submit(puts, number)
            together.wait()
            hand.exchange(completed(number))
            done.result()
            assert hand.take() == [1_000 + number]
            hand.exchange(completed(1_000 + number))
    hand.leave()


def test_workers_that_free_the_same_runs_at_once_do_not_lock_each_other_out(process: Process) -> None:
    putting = process()
    one, other = Hand(process(), keys=["one-1a"]), Hand(process(), keys=["other-1a"])
    for number in range(1, 21):
        putting.put(job(number, "one-1a" if number % 2 else "other-1a"))
    for number in range(1, 11):
        around = [number, *(each for each in range(1, 21) if each != number)]
        putting.put(job(100 + number), awaited=around if number % 2 else around[::-1])
    mine, others = one.take(), other.take()
    together = Barrier(2)

    def ends(hand: Hand, numbers: list[int]) -> None:
        together.wait()
        hand.exchange(*map(completed, numbers))

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(ends, one, mine), pool.submit(ends, other, others[::-1])]:
            each.result()

    last = Hand(process())
    assert last.take() == [100 + number for number in range(1, 11)]
    for hand in (one, other, last):
        hand.leave()


# Answers that are lost.


class Cut:
    """Says after the commit of which statement a connection breaks off, once."""

    def __init__(self) -> None:
        self.after = ""
        self.cuts = 0


@pytest.fixture
def cut() -> Cut:
    return Cut()


@pytest.fixture
def shaky(url: str, cut: Cut) -> Iterator[PostgresQueue]:
    """The queue over connections that break off."""
    store = PostgresStore(url, connect=Shaky.of(cut))
    queue: Any = store.queue
    yield queue
    queue.close()


class Shaky:
    """Connections with `__dict__`, which those of the driver have not."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @classmethod
    def of(cls, cut: Cut) -> Callable[..., Any]:
        async def connect(*args: Any, **options: Any) -> Any:
            connection = cls(await asyncpg.connect(*args, **options))
            wrap(connection, cut)
            return connection

        return connect


def wrap(connection: Any, cut: Cut) -> None:
    """Have a connection break off after the commit that `cut` names."""
    execute, transaction = connection.execute, connection.transaction
    seen: list[str] = []

    async def watched(query: str, *values: Any, **more: Any) -> Any:
        seen.append(query)
        return await execute(query, *values, **more)

    class Cutting:
        def __init__(self) -> None:
            self._inner = transaction()

        async def __aenter__(self) -> None:
            seen.clear()
            await self._inner.__aenter__()

        async def __aexit__(self, *error: object) -> None:
            await self._inner.__aexit__(*error)
            if cut.after and any(query.startswith(cut.after) for query in seen):
                cut.after = ""
                cut.cuts += 1
                connection.terminate()
                raise ConnectionResetError("cut off after the commit")

    connection.execute, connection.transaction = watched, Cutting


def test_a_run_is_put_off_once_although_the_answer_was_lost(shaky: PostgresQueue, cut: Cut) -> None:
    cut.after = "INSERT INTO calls"

    shaky.put(job())

    assert cut.cuts == 1
    assert [state.name for state in shaky.read_states(1)] == ["Scheduled"]
    with pytest.raises(StoreError, match="there is a run with the id"):
        shaky.put(job())


def test_an_exchange_is_done_once_and_gives_what_it_gave_although_the_answer_was_lost(
    shaky: PostgresQueue, cut: Cut
) -> None:
    shaky.put(job(1))
    shaky.put(job(2))
    hand = Hand(shaky)
    assert hand.take(1) == [1]
    cut.after = "UPDATE workers SET turn"

    taken = hand.exchange(running(1), most=1)

    assert cut.cuts == 1
    assert [each.id for each in taken.jobs] == [2]
    assert [state.name for state in shaky.read_states(1)] == ["Scheduled", "Pending", "Running"]
    assert [state.name for state in shaky.read_states(2)] == ["Scheduled", "Pending"]
    hand.leave()


# A server that goes away.


def test_workers_and_who_waits_go_on_when_the_server_was_started_again() -> None:
    server = Server(HASTY)
    try:
        with server.store("runs") as url:
            here, there = postgres_queue(url), postgres_queue(url)
            here.put(job(1))
            here.put(job(2))
            hand, told = Hand(there), Rung()
            assert hand.take(1) == [1]
            here.watch(1, told)
            hand.rung.clear()

            server.stop()
            server.start()

            assert hand.rung.wait()  # what was told meanwhile was not heard, so it looks
            hand.exchange(completed(1))
            assert told.wait()
            hand.rung.clear()
            here.put(job(3))
            assert hand.rung.wait()
            assert hand.take() == [2, 3]
            other = Hand(here)
            assert other.take() == []  # the first is a worker still
            other.leave()
            hand.leave()
            here.close()
            there.close()
    finally:
        server.remove()


# What is shown, and what goes along.


def test_no_password_is_shown_or_sent(url: str) -> None:
    store = PostgresStore(url.replace("millrace@", "millrace:s3cret@"))
    queue: Any = store.queue
    queue.put(job())

    assert "s3cret" not in f"{queue.name} {queue.url} {store!r}"
    future: DistributedFuture[int] = DistributedFuture(f"{1:032x}", store=store)
    assert b"s3cret" not in pickle.dumps(future)
    store.close()


def test_where_the_settings_name_the_same_store_a_future_that_was_sent_finds_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(url)
    queue: Any = store.queue
    queue.put(job())
    sent = pickle.dumps(DistributedFuture[int](f"{1:032x}", store=store))
    monkeypatch.setattr("millrace.runtime.deferred.opening._known", {})  # as in another process
    monkeypatch.setenv("MILLRACE_STORE", url)

    future: DistributedFuture[int] = pickle.loads(sent)

    assert future.state.type is StateType.SCHEDULED
    queue_at(queue.url).close()
    store.close()


def test_texts_that_the_server_does_not_take_are_put_in_another_way(process: Process) -> None:
    queue = process()
    queue.put(job(tags=frozenset({"a\0b"})))
    hand = Hand(queue)
    hand.take()

    hand.exchange(
        Told(1, [Step(StateType.FAILED, "Failed", "half of a pair: \ud800, and \0", 230, "told")], ended=True)
    )

    row = queue.read(1)
    assert row is not None
    assert row.state.message == "half of a pair: ?, and \N{SYMBOL FOR NULL}"
    hand.leave()


def test_a_name_that_is_too_long_for_the_server_is_cut_and_is_another_one_still() -> None:
    address = Address(f"postgresql://mill/runs?schema={'s' * 63}")

    assert address.beside("_queue").schema == "s" * 57 + "_queue"
    assert address.schema == "s" * 63


def test_looking_whether_there_is_a_queue_makes_none(postgres: Server) -> None:
    queue = postgres_queue(postgres.url("untouched_by_workers"))

    assert not queue.is_there
    assert queue.prune(10**18) == 0
    assert not queue.is_there
    assert queue.read_all(RunFilter()) == []
    assert queue.is_there
    queue.close()


def test_nobody_asks_again_and_again(url: str, process: Process) -> None:
    """While nothing happens, no statement is sent."""
    queue = process()
    hand, told = Hand(queue), Rung()
    queue.put(job())
    queue.watch(1, told)
    hand.exchange()

    async def count() -> int:
        connection = await asyncpg.connect(url.partition("?")[0] + "?sslmode=disable")
        try:
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            latest = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace' AND state = 'active'"
            return int(await connection.fetchval(latest))
        finally:
            await connection.close()

    assert asyncio.run(count()) == 0  # with one worker there is nobody to watch
    hand.leave()
