"""Races of what ends, goes on or comes to rest with whatever befalls it, each as the smallest thing that shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from millrace import (
    Abort,
    EngineClosed,
    Event,
    FlowRunContext,
    NotPausedError,
    Paused,
    RunNotFound,
    Scheduled,
    StateType,
    TaskRunContext,
    flow,
    opaque,
    propose_state,
    resume_flow_run,
    task,
)
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.runs import TaskRun
from tests.simulation.playing import play
from tests.simulation.stand_ins import SimThread
from tests.simulation.world import Conditions, World


def test_nobody_comes_upon_a_flow_run_before_it_is_told_that_there_is_one() -> None:
    # 1. A flow calls another one, whose run is made. 2. Another thread cancels all flow runs that there are. 3. The
    # flow tells that there is the run, whose first transition was told already; a store would refuse it, and be over.
    def calls(_world: World) -> Any:
        @flow
        def inner() -> None: ...

        @flow
        def body() -> None:
            context = FlowRunContext.get()
            assert context is not None
            run = context.flow_run

            def cancel_others() -> None:
                for each in run.engine.flow_runs():
                    if each is not run:
                        each.cancel()

            for _ in range(5):
                SimThread(target=cancel_others).start()
                inner(return_state=True)

        return body

    for seed in range(25):
        play(seed, calls).check()


def test_a_run_that_ends_while_somebody_resumes_it_is_not_paused() -> None:
    # 1. Somebody wants to resume a run, and asks for what is known of its pauses. 2. The run ends, and lets go of that.
    # 3. There is nothing to look into.
    def ends(_world: World) -> Any:
        @flow
        def inner() -> None: ...

        @flow
        def body() -> None:
            context = FlowRunContext.get()
            assert context is not None
            engine = context.flow_run.engine

            def resume_all() -> None:
                for run in engine.flow_runs():
                    try:
                        _ = resume_flow_run(run.uuid)
                    except (NotPausedError, RunNotFound):
                        continue
                    except AttributeError as error:
                        broken.append(error)

            for _ in range(5):
                SimThread(target=copy_context().run, args=(resume_all,)).start()
                inner()

        return body

    broken: list[AttributeError] = []
    for seed in range(25):
        play(seed, ends).check()
    assert not broken


def left_and_disturbed(_world: World) -> Any:
    """A flow whose subflow leaves code behind that starts tasks, while others cancel it and want it paused."""
    threads: list[SimThread] = []

    @task
    def quick() -> None: ...

    def start_many() -> None:
        with suppress(EngineClosed):
            for _ in range(4):
                _ = quick.submit()

    def disturb(run: FlowRun) -> None:
        run.cancel()
        for _ in range(6):
            with suppress(Abort, RunNotFound):
                propose_state(Paused(), flow_run_id=run.uuid)

    @flow
    def inner() -> None:
        context = FlowRunContext.get()
        assert context is not None
        threads.append(SimThread(target=copy_context().run, args=(start_many,)))
        threads.append(SimThread(target=copy_context().run, args=(disturb, context.flow_run)))
        for each in threads:
            each.start()

    @flow
    def body() -> None:
        inner(return_state=True)
        for each in threads:
            each.join()

    return body


def test_an_answer_that_comes_after_others_have_got_on_ends_nothing() -> None:
    # 1. A flow run that is cancelled has been left by its body, and code that this has left behind starts a task. 2. A
    # thread that wants the run paused has its turn, so it hears that the task is to be waited for, and is interrupted.
    # 3. Whoever sees the run through is rung for, asks again, waits for the task, and ends the run. 4. The thread says
    # that the task is to be waited for: to nobody, and the run's end was told once more; or beside the end, which went
    # unheard, as one ring was for both.
    for seed in range(300):
        play(seed, left_and_disturbed).check()


def test_a_generator_that_comes_to_rest_while_its_flow_ends_is_closed() -> None:
    # 1. Code that a task has left behind asks a generator for a value, and all else in its flow has ended. 2. The body
    # yields, and is put where it rests. 3. Whoever waits for the end of the flow is woken, and comes for it, before the
    # other thread has left the context of the body: nobody else may enter that, and so nobody closed the body.
    def leaves_behind(_world: World) -> Any:
        @task
        def counts(run: TaskRun) -> Iterator[int]:
            run.cancel("enough")  # it has ended by that, and its body goes on
            yield from range(10)

        @task
        def iterates() -> None:
            context = TaskRunContext.get()
            assert context is not None
            for _ in counts(opaque(context.task_run)):
                pass

        @flow
        def body() -> None:
            _ = iterates.submit()

        return body

    for seed in range(30):
        play(seed, leaves_behind).check()


def test_an_attempt_begins_though_its_run_is_put_off_in_the_moment_in_which_it_is_admitted() -> None:
    # 1. An attempt fails, and the next one is admitted at once. 2. Somebody who is told of that proposes SCHEDULED.
    # 3. Whoever sees the run through asked for admission until it was RUNNING, and so for ever.
    def fails_twice(_world: World) -> Any:
        attempts: list[int] = []

        def put_off(event: Event) -> None:
            if event.state.name == "Retrying":
                thread = SimThread(target=copy_context().run, args=(propose, event.state.state_details.flow_run_id))
                thread.start()

        def propose(run_id: Any) -> None:
            with suppress(Abort, RunNotFound):
                propose_state(Scheduled(), flow_run_id=run_id)

        @flow(retries=2)
        def body() -> None:
            context = FlowRunContext.get()
            assert context is not None
            if not attempts:
                context.flow_run.engine.subscribe(put_off)
            attempts.append(1)
            if len(attempts) < 3:
                raise ValueError

        return body

    for seed in range(100):
        play(seed, fails_twice).check()


def closed_with_hooks_in_line(world: World, busy_seconds: float) -> tuple[list[str], list[bool]]:
    """Close an engine whose threads are busy with bodies that were left behind, and with the hooks of a run in line.

    Returns:
        What the hooks have come to, and whether all threads of the engine have ended after that.
    """
    told: list[str] = []
    ended: list[bool] = []

    async def slow(_flow: Any, _run: Any, _state: Any) -> None:
        await asyncio.sleep(1)
        told.append("of its crash")

    @task
    def busy() -> None:
        world.sched.sleep(busy_seconds)

    @task
    async def quick() -> None: ...

    @flow(on_crashed=[slow])
    def stubborn() -> None:
        _: Any = quick()  # for which there is a loop of the engine's from now on
        first = busy.submit()
        world.sched.sleep(0.5)
        first.cancel()  # its thread is left behind, and another one stands in for that
        _ = busy.submit()
        world.sched.sleep(4)

    async def main() -> None:
        async with world.engine(threads=1, grace_seconds=2) as engine:
            future = engine.start(stubborn)
            await asyncio.sleep(1)
            future.flow_run.cancel("enough")
            await asyncio.sleep(2.5)
            assert future.flow_run.type is StateType.CRASHED
        await asyncio.sleep(busy_seconds + 5)
        ended.append(not engine.offload.stats().busy)

    world.run(main)
    return told, ended


def test_an_engine_that_is_closed_waits_for_the_last_hooks_of_a_run_that_was_given_up() -> None:
    # 1. A flow run is given up, and its hooks wait for a thread. 2. The engine is closed: the run has ended, so nothing
    # is waited for, and the loops end. 3. There is a thread for the hooks, and they wait for a loop for ever.
    assert closed_with_hooks_in_line(World(1, Conditions()), 5) == (["of its crash"], [True])


def test_hooks_that_come_too_late_for_that_do_not_hold_their_thread_for_ever() -> None:
    assert closed_with_hooks_in_line(World(1, Conditions()), 50) == ([], [True])


def test_an_engine_does_not_wait_for_ever_for_hooks_that_do_not_end() -> None:
    world = World(1, Conditions())

    async def endless(_flow: Any, _run: Any, _state: Any) -> None:
        await asyncio.sleep(10_000)

    @flow(on_crashed=[endless])
    def stubborn() -> None:
        world.sched.sleep(8)

    async def main() -> None:
        async with world.engine(grace_seconds=5) as engine:
            future = engine.start(stubborn)
            await asyncio.sleep(1)
            future.flow_run.cancel("enough")
            await asyncio.sleep(6)
        assert engine.now() - begun < 20 * 10**9

    begun = world.clock.now()
    world.run(main)
