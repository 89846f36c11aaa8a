"""Transacted: an attempt whose result is kept, in a transaction of its own.

Decides when that is committed: before the run's end is told, so that nobody reads of a result that is not there; or
with the transaction around. And what a commit and a rollback mean for the run. Where a result lies, and under which
key, is settled by `keeping`; how a transaction goes, by `transactions`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from millrace.actors import ambient
from millrace.actors.errors import BlockingCallOnLoop, ConfigurationError, MillraceError
from millrace.actors.isolation import IsolationLevel
from millrace.actors.made_states import make_looked
from millrace.actors.messages import Propose
from millrace.actors.outcomes import holds_states, judged
from millrace.actors.state_details import RETRYING, Looked
from millrace.actors.states import State, StateDetails, StateType
from millrace.actors.stored_result import Found
from millrace.actors.telling import told_of
from millrace.actors.timestamps import from_nanoseconds
from millrace.actors.transaction_state import Action, CommitMode, Step
from millrace.runtime.effects import Effects
from millrace.runtime.offload import Offload
from millrace.runtime.one_line import engine_logger
from millrace.runtime.recording import Recording
from millrace.runtime.results import ResultRecord, ResultStore, StoredValue
from millrace.runtime.results.locking import QueuedLocks
from millrace.runtime.runs import TaskRun
from millrace.runtime.transactions import Transaction, get_transaction
from millrace.runtime.transactions.transaction import look

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.keeping import Keeping

ROLLED_BACK: Final = "RolledBack"
"""Name of the COMPLETED state of a run whose transaction was rolled back."""

_COMPLETED: Final = StateType.COMPLETED
_OTHER_ENDS: Final = frozenset({
    StateType.FAILED, StateType.CRASHED, StateType.CANCELLED, StateType.CANCELLING,
})  # fmt: skip
_COMMITS: Final = frozenset({Action.COMMIT_HOOK, Action.WRITE})

_logger = engine_logger("results")


class Transacted(Recording):
    """A result in a transaction of its run's own, inside the one that is current where the run was started.

    Args:
        run: The run.
        keeping: How its result is kept; None where it is not.
        key: Under which key a result may be already; None where there is none, or none is looked for.
        cache_key: The key that its policy made.
    """

    __slots__ = (
        "_attempt", "_begun", "_cache_key", "_found", "_holder", "_keeping", "_key", "_known", "_level", "_own_keys",
        "_run", "_transaction", "served",
    )  # fmt: skip

    def __init__(
        self, run: TaskRun, keeping: Keeping | None = None, key: str | None = None, cache_key: str | None = None
    ) -> None:
        self._run = run
        self._keeping = keeping
        self._known = key is not None  # others may have made a result under the key
        self._key = run.uuid.hex if key is None else key
        self._cache_key = cache_key
        self._own_keys = None if keeping is None or key is None or key != cache_key else keeping.own_keys
        self._level = keeping.policy.isolation_level if keeping is not None and self._known else None
        self._transaction: RunTransaction | None = None  # none is made for a result that is there already
        self._begun = False  # and not left
        self._found = False  # a result that was there
        self._attempt = 0  # the one whose result was kept
        self._holder: str | None = None  # of the lock of its key, which it has waited for without a thread
        self.served = False  # it has that now

    def _name(self) -> str:
        return f"task run '{self._run.name}'"

    def postponed(self) -> bool:
        """Whether another run is at work on the key, and this one is to wait for that on one of the engine's threads.

        It waits without: as many runs may have one key as a map has items, and the thread is good for other work.
        """
        run, keeping = self._run, self._keeping
        if self.served or keeping is None or self._level is not IsolationLevel.SERIALIZABLE:
            return False
        locks = keeping.store.lock_manager
        if not isinstance(locks, QueuedLocks) or not isinstance(run.lane, Offload) or run.task.is_async:
            return False
        if get_transaction() is not None:
            return False  # the tree that it belongs to may have the lock
        self._holder = str(ambient.new_id())
        keeping.waiting[run.id] = self
        if not locks.request_lock(self._key, self._holder, self._serve):
            return True
        self.served = True
        del keeping.waiting[run.id]
        return False

    def _serve(self) -> bool:
        """The lock is there: put the run in line. Whether it wants that still; not where it has ended meanwhile."""
        self.served = True
        if self._run.ended:
            return self._keeping is None or self._keeping.waiting.pop(self._run.id, None) is None
        self._run.lane.dispatch(self._run)
        return True

    def give_up(self) -> None:
        """Give the lock to the next, as the run is not to begin after all."""
        keeping, holder = self._keeping, self._holder
        if keeping is not None and holder is not None and keeping.waiting.pop(self._run.id, None) is not None:
            locks = keeping.store.lock_manager
            assert locks is not None  # it has granted one
            with suppress(ConfigurationError):  # it never can
                locks.release_lock(self._key, holder)

    async def begin(self, fx: Effects) -> State[Any] | None:
        """Look for a result under the key, and begin the transaction where there is none."""
        keeping = self._keeping
        refresh = keeping is None or keeping.refresh
        record: ResultRecord[Any] | None = None
        looks = self._known and not refresh
        locks = self._level is IsolationLevel.SERIALIZABLE
        # Without locks, and without a transaction around that may have one staged, looking takes no transaction.
        alone = looks and not locks and get_transaction() is None
        if alone and self._own_keys is not None and self._own_keys.unused(self._key):
            alone = looks = False
        if alone and keeping is not None:
            record = await look(keeping.store, self._key, fx, self._name)
        if record is None:
            record = await self._begin(fx, looks=looks and not alone)
        self._found = record is not None
        if record is None and self._cache_key is None:
            return None
        again = self._run.run_count > 0 and self._run.type is StateType.SCHEDULED
        expires = None if record is None else record.expiration
        found = None if record is None else Found(self._in_state(record), expires)
        return make_looked(RETRYING if again else None, found, Looked(self._cache_key, expires, refresh or None))

    async def _begin(self, fx: Effects, *, looks: bool) -> ResultRecord[Any] | None:
        """Begin the transaction. Where a result is looked for with that, what is found."""
        run, keeping = self._run, self._keeping
        transaction = RunTransaction(
            run,
            None if keeping is None else self._key,
            None if keeping is None else keeping.store,
            isolation_level=self._level,
            overwrite=not looks,
        )
        transaction.holder = self._holder
        try:
            await transaction._begin(fx)  # noqa: SLF001
        except BlockingCallOnLoop:
            name = run.task.name
            call = f"{name}(...), whose result another run is making,"
            raise BlockingCallOnLoop(call, f"await {name}.submit(...)") from None
        self._transaction = transaction
        self._begun = True
        return transaction.read() if transaction.hit else None

    async def keep(self, value: Any, fx: Effects) -> Any:
        """Commit the transaction, and with that write the result; or stage it for the transaction around.

        All of it before anybody can know that the run has ended: whoever reads that it is COMPLETED finds the result,
        and whoever ends the block around it settles it, too.
        """
        run, transaction, keeping = self._run, self._transaction, self._keeping
        assert transaction is not None  # a result that was there has no body that makes another
        task = run.task
        plain = not holds_states(value)
        result = value
        if not plain:
            state = judged(value)
            if not state.is_completed():
                return value
            result = state.data
        record: ResultRecord[Any] | None = None
        if keeping is not None:
            if self._own_keys is not None:
                self._own_keys.use(self._key)
            record = self._record(keeping, result)
            if not transaction.waits or await self._can_be_written(keeping.store, record, fx):
                transaction.write_on_commit = True
                if transaction.waits and plain and not task.cache_result_in_memory:
                    value = transaction.staged_result = StagedValue(keeping.store, record)
        transaction.stage(
            record, on_rollback_hooks=[undo, *task.on_rollback_hooks], on_commit_hooks=task.on_commit_hooks
        )
        self._attempt = run.run_count
        self._begun = False
        await transaction._leave(fx, None)  # noqa: SLF001
        if transaction.is_rolled_back():
            return transaction.rolled_back(value if plain else result)
        if transaction.written and plain and keeping is not None and not task.cache_result_in_memory:
            return StoredValue(keeping.store, self._key)
        return value

    async def leave(self, fx: Effects, error: BaseException | None = None) -> None:
        """Roll the transaction back where this attempt has kept no result."""
        run, transaction = self._run, self._transaction
        if transaction is None:
            return
        completed = run.type is _COMPLETED and (self._found or self._attempt == run.run_count)
        if self._begun:
            self._begun = False
            if not completed and error is None and (not run.ended or run.type is _COMPLETED):
                # Only this attempt came to nothing: what was done around it, and what comes after it, stands.
                transaction.parent = None
            failed = None if completed else error or _NotCompleted()
            await transaction._leave(fx, failed)  # noqa: SLF001
        if completed and transaction.is_rolled_back():
            transaction.tell()

    async def _can_be_written(self, store: ResultStore, record: ResultRecord[Any], fx: Effects) -> bool:
        """Whether a result can be written when the transaction around is committed: else it would be rolled back."""
        try:
            if store.blocking:
                await fx.io(store.serialized, record)
            else:
                store.serialized(record)
        except Exception as error:  # noqa: BLE001  # values and serializers bring code of their own
            warn_of(self._run, error)
            return False
        return True

    def _record(self, keeping: Keeping, result: Any) -> ResultRecord[Any]:
        expires: datetime | None = None
        if self._run.task.cache_expiration is not None:
            with suppress(OverflowError):  # after the last day of the calendar, which is never
                expires = from_nanoseconds(self._run.node.now()) + self._run.task.cache_expiration
        return keeping.store.create_record(self._key, result, expiration=expires)

    def _in_state(self, record: ResultRecord[Any]) -> Any:
        """What stands for a result that was there already: itself, or where it lies. If it was staged only: itself."""
        keeping, transaction = self._keeping, self._transaction
        staged = transaction is not None and transaction.waits
        if keeping is None or staged or self._run.task.cache_result_in_memory:
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
    """Stands among the rollback hooks of a run's transaction, called last: see `RunTransaction.perform`."""


class RunTransaction(Transaction):
    """The transaction of one attempt of a task run.

    Args:
        run: The run.
        key: What its result lies under; None where it is not kept.
        store: Where.
        **options: As for `Transaction`.
    """

    def __init__(self, run: TaskRun, key: str | None, store: ResultStore | None, **options: Any) -> None:
        super().__init__(None, store, **options)
        self.key = key
        self.write_on_commit = False  # until it is known that there is a result, and that it can be written
        self.run = run
        self.written = False
        self.staged_result: StagedValue | None = None  # in the run's state, until it is written
        self._untold = [None]  # empty once the run knows of its rollback; whoever takes it out tells the run

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"the transaction of task run '{self.run.name}'"

    @property
    def waits(self) -> bool:
        """Whether it is committed together with the transaction around it."""
        return self.parent is not None and self.commit_mode is not CommitMode.EAGER

    async def perform(self, step: Step, fx: Effects) -> None:
        """Do what a step asks for; but commit nothing of a run that has come to another end since."""
        if step.hook is undo:
            self.tell()
            return
        if step.action in _COMMITS and self.run.type in _OTHER_ENDS:
            raise _NotCompleted
        if step.action is Action.WRITE:
            await self._keep(fx)
        else:
            await super().perform(step, fx)

    async def _keep(self, fx: Effects) -> None:
        try:
            await self.write_staged(fx)
        except Exception as error:
            if self.waits:
                raise
            warn_of(self.run, error)
            return
        self.written = self.write_on_commit
        if self.staged_result is not None:
            self.staged_result.written()

    def report(self, step: Step, error: Exception) -> None:
        """Log what went wrong in a step."""
        if not isinstance(error, _NotCompleted):
            super().report(step, error)

    def tell(self) -> None:
        """Have the run know that it was rolled back: once, and when it is COMPLETED."""
        run = self.run
        if run.type is _COMPLETED and self._untold:
            with suppress(IndexError):  # another thread was quicker
                self._untold.pop()
                run.tell(Propose(self._state(run.state.data), run.node.now(), force=True))

    def rolled_back(self, data: Any) -> State[Any]:
        """What a run comes to that was rolled back before its end: nobody has to tell it then."""
        self._untold.clear()
        return self._state(data)

    def _state(self, data: Any) -> State[Any]:
        run = self.run
        if run.scope.replay is not None:
            run.scope.replay.rolled_back(run.id)
        return State(
            type=_COMPLETED,
            name=ROLLED_BACK,
            message="It was rolled back with its transaction.",
            data=data,  # it can be taken still, but lies in no storage
            state_details=StateDetails(cache_key=run.cache_key),
        )


def warn_of(run: TaskRun | FlowRun, error: Exception) -> None:
    """Log that the result of a run is not kept, which is no failure of the run."""
    kind = "flow" if run.is_flow else "task"
    reason = error if isinstance(error, MillraceError) else told_of(error)
    _logger.warning("The result of %s run '%s' is not kept. %s", kind, run.name, reason)


class _NotCompleted(Exception):  # tells a transaction that its block has failed, and goes nowhere else
    """The run did not come to a result."""
