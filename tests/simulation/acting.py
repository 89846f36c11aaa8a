"""Acting: a body at work, one op of its plan after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio

from millrace import (
    Future,
    FutureList,
    MillraceError,
    Pause,
    as_completed,
    atransaction,
    concurrency,
    pause_flow_run,
    suspend_flow_run,
    transaction,
)
from tests.simulation.plans import Op

if TYPE_CHECKING:
    from tests.simulation.bodies import Stage


async def _slowly(items: Any, seconds: float) -> Any:
    for item in items:
        await asyncio.sleep(seconds)
        yield item


class Acting:
    """One body at work.

    Args:
        stage: Where.
        run: Whose.
        blocks: It is sync.
    """

    def __init__(self, stage: Stage, run: Any, *, blocks: bool) -> None:
        self._stage = stage
        self._run = run
        self._blocks = blocks
        self._handles: list[Any] = []

    def singles(self) -> list[Any]:
        """The futures that it got."""
        return [each for handle in self._handles for each in (handle if isinstance(handle, FutureList) else [handle])]

    async def all(self, ops: tuple[Op, ...]) -> None:
        """Do one after the other."""
        for op in ops:
            await getattr(self, f"_{op.kind}")(op)

    def _get(self, future: Any) -> None:
        self._handles.append(future)
        self._stage.futures.append(future)

    def _args(self, op: Op) -> list[Any]:
        return [self._handles[index % len(self._handles)] for index in op.on if self._handles]

    async def _sleep(self, op: Op) -> None:
        if self._blocks:
            self._stage.world.sched.sleep(op.seconds)
        else:
            await asyncio.sleep(op.seconds)

    async def _hang(self, _op: Op) -> None:
        await self._stage.hang(blocks=self._blocks)

    async def _swallow(self, op: Op) -> None:
        for _ in range(op.count):
            try:
                await self._stage.hang(blocks=self._blocks)
            except asyncio.CancelledError:
                continue

    async def _leak(self, op: Op) -> None:
        made = self._stage.task_of(op.task) if op.task is not None else None

        async def leaked() -> None:
            try:
                await asyncio.sleep(op.seconds)
                if made is not None:
                    self._stage.futures.append(made.submit())
            except Exception:  # noqa: BLE001, S110  # its flow has ended, perhaps
                pass

        if not self._blocks:
            self._stage.engine.keep(asyncio.ensure_future(leaked()))

    async def _outcome(self, op: Op, take: Callable[[], Any]) -> Any:
        """What something comes to, taken as the plan says."""
        try:
            value = take()
            return await value if hasattr(value, "__await__") else value
        except Pause:
            raise
        except (Exception, asyncio.CancelledError) as error:
            if op.how == "raise" or (isinstance(error, asyncio.CancelledError) and _is_wanted()):
                raise
            return None

    async def _call(self, op: Op) -> None:
        made = self._stage.task_of(op.task)  # type: ignore[arg-type]
        args = self._args(op)
        options = {"return_state": True} if op.how == "state" else {}
        await self._outcome(op, lambda: made(*args, **options))

    async def _submit(self, op: Op) -> None:
        made = self._stage.task_of(op.task)  # type: ignore[arg-type]
        args = self._args(op)
        wait_for = args if op.how == "state" else None
        self._get(made.submit(*(() if wait_for else args), wait_for=wait_for))

    async def _map(self, op: Op) -> None:
        made = self._stage.task_of(op.task)  # type: ignore[arg-type]
        lists = [each for each in self._args(op) if isinstance(each, FutureList)]
        futures = made.map(lists[0] if lists else range(op.count))
        self._get(futures)
        if op.how == "raise":
            values = await self._outcome(op, lambda: self._result(futures))
            if values is not None and not lists:
                found = [value[1:] for value in values if isinstance(value, tuple)]
                if found != [(index,) for index in range(op.count)]:
                    self._stage.broken.append(f"20, a map of {op.count} came to {values}")

    async def _stream(self, op: Op) -> None:
        made = self._stage.task_of(op.task)  # type: ignore[arg-type]
        source: Any = next((each for each in self._args(op) if isinstance(each, FutureList)), range(op.count))
        if op.seconds:
            source = _slowly(source, op.seconds)
        if len(op.on) > 1:
            source = made.stream(source, max_in_flight=2)
        states = "state" if op.how == "state" else "raise"
        stream = made.stream(source, max_in_flight=1 + op.count // 2, ordered=op.how == "raise", on_error=states)

        async def walk() -> None:
            given = 0
            async for _ in stream:
                given += 1
                if op.how == "swallow" and given > op.count // 2:
                    break

        def walk_blocking() -> None:
            for given, _ in enumerate(stream, 1):
                if op.how == "swallow" and given > op.count // 2:
                    break

        await self._outcome(op, walk_blocking if self._blocks else walk)

    def _result(self, future: Any) -> Any:
        return future.result() if self._blocks else future

    async def _take(self, op: Op) -> None:
        for handle in self._args(op):
            if op.how == "state":
                if isinstance(handle, Future):
                    await self._outcome(op, lambda each=handle: each.wait() if self._blocks else each.wait_async())  # type: ignore[misc]
                else:
                    await self._outcome(op, lambda each=handle: self._result(each))  # type: ignore[misc]
            else:
                await self._outcome(op, lambda each=handle: self._result(each))  # type: ignore[misc]

    async def _as_completed(self, op: Op) -> None:
        futures = [each for each in self._args(op) if not isinstance(each, FutureList)]

        async def walk() -> None:
            async for _ in as_completed(futures, timeout=op.seconds + 1):
                pass

        def walk_blocking() -> None:
            for _ in as_completed(futures, timeout=op.seconds + 1):
                pass

        await self._outcome(op, walk_blocking if self._blocks else walk)

    async def _gather(self, op: Op) -> None:
        made = self._stage.task_of(op.task)  # type: ignore[arg-type]
        if self._blocks:
            return
        if op.how == "state":

            async def group() -> None:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(op.count):
                        tasks.create_task(made())

            await self._outcome(op, group)
        else:
            swallows = op.how == "swallow"
            await self._outcome(
                op, lambda: asyncio.gather(*(made() for _ in range(op.count)), return_exceptions=swallows)
            )

    async def _within(self, op: Op) -> None:
        if self._blocks:
            return
        if op.how == "anyio":
            with anyio.move_on_after(op.seconds):
                await self.all(op.ops)
        else:
            try:
                async with asyncio.timeout(op.seconds):
                    await self.all(op.ops)
            except TimeoutError:
                return

    async def _transaction(self, op: Op) -> None:
        if self._blocks:
            with transaction():
                await self.all(op.ops)
        else:
            async with atransaction():
                await self.all(op.ops)

    async def _occupy(self, op: Op) -> None:
        name = "narrow" if op.count == 1 else "wide"
        if self._blocks:
            with concurrency(name, timeout_seconds=op.seconds * 4 or None):
                await self.all(op.ops)
        else:
            async with concurrency(name, timeout_seconds=op.seconds * 4 or None):
                await self.all(op.ops)

    async def _iterate(self, op: Op) -> None:
        made = self._stage.task_of(op.task)  # type: ignore[arg-type]

        async def walk() -> None:
            taken = 0
            async for _ in made():
                taken += 1
                if taken >= op.count:
                    break

        def walk_blocking() -> None:
            for taken, _ in enumerate(made(), 1):
                if taken >= op.count:
                    break

        await self._outcome(op, walk_blocking if self._blocks else walk)

    async def _subflow(self, op: Op) -> None:
        made = self._stage.flow_of(op.flow)  # type: ignore[arg-type]
        args = self._args(op)
        options = {"return_state": True} if op.how == "state" else {}
        await self._outcome(op, lambda: made(*args, **options))

    async def _background(self, op: Op) -> None:
        made = self._stage.flow_of(op.flow)  # type: ignore[arg-type]
        self._get(self._stage.engine.start(made))

    async def _cancel(self, op: Op) -> None:
        for handle in self._args(op):
            for each in handle if isinstance(handle, FutureList) else [handle]:
                each.cancel()

    async def _cancel_self(self, op: Op) -> None:
        if op.how == "raise":
            self._run.scope.cancel("by its own code")

    async def _pause(self, op: Op) -> None:
        await self._stop(op, lambda: pause_flow_run(timeout=op.seconds + 0.5))

    async def _suspend(self, op: Op) -> None:
        await self._stop(op, lambda: suspend_flow_run(timeout=op.seconds + 5))

    async def _stop(self, op: Op, begin: Callable[[], Any]) -> None:
        if self._stage.calm:
            return
        try:
            value = begin()
            if hasattr(value, "__await__"):
                await value
        except MillraceError:
            if op.how == "raise":
                raise


def _is_wanted() -> bool:
    """Whether somebody wants the asyncio task at hand cancelled."""
    try:
        task_here = asyncio.current_task()
    except RuntimeError:
        return False
    return task_here is not None and bool(task_here.cancelling())
