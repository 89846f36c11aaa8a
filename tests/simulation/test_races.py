"""Races of threads with what is started and counted, each as the smallest thing that shows it."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

from millrace import (
    FlowRunContext,
    NotPausedError,
    flow,
    pause_flow_run,
    resume_flow_run,
    task,
)
from tests.simulation.playing import play
from tests.simulation.stand_ins import SimThread
from tests.simulation.world import World


def test_nobody_comes_upon_a_run_of_a_map_before_it_is_told_that_there_is_one() -> None:
    # 1. The flow looks at a future, and so makes its run. 2. A thread takes that run, and admits it. 3. The flow tells
    # that there is the run, after the first transition of it was told.
    def looks_at_all(_world: World) -> Any:
        @task
        def quick(x: int) -> int:
            return x

        @flow
        def body() -> list[int]:
            futures = quick.map(range(6))
            return [future.result() for future in futures]

        return body

    for seed in range(40):
        play(seed, looks_at_all).check()


def test_a_run_of_a_map_that_is_dropped_while_it_is_made_is_counted_once() -> None:
    # 1. A flow run is cancelled. 2. Before its maps are, a thread looks at a run of a map over the futures of another
    # one, and so makes that, and so first a run of the other one. 3. The flow run is told of this, and has its maps
    # cancelled, by the thread at hand. 4. The run is counted as dropped, and as one that has been made.
    def looks_at_both(world: World) -> Any:
        @task
        def waits(x: int) -> int:
            world.sched.sleep(1)
            return x

        @flow
        def body() -> None:
            context = FlowRunContext.get()
            assert context is not None
            flow_run = context.flow_run
            second = waits.map(waits.map(range(5)))
            looking = SimThread(target=copy_context().run, args=(lambda: second[0].state,))
            looking.start()
            flow_run.cancel()
            looking.join()

        return body

    for seed in range(200):
        play(seed, looks_at_both).check()


def test_what_is_started_while_its_flow_ends_ends_before_it() -> None:
    # 1. The body of a flow has ended, and nothing that it has started lives. 2. Code that it left behind, on another
    # loop, starts a task. 3. The flow ends, and the task runs.
    def leaves_behind(_world: World) -> Any:
        @task
        async def late() -> None:
            await asyncio.sleep(0.1)

        async def start_many() -> None:
            for _ in range(20):
                started.append(late.submit())
                await asyncio.sleep(0)

        leaked: list[asyncio.Task[None]] = []
        started: list[Any] = []

        @task
        async def leaks() -> None:
            leaked.append(asyncio.create_task(start_many()))

        @flow
        def body() -> None:
            started.append(leaks.submit())

        return body

    for seed in range(40):
        play(seed, leaves_behind).check()


def test_a_pause_that_is_ended_as_it_begins_is_over() -> None:
    # 1. A body makes the state of a pause. 2. Another thread, which wants to resume the run, looks at its id, which is
    # drawn now. 3. The state is entered, and the id is drawn again. 4. Who is resumed is known by the first one.
    def pauses(world: World) -> Any:
        @task
        def waits() -> Any:
            return pause_flow_run(timeout=None)

        @flow
        def body() -> Any:
            context = FlowRunContext.get()
            assert context is not None
            run_id = context.flow_run.uuid

            resumed: list[Any] = []

            def resume() -> None:
                while True:
                    try:
                        resumed.append(resume_flow_run(run_id))
                    except NotPausedError:
                        world.sched.sleep(0)
                    else:
                        return

            future = waits.submit()
            SimThread(target=copy_context().run, args=(resume,)).start()
            return future.result()

        return body

    for seed in range(100):
        play(seed, pauses).check()


def test_a_map_that_is_dropped_as_it_begins_is_counted_before() -> None:
    # 1. A flow is about to start a map. 2. Another thread cancels the flow, and so drops what the map has not made.
    # 3. The flow counts the runs of the map. In between it took its other children for ended.
    def maps(world: World) -> Any:
        @task
        async def nothing(_x: int) -> None: ...

        @task
        async def waits() -> None:
            await asyncio.Event().wait()

        @flow
        def body() -> None:
            context = FlowRunContext.get()
            assert context is not None
            started.append(waits.submit())
            SimThread(target=context.flow_run.cancel).start()
            for _ in range(5):
                started.append(nothing.map(range(3)))
                world.sched.sleep(0)

        started: list[Any] = []
        return body

    for seed in range(100):
        play(seed, maps).check()


def test_a_run_that_was_dropped_with_its_map_is_counted_once_however_many_look_at_it() -> None:
    # 1. A map is cancelled, and what it has not made counts as ended. 2. Somebody looks at such a run, which is made
    # now. 3. Somebody else comes upon it before it has ended, and cancels it, and so it is counted again.
    def drops(world: World) -> Any:
        @task
        def slow(_x: int) -> None:
            world.sched.sleep(1)

        @flow
        def body() -> None:
            context = FlowRunContext.get()
            assert context is not None
            futures = slow.map(range(30))
            world.sched.sleep(0.5)
            context.flow_run.cancel()

            def look() -> None:
                for future in futures:
                    future.cancel()

            for _ in range(3):
                SimThread(target=look).start()

        return body

    for seed in range(40):
        miscounted = [each for each in play(seed, drops).broken if each.startswith("12")]
        assert not miscounted


def test_the_order_of_threads_follows_from_the_seed() -> None:
    def numbers(world: World) -> Any:
        @task
        def draws(_x: int) -> None:
            world.sched.sleep(0.5)

        @flow
        def body() -> Any:
            return draws.map(range(8)).result()

        return body

    traces = [[str(chain[-1]) for chain in play(seed, numbers).chains.values()] for seed in (1, 1, 2)]
    assert traces[0] == traces[1] != traces[2]
