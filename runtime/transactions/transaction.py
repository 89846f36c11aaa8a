"""Transactions: what one is for those who use it, and how it does what the rules ask for.

Decides what its options mean, whose child it is, what is a hit, and how a result is written. What follows what, and in
which order, `actors.transaction_state` decides. Everything is written once, as coroutines over effects.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from millrace.actors.errors import ConfigurationError, SerializationError, StorageError
from millrace.actors.isolation import IsolationLevel
from millrace.actors.transaction_state import Action, CommitMode, Hook, Step, TransactionNode, commit, leave, roll_back
from millrace.runtime.effects import BLOCKING, ON_LOOP, Effects, SeenThrough, run_blocking
from millrace.runtime.engine import current_scope
from millrace.runtime.hooks import name_of_hook
from millrace.runtime.one_line import engine_logger
from millrace.runtime.results import LockManager, ResultRecord, ResultStore
from millrace.runtime.transactions.family import Family, KeyLock
from millrace.runtime.transactions.walking import walk

E = TypeVar("E", bound=StrEnum)

_UNSET: Final = object()
_logger = engine_logger("transactions")


class _Place(NamedTuple):
    """Where code is, with respect to transactions.

    Args:
        transaction: The innermost one.
        in_hook: The code belongs to a hook of it. What begins there stands alone: else what a hook does in order to
            undo something would be rolled back with what it undoes.
    """

    transaction: Transaction
    in_hook: bool = False


_PLACE: ContextVar[_Place | None] = ContextVar("millrace_transaction", default=None)


def get_transaction() -> Transaction | None:
    """The innermost transaction that this code belongs to; None outside of any."""
    place = _PLACE.get()
    return None if place is None else place.transaction


class Transaction(TransactionNode):
    """What `transaction()` and `atransaction()` give. They begin it and leave it.

    Args:
        key: As for `transaction`.
        store: As for `transaction`.
        commit_mode: As for `transaction`.
        isolation_level: As for `transaction`.
        overwrite: As for `transaction`.
        write_on_commit: As for `transaction`.
        logger: As for `transaction`.

    Raises:
        ConfigurationError: an option is none of these.
    """

    def __init__(
        self,
        key: str | None = None,
        store: ResultStore | None = None,
        *,
        commit_mode: CommitMode | None = None,
        isolation_level: IsolationLevel | None = None,
        overwrite: bool = False,
        write_on_commit: bool = True,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> None:
        super().__init__(f"transaction '{key}'" if key else "the transaction", _chosen(CommitMode, commit_mode))
        self.key: str | None = key or None
        self.store: ResultStore | None = ResultStore() if key and store is None else store
        self.isolation_level = _chosen(IsolationLevel, isolation_level)
        self.overwrite = overwrite
        self.write_on_commit = write_on_commit
        self.logger: logging.Logger | logging.LoggerAdapter[Any] = logger or _logger
        self.lock: KeyLock | None = None  # of its key, while it has it
        self.holder: str | None = None  # who has taken that for it, before it begins; None for nobody
        self.turn: str | None = None  # with that key in its tree, while it has it
        self.family: Family | None = None  # once it has begun
        self._outside: _Place | None = None  # where its block stands
        self._values: dict[str, Any] = {}
        self.staged_value: Any = None  # what is to be written, or its record
        self._record: ResultRecord[Any] | None = None  # of a hit

    def __repr__(self) -> str:
        return f"<{self.name} {self.state}>"

    # In the block.

    def set(self, name: str, value: Any) -> None:
        """Keep a value for this transaction, its children, and the hooks of all of them.

        Args:
            name: Under which name.
            value: Anything that can be copied.
        """
        self._values[name] = value

    def get(self, name: str, default: Any = _UNSET) -> Any:
        """A copy of a value that was kept here, or else in the transactions around.

        Args:
            name: The name.
            default: What to give where there is none.

        Raises:
            ValueError: there is none, and no default either.
        """
        value = self._values.get(name, _UNSET)
        if value is not _UNSET:
            return _copied(name, value)
        if self.parent is not None:
            return self.parent.get(name, default)
        if default is _UNSET:
            raise ConfigurationError("name", name, "the name of a value that was set, here or in a transaction around")
        return default

    def read(self) -> ResultRecord[Any] | None:
        """The record under the key; None where there is none, or no key. For a hit, the one that was found.

        Raises:
            SerializationError: what is there cannot be read.
            StorageError: the storage cannot tell.
        """
        return run_blocking(self._read(BLOCKING))

    async def aread(self) -> ResultRecord[Any] | None:
        """Like `read`. Cancellation: only the wait ends."""
        return await self._read(ON_LOOP)

    def stage(
        self,
        value: Any,
        on_rollback_hooks: Iterable[Hook] | None = None,
        on_commit_hooks: Iterable[Hook] | None = None,
    ) -> None:
        """Say what is to be written when this commits. A hit keeps its record, and nothing happens.

        Args:
            value: The result, or its record. In place of what was staged before.
            on_rollback_hooks: To be called with the transaction when it is rolled back, last to first, sync or async.
            on_commit_hooks: To be called with the transaction before it is written, in order, sync or async; what one
                of them raises rolls it back.

        Raises:
            TransactionError: it is committed, or not in its block.
            ConfigurationError: something that is no function is among the hooks.
        """
        rollback_hooks = _functions("on_rollback_hooks", on_rollback_hooks)
        if self.add(rollback_hooks, _functions("on_commit_hooks", on_commit_hooks)):
            self.staged_value = value

    # The way of a transaction. Blocks do this by themselves.

    def begin(self) -> None:
        """Begin the block: as `with transaction(...)` does."""
        current_scope().begin_transactions()
        run_blocking(self._begin(BLOCKING))

    async def abegin(self) -> None:
        """Begin the block: as `async with atransaction(...)` does. Cancellation: it has not begun."""
        current_scope().begin_transactions()
        await self._begin(ON_LOOP)

    def commit(self) -> bool:
        """Commit now, and not at the end of the block.

        Returns:
            Whether it is committed by that; False for a hit, and where it had to be rolled back.

        Raises:
            TransactionError: it is settled already, or not in its block.
        """
        return run_blocking(self._commit(BLOCKING))

    async def acommit(self) -> bool:
        """Like `commit`. Cancellation: what is not committed by then is rolled back."""
        return await self._commit(ON_LOOP)

    def rollback(self) -> bool:
        """Roll back now, without an exception. The block goes on, and may stage again.

        Returns:
            Whether it is rolled back by that.

        Raises:
            TransactionError: it is not in its block.
        """
        return run_blocking(self._rollback(BLOCKING))

    async def arollback(self) -> bool:
        """Like `rollback`. Cancellation: goes on up when all is done."""
        return await self._rollback(ON_LOOP)

    def leave(self, error: BaseException | None = None) -> None:
        """End the block: as `with transaction(...)` does.

        Args:
            error: The exception that ends it.
        """
        run_blocking(self._leave(BLOCKING, error))

    async def aleave(self, error: BaseException | None = None) -> None:
        """End the block: as `async with atransaction(...)` does. Cancellation: as for `atransaction`."""
        await self._leave(ON_LOOP, error)

    # The same over effects.

    async def _begin(self: Transaction, fx: Effects) -> None:
        self.check_new()
        outside = _PLACE.get()
        around = None if outside is None or outside.in_hook else outside.transaction
        family = Family() if around is None or around.family is None else around.family
        level = self.isolation_level or (around and around.isolation_level) or IsolationLevel.READ_COMMITTED
        manager = self._lock_manager(level)
        try:
            if manager is not None:
                await family.take(self, around, manager, fx)
            record = self._record = await self._found(fx)
            if record is not None:
                await self._done_with_lock(family, fx)
        except BaseException as error:
            await self._done_with_lock(family, BLOCKING if isinstance(error, GeneratorExit) else fx)
            raise
        self.isolation_level = level
        self.locked: bool = self.lock is not None
        self.begun(around, family.guard, hit=record is not None)
        self.family = family
        self._outside = outside
        _PLACE.set(_Place(self))

    async def _commit(self, fx: Effects) -> bool:
        await walk(commit(self), fx)
        return self.is_committed() and not self.hit

    async def _rollback(self, fx: Effects) -> bool:
        before = self.verdict
        await walk(roll_back(self), fx)
        return before is None and self.is_rolled_back()

    async def _leave(self, fx: Effects, error: BaseException | None) -> None:
        steps = leave(self, failed=error is not None)
        try:
            await walk(steps, BLOCKING if isinstance(error, GeneratorExit) else fx)
        finally:
            assert self.family is not None
            self.family.end_turn(self)
            place = _PLACE.get()
            if place is not None and place.transaction is self:  # else it is left in another context
                _PLACE.set(self._outside)

    async def _read(self, fx: Effects) -> ResultRecord[Any] | None:
        if self._record is not None or self.key is None or self.store is None:
            return self._record
        find, key = self.store.find, self.key
        record: ResultRecord[Any] | None = await fx.io(find, key) if self.store.blocking else find(key)
        return record

    # How it does what it has to.

    def _lock_manager(self, level: IsolationLevel) -> LockManager | None:
        """Who locks the key, if it is to be locked."""
        if self.key is None or self.store is None or level is not IsolationLevel.SERIALIZABLE:
            return None
        manager = self.store.lock_manager
        if manager is None and self.isolation_level is not None:  # one that comes from around holds where it can
            raise ConfigurationError(
                "isolation_level",
                level,
                "READ_COMMITTED where the store has no lock manager, as with ResultStore(...,"
                " lock_manager=MemoryLockManager())",
            )
        return manager

    async def _found(self, fx: Effects) -> ResultRecord[Any] | None:
        """The record that makes this a hit."""
        if self.key is None or self.store is None or self.overwrite:
            return None
        staged = None if self.lock is None else self.lock.staged
        if staged is not None and staged.is_staged():
            value = staged.staged_value
            return value if isinstance(value, ResultRecord) else self.store.create_record(self.key, value)
        return await look(self.store, self.key, fx, lambda: self.name, self.logger)

    async def _done_with_lock(self, family: Family, fx: Effects) -> None:
        """Give the lock back, where it was taken: a hit needs none, and neither does what has not begun."""
        lock = self.lock
        family.end_turn(self)
        if lock is None or lock.in_memory or fx is BLOCKING:
            await family.give_back(self, fx)
            return
        through = SeenThrough()
        await family.give_back(self, through)
        if through.interrupt is not None:
            raise through.interrupt

    async def perform(self, step: Step, fx: Effects) -> None:
        """Do what a step asks for."""
        if step.action is Action.WRITE:
            await self.write_staged(fx)
        elif step.action is Action.RELEASE:
            assert self.family is not None
            await self.family.give_back(self, fx)
        elif step.hook is not None:
            token = _PLACE.set(_Place(self, in_hook=True))
            try:
                await fx.call(step.hook, self)
            finally:
                with suppress(ValueError):  # closed, in another context
                    _PLACE.reset(token)

    async def write_staged(self, fx: Effects) -> None:
        """Write what is staged, where that has a place."""
        key, store, staged = self.key, self.store, self.staged_value
        if key is None or store is None or not self.write_on_commit:
            return
        write: Callable[[], Any] = (
            partial(store.persist, staged) if isinstance(staged, ResultRecord) else partial(store.write, key, staged)
        )
        if store.blocking:
            await fx.io(write)
        else:
            write()

    def report(self, step: Step, error: Exception) -> None:
        """Log what went wrong in a step."""
        if step.hook is not None:
            kind = "Commit" if step.action is Action.COMMIT_HOOK else "Rollback"
            self.logger.error("%s hook '%s' of %s raised.", kind, name_of_hook(step.hook), self.name, exc_info=error)
        elif isinstance(error, SerializationError):
            self.logger.warning("The result of %s is not written, and it is rolled back. %s", self.name, error)
        elif step.action is Action.WRITE:
            self.logger.error("The result of %s is not written, and it is rolled back.", self.name, exc_info=error)
        else:
            self.logger.error("The lock of %s could not be given back.", self.name, exc_info=error)


async def look(
    store: ResultStore,
    key: str,
    fx: Effects,
    name: Callable[[], str],
    logger: logging.Logger | logging.LoggerAdapter[Any] = _logger,
) -> ResultRecord[Any] | None:
    """Look for a record; one that cannot be used is as good as none.

    Args:
        store: Where.
        key: What it lies under.
        fx: How it is read.
        name: Gives who looks, for a warning.
        logger: Where that goes.
    """
    try:
        found: ResultRecord[Any] | None = await fx.io(store.find, key) if store.blocking else store.find(key)
    except (SerializationError, StorageError) as error:
        logger.warning("What is under the key of %s cannot be used, and is passed over. %s", name(), error)
        return None
    return found


def _chosen(kind: type[E], value: E | str | None) -> E | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        name = "commit_mode" if issubclass(kind, CommitMode) else "isolation_level"
        raise ConfigurationError(name, value, " or ".join(kind)) from None


def _functions(option: str, hooks: Iterable[Hook] | None) -> list[Hook]:
    given = list(hooks or ())
    for each in given:
        if not callable(each):
            raise ConfigurationError(option, each, "functions of the transaction")
    return given


def _copied(name: str, value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception as error:
        error.add_note(f"Raised where '{name}' of a transaction was copied for whoever asked for it.")
        raise
