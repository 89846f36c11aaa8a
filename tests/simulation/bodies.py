"""Bodies: the flows and tasks of a plan, as functions that millrace runs.

Each body is written once, as a coroutine; in sync code it never suspends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from millrace import (
    CacheKeyFnPolicy,
    CrashPolicy,
    Engine,
    MemoryStorage,
    flow,
    task,
)
from millrace.runtime.context import CURRENT
from tests.simulation.acting import Acting
from tests.simulation.plans import FlowPlan, TaskPlan
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
