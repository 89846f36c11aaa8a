"""Children from everywhere: tasks, threads and loops that work inside a block belong to its transaction."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from millrace.actors.errors import RollBack
from millrace.runtime.results import MemoryStorage, ResultStore
from millrace.runtime.transactions import Transaction, atransaction, get_transaction, transaction
from tests.checkpoints import turns
from tests.loose import flow, task

WAIT = 10.0


class Account:
    """Hooks that write down their numbers, from any thread."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.undone: list[int] = []
        self.done: list[int] = []

    def stage(self, txn: Transaction, number: int) -> None:
        txn.stage(number, [lambda _: self.note(self.undone, number)], [lambda _: self.note(self.done, number)])
        txn.set("number", number)

    def note(self, where: list[int], number: int) -> None:
        with self.guard:
            where.append(number)

    def block(self, number: int) -> None:
        with transaction() as txn:
            self.stage(txn, number)

    async def ablock(self, number: int) -> None:
        async with atransaction() as txn:
            await asyncio.sleep(0)
            self.stage(txn, number)


def numbers(outer: Transaction) -> list[int]:
    return [child.get("number") for child in outer.children]


@pytest.mark.parametrize("fails", [False, True])
def test_children_of_many_threads_are_settled_once_each_in_the_order_in_which_they_ended(*, fails: bool) -> None:
    account = Account()
    made: list[Transaction] = []

    def body() -> None:
        with transaction() as outer, ThreadPoolExecutor(8) as pool:
            made.append(outer)
            contexts = [contextvars.copy_context() for _ in range(200)]
            for each in [pool.submit(context.run, account.block, at) for at, context in enumerate(contexts)]:
                each.result(WAIT)
            if fails:
                raise RollBack

    if fails:
        with pytest.raises(RollBack):
            body()
    else:
        body()
    order = numbers(made[0])
    assert sorted(order) == list(range(200))
    assert account.done == ([] if fails else order)
    assert account.undone == (order[::-1] if fails else [])


@pytest.mark.parametrize("seed", range(5))
def test_children_that_end_while_their_parent_does_are_settled_once_each_too(seed: int) -> None:
    account = Account()
    start = threading.Barrier(9)

    def child(number: int) -> None:
        with transaction() as txn:
            account.stage(txn, number)
            start.wait(WAIT)
            if number == seed:
                raise RollBack

    def body() -> Transaction:
        with transaction() as outer:
            futures.extend(pool.submit(contextvars.copy_context().run, child, number) for number in range(8))
            account.stage(outer, 8)
            start.wait(WAIT)
        return outer

    futures: list[Any] = []
    with ThreadPoolExecutor(8) as pool:
        outer = body()
    assert [type(each.exception()) for each in futures] == [type(None)] * seed + [RollBack] + [type(None)] * (7 - seed)
    assert sorted(account.done + account.undone) == list(range(9))
    assert seed in account.undone
    assert (8 in account.undone) is outer.is_rolled_back()


@pytest.mark.anyio
async def test_blocks_of_both_kinds_are_children_of_each_other() -> None:
    account = Account()
    async with atransaction() as outer:
        account.block(1)
        await account.ablock(2)
        with transaction() as middle:
            await account.ablock(3)
            middle.set("number", 0)
        await asyncio.to_thread(account.block, 4)
        assert numbers(outer) == [1, 2, 0, 4]
        assert not account.done
    assert account.done == [1, 2, 3, 4]


@pytest.mark.anyio
async def test_tasks_that_are_submitted_in_a_block_belong_to_it_wherever_they_run() -> None:
    account = Account()

    @task
    def in_thread(number: int) -> Transaction | None:
        account.block(number)
        return get_transaction()

    @task
    async def on_loop(number: int) -> Transaction | None:
        await account.ablock(number)
        return get_transaction()

    @flow
    async def body() -> None:
        async with atransaction() as outer:
            outer.set("flow", "mine")
            futures = [each.submit(number) for number, each in enumerate([in_thread, on_loop] * 5)]
            its_own = [await each for each in futures]
            assert [each.parent is outer and each.get("flow") for each in its_own] == ["mine"] * 10
            assert sorted(outer.children, key=id) == sorted(its_own, key=id)
            assert not account.done
            orders.append([number for child in outer.children for number in numbers(child)])
        assert get_transaction() is None

    orders: list[list[int]] = []
    await body()
    assert sorted(account.done) == list(range(10))
    assert account.done == orders[0]


def test_tasks_of_a_sync_flow_are_rolled_back_with_its_block() -> None:
    account = Account()

    @task
    def in_thread(number: int) -> None:
        account.block(number)

    @task
    async def on_loop(number: int) -> None:
        await account.ablock(number)

    @flow
    def body() -> None:
        with transaction():
            in_thread(1)
            on_loop(2)
            in_thread.submit(3).result()
            on_loop.submit(4).result()
            raise RollBack("enough")

    with pytest.raises(RollBack, match="enough"):
        body()
    assert account.undone == [4, 3, 2, 1]
    assert not account.done


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [False, True])
async def test_what_ends_after_the_block_follows_it(*, fails: bool) -> None:
    store = ResultStore(MemoryStorage())
    account = Account()
    go_on = asyncio.Event()

    async def late() -> Transaction:
        async with atransaction("late", store) as txn:
            account.stage(txn, 1)
            await go_on.wait()
            return txn

    async def body() -> None:
        async with atransaction():
            started.append(asyncio.create_task(late()))
            await turns(3)
            if fails:
                raise RollBack

    started: list[asyncio.Task[Transaction]] = []
    if fails:
        with pytest.raises(RollBack):
            await body()
    else:
        await body()
    go_on.set()
    txn = await started[0]
    assert (account.done, account.undone) == (([], [1]) if fails else ([1], []))
    assert txn.is_rolled_back() is fails
    assert store.exists("late") is not fails
