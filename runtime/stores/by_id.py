"""By id: runs of a store, told what to do from any process.

Decides whom to ask: the process that has the store open, where one has; a run that nobody runs is dealt with here,
after this process has opened the store itself. Says which runs cannot be told anything, and why. Each function blocks
until the other process has answered.
"""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from uuid import UUID

import attrs

from millrace.actors.errors import (
    AmbiguousRunId,
    BlockingCallOnLoop,
    ConfigurationError,
    MillraceError,
    NotPausedError,
    OwnerUnreachable,
    RunEnded,
    RunNotFound,
    StoreError,
)
from millrace.actors.states import State
from millrace.actors.stored_result import MISSING
from millrace.runtime.engine import Engine
from millrace.runtime.engines import default_engine, engine_at_hand, engine_that_runs
from millrace.runtime.futures import FlowFuture
from millrace.runtime.lending import lend
from millrace.runtime.running import running_loop
from millrace.runtime.settings import STORE
from millrace.runtime.sources import PromiseSource
from millrace.runtime.stores.control import PATIENCE_SECONDS, NobodyListens, Reply, Request, error_of
from millrace.runtime.stores.encoding import decode, serializer_for, state_of
from millrace.runtime.stores.opening import store_of
from millrace.runtime.stores.reading import by_prefix
from millrace.runtime.stores.resuming import start_suspended
from millrace.runtime.stores.rows import FlowRunRow
from millrace.runtime.stores.sealing import result_of
from millrace.runtime.stores.steering import obey, pause_refused
from millrace.runtime.tracking import FlowRunResult
from millrace.runtime.waiting import block_until_done

if TYPE_CHECKING:
    from millrace.runtime.stores.port import Store

T = TypeVar("T")

_EXPECTED: Final = "the URL of a store, as 'sqlite:///runs.db'; or set MILLRACE_STORE"


@attrs.frozen
class Steered:
    """A store, as far as the process that has it open can be asked for something.

    Args:
        store: The store.
        engine: The engine of this process that has it open; None where none is known to have.
        made: The store was made for this, and is let go of at the end of a `with` block. It may be used after that, and
            be let go of again.
    """

    store: Store
    engine: Engine | None = None
    made: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.made:
            self.store.close()

    @classmethod
    def of(cls, option: Store | str | None) -> Steered:
        """The store that is meant: the one that is given, else that of the engine at hand, else that of the settings.

        Raises:
            ConfigurationError: there is none.
        """
        engine = engine_at_hand()
        store = None if engine is None or engine.chronicle is None else engine.chronicle.writer.store
        if store is not None and (option is None or option is store):
            return cls(store, engine)
        url = STORE.read() if option is None else option
        if url is None:
            raise ConfigurationError("store", None, _EXPECTED)
        return cls(store_of(url), made=isinstance(url, str))

    def ask(self, request: Request, patience: float | None = PATIENCE_SECONDS) -> Reply:
        """Ask something of whoever has the store open, and wait for the answer. See `control.Control.ask`."""
        control = self.store.control
        if self.engine is None:
            if control is None:
                raise NobodyListens
            return control.ask(request, patience)
        if control is not None and control.is_shared and not _runs(self.engine, request.run):
            with suppress(NobodyListens):
                return control.ask(request, patience)
        return _ask_here(self.engine, request)

    def ask_or_do(self, request: Request, patience: float | None = PATIENCE_SECONDS) -> Reply:
        """Ask for something; where nobody has the store open, open it and do that here.

        Raises:
            StoreInUse: somebody has just opened it.
        """
        try:
            return self.ask(request, patience)
        except NobodyListens:
            engine = Engine(store=self.store)
            try:
                return _ask_here(engine, request)
            finally:
                engine.close()

    def find(self, run_id: UUID | str) -> FlowRunRow:
        """The flow run with an id, or with the one id that begins so. It may have been started a moment ago.

        Raises:
            RunNotFound: there is none; as `AmbiguousRunId`, there are several.
        """
        try:
            return by_prefix(self.store, run_id)
        except AmbiguousRunId:
            raise
        except RunNotFound:
            if not self.has_owner:  # else it has written now what it knows
                raise
            return by_prefix(self.store, run_id)

    @property
    def has_owner(self) -> bool:
        """Whether a process has the store open that can be asked for something.

        Raises:
            OwnerUnreachable: there is one, and it does not answer.
        """
        try:
            self.ask(Request("greet"))
        except NobodyListens:
            return False
        return True


def _runs(engine: Engine, run_id: int | None) -> bool:
    return run_id is not None and engine.runs_flow(run_id)


def _ask_here(engine: Engine, request: Request) -> Reply:
    answers: SimpleQueue[Reply] = SimpleQueue()
    obey(engine, request, answers.put)
    with lend():
        reply = answers.get()
    error = error_of(reply)
    if error is not None:
        raise error
    return reply


def cancel_flow_run(run_id: UUID | str, *, store: Store | str | None = None) -> State[Any]:
    """Cancel a flow run of this process, or of any that has the store open, and wait for its end.

    A suspended one, which nobody runs, is cancelled too.

    Args:
        run_id: Its id, or a beginning of that no other run has.
        store: The store, or its URL; by default that of the engine at hand, else that of `MILLRACE_STORE`. A run that
            goes on in this process, in an engine without a store, needs none.

    Returns:
        The state it ended in.

    Raises:
        RunNotFound: there is none; as `AmbiguousRunId`, several have such an id.
        RunEnded: it has ended already.
        OwnerUnreachable: the process that runs it is over, or does not answer.
        ConfigurationError: there is no store.
        BlockingCallOnLoop: a loop runs on this thread; use `acancel_flow_run` there.
    """
    _check_may_block("cancel_flow_run(...)", "await acancel_flow_run(...)")
    engine = _engine_without_store(run_id, store)
    if engine is not None:
        run = engine.find_flow_run(run_id)
        run.cancel()
        block_until_done(run, None)
        return run.state
    with Steered.of(store) as steered:
        return cancel(steered, run_id)


async def acancel_flow_run(run_id: UUID | str, *, store: Store | str | None = None) -> State[Any]:
    """The same from async code. See `cancel_flow_run`.

    Cancellation: only the wait ends.
    """
    engine = _engine_without_store(run_id, store)
    if engine is not None:
        return await engine.cancel(run_id)
    steered = Steered.of(store)

    def ask() -> State[Any]:
        with steered:
            return cancel(steered, run_id)

    return await elsewhere(ask)


def _engine_without_store(run_id: UUID | str, store: Store | str | None) -> Engine | None:
    """The engine of this process that runs it, where that has no store: nobody else could be asked about it."""
    engine = None if store is not None else engine_that_runs(run_id)
    return engine if engine is not None and engine.chronicle is None else None


async def elsewhere(call: Callable[[], T]) -> T:
    """Call something that blocks, in a thread, and wait for it. Cancellation: only the wait ends."""
    from anyio import to_thread  # noqa: PLC0415  # few programs ask other processes from async code

    return await to_thread.run_sync(call, abandon_on_cancel=True)


def _check_may_block(call: str, instead: str) -> None:
    if running_loop() is not None:
        raise BlockingCallOnLoop(call, instead)


# What can be asked about a run.


def cancel(steered: Steered, run_id: UUID | str) -> State[Any]:
    """Cancel a flow run, and wait for its end. See `cancel_flow_run`."""
    row = begin_cancelling(steered, run_id)
    wait_for_end(steered, row)
    return _state_in(steered.store, row.id)


def begin_cancelling(steered: Steered, run_id: UUID | str) -> FlowRunRow:
    """Cancel a flow run, and do not wait; as it was before. See `cancel_flow_run`."""
    row = steered.find(run_id)
    _check_goes_on(row, "cancel")
    request = Request("cancel", row.id)
    try:
        steered.ask(request)
    except NobodyListens:
        if not row.suspended:
            raise _owner_is_over(steered.store, row, f"cancel flow run '{row.name}'") from None
        steered.ask_or_do(request)
    return row


def pause(
    steered: Steered, run_id: UUID | str, timeout: float | None, key: str | None, *, suspends: bool
) -> FlowRunRow:
    """Pause or suspend a flow run of another process. See `pause_flow_run` and `suspend_flow_run`."""
    row = steered.find(run_id)
    attempted = "suspend" if suspends else "pause"
    _check_goes_on(row, attempted)
    try:
        steered.ask(Request("pause", row.id, {"timeout": timeout, "key": key, "suspends": suspends}))
    except NobodyListens:
        if row.suspended:
            raise pause_refused(row) from None
        raise _owner_is_over(steered.store, row, f"{attempted} flow run '{row.name}'") from None
    return row


def resume(steered: Steered, run_id: UUID | str, run_input: Any, *, anywhere: bool = False) -> FlowFuture[Any]:
    """Let a paused or suspended flow run go on. See `resume_flow_run`.

    Args:
        steered: Where it is on record.
        run_id: The run.
        run_input: What it is resumed with.
        anywhere: The default engine is to run it, where it is suspended and nobody has the store open.
    """
    row = steered.find(run_id)
    _check_goes_on(row, "resume")
    if row.ahead:
        raise NotPausedError(row.name, row.state.name)
    try:
        steered.ask(Request("resume", row.id, {"input": as_told(run_input)}))
    except NobodyListens:
        if not row.suspended:
            raise _owner_is_over(steered.store, row, f"resume flow run '{row.name}'") from None
        if anywhere:
            return start_suspended(default_engine(), row.id, run_input)
        raise OwnerUnreachable(
            f"resume flow run '{row.name}'",
            f"it is suspended, and no process has {steered.store.name} open that could run it",
            "Enter an Engine(store=...) and resume it there, or use `millrace runs resume`.",
        ) from None
    return FlowFuture[Any].of(RunElsewhere(steered, row))  # type: ignore[return-value]


def wait_for_end(steered: Steered, row: FlowRunRow) -> None:
    """Wait until a flow run has ended, in whatever process it is.

    Raises:
        OwnerUnreachable: its process has ended before it.
    """
    try:
        steered.ask(Request("await", row.id), None)
    except (NobodyListens, OwnerUnreachable):
        now = steered.store.read_flow_run(row.id)
        if now is not None and now.ended is None:
            raise _owner_is_over(steered.store, now, f"wait for the end of flow run '{row.name}'") from None


class RunElsewhere(PromiseSource):
    """A flow run of another process, as what a future stands in front of.

    Args:
        steered: Where it is on record.
        row: The run.
    """

    __slots__ = ("_called", "_steered")

    def __init__(self, steered: Steered, row: FlowRunRow) -> None:
        promise: concurrent.futures.Future[State[Any]] = concurrent.futures.Future()
        promise.set_running_or_notify_cancel()  # from now on it cannot be cancelled itself
        super().__init__(promise, UUID(int=row.id))
        self._steered = steered
        self._called = row.name

        def wait() -> None:
            try:
                with steered:
                    wait_for_end(steered, row)
                    state = _state_in(steered.store, row.id)
                promise.set_result(state)
            except BaseException as error:  # noqa: BLE001  # it goes to whoever waits
                promise.set_exception(error)

        Thread(target=wait, name="millrace-wait", daemon=True).start()

    @property
    def name(self) -> str:
        """The run's name."""
        return self._called

    @property
    def reference(self) -> FlowRunResult:
        """What a dependency on it is recorded as."""
        return FlowRunResult(self.uuid)

    def cancel(self, _reason: str) -> None:
        """Have the run cancelled; returns at once."""

        def ask() -> None:
            with suppress(NobodyListens, MillraceError):  # it has ended, or nobody can cancel it
                self._steered.ask(Request("cancel", self.uuid.int))

        Thread(target=ask, name="millrace-cancel", daemon=True).start()


def as_told(given: Any) -> Any:
    """What a run is resumed with, as another process can be told of it.

    Raises:
        ConfigurationError: it is nothing that JSON has.
    """
    from cattrs.preconf.json import make_converter  # noqa: PLC0415  # few runs are resumed from other processes

    try:
        return json.loads(json.dumps(make_converter().unstructure(given), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        expected = "for a run of another process, what JSON has, or objects of fields that are such"
        raise ConfigurationError("run_input", given, expected) from None


def _check_goes_on(row: FlowRunRow, attempted: str) -> None:
    """Check that a run has not ended.

    Raises:
        RunEnded: it has.
    """
    if row.ended is not None:
        raise RunEnded(attempted, row.name, row.state.name)


def _owner_is_over(store: Store, row: FlowRunRow, attempted: str) -> OwnerUnreachable:
    silent = f"no process that has {store.name} open answers"
    return OwnerUnreachable(
        attempted,
        f"it is {row.state.name} on record, and {silent}: the one that ran it is over",
        f"The next one that opens the store ends it as crashed. `millrace resume {UUID(int=row.id)}` runs it again.",
    )


def _state_in(store: Store, run_id: int) -> State[Any]:
    """The state of a flow run, with what it holds as far as that can be read here."""
    row = store.read_flow_run(run_id)
    if row is None:
        raise StoreError(store.name, "read from", f"run {UUID(int=run_id)} has just been removed")
    try:
        data = decode(row.data, serializer_for(), where=result_of(row.id))
    except MillraceError:
        data = MISSING
    return state_of(row.state, row.id, None, data)
