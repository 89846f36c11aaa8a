"""Attempts: how a body is run once, wherever that is, and what is told to the run's actor.

Decides nothing about states; it turns what a body did into a message. Sync and async bodies differ here in how they
are run and in nothing else. The function runs in a copy of the context that was current when the run was submitted.

An async body is driven by hand. Its first step is taken by whoever comes upon the run, without a trip through the
loop; only a body that waits needs an asyncio task to itself, and from then on it has one. So `asyncio.current_task()`
tells apart all bodies that wait, and a body that never does costs no task.
"""

from __future__ import annotations

import asyncio
import os
import types
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from contextvars import Context
from types import GeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from millrace.actors.instructions import EXECUTE, SETTLE, Order
from millrace.actors.messages import Admit, Raised, Returned
from millrace.actors.policies import Advice
from millrace.actors.states import State
from millrace.runtime.context import ATTEMPT, CURRENT

if TYPE_CHECKING:
    from millrace.runtime.deadlines import Deadline
    from millrace.runtime.runs import TaskRun

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_FLOOR = os.path.dirname(__file__)  # noqa: PTH120  # importing pathlib takes a twentieth of the whole import
ENGINE_FOLDERS = (_FLOOR, os.path.join(os.path.dirname(_FLOOR), "actors"))  # noqa: PTH118, PTH120  # likewise
"""Where the engine's own code is, in front of the names of its files."""


def admit(run: TaskRun, state: State[Any] | None = None) -> Order | None:
    """Propose RUNNING; EXECUTE means that the caller is to run the body.

    Args:
        run: The run.
        state: The RUNNING state, where it has more to say than its time.
    """
    order = run.ask(Admit(run.node.now(), state))
    if order is None and run.granted:
        run.granted = False
        return EXECUTE
    return order


def execute(run: TaskRun) -> None:
    """Run a sync body on this thread: from admission to the end, or to where it waits for its next attempt."""
    try:
        order = begin(run)
        while order is EXECUTE:
            order = _attempt(run)
        if order is SETTLE:
            run.settle_up()  # what its task wants done at the end is seen to by what conducts an attempt
        elif order is not None:
            run.perform(order)
    finally:
        del run  # an exception of its body holds the frames below, and the run holds that


def begin(run: TaskRun) -> Order | None:
    """Admit a run, unless an attempt of it sees to that itself."""
    return admit(run) if run.node.conduct is None else EXECUTE


def _attempt(run: TaskRun) -> Order | None:
    attempt = run.run_count
    if run.node.conduct is not None:
        try:
            return run.context.copy().run(run_blocking, run.node.conduct(run))
        finally:
            del run  # see `execute`
    try:
        value = run.context.copy().run(_call_in_time if run.node.limited else _call_body, run)
    except BaseException as error:  # noqa: BLE001  # whatever a body raises is its run's outcome
        try:
            return run.ask(raised(error, run.node.now(), attempt))
        finally:
            del run  # see `execute`
    return run.ask(Returned(value, run.node.now(), attempt))


def _call_body(run: TaskRun) -> Any:
    CURRENT.set(run)
    args, kwargs = (run.args, run.kwargs) if run.inputs is None else run.arguments()  # mostly without a call
    fn = run.node.fn
    del run  # see `execute`
    value = fn(*args, **kwargs)
    return list(value) if isinstance(value, GeneratorType) else value


def _call_in_time(run: TaskRun) -> Any:
    CURRENT.set(run)
    ATTEMPT.set(run.run_count)
    args, kwargs = run.arguments()
    fn = run.node.fn
    with run.node.task.deadline(run, run.run_count) as deadline:
        del run  # see `execute`
        value = deadline.call(fn, args, kwargs)
        return list(value) if isinstance(value, GeneratorType) else value


def start(run: TaskRun) -> Order | Suspended | None:
    """Take the first step of an async body. In a running loop, in the task that will drive the rest.

    Returns:
        What `ask` returned if the body has ended; else the rest, to be awaited for the same.
    """
    context = run.context.copy()
    attempt = run.run_count
    try:
        coroutine, waits_for = context.run(_first_step, run)
    except StopIteration as stop:
        if run.node.conduct is not None:
            del run, context  # see below
            return stop.value  # type: ignore[no-any-return]
        return run.ask(Returned(stop.value, run.node.now(), attempt))
    except BaseException as error:  # noqa: BLE001  # whatever a body raises is its run's outcome
        try:
            if run.node.conduct is not None:
                raise  # what the attempt came to has been told, and this is meant for whoever drives it
            order = run.ask(raised(error, run.node.now(), attempt))
            if isinstance(error, KeyboardInterrupt):
                _finish_and_raise(run, order, error)
            return order
        finally:
            del run, context  # from Python 3.12 on the frame of the body holds this one, and the run holds the error
    return Suspended(run, context, coroutine, waits_for, attempt)


def _first_step(run: TaskRun) -> tuple[Coroutine[Any, Any, Any], Any]:
    coroutine: Coroutine[Any, Any, Any]
    if run.node.conduct is not None:
        coroutine = run.node.conduct(run)
        del run  # see `start`
    else:
        CURRENT.set(run)
        if run.node.limited:
            ATTEMPT.set(run.run_count)
        if run.inputs is not None and run.inputs.have_to_be_read():
            coroutine = _read_first(run.node.fn, run.arguments)
            del run
        else:
            args, kwargs = (run.args, run.kwargs) if run.inputs is None else run.arguments()  # as above
            coroutine = run.node.fn(*args, **kwargs)
            del run, args, kwargs
    return coroutine, coroutine.send(None)


async def _read_first(fn: Any, arguments: Callable[[], tuple[tuple[Any, ...], Mapping[str, Any]]]) -> Any:
    """An async body whose arguments are to be read from a storage, which is nothing for its loop."""
    from millrace.runtime.effects import in_thread  # noqa: PLC0415  # it needs this module, and few runs come here

    args, kwargs = await in_thread(arguments)
    del arguments  # see `start`
    return await fn(*args, **kwargs)


def _finish_and_raise(run: TaskRun, order: Order | None, error: BaseException) -> None:
    """Record a crash, then let it go on up: an interrupt (Ctrl-C) is meant for the loop's owner, whoever's body it hit.

    An exit is not: it is the body's own, and is raised to whoever takes the run's result.
    """
    if order is not None:
        run.perform(order)
    raise error


class Interruptible:
    """A body in an asyncio task that can be cancelled without cancelling what the task does after it.

    Args:
        task: The task; None where there is nothing to cancel.

    Source: the protocol of `asyncio.timeout`: whoever cancelled a task takes that back, and turns the `CancelledError`
    into its own outcome only if nobody else asked for a cancellation too.
    """

    __slots__ = ("_before", "_sent", "_task")

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self._task = task
        self._before = 0 if task is None else task.cancelling()
        self._sent = 0

    def cancel(self) -> None:
        """Cancel the body at its await; a no-op once it has ended. On the loop's thread."""
        if self._task is not None:
            self._sent += 1
            self._task.cancel()

    def cancel_soon(self) -> None:
        """The same, from any thread."""
        task = self._task
        if task is not None:
            with suppress(RuntimeError):  # the loop was closed: nothing runs there any more
                task.get_loop().call_soon_threadsafe(self.cancel)

    @property
    def place(self) -> int:
        """Tells apart bodies that go on beside each other. From any thread."""
        return id(self._task)

    @property
    def wanted_elsewhere(self) -> bool:
        """Whether somebody else wants the task cancelled too."""
        return self._task is not None and self._task.cancelling() - self._sent > self._before

    def close(self) -> bool:
        """The body has ended. Whether somebody else wants the task cancelled too."""
        wanted_elsewhere = self.wanted_elsewhere
        task, self._task = self._task, None
        if task is not None:
            for _ in range(self._sent):
                task.uncancel()
        return wanted_elsewhere


class Suspended(Interruptible):
    """An async body that waits for something: await it for the rest of the attempt."""

    __slots__ = ("_attempt", "_context", "_coroutine", "_deadline", "_run", "_waits_for")

    def __init__(
        self, run: TaskRun, context: Context, coroutine: Coroutine[Any, Any, Any], waits_for: Any, attempt: int
    ) -> None:
        super().__init__(asyncio.current_task())
        self._run = run
        self._attempt = attempt
        self._context = context
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._deadline: Deadline | None = None
        run.handle = self
        # A body that has ended with its first step never waited for anything, and had no deadline to keep.
        if run.node.limited and run.node.conduct is None:
            self._deadline = run.task.deadline(run, attempt).__enter__()

    def close(self) -> bool:
        """The body has ended: its time does not matter any more. Whether somebody else wants the task cancelled too."""
        if self._deadline is not None:
            self._deadline.__exit__(None, None, None)
        return super().close()

    def __await__(self) -> Generator[Any, Any, Order | None]:
        if self._run.stopping:
            self._run.stop_body()  # asked for during the first step, when there was nothing to cancel yet
        return drive(self._context, self._coroutine, self._waits_for, self)

    def returned(self, value: Any) -> Order | None:
        """The body has returned."""
        run = self._run
        wanted_elsewhere = self._end()
        if run.node.conduct is None:
            return run.ask(Returned(value, run.node.now(), self._attempt))
        if wanted_elsewhere:
            _finish_and_raise(run, value, asyncio.CancelledError())
        return value  # type: ignore[no-any-return]

    def raised(self, error: BaseException) -> Order | None:
        """The body has raised, or was interrupted."""
        run = self._run
        cancelled = isinstance(error, asyncio.CancelledError)
        wanted_elsewhere = self._end()
        if run.node.conduct is not None:  # what the attempt came to has been told
            if cancelled and self._sent and not wanted_elsewhere:
                return None
            raise error
        order = run.ask(raised(error, run.node.now(), self._attempt, for_good=wanted_elsewhere))
        if isinstance(error, (KeyboardInterrupt, Closed)) or (wanted_elsewhere and cancelled):
            _finish_and_raise(run, order, error)
        return order

    def _end(self) -> bool:
        """The body has ended. Whether somebody else wants the task cancelled too."""
        if self._run.handle is self:  # another attempt may have begun beside a body that did not stop
            self._run.handle = None
        return self.close()


class Closed(GeneratorExit):
    """The coroutine around a body was closed, and the body with it; not a body that raises `GeneratorExit` itself."""


class End(Protocol[R_co]):
    """What is to be made of the end of a body; gives what awaiting the body gives."""

    def returned(self, value: Any) -> R_co:
        """It returned."""
        ...

    def raised(self, error: BaseException) -> R_co:
        """It raised."""
        ...


class AsItIs:
    """A body ends as it ends: what is to be made of that is decided elsewhere."""

    __slots__ = ("closed",)

    def __init__(self) -> None:
        self.closed = False  # the coroutine was closed around it

    def returned(self: Any, value: Any) -> Any:
        """Give what it returned."""
        return value

    def raised(self: Any, error: BaseException) -> Any:
        """Raise what it raised."""
        self.closed = isinstance(error, Closed)
        try:
            raise error
        finally:
            del error  # it holds this frame


def drive(context: Context, coroutine: Coroutine[Any, Any, Any], waits_for: Any, end: End[R]) -> Generator[Any, Any, R]:
    """Go on with a coroutine that has taken its first step, each step in its own context, from a task in another."""
    try:
        while True:
            try:
                value = yield waits_for
            except GeneratorExit:
                with suppress(Exception):  # there is nobody left to raise it to
                    context.run(coroutine.close)
                raise Closed from None
            except BaseException as error:  # noqa: BLE001  # what is thrown at us is thrown at the body
                waits_for = context.run(coroutine.throw, error)
            else:
                waits_for = context.run(coroutine.send, value)
    except StopIteration as stop:
        value = stop.value
        del context  # it may be a generator's body in there that has raised; see below
    except BaseException as error:  # noqa: BLE001  # whatever a body raises is its run's outcome
        try:
            return end.raised(error)
        finally:
            # From Python 3.12 on the frame of a coroutine that has raised goes on knowing this one, and that the run.
            del context, coroutine, end
    return end.returned(value)


@types.coroutine
def in_context(context: Context, coroutine: Coroutine[Any, Any, R]) -> Generator[Any, Any, R]:
    """Await a coroutine in the task at hand, each of its steps in another context."""
    try:
        try:
            waits_for = context.run(coroutine.send, None)
        except StopIteration as stop:
            result: R = stop.value
            return result
        value: R = yield from drive(context, coroutine, waits_for, AsItIs())
        return value
    finally:
        del context  # see `start`


def raised(
    error: BaseException, at: int, attempt: int = 0, advice: Advice | None = None, *, for_good: bool = False
) -> Raised:
    """The message that says what a body raised."""
    cancelled = isinstance(error, asyncio.CancelledError)
    if not cancelled:
        trim(error)
    return Raised(error, at, cancelled, attempt, advice, for_good)


def run_blocking(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that never waits for a loop, on this thread.

    Returns:
        What it returns.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: R = stop.value
        return result
    coroutine.close()
    raise AssertionError(f"{coroutine!r} waits for something, and there is no loop to wait on.")


def trim(error: BaseException) -> None:
    """Leave the engine's own frames out of a traceback: the user reads their code, and no frame keeps the run alive."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(ENGINE_FOLDERS):
        trace = trace.tb_next
    error.__traceback__ = trace
