"""A simulation of one life of the process: its flows are called, things befall them, and then all must end in peace."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from uuid import UUID

import anyio

from millrace import (
    Abort,
    Crashed,
    Engine,
    Paused,
    RunNotResumable,
    StateType,
    StoreError,
    propose_state,
    resume_flow_run,
    suspend_flow_run,
)
from millrace.actors.errors import MillraceError
from millrace.runtime.future_list import FutureList
from tests.simulation.audit import Audit, Told
from tests.simulation.bodies import Stage
from tests.simulation.disk import SimDisk, SimStore
from tests.simulation.ledger import Broken, Ledger, is_final
from tests.simulation.plans import Act, Death, Plan, Top, flows_in, left_behind_by_tasks, tasks_of
from tests.simulation.scheduler import Doomed
from tests.simulation.stand_ins import SimThread
from tests.simulation.world import World

GRACE_SECONDS = 5.0

SAFETY_SECONDS = 60.0
"""How long what befalls a plan may go on."""

STEPS_PER_RUN = 100
"""So many more steps may be taken for each run that there is."""

LEAST_STEPS = 500
"""A simulation goes on for so many, before it comes to its end."""

MOST_WAVES = 400
"""So often the flows of a plan are called again for that."""

MOST_FLOWS = 8
"""When more run and others are called, the oldest are cancelled."""

LIVENESS_SECONDS = 3_000.0
"""After so long in peace all must have ended, or some since it was looked last."""


class Simulation:
    """Runs a plan."""

    def __init__(
        self, plan: Plan, world: World, disk: SimDisk | None, told: Told | None, least_steps: int = LEAST_STEPS
    ) -> None:
        self.plan = plan
        self.least_steps = least_steps
        self.world = world
        self.disk = disk
        self.told = told or Told()  # by this process, and those before
        self.store: SimStore | None = None
        self._begun: set[int] = set()  # runs of which a body has begun in this process
        self.problems: list[str] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._scopes: list[anyio.CancelScope] = []
        self._threads: list[SimThread] = []
        self.stage: Any = None
        self.ledger: Any = None
        self.settled = False  # there is nothing more to befall anybody
        self.over = False

    def broken(self, problem: str) -> None:
        """An actor has done what it may not do."""
        if self.ledger is not None:
            self.world.note(f"BROKEN {problem}")
            self.ledger.broken.append(problem)

    # The tops.

    def _begin(self, top: Top) -> None:
        stage, flow = self.stage, self.stage.flow_of(top.flow)
        if top.way == "start":
            with contextlib.suppress(StoreError):
                stage.get(stage.engine.start(flow))
        elif top.way == "start_elsewhere":
            self._thread(lambda: stage.get(stage.engine.start(flow)))
        elif top.way == "thread":
            self._thread(lambda: self._in_engine(flow))
        elif top.way == "scope":
            self._tasks.append(asyncio.create_task(self._scoped(flow)))
        else:
            self._tasks.append(asyncio.create_task(_swallow(flow())))

    def _thread(self, call: Any) -> None:
        def run() -> None:
            with contextlib.suppress(Exception, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError):
                call()

        thread = SimThread(target=run, name="outside")
        self._threads.append(thread)
        thread.start()

    def _in_engine(self, flow: Any) -> None:
        from millrace.runtime.entering import ENTERED  # noqa: PLC0415

        ENTERED.set(self.stage.engine)
        try:
            flow()
        except Doomed:
            raise
        except BaseException:  # noqa: BLE001, S110  # whatever it is, its run has it
            pass

    async def _scoped(self, flow: Any) -> None:
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            await _swallow(flow())

    # What befalls them.

    async def _go_on(self, acts: tuple[Act, ...]) -> None:
        """As long as there were too few steps, call the flows again, and again have these acts befall them."""
        for _ in range(MOST_WAVES):
            if self.world.steps >= self.least_steps or self.stage.engine.closed:
                return
            if self.store is not None and self.store.has_failed:  # nothing begins any more: somebody restarts it
                self._die(Death("failed", 0))
            running = self.stage.engine.flow_runs()
            for run in running[: max(0, len(running) - MOST_FLOWS)]:
                run.cancel("there are too many")
            for top in self.plan.tops:
                self._begin(top)
            for act in acts:
                await self._befall(act)
            await asyncio.sleep(self.plan.pace)

    async def _befall(self, act: Act) -> None:
        await asyncio.sleep(0)
        if act.where == "thread":
            self._thread(lambda: self._do(act))
        else:
            self._do(act)

    def _do(self, act: Act) -> None:
        self.world.note(f"! {act.what} {act.which}")
        try:
            getattr(self, f"_{act.what}")(act)
        except (MillraceError, Abort) as refused:
            self.world.note(f"  refused: {type(refused).__name__}")

    def _chosen_run(self, act: Act) -> Any:
        runs = self.stage.engine.flow_runs()
        return runs[act.which % len(runs)] if runs else None

    def _cancel_flow(self, act: Act) -> None:
        run = self._chosen_run(act)
        if run is not None:
            run.cancel("from outside")

    def _cancel_future(self, act: Act) -> None:
        if self.stage.futures:
            chosen = self.stage.futures[act.which % len(self.stage.futures)]
            for each in chosen if isinstance(chosen, FutureList) else [chosen]:
                each.cancel()

    def _cancel_awaiter(self, act: Act) -> None:
        if self._tasks and act.where == "loop":
            self._tasks[act.which % len(self._tasks)].cancel()

    def _cancel_scope(self, act: Act) -> None:
        if self._scopes and act.where == "loop":
            self._scopes[act.which % len(self._scopes)].cancel()

    def _resume_flow(self, act: Act) -> None:
        run = self._chosen_run(act)
        if run is not None:
            self._resume(run)

    def _suspend_flow(self, act: Act) -> None:
        run = self._chosen_run(act)
        if run is not None:
            with self._entered():
                suspend_flow_run(flow_run_id=run.uuid, timeout=5)

    def _pause_flow(self, act: Act) -> None:
        run = self._chosen_run(act)
        if run is not None:
            with self._entered():
                propose_state(Paused(timeout_seconds=5), flow_run_id=run.uuid)

    def _force_task(self, act: Act) -> None:
        runs = [each for each in self.stage.engine.flow_runs() if each.children]
        if runs:
            children = list(runs[act.which % len(runs)].children.values())
            child = children[act.which % len(children)]
            if not child.is_flow:
                with self._entered():
                    propose_state(Crashed(message="forced"), task_run_id=child.uuid, force=act.where == "loop")

    def _set_wall_clock(self, act: Act) -> None:
        self.world.lead += (act.which - 50) * 60_000_000_000

    def _cancel_all(self, _act: Act) -> None:
        self.stage.engine.cancel_all()

    def _entered(self) -> Any:
        from millrace.runtime.entering import ENTERED  # noqa: PLC0415

        @contextlib.contextmanager
        def entered() -> Any:
            token = ENTERED.set(self.stage.engine)
            try:
                yield
            finally:
                ENTERED.reset(token)

        return entered()

    def _resume(self, run: Any) -> None:
        with self._entered(), contextlib.suppress(MillraceError):
            self.stage.get(resume_flow_run(run.uuid))

    # The whole.

    async def main(self) -> None:
        """Run it."""
        if self.disk is not None:
            self.store = self.disk.store(self.world, self._die)
        engine = self.world.engine(threads=self.plan.threads, grace_seconds=GRACE_SECONDS, store=self.store)
        self.ledger = Ledger(engine, self.world.note)
        self.ledger.on_run = self._allow_more
        self.stage = Stage(self.world, engine)
        self.stage.on_body = self._note_body
        self.ledger.runs_body = lambda run, attempt: bool(self.stage.bodies.get((run, attempt)))
        for name, limit in self.plan.limits:
            engine.limits.create(name, limit)
        async with engine:
            self._thread(self._keep_the_peace)
            self._thread(self._meet_death)
            begun = self._recover(engine)
            for top in self.plan.tops:
                if top.flow.name not in begun:
                    self._begin(top)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SAFETY_SECONDS):
                    for act in self.plan.acts:
                        await asyncio.sleep(act.after)
                        await self._befall(act)
                    await self._go_on(self.plan.acts)
                    await self._settled()
            await self._go_on(())
            self.settled = True
            self.ledger.check()
            await self._end(engine)

    # The store, and the end of the process.

    def _recover(self, engine: Engine) -> set[str]:
        """Look at what is on record, and go on with it.

        Returns:
            Names of the flows that somebody has begun already.
        """
        if self.store is None or self.disk is None:
            return set()
        audit = Audit(self.store)
        audit.check(self.told, self.disk.groups)
        audit.check_recovered()
        audit.check_replays(self.told, self._run_always())
        audit.remember(self.told, self.world.life, self._run_always())
        self.ledger.on_record = {run: len(states) for run, states in audit.states.items()}
        flows = flows_in(self.plan)
        for row in reversed(audit.flow_runs):
            if row.parent is None:
                self.world.note(f"resume {row.name.partition('-')[0]} {row.state.type}")
                try:
                    self.stage.get(engine.resume(UUID(int=row.id), self.stage.flow_of(flows[row.flow])))
                except (RunNotResumable, StoreError) as refused:
                    self.world.note(f"  refused: {type(refused).__name__}")
        return {row.flow for row in audit.flow_runs if row.parent is None}

    def _run_always(self) -> set[str]:
        return tasks_of(self.plan, ("stream", "iterate")) | left_behind_by_tasks(self.plan)

    def _meet_death(self) -> None:
        """Kill the process when its time has come, if it has one. In a thread of its own."""
        death = None if self.store is None else self.store.death
        until = None if death is None or death.at != "time" else self.world.sched.now + round(death.when * 1e9)
        if not self.world.sched.block(lambda: self.over, until) and death is not None:
            self._die(death)

    def _die(self, death: Death) -> None:
        """The process is killed in this moment."""
        if self.world.sched.failed is not None or self.disk is None:
            return
        self.world.note(f"! killed: {death.at} {death.when:g}")
        self._note_what_was_told()
        self.disk.kill(death)
        self.world.sched.kill()

    def _note_what_was_told(self) -> None:
        """What anybody knows by now has to be there for ever."""
        if self.ledger is None:
            return
        for run, chain in self.ledger.chains.items():
            if run not in self.ledger.lost:
                self.told.states |= {(run, each.sequence): each.state.type for each in chain}
        stage = self.stage
        if stage is None:
            return
        ends: dict[int, StateType] = {}
        for each in stage.futures:
            for future in each if isinstance(each, FutureList) else [each]:
                run = future.task_run_id
                if future.done() and run is not None and run.int in self._begun:  # else it was replayed
                    # What it was forced into after that is on record a moment later, as all that is no end.
                    source: Any = future._source
                    ends[run.int] = next(each.type for each in source.history() if is_final(each))
        if stage.engine.chronicle.writer.failed is None:  # nor has it while others had their turn in between
            self.told.ends |= ends

    def _note_body(self, run: int) -> None:
        """A body begins."""
        self._begun.add(run)
        self.told.begun.setdefault(run, self.world.life)

    def _check_record(self) -> None:
        """What must be so on record when all has ended."""
        if self.store is None or self.disk is None:
            return
        self._note_what_was_told()
        if self.store.broken:
            raise Broken(self.store.broken[0])
        audit = Audit(self.store)
        audit.check(self.told, self.disk.groups)
        audit.check_replays(self.told, self._run_always())
        chains, lost = self.ledger.chains, self.ledger.lost
        audit.check_ended({run: chain[-1].state.type for run, chain in chains.items() if run not in lost})

    def _keep_the_peace(self) -> None:
        """After a while all goes well: what hangs is let go, and what is paused is resumed. In a thread of its own."""
        sched, engine = self.world.sched, self.stage.engine
        self.operator = sched.current
        sched.block(lambda: self.settled, sched.now + round(SAFETY_SECONDS * 1e9))
        self.world.note("== in peace")
        sched.dawdling = 0.0
        if self.plan.ending == "cancel":
            engine.cancel_all()
            sched.block(lambda: self.settled, sched.now + round(3 * GRACE_SECONDS * 1e9))
        self.stage.calm_down()
        while not self.over:
            for run in engine.flow_runs():
                if run.paused:
                    self._resume(run)
            sched.block(lambda: self.over, sched.now + 500_000_000)

    def _allow_more(self) -> None:
        """There is one more run: that takes steps."""
        self.world.sched.max_steps += STEPS_PER_RUN

    async def _settled(self) -> None:
        """Wait for the end of all, without a hand in it."""
        while self._goes_on():  # noqa: ASYNC110  # an event would be one more hand in it
            await asyncio.sleep(0.5)

    def _goes_on(self) -> bool:
        return bool(self.stage.engine.flow_runs()) or any(thread.is_alive() for thread in self._threads[2:])

    async def _end(self, engine: Engine) -> None:
        sched = self.world.sched
        if self.plan.ending == "cancel":
            closing = asyncio.create_task(engine.aclose(cancel=True))
            before = sched.now
            await self._within(LIVENESS_SECONDS, closing, "the engine does not close")
            self.world.note(f"closed in {(sched.now - before) / 1e9:g}")
        else:
            ended, until = self.ledger.ended, sched.now + round(LIVENESS_SECONDS * 1e9)
            while engine.flow_runs():
                await asyncio.sleep(0.5)
                if sched.now > until:
                    before, ended = ended, self.ledger.ended
                    until = sched.now + round(LIVENESS_SECONDS * 1e9)
                    if ended > before:  # there may be very many, one after the other
                        continue
                    names = [f"{run.name} {run.state} live={run.live}" for run in engine.flow_runs()]
                    raise Broken(f"5, not ended in peace: {names}\n{self.ledger.unfinished()}\n{self.world.dump()}")
        for task in self._tasks:
            await self._within(60, task, "a caller still waits", may_raise=True)
        for thread in self._threads[2:]:
            await self._until(lambda each=thread: not each.is_alive(), f"a thread still waits: {thread.name}")
        if self.plan.ending != "cancel":
            await self._within(LIVENESS_SECONDS, asyncio.create_task(engine.aclose()), "the engine does not close")
        await self._until(lambda: not engine.offload.stats().busy, "a thread of the engine's is still busy")
        await self._until(lambda: not any(self.stage.bodies.values()), "a body still runs")
        self._check(engine)
        self._check_record()
        self.over = True
        await self._until(lambda: not any(each.is_alive() for each in self._threads), "the operator does not end")

    async def _within(self, seconds: float, task: asyncio.Task[Any], problem: str, *, may_raise: bool = False) -> None:
        done, _ = await asyncio.wait([task], timeout=seconds)
        if not done:
            raise Broken(f"5, {problem}\n{self.ledger.unfinished()}\n{self.world.dump()}")
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            if not may_raise and not isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise AssertionError(f"{problem}: {error!r}") from error

    async def _until(self, so: Any, problem: str) -> None:
        for _ in range(400):
            if so():
                return
            await asyncio.sleep(0.25)
        raise Broken(f"5, {problem}\n{self.ledger.unfinished()}\n{self.world.dump()}")

    def _check(self, engine: Engine) -> None:
        """What must be so when all has ended."""
        self.ledger.check()
        if self.stage.broken:
            raise Broken(self.stage.broken[0])
        left = self.ledger.unfinished()
        if left:
            raise Broken(f"5, these have not ended: {left}")
        for each in self.stage.futures:
            for future in each if isinstance(each, FutureList) else [each]:
                if not future.done():
                    raise Broken(f"10, a future is not done: {future.name} {future.state}")
        stats = engine.stats()
        if stats.flow_runs or stats.task_runs or stats.threads.lent or engine.root.waiting:
            raise Broken(f"11, not at rest: {stats}")
        for limit in engine.limits.values():
            if limit.held or limit.waiters():
                raise Broken(f"11, {limit}: held by {limit.holders()}, waited for by {limit.waiters()}")


async def _swallow(awaitable: Any) -> Any:
    try:
        return await awaitable
    except asyncio.CancelledError:
        raise
    except Exception:  # noqa: BLE001  # its run has it
        return None
