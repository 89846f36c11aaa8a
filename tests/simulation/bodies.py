"""Bodies: the flows and tasks of a plan, as functions that millrace runs.

Each body is written once, as a coroutine; in sync code it never suspends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio

from millrace import (
    CacheKeyFnPolicy,
    CrashPolicy,
    Engine,
    Future,
    FutureList,
    MemoryStorage,
    MillraceError,
    Pause,
    as_completed,
    atransaction,
    concurrency,
    flow,
    pause_flow_run,
    suspend_flow_run,
    task,
    transaction,
)
from millrace.runtime.context import CURRENT
from tests.simulation.plans import FlowPlan, Op, TaskPlan
from tests.simulation.scheduler import scheduler
from tests.simulation.world import World


class Interrupted(BaseException):  # it is what is so
    """A crash of a body's own."""


def error_called(name: str) -> BaseException:
    """An error by its name."""
    if name == "ExceptionGroup":
        return ExceptionGroup("several", [ValueError("one"), KeyError("two")])
    if name == "CancelledError":
        return asyncio.CancelledError()
    if name == "BaseException":
        return Interrupted("crash")
    kinds: dict[str, Callable[..., BaseException]] = {
        each.__name__: each
        for each in (
            ValueError, KeyError, TimeoutError, RecursionError, MemoryError, StopIteration, GeneratorExit, SystemExit,
            KeyboardInterrupt,
        )
    }  # fmt: skip
    return kinds[name]("planned")


class Stage:
    """Where the bodies of a plan play.

    Args:
        world: The world.
        engine: The engine.
    """

    def __init__(self, world: World, engine: Engine) -> None:
        self.world = world
        self.engine = engine
        self.futures: list[Any] = []  # every future that anybody has got
        self.bodies: dict[tuple[int, int], int] = {}  # by run and attempt: bodies that are in their function
        self.on_body: Callable[[int], None] = lambda _run: None  # told of the run of each body that begins
        self.broken: list[str] = []
        self.calm = False  # nothing hangs any more
        self._calmed: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self.occupied: dict[str, int] = {}  # by tag: bodies that are in their function
        self._storage = MemoryStorage()
        self._tasks: dict[int, Any] = {}
        self._flows: dict[int, Any] = {}

    def get(self, future: Any) -> None:
        """Somebody has got a future."""
        self.futures.append(future)

    # Hanging.

    async def hang(self, *, blocks: bool) -> None:
        """Wait until all is calm."""
        if self.calm:
            return
        if blocks:
            scheduler().block(self._is_calm)
            return
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._calmed.append((loop, future))
        await future

    def _is_calm(self) -> bool:
        return self.calm

    def calm_down(self) -> None:
        """Let go on all that hangs."""
        self.calm = True
        for loop, future in self._calmed:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_release, future)

    # What is run.

    def task_of(self, plan: TaskPlan) -> Any:
        """A task."""
        made = self._tasks.get(id(plan))
        if made is None:
            hooks = {point: [self._hook(how)] for point, how in plan.hooks}
            options: dict[str, Any] = {**dict(plan.options), **hooks, "name": plan.name}
            if options.pop("cached", None) is not None:
                options |= self._cached(plan.name)
            made = self._tasks[id(plan)] = task(**options)(self._function_of(plan))
        return made

    def _cached(self, name: str) -> dict[str, Any]:
        """Options of a task that looks for its result first."""
        policy = CacheKeyFnPolicy(cache_key_fn=lambda _run, given: f"{name} of {_numbers(given)}")
        return {"cache_policy": policy, "result_storage": self._storage}

    def _function_of(self, plan: TaskPlan | FlowPlan) -> Any:
        def body(*args: Any) -> Any:
            return finish(self._body(plan, args, blocks=True))

        async def async_body(*args: Any) -> Any:
            return await self._body(plan, args, blocks=False)

        def generator(*args: Any) -> Any:
            yield from range(3)
            finish(self._body(plan, args, blocks=True))

        async def async_generator(*args: Any) -> Any:
            for index in range(3):
                yield index
            await self._body(plan, args, blocks=False)

        return {
            "sync": body,
            "async": async_body,
            "sync-generator": generator,
            "async-generator": async_generator,
        }[plan.kind]

    def flow_of(self, plan: FlowPlan) -> Any:
        """A flow."""
        made = self._flows.get(id(plan))
        if made is None:
            hooks = {point: [self._hook(how)] for point, how in plan.hooks}
            options: dict[str, Any] = {**dict(plan.options), **hooks, "name": plan.name}
            if "crash_policy" in options:
                restart, most, then = options["crash_policy"]
                options["crash_policy"] = CrashPolicy(restart=restart, max_restarts=most, then=then)
            made = self._flows[id(plan)] = flow(**options)(self._function_of(plan))
        return made

    def _hook(self, how: str) -> Callable[..., Any]:
        async def async_hook(_of: Any, _run: Any, _state: Any) -> None:
            await asyncio.sleep(0.01 if how == "sleeps" else 0)
            if how == "cancels":
                _run.cancel("by its hook")

        def hook(_of: Any, _run: Any, _state: Any) -> None:
            if how == "raises":
                raise ValueError("hook")
            if how == "exits":
                raise SystemExit("hook")

        return async_hook if how in {"async", "sleeps", "cancels"} else hook

    def _occupy(self, tags: tuple[str, ...], change: int) -> None:
        for tag in tags:
            now = self.occupied[tag] = self.occupied.get(tag, 0) + change
            if now > self.engine.limits[tag].limit:
                self.broken.append(f"11, {now} bodies at once under the limit '{tag}'")

    async def _body(self, plan: Any, args: tuple[Any, ...], *, blocks: bool) -> Any:
        run = CURRENT.get()
        assert run is not None
        number = run.run_count
        here = (run.id, number)
        self.bodies[here] = self.bodies.get(here, 0) + 1
        self.on_body(run.id)
        tags = dict(plan.options).get("tags", ()) if plan.kind in {"sync", "async"} else ()
        self._occupy(tags, 1)
        try:
            act = Acting(self, run, blocks=blocks)
            await act.all(plan.ops)
            if number <= plan.fails:
                raise error_called(plan.error)
            if isinstance(plan, TaskPlan) or plan.returns == "data":
                return (plan.name, *(each for each in args if isinstance(each, int)))
            return act.singles() if plan.returns == "futures" else None
        finally:
            self._occupy(tags, -1)
            self.bodies[here] -= 1


def _numbers(given: dict[str, Any]) -> list[int]:
    return [each for value in given.values() for each in value if isinstance(each, int)]


def finish(body: Any) -> Any:
    """Run a coroutine that never suspends."""
    try:
        body.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("A sync body suspended.")


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


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
        if self._stage.calm:
            return
        try:
            value = pause_flow_run(timeout=op.seconds + 0.5)
            if hasattr(value, "__await__"):
                await value
        except MillraceError:
            if op.how == "raise":
                raise

    async def _suspend(self, op: Op) -> None:
        if self._stage.calm:
            return
        try:
            value = suspend_flow_run(timeout=op.seconds + 5)
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
