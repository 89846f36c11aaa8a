"""Transacted: an attempt whose result is kept, in a transaction of its own.

Decides when a result is written: before the run's end is told, so that nobody reads of one that is not there; or with
the transaction around. And what a commit and a rollback mean for the run. Where a result lies, and under which key, is
settled by `keeping`; how a transaction goes, by `transactions`.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import BlockingCallOnLoop, MillraceError
from millrace.actors.messages import Propose
from millrace.actors.outcomes import return_value_to_state
from millrace.actors.run import RETRYING
from millrace.actors.states import State, StateDetails, StateType
from millrace.actors.stored_result import Found
from millrace.actors.task_run import holds_states
from millrace.actors.timestamps import from_nanoseconds
from millrace.actors.transaction_state import Action, CommitMode, Step
from millrace.runtime.effects import Effects
from millrace.runtime.recording import Recording
from millrace.runtime.results import ResultRecord, ResultStore, StoredValue
from millrace.runtime.runs import TaskRun
from millrace.runtime.transactions import Transaction

if TYPE_CHECKING:
    from millrace.runtime.keeping import Keeping

ROLLED_BACK: Final = "RolledBack"
"""Name of the COMPLETED state of a run whose transaction was rolled back."""

_COMPLETED: Final = StateType.COMPLETED
_OTHER_ENDS: Final = frozenset({
    StateType.FAILED, StateType.CRASHED, StateType.CANCELLED, StateType.CANCELLING,
})  # fmt: skip
_COMMITS: Final = frozenset({Action.COMMIT_HOOK, Action.WRITE})

_logger = logging.getLogger("millrace.results")


class Transacted(Recording):
    """A result in a transaction of its run's own, inside the one that is current where the run was started.

    Args:
        run: The run.
        keeping: How its result is kept; None where it is not.
        key: Under which key a result may be already; None where there is none, or none is looked for.
        cache_key: The key that its policy made.
    """

    __slots__ = ("_attempt", "_begun", "_cache_key", "_expires", "_keeping", "_key", "_run", "_transaction")

    def __init__(
        self, run: TaskRun, keeping: Keeping | None = None, key: str | None = None, cache_key: str | None = None
    ) -> None:
        self._run = run
        self._keeping = keeping
        self._key = run.uuid.hex if key is None else key
        self._cache_key = cache_key
        self._expires: datetime | None = None
        self._begun = False  # and not left
        self._attempt = 0  # the one whose result was kept
        self._transaction = RunTransaction(
            run,
            None if keeping is None else self._key,
            None if keeping is None else keeping.store,
            isolation_level=None if keeping is None or key is None else keeping.policy.isolation_level,
            overwrite=keeping is None or key is None or keeping.refresh,
        )

    async def begin(self, fx: Effects) -> State[Any] | None:
        """Begin the transaction, and look for a result under the key."""
        run, transaction = self._run, self._transaction
        try:
            await transaction._begin(fx)  # noqa: SLF001
        except BlockingCallOnLoop:
            name = run.task.name
            call = f"{name}(...), whose result another run is making,"
            raise BlockingCallOnLoop(call, f"await {name}.submit(...)") from None
        self._begun = True
        found: Found | None = None
        if transaction.hit:
            record = transaction.read()
            assert record is not None  # it is what makes it a hit
            found = Found(self._found(record), record.expiration)
        elif self._cache_key is None:
            return None
        again = run.run_count > 0 and run.type is StateType.SCHEDULED
        return State(
            type=StateType.RUNNING,
            name=RETRYING if again else None,
            data=found,
            state_details=StateDetails(cache_key=self._cache_key, refresh_cache=transaction.overwrite or None),
        )

    async def keep(self, value: Any, fx: Effects) -> Any:
        """Write the result, or stage it for the transaction around; with the hooks of the task."""
        run, transaction = self._run, self._transaction
        result = value
        if holds_states(value):
            state = return_value_to_state(value)
            if not state.is_completed():
                return value
            result = state.data
        record: ResultRecord[Any] | None = None
        keeping = self._keeping
        if keeping is not None:
            record = self._record(keeping, result)
            if await self._write(keeping.store, record, fx) and result is value:
                value = self._in_state(keeping, record)
        task = run.task
        transaction.stage(
            record, on_rollback_hooks=[undo, *task.on_rollback_hooks], on_commit_hooks=task.on_commit_hooks
        )
        self._attempt = run.run_count
        if transaction.waits:
            # Before anybody can know that the run has ended, and end the block around it.
            self._begun = False
            await transaction._leave(fx, None)  # noqa: SLF001
        return value

    async def leave(self, fx: Effects, error: BaseException | None = None) -> None:
        """Commit the transaction, or roll it back where the run did not come to a result by this attempt."""
        run, transaction = self._run, self._transaction
        completed = run.type is _COMPLETED and (transaction.hit or self._attempt == run.run_count)
        if self._begun:
            self._begun = False
            if not completed and error is None and (not run.ended or run.type is _COMPLETED):
                # Only this attempt came to nothing: what was done around it, and what comes after it, stands.
                transaction.parent = None
            failed = None if completed else error or _NotCompleted()
            await transaction._leave(fx, failed)  # noqa: SLF001
        if completed and transaction.is_rolled_back():
            transaction.tell()

    async def _write(self, store: ResultStore, record: ResultRecord[Any], fx: Effects) -> bool:
        """Write a result now, or see whether it can be written when the transaction around is committed."""
        transaction = self._transaction
        write = store.serialized if transaction.waits else store.persist
        try:
            if store.blocking:
                await fx.io(write, record)
            else:
                write(record)
        except Exception as error:  # noqa: BLE001  # values, serializers and storages bring code of their own
            reason = error if isinstance(error, MillraceError) else f"{type(error).__name__}: {error}"
            _logger.warning("The result of task run '%s' is not kept. %s", self._run.name, reason)
            return False
        transaction.write_on_commit = transaction.waits
        transaction.written = not transaction.waits
        return True

    def _record(self, keeping: Keeping, result: Any) -> ResultRecord[Any]:
        expires: datetime | None = None
        if self._run.task.cache_expiration is not None:
            with suppress(OverflowError):  # after the last day of the calendar, which is never
                expires = from_nanoseconds(self._run.node.now()) + self._run.task.cache_expiration
        return keeping.store.create_record(self._key, result, expiration=expires)

    def _in_state(self, keeping: Keeping, record: ResultRecord[Any]) -> Any:
        """What stands for a result in the state: itself, or where it lies."""
        if self._run.task.cache_result_in_memory:
            return record.value
        if not self._transaction.waits:
            return StoredValue(keeping.store, self._key)
        staged = self._transaction.staged_result = StagedValue(keeping.store, record)
        return staged


    def _found(self, record: ResultRecord[Any]) -> Any:
        """The same, for a result that was there already: one that only was staged lies nowhere yet."""
        keeping = self._keeping
        if keeping is None or self._transaction.waits or self._run.task.cache_result_in_memory:
            return record.value
        return StoredValue(keeping.store, self._key)


class StagedValue(StoredValue):
    """A value that will lie in a result store when the transaction around its run is committed. Until then it is here.

    Args:
        store: Where it will lie.
        record: Its record.
    """

    __slots__ = ("_record",)

    def __init__(self, store: ResultStore, record: ResultRecord[Any]) -> None:
        super().__init__(store, record.key)
        self._record: ResultRecord[Any] | None = record

    def written(self) -> None:
        """It has been written: it can be read where it lies."""
        self._record = None

    @property
    def blocking(self) -> bool:
        """Whether reading it may block."""
        return self._record is None and super().blocking

    def load(self) -> Any:
        """Read the value."""
        record = self._record
        return super().load() if record is None else record.value

    async def aload(self) -> Any:
        """Read the value. Cancellation: as for `StoredValue.aload`."""
        record = self._record
        return await super().aload() if record is None else record.value


def undo(_transaction: Transaction) -> None:
    """Stands among the hooks of a run's transaction, first of all: see `RunTransaction.perform`."""


class RunTransaction(Transaction):
    """The transaction of one attempt of a task run.

    Args:
        run: The run.
        key: What its result lies under; None where it is not kept.
        store: Where.
        **options: As for `Transaction`.
    """

    def __init__(self, run: TaskRun, key: str | None, store: ResultStore | None, **options: Any) -> None:
        super().__init__(key, store, **options)
        self.name = f"the transaction of task run '{run.name}'"
        self.write_on_commit = False  # until it is known that the result can be written
        self.run = run
        self.written = False  # the result, before the run's end was told
        self.staged_result: StagedValue | None = None  # in the run's state, until it is written
        self._untold = [ROLLED_BACK]  # empty once the run knows; whoever takes it out tells the run

    @property
    def waits(self) -> bool:
        """Whether it is committed together with the transaction around it."""
        return self.parent is not None and self.commit_mode is not CommitMode.EAGER

    async def perform(self, step: Step, fx: Effects) -> None:
        """Do what a step asks for; but commit nothing of a run that has come to another end since."""
        if step.hook is undo:
            self.tell()
            if self.written and self.store is not None:
                await self._io(fx, self.store.delete, self.key)
            return
        if step.action in _COMMITS and self.run.type in _OTHER_ENDS:
            raise _NotCompleted
        await super().perform(step, fx)
        if step.action is Action.WRITE and self.staged_result is not None:
            self.staged_result.written()

    def report(self, step: Step, error: Exception) -> None:
        """Log what went wrong in a step."""
        if step.hook is undo:
            _logger.warning("The result of task run '%s' is still there, though rolled back. %s", self.run.name, error)
        elif not isinstance(error, _NotCompleted):
            super().report(step, error)

    def tell(self) -> None:
        """Have the run know that it was rolled back: once, and when it is COMPLETED."""
        run = self.run
        if run.type is not _COMPLETED or not self._untold:
            return
        with suppress(IndexError):  # another thread was quicker
            name = self._untold.pop()
            state = State[Any](
                type=_COMPLETED,
                name=name,
                message="It was rolled back with its transaction.",
                data=run.state.data,
                state_details=StateDetails(cache_key=run.state.state_details.cache_key),
            )
            if run.scope.replay is not None:
                run.scope.replay.rolled_back(run.id)
            run.tell(Propose(state, run.node.now(), force=True))


class _NotCompleted(Exception):  # noqa: N818  # tells a transaction that its block has failed, and goes nowhere else
    """The run did not come to a result."""
