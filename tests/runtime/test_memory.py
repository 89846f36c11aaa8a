"""What a run leaves behind: counted in objects, never in seconds."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections import Counter
from contextvars import copy_context
from threading import Lock
from typing import Any

import pytest

from millrace import Engine, flow, task
from millrace.actors.states import State
from millrace.actors.task_run import TaskRunActor
from millrace.runtime.entering import ENTERED
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.loop_lane import CHUNK
from millrace.runtime.mapping import Cursor
from millrace.runtime.runs import TaskRun
from tests.checkpoints import turns

pytestmark = pytest.mark.anyio

MANY = 2_000


@task
async def echo(x: int) -> int:
    return x


@task
def sync_echo(x: int) -> int:
    return x


@flow
def nothing() -> None: ...


def slots(kind: type) -> set[str]:
    return {name for each in kind.__mro__ for name in getattr(each, "__slots__", ())}


def alive() -> Counter[str]:
    gc.collect()
    kinds = (TaskRun, State, FlowRun, Cursor)
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in kinds)


def test_the_flat_constructor_of_a_task_run_sets_what_its_ancestors_set() -> None:
    engine = Engine()
    site = FlowRun(engine, nothing, {}).site(echo)
    run = TaskRun(site, 7, 3, site.now(), None, (1,), {}, copy_context(), frozenset(), engine.offload)

    class Ancestor(TaskRunActor[Any]):
        def perform(self, instruction: Any) -> None: ...

    ancestor = Ancestor(7, run.created, run.journal, site, 3, None, 0)
    inherited = slots(Ancestor)
    assert {name: getattr(run, name) for name in inherited} == {name: getattr(ancestor, name) for name in inherited}
    assert all(hasattr(run, name) for name in slots(TaskRun))


async def test_runs_whose_futures_are_dropped_leave_nothing_while_their_flow_goes_on() -> None:
    left: list[Counter[str]] = []

    @flow
    async def body() -> None:
        for each in (echo, sync_echo):
            await each.map(range(10))
        before = alive()
        for each in (echo, sync_echo):
            await each.map(range(MANY))
            for number in range(50):
                await each.submit(number)
        await echo(1)
        left.append(alive() - before)

    await body()
    assert left == [Counter()]


async def test_runs_that_are_made_together_have_one_number_for_when_they_were_made() -> None:
    """It would be more to remember than most of what they come to."""

    @flow
    async def body() -> int:
        futures = echo.map(range(CHUNK + 1))
        await futures[-1]  # looked at, and so made before the others
        return len({id(future.source.created) for future in futures[:CHUNK]})

    assert await body() == 1


async def test_a_kept_run_of_the_ordinary_way_holds_no_state_objects() -> None:
    @flow
    async def body() -> Counter[str]:
        before = alive()
        futures = echo.map(range(MANY))
        assert len(await futures) == MANY
        return alive() - before

    kept = await body()
    assert kept["TaskRun"] == MANY
    assert kept["State"] == 0


async def test_a_flow_run_that_waits_is_made_of_few_objects() -> None:
    """The garbage collector looks at each of them again and again where very many flow runs go on at once."""
    many = 50
    gate = asyncio.Event()

    @flow
    async def waits() -> None:
        await gate.wait()

    def here() -> Counter[str]:
        gc.collect()
        kinds = [type(each) for each in gc.get_objects()]
        return Counter(
            kind.__name__ for kind in kinds if kind.__module__.startswith("millrace.") or kind is type(Lock())
        )

    async with Engine() as engine:
        before = here()
        futures = [engine.start(waits) for _ in range(many)]
        await turns()
        each = {name: round(count / many) for name, count in (here() - before).items()}
        gate.set()
        assert await asyncio.gather(*futures) == [None] * many
    locks = each.pop("lock")
    assert locks == 1  # of its numbering, and of its conductor
    assert {name: count for name, count in each.items() if count} == dict.fromkeys(
        ("FlowRun", "FlowFuture", "_Background", "LoopPass"), 1
    )


CYCLES = """
import gc
from millrace import flow, run, task
from millrace.runtime.runs import TaskRun

def hook(*_): ...

def sync_body(x: int) -> int:
    if x % 2:
        raise ValueError(x)
    return x

async def async_body(x: int) -> int:
    if x % 2:
        raise ValueError(x)
    return x

OPTIONS = {
    "plain": {},
    "retries": {"retries": 1},
    "in time": {"timeout_seconds": 60},
    "conducted": {"on_failure": [hook]},
}
TASKS = {(kind, name): task(**options)(body)
    for kind, body in (("sync", sync_body), ("async", async_body)) for name, options in OPTIONS.items()}

@flow
def sync_flow(made, how):
    if how == "map":
        futures = made.map(range(20))
        futures.wait()
        states = [future.state for future in futures]
        return None if len(states) == 20 and states[1].is_failed() else 1 / 0
    for x in range(20):
        try:
            if how == "call":
                made(x)
            else:
                made.submit(x).result()
        except ValueError:
            pass

@flow
async def async_flow(made, how):
    if how == "map":
        for future in made.map(range(20)):
            await future.wait_async()
        return
    for x in range(20):
        try:
            if how == "call":
                value = made(x)
                if made.is_async:
                    await value
            else:
                await made.submit(x)
        except ValueError:
            pass

def alive() -> int:
    return sum(type(each) is TaskRun for each in gc.get_objects())

left = []
for key, made in TASKS.items():
    for how in ("map", "call", "submit"):
        flows = {"sync flow": lambda: sync_flow(made, how), "async flow": lambda: run(async_flow, made, how)}
        for name, start in flows.items():
            start()  # what is made once is there now
            gc.collect()
            gc.disable()
            start()
            if alive():
                left.append((key, how, name, alive()))
            gc.enable()
            gc.collect()
print(left)
"""

GENERATOR_CYCLES = """
import asyncio
import gc
from millrace import flow, task

def hook(*_): ...

def yields(x):
    yield x
    raise ValueError(x)
async def yields_later(x):
    yield x
    raise ValueError(x)
async def yields_and_waits(x):
    yield x
    await asyncio.sleep(0)
    raise ValueError(x)

def iterate(made):
    try:
        list(made(1))
    except ValueError:
        pass

async def iterate_on_loop(made):
    try:
        if not made.is_async:
            return list(made(1))
        return [value async for value in made(1)]
    except ValueError:
        pass

sync_flow, async_flow = flow(iterate), flow(iterate_on_loop)

async def main(made):
    left = []
    for way in (iterate_on_loop, async_flow):
        await way(made)
        await way(made)
        gc.collect()
        await way(made)
        if count := gc.collect():
            left.append((made.name, str(way), count))
    return left

left = []
gc.disable()
gc.freeze()  # what is there already need not be looked at
for options in ({}, {"retries": 1}, {"timeout_seconds": 60}, {"on_failure": [hook]}, {"log_prints": True}):
    for body in (yields, yields_later, yields_and_waits):
        made = task(**options)(body)
        left += [(*each, list(options)) for each in asyncio.run(main(made))]
        for way in () if made.is_async else (iterate, sync_flow):
            way(made)
            gc.collect()
            way(made)
            if count := gc.collect():
                left.append((made.name, str(way), count, list(options)))
print(left)
"""


def test_runs_make_no_cycles_that_only_the_collector_could_free() -> None:
    # In a process of its own: what else is loaded into this one may hold frames, and with them runs.
    done = subprocess.run([sys.executable, "-c", CYCLES], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_generators_that_fail_make_none_either() -> None:
    done = subprocess.run([sys.executable, "-c", GENERATOR_CYCLES], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


FLOW_CYCLES = """
import asyncio
import gc
from millrace import Engine, FlowRunContext, flow, task

def hook(*_): ...

class Boom(BaseException): ...

@task
def bad(): raise ValueError

def fails(x): raise ValueError(x)
def crashes(x): raise Boom(x)
def leaves_a_failure(x): bad.submit()
def is_cancelled(x): FlowRunContext.get().flow_run.cancel()
def yields(x):
    yield x
    raise ValueError(x)
async def fails_at_once(x): raise ValueError(x)
async def fails_later(x):
    await asyncio.sleep(0)
    raise ValueError(x)
async def crashes_later(x):
    await asyncio.sleep(0)
    raise Boom(x)
async def leaves_failures(x): bad.map(range(3))
async def is_cancelled_at_its_await(x):
    FlowRunContext.get().flow_run.cancel()
    await asyncio.Event().wait()
async def yields_later(x):
    yield x
    raise ValueError(x)
async def yields_and_waits(x):
    yield x
    await asyncio.sleep(0)
    raise ValueError(x)

BODIES = [
    fails, crashes, leaves_a_failure, is_cancelled, fails_at_once, fails_later, crashes_later, leaves_failures,
    is_cancelled_at_its_await, yields, yields_later, yields_and_waits,
]
OPTIONS = (
    {}, {"retries": 1}, {"timeout_seconds": 60}, {"log_prints": True}, {"flow_run_name": "no-{x}"},
    {"on_failure": [hook], "on_crashed": [hook], "on_cancellation": [hook]},
)

async def call(made, **options):
    try:
        if not made.is_generator:  # nothing is kept in a variable: the frame may live as long as an exception does
            return await made(1, **options) if made.is_async else made(1, **options)
        if made.is_async:
            return [value async for value in made(1)]
        return list(made(1))
    except (Exception, Boom):
        pass

async def state(made):
    if not made.is_generator:
        await call(made, return_state=True)

@flow
async def around(made): await call(made)

@flow
def around_in_sync_code(made):
    if not (made.is_async and made.is_generator):
        try:
            made(1) if not made.is_generator else list(made(1))
        except (Exception, Boom):
            pass

@task
async def calls(made): await call(made)

@flow
async def around_a_task(made): await calls.submit(made)

async def background(made):
    if made.is_async and made.fn is not crashes_later:  # a crash is told to the loop, too
        await Engine.current().start(made, 1).wait_async()
        await asyncio.sleep(0)

WAYS = (call, state, around, around_a_task, background)

async def main(made):
    left = []
    for way in WAYS:
        await way(made)
        await way(made)
        gc.collect()
        await way(made)
        if count := gc.collect():
            left.append((made.name, way.__name__, count))
    return left

gc.disable()
gc.freeze()  # what is there already need not be looked at
left = []
for body in BODIES:
    for options in OPTIONS:
        made = flow(**options)(body)
        left += [(*each, list(options)) for each in asyncio.run(main(made))]
        around_in_sync_code(made)
        gc.collect()
        around_in_sync_code(made)
        if count := gc.collect():
            left.append((made.name, "sync code", count, list(options)))
print(left)
"""


def test_flow_runs_that_fail_make_no_cycles_either() -> None:
    done = subprocess.run([sys.executable, "-c", FLOW_CYCLES], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_the_engines_own_loop_holds_no_run_that_it_was_made_for() -> None:
    engine = Engine()

    @task(timeout_seconds=60)
    def first() -> None: ...

    @flow
    def body() -> None:
        first()

    token = ENTERED.set(engine)
    try:
        body()
    finally:
        ENTERED.reset(token)
    assert engine.loops.own
    assert alive()["TaskRun"] == 0


async def test_a_finished_run_keeps_no_arguments() -> None:
    @flow
    async def body() -> Any:
        future = echo.submit(1)
        await future
        run: TaskRun = future.source
        return run.args, dict(run.kwargs), len(run.context), run.inputs

    assert await body() == ((), {}, 0, None)
