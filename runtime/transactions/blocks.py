"""Blocks: `with transaction()` and `async with atransaction()`.

Decides nothing: each begins a transaction and leaves it, one blocking and the other awaiting.
"""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any

from millrace.actors.isolation import IsolationLevel
from millrace.actors.transaction_state import CommitMode
from millrace.runtime.results import ResultStore
from millrace.runtime.transactions.transaction import Transaction


def transaction(  # noqa: PLR0917  # the parameters and their order are Prefect's
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,  # noqa: FBT001, FBT002  # likewise
    write_on_commit: bool = True,  # noqa: FBT001, FBT002  # likewise
    logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
) -> AbstractContextManager[Transaction, None]:
    """Commit together, or roll back together, what is done in the block.

    Tasks that run in the block, and further transactions, become its children, wherever they run. An exception that
    leaves the block rolls back first what the block has staged, then its children, last to first, and goes on up;
    `RollBack` is there to be raised for that. Otherwise children are committed in order, then the block.

    Args:
        key: What the result lies under. If there is a record already, the transaction is COMMITTED as it begins: ask
            `is_committed()`, and `read()` the record. Otherwise a record is written when it commits.
        store: Where; by default the store that the settings say.
        commit_mode: When it commits; by default as the transaction around it does, and LAZY for the outermost.
        isolation_level: SERIALIZABLE holds the lock of the key until the transaction is settled, so that whoever
            wants the same key waits, and finds the record; by default as for the transaction around it, and
            READ_COMMITTED for the outermost.
        overwrite: Do not look for a record; write another one.
        write_on_commit: Whether to write a record at all.
        logger: Where errors of hooks go; by default `millrace.transactions`.

    Returns:
        A context manager that gives the transaction.

    Raises:
        ConfigurationError: an option is none of these, or the store has no lock manager and the level needs one.
        BlockingCallOnLoop: it would have to wait for the lock, on the thread of a running loop.

    Cancellation: an interrupt rolls back, and goes on up when that is done.
    """
    made = Transaction(
        key,
        store,
        commit_mode=commit_mode,
        isolation_level=isolation_level,
        overwrite=overwrite,
        write_on_commit=write_on_commit,
        logger=logger,
    )
    return _Block(made)


def atransaction(  # noqa: PLR0917  # likewise
    key: str | None = None,
    store: ResultStore | None = None,
    commit_mode: CommitMode | None = None,
    isolation_level: IsolationLevel | None = None,
    overwrite: bool = False,  # noqa: FBT001, FBT002  # likewise
    write_on_commit: bool = True,  # noqa: FBT001, FBT002  # likewise
    logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
) -> AbstractAsyncContextManager[Transaction, None]:
    """Like `transaction`, for async code: nothing blocks the loop.

    Args:
        key: As for `transaction`.
        store: As for `transaction`.
        commit_mode: As for `transaction`.
        isolation_level: As for `transaction`.
        overwrite: As for `transaction`.
        write_on_commit: As for `transaction`.
        logger: As for `transaction`.

    Returns:
        An async context manager that gives the transaction.

    Raises:
        ConfigurationError: an option is none of these, or the store has no lock manager and the level needs one.

    Cancellation: in the block it rolls back, and goes on up when that is done, although more cancellations come in
    between. While it waits for the lock, it gives up. In a hook of a commit it ends the hook, and what was not
    committed by then is rolled back.
    """
    made = Transaction(
        key,
        store,
        commit_mode=commit_mode,
        isolation_level=isolation_level,
        overwrite=overwrite,
        write_on_commit=write_on_commit,
        logger=logger,
    )
    return _AsyncBlock(made)


class _Block:
    """What `transaction` gives."""

    def __init__(self, made: Transaction) -> None:
        self._made = made

    def __enter__(self) -> Transaction:
        self._made.begin()
        return self._made

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._made.leave(error)


class _AsyncBlock:
    """What `atransaction` gives. No generator: closing one that waits does not reach the wait."""

    def __init__(self, made: Transaction) -> None:
        self._made = made

    async def __aenter__(self) -> Transaction:
        await self._made.abegin()
        return self._made

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._made.aleave(error)
