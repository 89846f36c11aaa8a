"""What a block gives, keeps and refuses; what is found and written under its key; what becomes of its hooks."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from millrace.actors.errors import ConfigurationError, RollBack, TransactionError
from millrace.actors.isolation import IsolationLevel
from millrace.actors.transaction_state import CommitMode
from millrace.runtime.results import LocalStorage, MemoryStorage, ResultRecord, ResultStore
from millrace.runtime.transactions import Transaction, atransaction, get_transaction, transaction


class Odd(Exception):
    """Nothing that anybody expects."""


@pytest.fixture
def store() -> ResultStore:
    return ResultStore(MemoryStorage())


class Calls:
    """Hooks that write down their names."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def hook(self, name: str, *, raises: bool = False) -> Any:
        def called(_: Transaction) -> None:
            self.made.append(name)
            if raises:
                raise Odd(name)

        called.__name__ = name
        return called

    def async_hook(self, name: str) -> Any:
        async def called(_: Transaction) -> None:
            await asyncio.sleep(0)
            self.made.append(name)

        return called


@pytest.fixture
def calls() -> Calls:
    return Calls()


# Where one is.


def test_the_innermost_transaction_is_the_current_one() -> None:
    assert get_transaction() is None
    with transaction() as outer:
        assert get_transaction() is outer
        with transaction() as inner:
            assert get_transaction() is inner
            assert inner.parent is outer
        assert get_transaction() is outer
    assert get_transaction() is None


@pytest.mark.anyio
async def test_the_current_transaction_is_that_of_the_asyncio_task() -> None:
    async def seen() -> Transaction | None:
        async with atransaction() as mine:
            await asyncio.sleep(0)
            assert get_transaction() is mine
            return mine.parent

    async with atransaction() as outer:
        assert list(await asyncio.gather(seen(), asyncio.create_task(seen()))) == [outer, outer]
        assert get_transaction() is outer
    assert get_transaction() is None


def test_children_are_listed_in_the_order_in_which_they_ended() -> None:
    with transaction() as outer:
        with transaction() as first:
            pass
        with transaction() as second, transaction() as third:
            pass
        assert outer.children == [first, second]
        assert second.children == [third]


def test_a_block_that_is_left_in_another_context_leaves_that_alone() -> None:
    made = Transaction()
    contextvars.copy_context().run(made.begin)
    with transaction() as other:
        made.leave()
        assert get_transaction() is other
    assert made.is_committed()


# Values.


def test_children_see_the_values_of_those_around_them_and_their_own_come_first() -> None:
    with transaction() as outer:
        outer.set("depth", 1)
        outer.set("name", "outer")
        with transaction(), transaction() as inner:
            inner.set("depth", 3)
            assert (inner.get("depth"), inner.get("name")) == (3, "outer")
        assert outer.get("depth") == 1


def test_what_one_gets_is_a_copy() -> None:
    with transaction() as outer:
        outer.set("paths", ["a"])
        with transaction() as inner:
            inner.get("paths").append("b")
            assert inner.get("paths") == ["a"]
        outer.get("paths").append("b")
        assert outer.get("paths") == ["a"]


def test_a_value_that_is_not_there_is_the_default_or_an_error() -> None:
    with transaction(), transaction() as inner:
        assert inner.get("x", None) is None
        nothing: list[int] = []
        assert inner.get("x", nothing) is nothing
        with pytest.raises(ValueError, match=r"^'name' takes the name of a value that was set, here or .*, not 'x'\.$"):
            inner.get("x")


def test_a_value_that_is_none_is_there() -> None:
    with transaction() as txn:
        txn.set("x", None)
        assert txn.get("x", 1) is None


def test_a_value_that_cannot_be_copied_says_so() -> None:
    with transaction() as txn:
        txn.set("lock", Lock())
        with pytest.raises(TypeError) as caught:
            txn.get("lock")
    assert caught.value.__notes__ == ["Raised where 'lock' of a transaction was copied for whoever asked for it."]


def test_hooks_see_the_values_on_commit_and_on_rollback() -> None:
    seen: list[tuple[bool, Any]] = []

    def look(txn: Transaction) -> None:
        seen.append((get_transaction() is txn, txn.get("path") + txn.get("suffix")))

    for error in (None, Odd()):
        try:
            with transaction() as outer:
                outer.set("suffix", ".txt")
                with transaction() as inner:
                    inner.set("path", "a")
                    inner.stage(1, [look], [look])
                if error is not None:
                    raise error
        except Odd:
            pass
    assert seen == [(True, "a.txt")] * 2


# Keys.


def test_what_is_staged_is_written_at_the_end_and_not_before(store: ResultStore) -> None:
    with transaction("outer", store) as outer:
        with transaction("inner", store) as inner:
            inner.stage("plank")
        outer.stage("beam")
        assert inner.is_staged()
        assert not store.exists("inner")
    assert inner.is_committed()
    assert (store.read("inner").value, store.read("outer").value) == ("plank", "beam")


def test_an_eager_child_is_written_at_the_end_of_its_own_block(store: ResultStore) -> None:
    with pytest.raises(RollBack, match="enough"), transaction():  # noqa: PT012  # the block is what raises
        with transaction("inner", store, CommitMode.EAGER) as inner:
            inner.stage("plank")
        raise RollBack("enough")
    assert store.read("inner").value == "plank"


def test_the_last_value_that_was_staged_is_written(store: ResultStore) -> None:
    with transaction("k", store) as txn:
        txn.stage(1)
        txn.stage(2)
    assert store.read("k").value == 2


def test_a_key_for_which_nothing_was_staged_is_known_to_be_done(store: ResultStore) -> None:
    with transaction("k", store):
        pass
    with transaction("k", store) as again:
        assert again.is_committed()
        found = again.read()
    assert found is not None
    assert found.value is None


def test_a_record_may_be_staged_and_brings_its_expiration(store: ResultStore) -> None:
    expiration = datetime.now(UTC) + timedelta(days=1)
    with transaction("k", store) as txn:
        txn.stage(store.create_record("k", 1, expiration=expiration))
    assert store.read("k").expiration == expiration


@pytest.mark.anyio
async def test_a_hit_is_committed_as_it_begins_and_keeps_its_record(store: ResultStore, calls: Calls) -> None:
    store.write("k", 1)
    with transaction("k", store) as txn:
        assert txn.is_committed()
        txn.stage(2, [calls.hook("undo")], [calls.hook("do")])
        found = txn.read()
    async with atransaction("k", store) as again:
        assert again.is_committed()
        assert await again.aread() == found
    assert found is not None
    assert found.value == 1
    assert store.read("k").value == 1
    assert not calls.made


def test_a_record_that_has_expired_is_no_hit(store: ResultStore) -> None:
    store.write("k", 1, expiration=datetime.now(UTC) - timedelta(seconds=1))
    with transaction("k", store) as txn:
        assert txn.is_active()


def test_overwriting_does_not_look_for_a_record(store: ResultStore) -> None:
    store.write("k", 1)
    with transaction("k", store, overwrite=True) as txn:
        assert txn.is_active()
        txn.stage(2)
        found = txn.read()
    assert found is not None
    assert found.value == 1
    assert store.read("k").value == 2


def test_reading_what_is_not_there_gives_nothing(store: ResultStore) -> None:
    with transaction("k", store) as txn:
        assert txn.read() is None
    with transaction() as txn:
        assert txn.read() is None


def test_a_transaction_need_not_be_written(store: ResultStore) -> None:
    with transaction("k", store, write_on_commit=False) as txn:
        txn.stage(1)
    assert txn.is_committed()
    assert not store.exists("k")


def test_a_record_that_cannot_be_read_is_passed_over(store: ResultStore, caplog: pytest.LogCaptureFixture) -> None:
    store.storage.write("k", b"nothing that anybody can read")
    with transaction("k", store) as txn:
        assert txn.is_active()
        txn.stage(1)
    assert store.read("k").value == 1
    assert [(each.levelname, each.name) for each in caplog.records] == [("WARNING", "millrace.transactions")]
    assert "What is under the key of transaction 'k' cannot be used, and is passed over." in caplog.text


def test_a_key_without_a_store_uses_the_one_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_LOCAL_STORAGE_PATH", str(tmp_path))
    with transaction("k") as txn:
        txn.stage(1)
    assert ResultStore().read("k").value == 1
    assert list(tmp_path.rglob("*"))


@pytest.mark.anyio
async def test_a_storage_that_may_block_is_used_in_a_thread(tmp_path: Path) -> None:
    loop_thread = asyncio.get_running_loop()

    class Watched(LocalStorage):
        def read(self, key: str) -> bytes:
            assert asyncio._get_running_loop() is None
            return super().read(key)

        def write(self, key: str, blob: bytes) -> None:
            assert asyncio._get_running_loop() is None
            super().write(key, blob)

    store = ResultStore(Watched(tmp_path))
    async with atransaction("k", store) as txn:
        txn.stage(1)
    async with atransaction("k", store) as again:
        found = await again.aread()
    assert again.is_committed()
    assert isinstance(found, ResultRecord)
    assert found.value == 1
    assert asyncio.get_running_loop() is loop_thread


# Modes.


def test_the_children_of_one_that_is_off_are_rolled_back_with_it(store: ResultStore, calls: Calls) -> None:
    with transaction(commit_mode=CommitMode.OFF) as outer, transaction("k", store) as inner:
        inner.stage(1, [calls.hook("undo")])
    assert outer.is_rolled_back()
    assert calls.made == ["undo"]
    assert not store.exists("k")


def test_modes_and_levels_may_be_given_as_text() -> None:
    txn = Transaction(commit_mode="EAGER", isolation_level="SERIALIZABLE")  # type: ignore[arg-type]
    assert txn.commit_mode is CommitMode.EAGER
    assert txn.isolation_level is IsolationLevel.SERIALIZABLE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"commit_mode": "SOON"}, r"^'commit_mode' takes EAGER or LAZY or OFF, not 'SOON'\.$"),
        ({"isolation_level": 1}, r"^'isolation_level' takes READ_COMMITTED or SERIALIZABLE, not 1\.$"),
    ],
)
def test_an_option_that_is_none_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message), transaction(**options):
        raise AssertionError


# Rolling back.


@pytest.mark.parametrize("error", [RollBack("enough"), Odd(), KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_whatever_ends_a_block_rolls_back_and_goes_on_up(error: BaseException, calls: Calls) -> None:
    with pytest.raises(type(error)) as caught, transaction() as txn:  # noqa: PT012  # the block is what raises
        txn.stage(1, [calls.hook("first"), calls.hook("second")], [calls.hook("do")])
        raise error
    assert caught.value is error
    assert txn.is_rolled_back()
    assert calls.made == ["second", "first"]


@pytest.mark.anyio
async def test_hooks_of_both_kinds_are_called_in_blocks_of_both_kinds(calls: Calls) -> None:
    hooks = [calls.hook("sync"), calls.async_hook("async")]

    async def on_loop(error: Exception | None) -> None:
        async with atransaction() as txn:
            txn.stage(1, hooks, hooks)
            if error:
                raise error

    def in_thread(error: Exception | None) -> None:
        with transaction() as txn:
            txn.stage(1, hooks, hooks)
            if error:
                raise error

    await on_loop(None)
    with pytest.raises(Odd):
        await on_loop(Odd())
    await asyncio.to_thread(in_thread, None)
    with pytest.raises(Odd):
        await asyncio.to_thread(in_thread, Odd())
    assert calls.made == ["sync", "async", "async", "sync"] * 2


def test_a_hook_that_raises_is_named_and_stops_nothing(calls: Calls, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RollBack), transaction("totals", ResultStore(MemoryStorage())) as txn:  # noqa: PT012  # the block is what raises
        txn.stage(1, [calls.hook("first"), calls.hook("second", raises=True), calls.hook("third")])
        raise RollBack
    assert calls.made == ["third", "second", "first"]
    record = caplog.records[0]
    assert len(caplog.records) == 1
    assert record.name == "millrace.transactions"
    assert record.getMessage() == "Rollback hook 'second' of transaction 'totals' raised."
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Odd)


def test_a_commit_hook_that_raises_rolls_back_its_transaction(
    store: ResultStore, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction("k", store) as txn:
        txn.stage(1, [calls.hook("undo")], [calls.hook("do", raises=True), calls.hook("more")])
    assert txn.is_rolled_back()
    assert calls.made == ["do", "undo"]
    assert not store.exists("k")
    assert caplog.messages == ["Commit hook 'do' of transaction 'k' raised."]


def test_a_result_that_cannot_be_written_rolls_back_and_the_code_goes_on(
    store: ResultStore, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    with transaction("k", store) as txn:
        txn.stage(lambda: None, [calls.hook("undo")])
    assert txn.is_rolled_back()
    assert calls.made == ["undo"]
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("The result of transaction 'k' is not written, and it is rolled back. Could")


def test_a_storage_that_fails_rolls_back_too(calls: Calls, caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryStorage):
        def write(self, key: str, blob: bytes) -> None:
            raise OSError("no room")

    with transaction("k", ResultStore(Full())) as txn:
        txn.stage(1, [calls.hook("undo")])
    assert calls.made == ["undo"]
    assert caplog.messages == ["The result of transaction 'k' is not written, and it is rolled back."]
    assert txn.is_rolled_back()


def test_errors_go_to_the_logger_that_was_given(calls: Calls, caplog: pytest.LogCaptureFixture) -> None:
    with transaction(logger=logging.getLogger("mine")) as txn:
        txn.stage(1, on_commit_hooks=[calls.hook("do", raises=True)])
    assert [each.name for each in caplog.records] == ["mine"]


def test_what_a_hook_does_in_order_to_undo_something_is_not_undone_with_it(store: ResultStore) -> None:
    def compensate(_: Transaction) -> None:
        with transaction("compensated", store) as inner:
            inner.stage(1)
            with transaction("inside", store) as innermost:
                innermost.stage(2)

    with pytest.raises(RollBack), transaction() as txn:  # noqa: PT012  # the block is what raises
        txn.stage(1, [compensate])
        raise RollBack
    assert (store.read("compensated").value, store.read("inside").value) == (1, 2)


# By hand.


@pytest.mark.anyio
async def test_a_block_may_commit_early_and_once(store: ResultStore, calls: Calls) -> None:
    with pytest.raises(Odd), transaction("k", store) as txn:  # noqa: PT012  # the block is what raises
        txn.stage(1, [calls.hook("undo")], [calls.hook("do")])
        assert txn.commit()
        assert store.read("k").value == 1
        with pytest.raises(TransactionError, match=r"^Cannot commit transaction 'k': it is COMMITTED\."):
            txn.commit()
        with pytest.raises(TransactionError, match=r"^Cannot stage a value in transaction 'k': it is COMMITTED\."):
            txn.stage(2)
        assert not txn.rollback()
        raise Odd
    async with atransaction(commit_mode=CommitMode.OFF) as txn:
        txn.stage(1, [], [calls.async_hook("do")])
        assert await txn.acommit()
    assert calls.made == ["do", "do"]
    assert txn.is_committed()


def test_committing_a_hit_early_writes_nothing(store: ResultStore) -> None:
    store.write("k", 1)
    with transaction("k", store) as txn:
        assert not txn.commit()
    assert store.read("k").value == 1


@pytest.mark.anyio
async def test_a_block_may_roll_back_and_stage_again(store: ResultStore, calls: Calls) -> None:
    with transaction("k", store) as txn:
        txn.stage(1, [calls.hook("undo")])
        assert txn.rollback()
        assert not txn.rollback()
        txn.stage(2)
    assert store.read("k").value == 2
    async with atransaction() as other:
        other.stage(1, [calls.async_hook("undo too")])
        assert await other.arollback()
    assert other.is_rolled_back()
    assert calls.made == ["undo", "undo too"]


def test_a_commit_that_fails_says_so(calls: Calls) -> None:
    with transaction() as txn:
        txn.stage(1, [], [calls.hook("do", raises=True)])
        assert not txn.commit()
    assert txn.is_rolled_back()


def test_a_transaction_is_used_in_its_block_alone() -> None:
    made = Transaction("k", ResultStore(MemoryStorage()))
    with pytest.raises(TransactionError, match=r"^Cannot stage a value in transaction 'k': it is PENDING\. Begin it f"):
        made.stage(1)
    made.begin()
    with pytest.raises(TransactionError, match=r"^Cannot begin transaction 'k': it is ACTIVE\."):
        made.begin()
    made.leave()
    for use in (made.begin, made.commit, made.rollback, made.leave, lambda: made.stage(1)):
        with pytest.raises(TransactionError, match=r"transaction 'k': it is COMMITTED\. "):
            use()
    assert repr(made) == "<transaction 'k' COMMITTED>"


def test_only_functions_are_hooks() -> None:
    with transaction() as txn:
        with pytest.raises(
            ConfigurationError, match=r"^'on_commit_hooks' takes functions of the transaction, not 1\.$"
        ):
            txn.stage(1, [print], [1])  # type: ignore[list-item]
        assert txn.is_active()


def test_the_two_kinds_of_block_are_not_taken_for_each_other() -> None:
    assert not hasattr(atransaction(), "__enter__")
    assert not hasattr(transaction(), "__aenter__")
