"""Blocks: `concurrency` and `rate_limit`, for code that names its limits itself.

Decides how such code waits: a coroutine on its loop; a thread by blocking, which lends its place to others meanwhile. A
wait that is interrupted leaves nothing held, and what was served in that very moment goes on to the next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import AcquireConcurrencySlotTimeoutError, BlockingCallOnLoop, UsageError
from millrace.actors.limiter_messages import Refuse
from millrace.actors.seconds import checked_wait
from millrace.actors.tickets import Ticket
from millrace.actors.token_bucket import check_whole
from millrace.runtime import interrupting
from millrace.runtime.attempt import run_blocking
from millrace.runtime.bells import Bell
from millrace.runtime.context import CURRENT
from millrace.runtime.cooperation import cancelled, check_cancelled
from millrace.runtime.engine import Engine, current_scope
from millrace.runtime.holding import HOLDING, around, place_here, served_on
from millrace.runtime.limits.amounts import checked_names
from millrace.runtime.priorities import USUAL, priority_on
from millrace.runtime.running import running_loop
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter

if TYPE_CHECKING:
    from millrace.runtime.limits.acting import ActingLimiter
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.timers import Alarm


class Request:
    """What one piece of code asks for, and how it waits for that.

    Args:
        call: The call; its text, for errors.
        names: Of limits.
        occupy: How much of each.
        timeout_seconds: How long to wait.
        strict: Whether each limit has to be there.
        rates_only: Whether only rate limits are meant.
    """

    __slots__ = ("_bell", "_call", "_engine", "_lane", "_seconds", "ticket")

    def __init__(
        self,
        call: object,
        names: tuple[str, ...],
        occupy: int,
        timeout_seconds: float | None,
        *,
        strict: bool,
        rates_only: bool,
    ) -> None:
        self._call = call
        self._seconds = timeout_seconds
        self._engine = Engine.current()
        self._lane: LoopLane | None = None  # of the coroutine that waits; None: a thread waits
        self._bell = Bell()
        limits = self._engine.limits
        needs = limits.needs(names, occupy, strict=strict, rates_only=rates_only)
        place, run = place_here(), CURRENT.get()
        priority = USUAL if run is None or run.is_flow else priority_on(run.lane)  # type: ignore[union-attr]
        timed = timeout_seconds is not None
        own, outside, beside = around(run, place)
        self.ticket = Ticket(needs, run, self, own, outside, place, timed, priority, beside)

    def acquire(self) -> None:
        """Block until it is there."""
        if self._comes_with_time:
            self.ticket.lane = current_scope().lane_that_turns()
        if self._engine.limits.limiter.request(self.ticket):
            self._check()
        elif running_loop() is not None and self._seconds != 0:
            self.give_back()
            raise BlockingCallOnLoop(f"{self._call}, which has to wait,", f"await, or async with, {self._call}")
        else:
            run_blocking(self._wait(ThreadWaiter()))

    async def aacquire(self) -> None:
        """Wait until it is there. Cancellation: nothing is held."""
        self._lane = self.ticket.lane = lane = self._engine.lane_here()
        if self._engine.limits.limiter.request(self.ticket):
            self._check()
        else:
            await self._wait(LoopWaiter(lane))

    @property
    def _comes_with_time(self) -> bool:
        return any(limit.comes_with_time for limit, _ in self.ticket.needs)

    def give_back(self, *, failed: bool | None = None) -> None:
        """Give back what is held, or stop waiting for it."""
        self._engine.limits.limiter.give_back(self.ticket, failed=failed)

    async def _wait(self, waiter: ThreadWaiter | LoopWaiter) -> None:
        alarm: Alarm | None = None
        if (self.ticket.beside or self.ticket.outside) and self._seconds is None:
            self._engine.limits.suspicions.add(self.ticket)
        run = CURRENT.get() if self._lane is None else None
        try:
            if run is not None:
                self._engine.limits.block(run.id, self.ticket)
                check_cancelled()  # whoever stops the run may have looked before
            if self._seconds is not None:
                alarm = self._set_alarm(self._seconds)
            await self._bell.wait(waiter)
            if self._lane is None:
                interrupting.check()
                if self.ticket.error is not None and cancelled():
                    check_cancelled()
            self._check()
        except BaseException:
            self.give_back()
            raise
        finally:
            if run is not None:
                self._engine.limits.unblock(run.id, self.ticket)
            if alarm is not None:
                alarm.call_off()

    def _set_alarm(self, seconds: float) -> Alarm | None:
        now = self._engine.now
        limiter = self._engine.limits.limiter
        names = [limit.name for limit, _ in self.ticket.needs]
        late = AcquireConcurrencySlotTimeoutError(self.ticket.called, names, seconds)

        def refuse() -> None:
            limiter.tell(Refuse(self.ticket, late, now()))

        if seconds == 0:
            refuse()
            return None
        lane = self._lane or current_scope().lane_that_turns()
        return self._engine.timers.call_at(now() + round(seconds * 1e9), refuse, lambda: lane)

    def _check(self) -> None:
        error = self.ticket.error
        if error is not None:
            raise error

    # As the bell of the ticket.

    @property
    def limiter(self) -> ActingLimiter:
        """Who serves it."""
        return self._engine.limits.limiter

    def served(self, ticket: Ticket) -> bool:
        """Wake whoever waits. Whether there is somebody: on a closed loop nobody wakes any more."""
        lane = self._lane
        if lane is not None:
            if lane.loop.is_closed():
                return False
            served_on(lane.loop, ticket)
        self._bell.ring()
        return True


class concurrency:  # noqa: N801  # it reads as a statement: with concurrency("http"):
    """Hold slots of limits inside the block: `with` in sync code, `async with` in async code.

    Whoever comes first is served first. Several limits are taken all at once or not at all. The slots are given back at
    the end of the block, however it is left. Inside of a block that holds slots of a limit, do not wait for something
    that needs slots of the same: where it never could be served, it is told so by an error. Of a `RateLimit`, tokens
    are taken that are not given back. Where there is no limit of a name nothing is waited for, and a warning is logged.

    Args:
        names: The name of a limit, or several.
        occupy: How many slots of each.
        timeout_seconds: How long to wait for them; 0 for not at all, None for without end.
        strict: It is an error if there is no limit of a name.

    Raises:
        ConfigurationError: an argument cannot be used; or there never are so many slots.
        LimitNotFound: (when entered) there is no limit of a name, and `strict` is set.
        AcquireConcurrencySlotTimeoutError: (when entered) the slots were not there in time. A `TimeoutError`.
        DeadlockError: (when entered) they would be given back only after this, and it has no `timeout_seconds`.
        BlockingCallOnLoop: (when entered by `with`) it would have to wait on the thread of a loop.
        CancelledRun: (when entered by `with`) the run that it belongs to was cancelled while it waited.

    Cancellation: of a wait leaves nothing held; of the block gives the slots back.
    """

    __slots__ = ("_arguments", "_before", "_request")

    def __init__(
        self,
        names: str | Iterable[str],
        occupy: int = 1,
        timeout_seconds: float | None = None,
        strict: bool = False,  # noqa: FBT001, FBT002  # as in Prefect
    ) -> None:
        self._arguments = _checked(names, occupy, timeout_seconds, strict)
        self._request: Request | None = None  # while it is entered, or waits to be
        self._before: tuple[Ticket, ...] = ()  # what is held around it

    def __enter__(self) -> None:
        self._begin().acquire()
        self._hold()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    async def __aenter__(self) -> None:
        await self._begin().aacquire()
        self._hold()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(error)

    def _begin(self) -> Request:
        request = self._request
        if request is not None and request.ticket.held:
            raise UsageError(f"{self!r} is entered already. Make another one for every block.")
        self._request = request = Request(self, *self._arguments[:3], strict=self._arguments[3], rates_only=False)
        return request

    def _hold(self) -> None:
        assert self._request is not None  # it was begun
        self._before = HOLDING.get()
        HOLDING.set((self._request.ticket, *self._before))

    def _end(self, error: BaseException | None) -> None:
        request, self._request = self._request, None
        assert request is not None  # it was entered
        HOLDING.set(self._before)
        failed = None if error is not None and not isinstance(error, Exception) else error is not None
        request.give_back(failed=failed)

    def __repr__(self) -> str:
        names = self._arguments[0]
        return f"concurrency({names[0] if len(names) == 1 else list(names)!r})"


def rate_limit(
    names: str | Iterable[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    strict: bool = False,  # noqa: FBT001, FBT002  # as in Prefect
) -> Awaitable[None]:
    """Wait until something may be done of which there is a `RateLimit`.

    In async code: `await rate_limit("api")`. In sync code there is nothing to await with: there the call itself blocks.

    Args:
        names: The name of a limit, or several: all at once or none.
        occupy: How many tokens of each.
        timeout_seconds: How long to wait for them; 0 for not at all, None for without end.
        strict: It is an error if there is no limit of a name; else a warning is logged, and nothing is waited for.

    Returns:
        In async code, a coroutine, to be awaited.

    Raises:
        ConfigurationError: an argument cannot be used; there never are so many tokens; or a limit is how many at once.
        LimitNotFound: there is no limit of a name, and `strict` is set.
        AcquireConcurrencySlotTimeoutError: the tokens were not there in time. A `TimeoutError`.
        BlockingCallOnLoop: the body of a sync flow or task would have to wait on the thread of a loop.
        CancelledRun: the run was cancelled while its sync body waited.

    Cancellation: no tokens are taken.
    """
    names, occupy, timeout_seconds, strict = _checked(names, occupy, timeout_seconds, strict)

    def make() -> Request:
        return Request(f"rate_limit({names!r})", names, occupy, timeout_seconds, strict=strict, rates_only=True)

    if _in_sync_code():
        make().acquire()
        return None  # type: ignore[return-value]  # nobody asks for it
    return _rate_limit(make)


def _in_sync_code() -> bool:
    """Whether nothing can be awaited here: no loop runs on this thread, or one that a sync body holds up."""
    loop, run = running_loop(), CURRENT.get()
    if loop is None or run is None or not run.blocks:
        return loop is None
    called_in: Any = None if run.is_flow else getattr(run.lane, "loop", None)  # type: ignore[union-attr]
    return loop is run.scope.outer_loop or loop is called_in


async def _rate_limit(make: Callable[[], Request]) -> None:
    await make().aacquire()


def _checked(
    names: Any, occupy: int, timeout_seconds: Any, strict: object
) -> tuple[tuple[str, ...], int, float | None, bool]:
    check_whole("occupy", occupy)
    return checked_names(names), occupy, checked_wait("timeout_seconds", timeout_seconds), bool(strict)
