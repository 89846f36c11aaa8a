"""Tasks in transactions: what is staged, committed and rolled back with the block around them, and by themselves."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pytest

from millrace import (
    INPUTS,
    CommitMode,
    Completed,
    Engine,
    FileSystemLockManager,
    IsolationLevel,
    LocalStorage,
    MemoryStorage,
    MissingResult,
    RollBack,
    Transaction,
    TransactionError,
    TransactionState,
    atransaction,
    get_transaction,
    quote,
    transaction,
)
from millrace.runtime.results import StoredValue
from tests.checkpoints import turns, until
from tests.clock import START
from tests.loose import flow, task
from tests.runtime.ledgers import HOWS, Ledger, in_flow, result_of, state_of
from tests.runtime.results.patience import await_true
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, World

each_way = pytest.mark.parametrize("how", HOWS)


@asynccontextmanager
async def block(world: World, **options: Any) -> AsyncGenerator[Transaction]:
    """A transaction in the body of a flow."""
    if world.async_flows:
        async with atransaction(**options) as txn:
            yield txn
    else:
        with transaction(**options) as txn:
            yield txn


@asynccontextmanager
async def undone(world: World) -> AsyncGenerator[Transaction]:
    """The same, and rolled back at its end."""
    with suppress(RollBack):
        async with block(world) as txn:
            yield txn
            raise RollBack


class Account:
    """Tasks that are undone, and what has been done and undone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.told: list[str] = []

    def note(self, text: str) -> None:
        """Write something down."""
        with self._lock:
            self.told.append(text)

    def hooks(self, *, slow: bool = False) -> dict[str, Any]:
        """Hooks that write down what their transaction was told to remember."""

        def commits(txn: Transaction) -> None:
            self.note(f"commit {txn.get('number', '?')}")

        def rolls_back(txn: Transaction) -> None:
            self.note(f"rollback {txn.get('number', '?')}")

        async def commits_slowly(txn: Transaction) -> None:
            await asyncio.sleep(0)
            commits(txn)

        async def rolls_back_slowly(txn: Transaction) -> None:
            await asyncio.sleep(0)
            rolls_back(txn)

        if slow:
            return {"on_commit": [commits_slowly], "on_rollback": [rolls_back_slowly]}
        return {"on_commit": [commits], "on_rollback": [rolls_back]}

    def task(self, world: World = SYNC, *, slow: bool = False, **options: Any) -> Any:
        """A task that gives its number, with hooks."""

        def put(number: int) -> int:
            txn = get_transaction()
            if txn is not None:
                txn.set("number", number)
            return number

        return world.task(put, **(self.hooks(slow=slow) | options))


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close(cancel=True)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, if it is a warning or worse."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# Hooks.


@each_way
@pytest.mark.parametrize("slow", [False, True])
def test_a_block_that_ends_well_commits_its_tasks_in_order(
    world: World, how: str, *, slow: bool, account: Account
) -> None:
    put = account.task(world, slow=slow)

    async def body() -> None:
        async with block(world):
            for number in range(3):
                assert await result_of(world, how, put, number) == number
            assert account.told == []
        assert account.told == ["commit 0", "commit 1", "commit 2"]

    world.body(body)
    assert len(account.told) == 3


@each_way
@pytest.mark.parametrize("slow", [False, True])
def test_a_block_that_fails_rolls_its_tasks_back_last_to_first(
    world: World, how: str, *, slow: bool, account: Account
) -> None:
    put = account.task(world, slow=slow)

    async def body() -> None:
        async with undone(world):
            for number in range(3):
                await result_of(world, how, put, number)
        assert account.told == ["rollback 2", "rollback 1", "rollback 0"]

    world.body(body)
    assert len(account.told) == 3


def test_hooks_of_one_task_are_called_in_order_and_rolled_back_the_other_way_round(world: World) -> None:
    told: list[str] = []

    def hook(name: str) -> Callable[[Transaction], None]:
        return lambda _: told.append(name)

    @world.task(on_commit=[hook("commit 1")], on_rollback=[hook("rollback 1")])
    def put() -> None: ...

    put.on_commit(hook("commit 2"))
    put.on_rollback(hook("rollback 2"))

    async def body() -> None:
        async with block(world):
            await world.call(put)
        async with undone(world):
            await world.call(put)

    world.body(body)
    assert told == ["commit 1", "commit 2", "rollback 2", "rollback 1"]


def test_hooks_get_the_transaction_of_their_run(world: World) -> None:
    given: list[Any] = []

    @world.task(result_storage=MemoryStorage(), cache_key_fn=lambda *_: "a key", on_commit=[given.append])
    def put() -> Any:
        given.append(get_transaction())

    async def body() -> None:
        async with block(world) as outer:
            await world.call(put)
            given.append(outer)

    world.body(body)
    mine, outer, hooked = given
    assert mine is hooked
    assert (mine.key, mine.parent, mine.state) == ("a key", outer, TransactionState.COMMITTED)


def test_a_task_by_itself_is_a_transaction_too(world: World, account: Account) -> None:
    put = account.task(world)

    async def body() -> Any:
        await world.call(put, 1)
        first = list(account.told)
        await world.result(put.submit(2))
        return first

    assert world.body(body) == ["commit 1"]
    assert account.told == ["commit 1", "commit 2"]


@pytest.mark.parametrize("hooks", ["on_commit", "on_rollback"])
def test_hooks_of_either_kind_give_the_body_of_a_task_a_transaction(world: World, hooks: str) -> None:
    def has_one() -> bool:
        return get_transaction() is not None

    async def body() -> list[bool]:
        return [
            await world.call(world.task(has_one, **options)) for options in ({}, {hooks: [lambda _transaction: None]})
        ]

    assert world.body(body) == [False, True]


def test_the_values_of_a_block_are_seen_by_its_tasks_and_their_hooks(world: World) -> None:
    seen: list[Any] = []

    @world.task(on_rollback=[lambda txn: seen.append((txn.get("mine"), txn.get("shared")))])
    def put(number: int) -> None:
        txn = get_transaction()
        assert txn is not None
        txn.set("mine", number)
        seen.append((txn.get("shared"), txn.get("mine"), txn.get("nobody's", None)))

    async def body() -> None:
        async with undone(world) as txn:
            txn.set("shared", "ours")
            await world.result(put.submit(1))
            assert txn.get("mine", "unseen") == "unseen"

    world.body(body)
    assert seen == [("ours", 1, None), (1, "ours")]


# Which runs take part.


@each_way
def test_runs_that_were_rolled_back_say_so(world: World, how: str) -> None:
    """Also those of tasks that have no hooks, and keep nothing."""
    plain = world.task(lambda x: [x], name="plain")
    futures: list[Any] = []

    async def body() -> Any:
        await state_of(world, how, plain, 0)  # the task was known before there was a transaction
        names: list[str] = []
        async with undone(world):
            futures.append(plain.submit(1))
            names.append((await world.ended(futures[0])).name)
            names.append((await state_of(world, how, plain, 2)).name)
        return quote((*names, futures[0].state, await world.result(futures[0])))

    before, after, state, value = world.body(body).unquote()
    assert (before, after) == ("Completed", "Completed")
    assert (state.name, state.is_completed(), state.message) == (
        "RolledBack",
        True,
        "It was rolled back with its transaction.",
    )
    assert value == [1]


def test_runs_that_were_committed_stay_as_they_are(world: World) -> None:
    plain = world.task(lambda x: x, name="plain")

    async def body() -> Any:
        async with block(world):
            futures = plain.map([1, 2])
            await world.result(futures)
        outside = plain.submit(3)
        await world.ended(outside)
        return quote([future.state.name for future in (*futures, outside)])

    assert world.body(body).unquote() == ["Completed"] * 3


def test_tasks_of_a_subflow_take_part(world: World, account: Account) -> None:
    put, plain = account.task(world), world.task(lambda: 1, name="plain")
    futures: list[Any] = []

    async def inner() -> None:
        await world.result(put.submit(1))
        futures.append(plain.submit())
        await world.ended(futures[0])

    subflow = world.flow(inner)

    async def body() -> None:
        async with undone(world):
            await world.call(subflow)
            assert account.told == []

    world.body(body)
    assert account.told == ["rollback 1"]
    assert futures[0].state.name == "RolledBack"


def test_a_flow_in_a_block_outside_of_any_flow_takes_part(account: Account) -> None:
    put, plain = account.task(), task(lambda: 1)
    states: list[Any] = []

    @flow
    def inner() -> None:
        put(1)
        states.append(plain.submit())
        states[0].wait()

    with suppress(RollBack), transaction():
        inner()
        put(2)
        raise RollBack
    assert account.told == ["rollback 2", "rollback 1"]
    assert states[0].state.name == "RolledBack"


@pytest.mark.anyio
async def test_tasks_outside_of_flows_take_part(account: Account) -> None:
    put = account.task(ASYNC)
    async with undone(ASYNC):
        await put(1)
        await put.submit(2)
    assert account.told == ["rollback 2", "rollback 1"]


def test_tasks_that_other_tasks_start_take_part(world: World, account: Account) -> None:
    put = account.task(world)

    @world.task
    async def starts() -> Any:
        value = put(1)
        return await value if world.async_tasks else value

    async def body() -> None:
        async with undone(world):
            await world.result(starts.submit())

    world.body(body)
    assert account.told == ["rollback 1"]


def test_many_submitted_runs_are_settled_once_each(world: World, account: Account) -> None:
    put = account.task(world)

    async def body() -> None:
        async with undone(world):
            await world.result(put.map(range(100)))

    world.body(body)
    assert sorted(account.told) == sorted(f"rollback {number}" for number in range(100))


def test_a_run_that_ends_when_its_block_is_over_is_settled_as_that_was(world: World, account: Account) -> None:
    gate = world.gate()

    async def late(number: int) -> int:
        await gate.passed()
        get = get_transaction()
        assert get is not None
        get.set("number", number)
        return number

    put = world.task(late, **account.hooks())
    futures: list[Any] = []

    async def body() -> Any:
        async with block(world):
            futures.append(put.submit(1))
        async with undone(world):
            futures.append(put.submit(2))
        gate.open()
        return quote([(await world.ended(future)).name for future in futures])

    assert world.body(body).unquote() == ["Completed", "RolledBack"]
    assert sorted(account.told) == ["commit 1", "rollback 2"]


# Failures.


@each_way
def test_a_run_that_fails_rolls_back_what_was_done_around_it(world: World, how: str, account: Account) -> None:
    put = account.task(world)

    @world.task
    def fails(_: int) -> None:
        raise ValueError("no")

    async def body() -> Any:
        async with block(world) as txn:
            await world.call(put, 1)
            assert (await state_of(world, how, fails, 1)).is_failed()
            assert account.told == ["rollback 1"]
        return txn.state

    assert world.run(world.flow(body)) == TransactionState.ROLLED_BACK


@each_way
@pytest.mark.parametrize("delay", [None, 0.001])
def test_a_run_that_is_tried_again_rolls_back_nothing_but_its_own_attempt(
    world: World, how: str, delay: float | None, account: Account
) -> None:
    put = account.task(world)
    attempts: list[int] = []

    @world.task(retries=1, retry_delay_seconds=delay, **account.hooks())
    async def flaky(number: int) -> int:
        attempts.append(number)
        txn = get_transaction()
        assert txn is not None
        txn.set("number", f"{number} of attempt {len(attempts)}")
        value = put(10 + len(attempts))
        if world.async_tasks:
            await value
        if len(attempts) == 1:
            raise ValueError("no")
        return number

    async def body() -> Any:
        async with block(world) as txn:
            await world.call(put, 1)
            await result_of(world, how, flaky, 2)
            assert account.told == ["rollback 11"]
        return txn.state

    assert world.body(body) == TransactionState.COMMITTED
    assert account.told == ["rollback 11", "commit 1", "commit 12", "commit 2 of attempt 2"]


@pytest.mark.parametrize("fails", [True, False])
def test_what_a_body_does_in_a_block_of_its_own_is_undone_if_the_run_fails(
    world: World, *, fails: bool, account: Account
) -> None:
    put = account.task(world)
    by_itself = account.hooks()

    @world.task(**by_itself)
    async def works() -> None:
        async with block(world if world.async_tasks is world.async_flows else (ASYNC if world.async_tasks else SYNC)):
            value = put(1)
            if world.async_tasks:
                await value
        if fails:
            raise ValueError("no")

    assert in_flow(world, "submit", works).is_failed() is fails
    assert account.told == (["rollback 1"] if fails else ["commit 1", "commit ?"])


def test_a_flow_that_is_cancelled_in_a_block_rolls_back(world: World, account: Account, engine: Engine) -> None:
    put, gate, begun = account.task(world), world.gate(), Event()

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    async def body() -> None:
        async with block(world):
            await world.result(put.submit(1))
            await world.result(waits.submit())

    future = engine.start(world.flow(body))
    assert begun.wait(PATIENCE)
    future.cancel()
    gate.open()
    assert future.wait(PATIENCE)
    assert future.state.is_cancelled()
    assert account.told == ["rollback 1"]


def test_a_flow_that_crashes_in_a_block_rolls_back(world: World, account: Account) -> None:
    put = account.task(world)

    async def body() -> None:
        async with block(world):
            await world.result(put.submit(1))
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        world.body(body)
    assert account.told == ["rollback 1"]


@pytest.mark.anyio
async def test_a_flow_whose_caller_is_cancelled_rolls_back(account: Account) -> None:
    put, begun = account.task(ASYNC, slow=True), asyncio.Event()

    @flow
    async def waits() -> None:
        async with atransaction():
            await put(1)
            await put.submit(2)
            begun.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(waits())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert account.told == ["rollback 2", "rollback 1"]


def test_a_run_that_is_cancelled_has_nothing_to_undo(world: World, account: Account) -> None:
    gate, begun = world.gate(), world.flow_gate()

    @world.task(**account.hooks())
    async def held() -> None:
        begun.open()
        await gate.passed()

    async def body() -> Any:
        future = held.submit()
        await begun.passed()
        future.cancel()
        state = await world.ended(future)
        gate.open()
        return quote(state.name)

    assert world.body(body).unquote() == "Cancelled"
    assert account.told == []


def test_when_an_attempt_that_timed_out_ends_late_it_settles_nothing(account: Account) -> None:
    """It has done something in its own block, and the run has completed with the next attempt meanwhile."""
    gate, left = Event(), Event()
    put = account.task()
    attempts: list[int] = []

    @task(timeout_seconds=0.05, retries=1, interruptible=False, persist_result=True, result_storage=MemoryStorage())
    def slow() -> int:
        attempts.append(1)
        number = len(attempts)
        put(number)
        if number == 1:
            try:
                gate.wait(PATIENCE)
            finally:
                left.set()
        return number

    @flow
    def times_out() -> Any:
        with transaction() as txn:
            value = slow.submit().result(timeout=PATIENCE)
            gate.set()
            left.wait(PATIENCE)
        return value, txn.state

    assert times_out() == (2, TransactionState.COMMITTED)
    engine = Engine.current()
    await_true(lambda: not engine.offload.stats().abandoned)
    assert sorted(account.told) == ["commit 2", "rollback 1"]


# Results in a block.


@each_way
def test_results_are_found_when_the_block_is_committed_and_not_before(world: World, how: str) -> None:
    ledger = Ledger()
    calls: list[int] = []

    @world.task(cache_policy=INPUTS, result_storage=ledger)
    def kept(x: int) -> int:
        calls.append(x)
        return x

    async def body() -> Any:
        async with block(world):
            async with block(world):
                assert await result_of(world, how, kept, 1) == 1
            assert ledger.keys == []
        return quote((list(ledger.keys), (await state_of(world, how, kept, 1)).name))

    keys, name = world.body(body).unquote()
    assert len(keys) == 1
    assert name == "Cached"
    assert calls == [1]
    assert ledger.done.count("write") == 1


@each_way
def test_results_of_a_block_that_was_rolled_back_are_never_found(world: World, how: str) -> None:
    ledger = Ledger()
    run = world.task(lambda x: x, name="kept", cache_policy=INPUTS, result_storage=ledger)

    async def body() -> Any:
        async with undone(world):
            await result_of(world, how, run, 1)
        assert ledger.keys == []
        return quote((await state_of(world, how, run, 1)).name)

    assert world.body(body).unquote() == "Completed"
    assert len(ledger.keys) == 1


def test_hits_take_part_with_nothing(world: World, account: Account) -> None:
    put = account.task(world, cache_policy=INPUTS, result_storage=MemoryStorage())
    assert in_flow(world, "call", put, 1).name == "Completed"
    account.told.clear()

    async def body() -> Any:
        futures = [put.submit(1)]
        async with undone(world):
            futures.append(put.submit(1))
            await world.result(futures[1])
        return quote([(await world.ended(future)).name for future in futures])

    assert world.body(body).unquote() == ["Cached", "Cached"]
    assert account.told == []


def test_eager_blocks_write_at_once(world: World, account: Account) -> None:
    ledger = Ledger()
    put = account.task(world, cache_policy=INPUTS, result_storage=ledger)

    async def body() -> None:
        with suppress(RollBack):
            async with block(world, commit_mode=CommitMode.EAGER):
                await world.result(put.submit(1))
                assert len(ledger.keys) == 1
                assert account.told == ["commit 1"]
                raise RollBack

    world.body(body)
    assert account.told == ["commit 1"]


def test_a_run_that_commits_by_itself_in_an_eager_block_is_completed_although_it_cannot_be_written(
    world: World, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    full = account.task(world, result_storage=Full())

    async def body() -> Any:
        async with block(world, commit_mode=CommitMode.EAGER):
            future = full.submit(1)
            await world.ended(future)
        return quote(future.state.name)

    assert world.body(body).unquote() == "Completed"
    assert account.told == ["commit 1"]
    assert len(warnings(caplog)) == 1


def test_a_block_that_is_off_commits_when_it_is_told_to(world: World, account: Account) -> None:
    ledger = Ledger()
    put = account.task(world, cache_policy=INPUTS, result_storage=ledger)

    async def body() -> None:
        async with block(world, commit_mode=CommitMode.OFF) as txn:
            await world.result(put.submit(1))
            if world.async_flows:
                await txn.acommit()
            else:
                txn.commit()
        async with block(world, commit_mode=CommitMode.OFF):
            await world.result(put.submit(2))

    world.body(body)
    assert account.told == ["commit 1", "rollback 2"]
    assert len(ledger.keys) == 1


@each_way
def test_a_result_that_is_not_held_can_be_taken_before_it_is_written(world: World, how: str) -> None:
    ledger = Ledger()
    run = world.task(lambda x: [x], name="kept", result_storage=ledger, cache_result_in_memory=False)

    async def body() -> Any:
        async with block(world):
            taken = await result_of(world, how, run, 1)
            state = await state_of(world, how, run, 2)
            assert state.result() == [2]
            assert await state.aresult() == [2]
            assert ledger.keys == []
        assert len(ledger.keys) == 2
        return quote((taken, state))

    taken, state = world.body(body).unquote()
    assert taken == [1]
    assert isinstance(state.data, StoredValue)
    assert state.result() == [2]
    ledger.clear()
    with pytest.raises(MissingResult):  # it is not held any more
        state.result()


class Heavy:
    """Something that one would rather not hold."""


def test_when_it_is_written_nothing_holds_it() -> None:
    made: list[weakref.ref[Heavy]] = []

    @task(result_storage=MemoryStorage(), cache_result_in_memory=False)
    def heavy() -> Heavy:
        value = Heavy()
        made.append(weakref.ref(value))
        return value

    @flow
    def holds() -> Any:
        with transaction():
            state = heavy(return_state=True)
        gc.collect()
        return quote((state, made[0]()))

    state, alive = holds().unquote()
    assert alive is None
    assert isinstance(state.result(), Heavy)


def test_the_value_of_a_run_that_was_rolled_back_can_be_taken_still(world: World) -> None:
    run = world.task(lambda x: [x], name="kept", result_storage=MemoryStorage(), cache_result_in_memory=False)
    futures: list[Any] = []

    async def body() -> Any:
        async with undone(world):
            futures.append(run.submit(1))
            await world.ended(futures[0])
        return quote((futures[0].state.name, await world.result(futures[0])))

    assert world.body(body).unquote() == ("RolledBack", [1])


def test_a_result_that_cannot_be_written_does_not_roll_its_block_back(
    world: World, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    put = account.task(world)

    @world.task(result_storage=ledger, **account.hooks())
    def locked() -> Any:
        return Lock()

    async def body() -> Any:
        async with block(world) as txn:
            await world.call(put, 1)
            await world.call(locked)
        return txn.state

    assert world.body(body) == TransactionState.COMMITTED
    assert account.told == ["commit 1", "commit ?"]
    assert ledger.keys == []
    (warning,) = warnings(caplog)
    assert "is not kept. Could not pickle" in warning


class Full(Ledger):
    """A storage that does not take anything."""

    def write(self, key: str, blob: bytes) -> None:
        raise OSError(28, "it is full")


def test_a_write_that_fails_at_the_commit_rolls_its_run_back(
    world: World, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    put = account.task(world)
    full = account.task(world, result_storage=Full())
    futures: list[Any] = []

    async def body() -> Any:
        async with block(world):
            futures.append(full.submit(1))
            await world.result(futures[0])
            await world.call(put, 2)
        return quote((futures[0].state.name, await world.result(futures[0])))

    assert world.body(body).unquote() == ("RolledBack", 1)
    assert account.told == ["commit 1", "rollback 1", "commit 2"]
    assert any("it is full" in str(record.exc_info) for record in caplog.records)


def test_equal_keys_of_one_block_are_computed_once_where_they_are_locked(world: World) -> None:
    calls: list[int] = []
    policy = INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE)

    @world.task(cache_policy=policy, result_storage=MemoryStorage())
    def computes(x: int) -> Any:
        calls.append(x)
        return len(calls)

    async def body() -> Any:
        async with block(world):
            futures = computes.map([1] * 5)
            return quote((await world.result(futures), sorted(future.state.name for future in futures)))

    assert world.body(body).unquote() == ([1] * 5, ["Cached"] * 4 + ["Completed"])
    assert calls == [1]
    assert in_flow(world, "call", computes, 1).name == "Cached"


def test_so_they_are_although_the_result_cannot_be_written(world: World, caplog: pytest.LogCaptureFixture) -> None:
    made = Lock()
    policy = INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE)
    run = world.task(lambda _: made, name="locked", cache_policy=policy, result_storage=MemoryStorage())

    async def body() -> Any:
        async with block(world):
            return quote([await world.call(run, 1), await world.call(run, 1)])

    assert world.body(body).unquote() == [made, made]
    assert len(warnings(caplog)) == 1


# Commits that fail, of runs by themselves.


def broken(_: Transaction) -> None:
    raise LookupError("no commit")


@each_way
def test_a_commit_hook_that_raises_takes_the_result_back(
    world: World, how: str, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    calls: list[int] = []

    @world.task(
        cache_policy=INPUTS,
        result_storage=ledger,
        on_commit=[broken],
        on_rollback=[lambda _: account.note(f"rollback, {len(ledger.keys)} kept")],
        on_completion=[lambda _task, _run, state: account.note(state.name)],
    )
    def put(x: int) -> int:
        calls.append(x)
        return 10 * x

    async def body() -> Any:
        value = await result_of(world, how, put, 1)
        return quote((value, (await state_of(world, how, put, 1)).name))

    assert world.body(body).unquote() == (10, "RolledBack")
    assert calls == [1, 1]
    assert ledger.keys == []
    assert account.told == ["rollback, 0 kept", "RolledBack"] * 2
    assert ledger.done.count("write") == 0
    assert len(warnings(caplog)) == 2
    assert warnings(caplog)[0].startswith("Commit hook 'broken' of the transaction of task run 'put-")


# The order of things.


@pytest.mark.parametrize("how", ["call", "submit", "map"])
def test_hooks_of_a_commit_have_run_when_the_run_has_ended_for_its_flow(world: World, how: str) -> None:
    gate, told = Event(), list[str]()

    def commits(_: Transaction) -> None:
        assert gate.wait(PATIENCE)
        told.append("commit")

    run = world.task(lambda _: None, name="slow", on_commit=[commits])
    opens = world.task(gate.set, name="opens")

    @world.flow
    def starts() -> None:
        if how == "map":
            run.map([1])
        else:
            run.submit(1)

    if world.async_tasks:
        gate.set()  # else the hook would hold up the loop that is to open it

    async def body() -> None:
        opens.submit()
        await world.call(starts)
        told.append("over")

    world.body(body)
    assert told == ["commit", "over"]


@each_way
def test_a_run_is_committed_and_then_its_completion_is_announced(world: World, how: str, engine: Engine) -> None:
    told: list[str] = []
    engine.subscribe(lambda event: told.append(event.state.name) if event.state.state_details.task_run_id else None)
    run = world.task(
        lambda _: 1,
        name="put",
        result_storage=MemoryStorage(),
        on_commit=[lambda _: told.append("commit hook")],
        on_completion=[lambda *_: told.append("completion hook")],
    )

    in_flow(world, how, run, 1, engine=engine)

    assert told == ["Pending", "Running", "commit hook", "Completed", "completion hook"]


@pytest.mark.anyio
async def test_a_caller_that_is_cancelled_during_a_commit_hook_is_cancelled_when_all_is_undone(
    account: Account,
) -> None:
    begun = asyncio.Event()
    states: list[str] = []

    async def commits(_: Transaction) -> None:
        begun.set()
        await asyncio.Event().wait()

    ledger = Ledger()
    put = account.task(ASYNC, result_storage=ledger, on_commit=[commits])
    engine = Engine.current()
    engine.subscribe(lambda event: states.append(event.state.name))

    running = asyncio.create_task(put(1))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert account.told == ["rollback 1"]
    assert states == ["Pending", "Running", "Crashed"]
    assert ledger.keys == []


@pytest.mark.anyio
async def test_a_body_that_is_cancelled_gives_its_lock_back(tmp_path: Path) -> None:
    locks = FileSystemLockManager(tmp_path / "locks")
    policy = INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE, lock_manager=locks)
    calls: list[int] = []

    @task(cache_policy=policy, result_storage=LocalStorage(tmp_path / "results"))
    async def held(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return len(calls)

    running = asyncio.create_task(held(1))
    await until(lambda: bool(calls))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await held(1) == 2


@pytest.mark.anyio
async def test_a_caller_that_is_cancelled_while_a_condition_is_asked_gives_the_lock_back(tmp_path: Path) -> None:
    locks = FileSystemLockManager(tmp_path / "locks")
    policy = INPUTS.configure(isolation_level=IsolationLevel.SERIALIZABLE, lock_manager=locks)
    asked = asyncio.Event()
    states: list[str] = []

    async def condition(*_: Any) -> bool:
        asked.set()
        await asyncio.Event().wait()
        return True

    @task(
        cache_policy=policy, result_storage=LocalStorage(tmp_path / "results"), retries=1, retry_condition_fn=condition
    )
    async def held(x: int) -> int:
        if not asked.is_set():
            raise ValueError("no")
        return x

    Engine.current().subscribe(lambda event: states.append(event.state.name))
    running = asyncio.create_task(held(1))
    await asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert states == ["Pending", "Running", "Crashed"]
    async with asyncio.timeout(PATIENCE):
        assert await held(1) == 1


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_during_a_commit_hook_is_undone(account: Account) -> None:
    ledger = Ledger()
    futures: list[Any] = []
    put = account.task(ASYNC, result_storage=ledger, on_commit=[lambda _: futures[0].cancel()])

    @flow
    async def cancels() -> Any:
        futures.append(put.submit(1))
        return quote(await futures[0].wait_async())

    assert (await cancels()).unquote().is_cancelled()
    assert account.told == ["rollback 1"]
    assert ledger.keys == []


@pytest.mark.anyio
@pytest.mark.parametrize(("retries", "last"), [(0, "Failed"), (1, "Crashed")])
async def test_a_caller_that_is_cancelled_while_an_attempt_is_undone_leaves_nothing_behind(
    retries: int, last: str
) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()
    names: list[str] = []

    async def undoes(_: Transaction) -> None:
        begun.set()
        await gate.wait()

    put = task(on_rollback=[undoes])(lambda: None)

    @task(retries=retries, on_commit=[lambda _: None])
    async def fails() -> None:
        put()
        raise ValueError("no")

    engine = Engine.current()
    engine.subscribe(lambda event: names.append(f"{event.task_run_id} {event.state.name}"))  # the caller is the first
    running = asyncio.create_task(fails())
    await begun.wait()
    running.cancel()
    await turns()
    assert not running.done()  # it is seen through
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    first = names[0].split()[0]
    assert [name.split()[1] for name in names if name.startswith(first)][-1] == last


class Clock:
    """Tells the time, and does something else once when it is armed."""

    def __init__(self) -> None:
        self.armed: Callable[[], object] | None = None

    def __call__(self) -> int:
        armed, self.armed = self.armed, None
        if armed is not None:
            armed()
        return START


@pytest.mark.parametrize("world", [SYNC, ASYNC], ids=lambda world: world.name)
def test_a_run_that_is_undone_in_the_moment_of_its_end_says_so(world: World, account: Account) -> None:
    """The block rolls back between what the run has joined and what the run is told that it came to."""
    clock = Clock()
    engine = Engine(clock=clock)
    outer: list[Transaction] = []
    names: list[str] = []

    @world.task(**account.hooks())
    def put() -> None:
        clock.armed = outer[0].rollback  # the time is asked for next when the end is told

    engine.subscribe(lambda event: names.append(event.state.name) if event.state.state_details.task_run_id else None)

    async def body() -> None:
        async with block(world) as txn:
            outer.append(txn)
            await world.call(put)

    world.body(body, engine=engine)
    assert account.told == ["rollback ?"]
    assert names == ["Pending", "Running", "Completed", "RolledBack"]


# Flows that are tried again.


def test_a_flow_that_is_tried_again_runs_what_was_rolled_back_once_more(world: World, account: Account) -> None:
    put = account.task(world)
    attempts: list[int] = []

    @world.flow(retries=1)
    async def twice() -> Any:
        attempts.append(1)
        await world.result(put.submit(0))
        async with block(world):
            await world.call(put, len(attempts))
            await world.result(put.submit(10 * len(attempts)))
            if len(attempts) == 1:
                raise ValueError("no")
        return len(attempts)

    assert world.run(twice) == 2
    assert account.told == ["commit 0", "rollback 10", "rollback 1", "commit 2", "commit 20"]


# Odd bodies.


@pytest.mark.parametrize("how", ["call", "submit"])
def test_a_body_that_commits_its_own_transaction_is_told_not_to(world: World, how: str, account: Account) -> None:
    @world.task(**account.hooks())
    async def odd() -> None:
        txn = get_transaction()
        assert txn is not None
        await txn.acommit() if world.async_tasks else txn.commit()

    state = in_flow(world, how, odd)

    assert state.is_failed()
    assert isinstance(state.data, TransactionError)


def test_a_body_may_roll_back_what_it_did_and_go_on(world: World, account: Account) -> None:
    put = account.task(world)

    @world.task(**account.hooks())
    async def tries() -> int:
        txn = get_transaction()
        assert txn is not None
        txn.set("number", 2)
        value = put(1)
        if world.async_tasks:
            await value
        await txn.arollback() if world.async_tasks else txn.rollback()
        return 3

    state = in_flow(world, "submit", tries)

    assert (state.name, state.result()) == ("Completed", 3)
    assert account.told == ["rollback 1", "commit 2"]


def test_what_a_state_says_decides(world: World, account: Account) -> None:
    put = world.task(lambda: Completed(data=1, name="Fine"), name="put", **account.hooks())

    assert in_flow(world, "submit", put).name == "Fine"
    assert account.told == ["commit ?"]


def test_tasks_that_hooks_start_stand_by_themselves(world: World) -> None:
    told: list[str] = []
    ledger = Ledger()

    @task(result_storage=ledger, on_commit=[lambda _: told.append("logged")])
    def log(_: str) -> None: ...

    @world.task(on_rollback=[lambda _: log("undone")])
    def put() -> None: ...

    async def body() -> None:
        async with undone(world):
            await world.result(put.submit())

    world.body(body)
    assert told == ["logged"]
    assert len(ledger.keys) == 1
