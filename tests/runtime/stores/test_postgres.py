"""What only a store in PostgreSQL has to do: several owners at once, a server that ends, connections that are lost."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
import pytest

from millrace import (
    ConfigurationError,
    Engine,
    MissingExtra,
    OwnerUnreachable,
    PostgresStore,
    StateType,
    StoreError,
    StoreRefused,
    cancel_flow_run,
    read_flow_run,
    read_task_runs,
)
from millrace.runtime.stores.control import Request
from millrace.runtime.stores.opening import store_of
from millrace.runtime.stores.port import OWNER_DIED, Owner
from millrace.runtime.stores.postgres import connecting, writing
from millrace.runtime.stores.records import Answered, Renamed, Undone, Value
from millrace.runtime.stores.rows import RunFilter
from tests.e2e.programs import environment
from tests.loose import flow, task
from tests.postgres import DURABLE, Server
from tests.runtime.stores.killing import engine_of
from tests.runtime.stores.places import FLOW, Writer, completed_task, entered, flow_made, in_postgres, running_flow

PATIENCE = 20.0
SEVEN = Value("json", b"7")
_schemas = count(1)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    with postgres.store() as made:
        yield made


@pytest.fixture
def untouched(postgres: Server) -> str:
    """The URL of a store whose schema nobody has made yet."""
    return postgres.url(f"own_{next(_schemas)}")


@pytest.fixture
def at_once(url: str) -> Iterator[Callable[..., Writer]]:
    """Makes owners of one store that all live."""
    made: list[PostgresStore] = []

    def make(name: str = "process 1 on mill", return_seconds: float = 0, connect: Any = None) -> Writer:
        store = PostgresStore(url, return_seconds=return_seconds, connect=connect)
        made.append(store)
        return Writer(store, store.open(Owner(name, 1_000)))

    yield make
    for each in made:
        each.close()


def kill(writer: Writer) -> None:
    """Let an owner die, as far as others can see."""
    store = writer.store
    assert isinstance(store, PostgresStore)
    assert store._lease is not None
    store._own.run(store._lease.give_back())


def run_of(writer: Writer, run: int) -> Any:
    found = writer.store.read_flow_run(run)
    assert found is not None
    return found


def on_server(url: str, query: str, *values: Any) -> list[Any]:
    """The rows of a query, made by somebody who is no store."""

    async def ask() -> list[Any]:
        bare, _, schema = url.partition("&schema=")
        connection = await asyncpg.connect(bare, server_settings={"search_path": schema})
        try:
            return [tuple(row) for row in await connection.fetch(query, *values)]
        finally:
            await connection.close()

    return asyncio.run(ask())


# Several owners.


def test_owners_write_at_once_and_leave_each_other_alone(at_once: Callable[..., Writer]) -> None:
    first, second = at_once("process 1 on mill"), at_once("process 2 on mill")
    first.write(*running_flow())
    second.write(*running_flow(FLOW * 2))
    third = at_once("process 3 on mill")

    assert (first.opened.crashed, second.opened.crashed, third.opened.crashed) == ([], [], [])
    first.write(*completed_task(data=SEVEN))
    second.write(entered(FLOW * 2, 2, StateType.COMPLETED, is_flow=True, ended=True))

    assert run_of(third, FLOW).state.type is StateType.RUNNING
    assert third.store.read_results(FLOW) == {FLOW + 1: SEVEN}
    assert run_of(third, FLOW * 2).state.type is StateType.COMPLETED
    assert third.store.read_facts().owner == "process 1 on mill, process 2 on mill, process 3 on mill"


def test_whoever_opens_the_store_ends_the_runs_of_the_dead_and_of_nobody_else(at_once: Callable[..., Writer]) -> None:
    living = at_once("process 1 on mill", return_seconds=1_000)
    dead = at_once("process 2 on mill")
    living.write(*running_flow(), *completed_task()[:2])
    dead.write(*running_flow(FLOW * 2), *completed_task(FLOW * 2 + 1)[:2])
    kill(dead)

    third = at_once("process 3 on mill")

    assert third.opened.crashed == [FLOW * 2]
    assert run_of(third, FLOW).state.type is StateType.RUNNING
    task_runs = third.store.read_task_runs(RunFilter())
    assert [(run.id, run.state.type) for run in task_runs] == [
        (FLOW * 2 + 1, StateType.CRASHED),
        (FLOW + 1, StateType.RUNNING),
    ]
    assert "process 2 on mill" in run_of(third, FLOW * 2).state.message


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["the first", "one between", "the last"])
def test_a_living_neighbour_ends_the_runs_of_the_dead_without_being_asked(
    at_once: Callable[..., Writer], caplog: pytest.LogCaptureFixture, url: str, victim: int
) -> None:
    writers = [at_once(f"process {number} on mill") for number in range(3)]
    for number, writer in enumerate(writers, 1):
        writer.write(*running_flow(FLOW * number))

    with caplog.at_level(logging.WARNING, "millrace.store"), told_of_change(url):
        kill(writers[victim])

    reader = writers[(victim + 1) % 3]
    kinds = [run_of(reader, FLOW * number).state.type for number in (1, 2, 3)]
    assert kinds == [StateType.CRASHED if number == victim else StateType.RUNNING for number in range(3)]
    assert run_of(reader, FLOW * (victim + 1)).state.cause == OWNER_DIED


class told_of_change:  # noqa: N801  # read as a phrase
    """Waits at the end of the block until it is told that an owner has come or gone."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()

    def __enter__(self) -> None:
        self._runner.run(self._listen())

    async def _listen(self) -> None:
        bare, _, schema = self._url.partition("&schema=")
        self._told = asyncio.Event()
        self._connection = await asyncpg.connect(bare, server_settings={"search_path": schema})
        number = await self._connection.fetchval("SELECT 'owners'::regclass::oid::bigint")
        await self._connection.add_listener(f"millrace_{number}", lambda *_: self._told.set())

    async def _wait(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._told.wait()
        await self._connection.close()

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._wait())
        self._runner.close()


def test_a_run_of_a_living_owner_is_claimed_by_nobody_and_a_suspended_one_by_one(
    at_once: Callable[..., Writer],
) -> None:
    first, second = at_once(), at_once("process 2 on mill")
    pause = entered(FLOW, 2, StateType.PAUSED, is_flow=True, details='{"pause_reschedule": true}')
    first.write(*running_flow(), pause, *running_flow(FLOW * 2))

    with pytest.raises(Exception, match="it is RUNNING, and process 1 on mill runs it"):
        second.store.claim(FLOW * 2, second.opened.token, 1)
    assert second.store.claim(FLOW, second.opened.token, 1).id == FLOW
    with pytest.raises(Exception, match="process 2 on mill runs it"):
        first.store.claim(FLOW, first.opened.token, 1)


OTHER = """
import sys
from millrace import Engine, flow, task

@task
def work(number):
    return number

@flow
def other():
    done = sum(work.map(range(20)).result())
    print("half", flush=True)
    sys.stdin.readline()
    return done + sum(work.map(range(20)).result())

with Engine(store=sys.argv[1]):
    print(other(), flush=True)
"""


def test_two_engines_in_two_processes_run_at_once_and_one_outlives_the_other(url: str) -> None:
    @task
    def work(number: int) -> int:
        return number

    @flow
    def mine(*, go: Callable[[], None]) -> Any:
        done = sum(work.map(range(20)).result())
        go()
        return done + sum(work.map(range(20)).result())

    command = [sys.executable, "-c", OTHER, url]
    pipe = subprocess.PIPE
    with (
        engine_of(PostgresStore(url, return_seconds=0)),
        subprocess.Popen(command, env=environment(), stdin=pipe, stdout=pipe, text=True) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "half\n"

        def end_the_other() -> None:
            with told_of_change(url):
                other.kill()

        assert mine(go=end_the_other) == 380

    with closing(PostgresStore(url)) as store:
        kinds = {run.flow: run.state.type for run in store.read_flow_runs(RunFilter())}
        assert kinds == {"mine": StateType.COMPLETED, "other": StateType.CRASHED}
        assert {run.state.type for run in read_task_runs(store=store)} == {StateType.COMPLETED}


# Connections that are lost.


class Losing:
    """Makes connections of which one is lost: at the k-th group, before it or after it was carried out.

    Or each at its first one, by turns before and after.
    """

    def __init__(self) -> None:
        self.at = 0
        self.always = False
        self.after = False
        self.error: Exception | None = None
        self.count = 0
        self.hits = 0

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        losing = self

        class Connection(asyncpg.Connection):  # type: ignore[misc]
            async def fetchval(self, query: str, *values: Any, **more: Any) -> Any:
                return await losing.strike(
                    self, query, lambda: super(Connection, self).fetchval(query, *values, **more)
                )

        return await asyncpg.connect(*arguments, connection_class=Connection, **options)

    async def strike(self, connection: Any, query: str, act: Callable[[], Any]) -> Any:
        if not query.startswith("WITH owner"):
            return await act()
        self.count += 1
        if self.count != self.at and not (self.always and self.count % 2):
            return await act()
        self.hits += 1
        if self.after or (self.always and self.hits % 2):
            await act()
        if self.error is not None:
            raise self.error
        connection.terminate()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_group_whose_connection_was_lost_is_written_once(at_once: Callable[..., Writer], *, after: bool) -> None:
    losing = Losing()
    losing.at, losing.after = 2, after
    writer = at_once(connect=losing.connect)

    writer.write(*running_flow())
    writer.write(*completed_task(data=SEVEN))
    writer.write(entered(FLOW, 2, StateType.COMPLETED, is_flow=True, ended=True))

    assert losing.hits == 1
    assert [state.sequence for state in writer.store.read_states(FLOW + 1)] == [0, 1, 2]
    assert writer.store.read_results(FLOW) == {FLOW + 1: SEVEN}


def test_a_flow_loses_the_connection_with_every_group_and_comes_to_the_same(url: str) -> None:
    losing = Losing()
    losing.always = True
    given: list[int] = []

    @task
    def work(number: int) -> int:
        given.append(number)
        return number

    @flow
    def body() -> Any:
        return sum(work(number) for number in range(6)) + sum(work.map(range(6)).result())

    with engine_of(PostgresStore(url, connect=losing.connect)):
        assert body() == 30
        runs = read_task_runs()

    assert losing.hits >= 7
    assert losing.count == 2 * losing.hits
    assert len(given) == len(runs) == 12
    assert {run.state.type for run in runs} == {StateType.COMPLETED}


def test_a_group_is_not_written_over_another_connection_when_its_owner_is_over(at_once: Callable[..., Writer]) -> None:
    losing = Losing()
    losing.at = 2
    stale = at_once(connect=losing.connect)
    stale.write(*running_flow())
    kill(stale)
    present = at_once("process 2 on mill")

    error = stale.outcome(*completed_task(data=SEVEN))

    assert isinstance(error, StoreError)
    assert "is over, and another one has taken its place" in str(error)
    assert present.store.read_task_run(FLOW + 1) is None


@pytest.mark.parametrize("error", [asyncpg.DiskFullError, asyncpg.SerializationError, asyncpg.DeadlockDetectedError])
def test_what_the_server_refuses_is_not_tried_again(at_once: Callable[..., Writer], error: type[Exception]) -> None:
    losing = Losing()
    losing.at, losing.error = 2, error("could not do it")
    writer = at_once(connect=losing.connect)
    writer.write(*running_flow())

    outcomes = [writer.outcome(*completed_task(FLOW + 1)), writer.outcome(*completed_task(FLOW + 2))]

    assert [type(each) for each in outcomes] == [StoreError, StoreError]
    assert "could not do it" in str(outcomes[0])
    assert losing.count == 2
    assert writer.store.read_task_runs(RunFilter()) == []


def test_a_run_whose_store_fails_ends_as_a_crash_and_tells_nobody_else(url: str) -> None:
    losing = Losing()
    losing.error = asyncpg.DiskFullError("no space left on device")

    @task
    def work() -> int:
        return 1

    @flow
    def body() -> Any:
        first = work()
        losing.at = losing.count + 1
        return first + work()

    with engine_of(PostgresStore(url, connect=losing.connect)):
        with pytest.raises(StoreError, match=r"no space left on device \(53100\)"):
            body()
        with pytest.raises(StoreError):
            body()

    with engine_of(url):
        assert read_flow_run(UUID(int=_newest(url))).state.is_crashed()  # ended by whoever came next


def _newest(url: str) -> int:
    with closing(PostgresStore(url)) as store:
        return store.read_flow_runs(RunFilter())[0].id


def test_an_owner_whose_session_was_ended_comes_back_and_is_the_owner_still(
    at_once: Callable[..., Writer], url: str
) -> None:
    writer = at_once()
    writer.write(*running_flow())
    back = threading.Event()
    store = writer.store
    assert isinstance(store, PostgresStore)
    assert store.control is not None
    store.control.listen(lambda _request, _answer: back.set())
    before = on_server(url, "SELECT session FROM owners")
    line = Request("ping").to_line()  # it is told when it has come back
    on_server(url, "INSERT INTO requests (id, owner, asker, line) VALUES (gen_random_uuid(), 1, 'a', $1)", line)
    on_server(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1", *before[0])

    assert back.wait(PATIENCE)
    other = at_once("process 2 on mill")

    assert other.opened.crashed == []
    assert on_server(url, "SELECT session FROM owners ORDER BY token")[0] != before[0]
    writer.write(*completed_task(data=SEVEN))


def test_reading_goes_on_over_another_connection(at_once: Callable[..., Writer], url: str) -> None:
    writer = at_once()
    writer.write(*running_flow())
    run_of(writer, FLOW)
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query LIKE 'SELECT tag, blob%' AND application_name = 'millrace'"
    )
    assert on_server(url, query)

    assert run_of(writer, FLOW).id == FLOW


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that a test may stop."""
    server = Server(DURABLE)
    yield server
    server.remove()


def test_a_flow_outlives_its_server(own_server: Server) -> None:
    @task
    def work(number: int) -> int:
        return number

    @flow
    def body() -> Any:
        total = sum(work.map(range(50)).result())
        own_server.stop()
        own_server.start()
        return total + sum(work.map(range(50)).result())

    url = own_server.url("outlives")
    with engine_of(url):
        assert body() == 2 * 1225
        runs = read_task_runs(limit=200)

    assert len(runs) == 100
    assert {run.state.type for run in runs} == {StateType.COMPLETED}


def test_a_server_that_does_not_come_back_fails_the_store_and_nothing_is_told(own_server: Server) -> None:
    given: list[int] = []

    @task
    def work(number: int) -> int:
        return number

    @flow
    def body() -> None:
        given.append(work(1))
        own_server.stop()
        given.append(work(2))

    url = own_server.url("gone", more="&reconnect_seconds=0.1")
    try:
        with engine_of(url), pytest.raises(StoreError, match=r"Could not connect again to postgresql://127\.0\.0\.1"):
            body()
    finally:
        own_server.start()

    assert given == [1]
    with engine_of(url), closing(PostgresStore(url)) as store:
        (run,) = store.read_flow_runs(RunFilter())
        assert (run.state.type, run.deaths) == (StateType.CRASHED, 1)
        assert [run.task for run in store.read_task_runs(RunFilter(types=[StateType.COMPLETED]))] == ["work"]


# Steering.


def test_who_waits_for_a_run_is_told_of_the_death_of_its_owner(at_once: Callable[..., Writer], url: str) -> None:
    writer = at_once(return_seconds=1_000)
    writer.write(*running_flow())
    store = writer.store
    assert isinstance(store, PostgresStore)
    assert store.control is not None
    store.control.listen(lambda _request, _answer: kill(writer))

    with closing(PostgresStore(url)) as other:
        assert other.control is not None
        with pytest.raises(OwnerUnreachable, match="it ended before it answered"):
            other.control.ask(Request("await", FLOW), None)


def test_a_request_is_larger_than_a_notification_may_be(at_once: Callable[..., Writer], url: str) -> None:
    writer = at_once()
    writer.write(*running_flow())
    assert writer.store.control is not None
    writer.store.control.listen(lambda request, answer: answer(dict(request.options)))

    with closing(PostgresStore(url)) as other:
        assert other.control is not None
        reply = other.control.ask(Request("resume", FLOW, {"input": "x" * 100_000}))

    assert len(reply["input"]) == 100_000
    assert on_server(url, "SELECT count(*) FROM requests") == [(0,)]


def test_an_engine_at_hand_steers_the_runs_of_another_one(url: str) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    other = Engine(store=url)
    future = other.start(flow(name="forever")(forever))
    with engine_of(url) as engine:
        state = cancel_flow_run(future.flow_run_id)
        assert state.is_cancelled()
        assert not engine.flow_runs()
    assert future.wait() is not None
    other.close()


# Texts, addresses and schemas.


def test_texts_that_the_server_does_not_take_are_kept_as_far_as_they_can_be(at_once: Callable[..., Writer]) -> None:
    writer = at_once()
    writer.write(*running_flow())
    writer.write(entered(FLOW, 2, StateType.FAILED, is_flow=True, message="a\0b \ud800 ä", ended=True))

    assert writer.store.read_states(FLOW)[-1].message == "a\N{SYMBOL FOR NULL}b ? ä"


def test_one_group_may_say_several_things_of_one_run(at_once: Callable[..., Writer]) -> None:
    writer = at_once()
    writer.write(*running_flow(), *completed_task(data=SEVEN))
    writer.write(
        Renamed(FLOW, "Thursday"),
        entered(FLOW, 2, StateType.PAUSED, is_flow=True),
        entered(FLOW, 3, StateType.RUNNING, is_flow=True),
        Answered(FLOW, '"a"', SEVEN),
        Answered(FLOW, '"a"', Value("json", b"8")),
        *completed_task(FLOW + 2, SEVEN, key=1),
        Undone(FLOW + 1),
        Undone(FLOW + 2),
    )

    assert run_of(writer, FLOW).name == "Thursday"
    assert [each.value.blob for each in writer.store.read_answers(FLOW)] == [b"8"]
    assert writer.store.read_results(FLOW) == {}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:hushhush@h/db?schema=Robert'); DROP", "a plain name in small letters for 'schema'"),
        ("postgres://u:hushhush@h/db?synchronous_commit=maybe", "synchronous_commit=on, off"),
        ("postgresql://u:hushhush@h/db?reconnect_seconds=soon", "a number of seconds"),
        ("postgresql+psycopg://u:hushhush@h/db", "a store or the URL of one"),
        ("postgresql://u:hushhush@[h/db", "a store or the URL of one"),
    ],
)
def test_a_url_that_cannot_be_used_is_an_error_that_shows_no_password(url: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        store_of(url)

    assert expected in str(told.value)
    assert "hushhush" not in str(told.value)


def test_no_text_shows_the_password(postgres: Server, url: str, caplog: pytest.LogCaptureFixture) -> None:
    schema = f"guarded_{next(_schemas)}"
    on_server(url, "DO $$ BEGIN CREATE ROLE guarded LOGIN PASSWORD 'hush%hush'; EXCEPTION WHEN OTHERS THEN END $$")
    on_server(url, "GRANT CREATE ON DATABASE postgres TO guarded")
    right = postgres.url(schema, user="guarded:hush%25hush")
    wrong = postgres.url(schema, user="guarded:wrongwrong")

    with caplog.at_level(logging.DEBUG), closing(PostgresStore(right)) as store:
        store.open(Owner("process 1 on mill", 1))
        assert store.read_facts().owner == "process 1 on mill"
        with pytest.raises(StoreError) as told:
            Engine(store=wrong)
        shown = [repr(store), store.name, repr(store._address), repr(vars(store)), str(told.value), repr(told.value)]

    assert "password authentication failed" in shown[-2]
    assert told.value.__cause__ is None
    text = "\n".join([*shown, caplog.text])
    for secret in ("hush%hush", "hush%25hush", "wrongwrong"):
        assert secret not in text


def test_a_driver_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)

    with pytest.raises(MissingExtra, match=r"pip install 'millrace\[postgres\]'"):
        store_of("postgresql://h/db")


def test_a_schema_of_a_later_version_is_refused(untouched: str) -> None:
    Engine(store=untouched).close()
    on_server(untouched, "UPDATE millrace_schema SET version = 1000")

    with pytest.raises(StoreRefused, match=r"a later version of millrace \(schema 1000; this one knows \d+\)"):
        Engine(store=untouched)
    with closing(PostgresStore(untouched)) as store, pytest.raises(StoreRefused, match="a later version"):
        store.read_flow_run(FLOW)


def test_a_schema_of_something_else_is_refused(untouched: str) -> None:
    schema = untouched.partition("schema=")[2]
    on_server(untouched, f"CREATE SCHEMA {schema}")
    on_server(untouched, "CREATE TABLE orders (number integer)")

    with pytest.raises(StoreRefused, match=f"its schema '{schema}' has tables of something else"):
        Engine(store=untouched)


def test_an_old_server_is_refused(at_once: Callable[..., Writer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.runtime.stores.postgres.migrating.OLDEST", 990_000)

    with pytest.raises(StoreRefused, match=r"its server is PostgreSQL [\d.]+.*Take version 99 or a later one"):
        at_once()


def test_a_store_that_nobody_has_written_to_cannot_be_read(untouched: str) -> None:
    with closing(PostgresStore(untouched)) as store, pytest.raises(StoreError, match="nothing was ever written to it"):
        store.read_flow_run(FLOW)


@pytest.mark.parametrize(("option", "kept"), [("", "on"), ("&synchronous_commit=local", "local")])
def test_a_commit_waits_for_the_disk_also_where_the_server_says_otherwise(url: str, option: str, kept: str) -> None:
    with closing(PostgresStore(url + option)) as store:
        store.open(Owner("process 1 on mill", 1))
        assert store._writer is not None

        assert store._turn(store._writer.fetchval("SELECT current_setting('synchronous_commit')")) == kept


def test_rows_are_found_by_their_keys_however_many_there_are(url: str) -> None:
    place = in_postgres(url)
    writer = Writer.of(place)
    writer.write(*running_flow(), *completed_task()[:2])
    store = writer.store
    assert isinstance(store, PostgresStore)
    assert store._writer is not None
    statement = writing._statement(("changed_task_runs",))
    values = "1, 2, '{}', '{}', '{}', '{}', '{}', '{}', '{}'"

    store._turn(store._writer.execute(f"PREPARE change AS {statement}"))
    plan = store._turn(store._writer.fetch(f"EXPLAIN EXECUTE change({values})"))

    text = "\n".join(line for (line,) in plan)
    assert "Index Scan using task_runs_pkey" in text
    assert "Seq Scan on task_runs" not in text
    place.leave()


def test_a_connection_whose_other_end_is_gone_does_not_wait_for_hours(at_once: Callable[..., Writer]) -> None:
    store = at_once().store
    assert isinstance(store, PostgresStore)
    assert store._writer is not None
    descriptor = connecting._descriptor_of(store._writer)
    assert descriptor is not None

    with socket.socket(fileno=os.dup(descriptor)) as copy:
        assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        for name, value in connecting.WATCH.items():
            assert copy.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value


def test_only_what_says_that_a_connection_is_lost_is_taken_for_that() -> None:
    lost = [asyncpg.AdminShutdownError("x"), asyncpg.CannotConnectNowError("x"), OSError("x"), TimeoutError("x")]
    refused = [asyncpg.UniqueViolationError("x"), asyncpg.InvalidPasswordError("x"), StoreError("s", "do", "r")]

    assert [connecting.is_lost(error) for error in [*lost, *refused]] == [True] * 4 + [False] * 3


def test_a_made_flow_run_can_be_renamed_by_a_later_group(at_once: Callable[..., Writer]) -> None:
    writer = at_once()
    writer.write(flow_made())
    writer.write(Renamed(FLOW, "Friday"))

    assert run_of(writer, FLOW).name == "Friday"


def test_a_run_is_resumed_at_once_although_the_server_notices_the_death_a_moment_later(
    at_once: Callable[..., Writer], url: str
) -> None:
    dead = at_once(return_seconds=60)
    dead.write(*running_flow())
    living = at_once("process 2 on mill", return_seconds=60)
    assert not living.store.end_dead_owner(FLOW, living.opened.token, 5_000)  # it lives, and is waited for in vain

    gone = threading.Timer(0.1, kill, [dead])
    gone.start()
    assert living.store.end_dead_owner(FLOW, living.opened.token, 5_000)
    gone.join()

    assert run_of(living, FLOW).state.type is StateType.CRASHED
    assert run_of(living, FLOW).state.cause == OWNER_DIED
    assert living.store.claim(FLOW, living.opened.token, 6_000).id == FLOW


def test_one_connection_asks_and_reads(url: str, at_once: Callable[..., Writer]) -> None:
    owner = at_once()
    owner.write(*running_flow())
    assert owner.store.control is not None
    owner.store.control.listen(lambda _request, answer: answer({"ok": True}))
    made: list[Any] = []

    async def connect(*arguments: Any, **options: Any) -> Any:
        made.append(options)
        return await asyncpg.connect(*arguments, **options)

    with closing(PostgresStore(url, connect=connect)) as asking:
        assert asking.read_flow_run(FLOW) is not None
        for _ in range(3):
            assert asking.control is not None
            asking.control.ask(Request("pause", FLOW))
        assert asking.read_flow_run(FLOW) is not None
    assert len(made) == 1
