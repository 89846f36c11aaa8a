"""The world of a simulation: a scheduler, loops, and millrace with its hands in them instead of in the machine's.

All locks, threads, queues and clocks that modules of millrace have imported are replaced for the length of a
simulation, and so are unordered sets of anyio's and asyncio's, which would let memory addresses decide the order of
cancellations.
Nothing of this is known to millrace.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import importlib
import pkgutil
import queue
import random
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import anyio._backends._asyncio as anyio_asyncio
import attrs

import millrace
from millrace.actors import ambient
from millrace.runtime import engines as engines_module
from millrace.runtime import offload
from millrace.runtime.ports import ForwardClock, IdSource, system_clock, system_ids
from tests.simulation.loop import SimLoop
from tests.simulation.scheduler import START_NS, Killed, Scheduler, _scheduler
from tests.simulation.stand_ins import SimCondition, SimEvent, SimLock, SimQueue, SimRLock, SimThread


class OrderedSet(dict[Any, None]):
    """A set that is walked through in the order in which it was filled."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        super().__init__(dict.fromkeys(items))

    def add(self, item: Any) -> None:
        """Put something in."""
        self[item] = None

    def discard(self, item: Any) -> None:
        """Take something out, if it is there."""
        self.pop(item, None)

    def remove(self, item: Any) -> None:
        """Take something out."""
        del self[item]


@cache
def modules() -> tuple[Any, ...]:
    """Every module of millrace's; all of them imported."""
    for floor in ("actors", "runtime"):
        package = importlib.import_module(f"millrace.{floor}")
        for each in pkgutil.walk_packages(package.__path__, f"millrace.{floor}."):
            if ".cli" not in each.name and not each.name.endswith(("fsspec_storage", "asgi", "plugin")):
                importlib.import_module(each.name)
    return tuple(module for name, module in sorted(sys.modules.items()) if name.startswith("millrace."))


REPLACED: Final = {
    id(each): each.__name__
    for each in (
        threading.Lock, threading.RLock, threading.Thread, threading.Event, threading.Condition, queue.SimpleQueue,
        time.perf_counter, time.process_time, time.monotonic, time.sleep,
    )
}  # fmt: skip
REPLACED[id(threading.Lock)] = "Lock"  # its own name is another
"""By identity: what a simulation has others for."""


@cache
def _imported() -> tuple[tuple[Any, str, str], ...]:
    """Where millrace has imported what is replaced: module, name there, and what it is."""
    return tuple(
        (module, name, REPLACED[id(value)])
        for module in modules()
        for name, value in vars(module).items()
        if id(value) in REPLACED
    )


@attrs.frozen
class Conditions:
    """What the machine of a simulation is like.

    Args:
        switching: How likely a thread is interrupted at a lock.
        shuffles: How likely a loop takes another callback than the first.
        dawdling: How likely time passes at a step.
        clock_steps: Whether somebody sets the wall clock now and then.
    """

    switching: float = 0.0
    shuffles: float = 0.0
    dawdling: float = 0.0
    clock_steps: bool = False

    @classmethod
    def drawn(cls, rng: random.Random) -> Conditions:
        """Conditions as a seed has them."""
        return cls(
            switching=rng.choice((0.0, 0.02, 0.1, 0.3)),
            shuffles=rng.choice((0.0, 0.0, 0.2, 1.0)),
            dawdling=rng.choice((0.0, 0.0, 0.0, 0.01, 0.1)),
            clock_steps=rng.random() < 0.2,
        )


MAIN: Final = "simulation"
"""The thread that a simulation begins on."""


class World:
    """One simulation."""

    def __init__(self, seed: int, conditions: Conditions, *, traced: bool = False, max_steps: int = 10_000) -> None:
        self.rng = random.Random(seed)
        self.conditions = conditions
        self.sched = Scheduler(random.Random(seed + 1), conditions.switching, conditions.dawdling, max_steps)
        self.lead = 0  # of the wall clock over the steady one
        self.loops: list[SimLoop] = []
        self.trace: list[str] | None = [] if traced else None
        self._seed = seed
        self._steps_before = 0  # of other processes
        self.life = 0  # so many processes have been killed before this one
        self._hash = hashlib.blake2b(digest_size=12)
        self.sched.log = self.note
        self.sched.dump = self.dump
        self.clock = ForwardClock(self.wall, self.sched.steady)

    def wall(self) -> int:
        """The time on the wall."""
        return self.sched.now + self.lead

    @property
    def is_dead(self) -> bool:
        """Whether the process was killed: what happens here from now on never was."""
        return isinstance(self.sched.failed, Killed)

    def reborn(self) -> World:
        """The same world after this process was killed, for another one: time and trace go on."""
        other = World(self._seed, self.conditions)
        other.life = self.life + 1
        lives = f"{self._seed} {other.life}"
        other.rng.seed(lives)
        other.sched.rng.seed(f"{lives} turns")
        other.sched.now, other.lead = self.sched.now, self.lead
        other.sched.last += self.sched.now - START_NS
        other._steps_before = self.steps
        other._hash, other.trace = self._hash, self.trace
        return other

    def note(self, line: str) -> None:
        """Add something to the trace."""
        if self.is_dead:
            return
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        if self.trace is not None:
            self.trace.append(line)

    @property
    def steps(self) -> int:
        """How many there were so far."""
        return self._steps_before + self.sched.steps

    @property
    def digest(self) -> str:
        """What the trace comes to."""
        return self._hash.hexdigest()

    def new_loop(self) -> SimLoop:
        """A loop of this world."""
        loop = SimLoop(self.sched, self.conditions.shuffles, len(self.loops) + 1)
        self.loops.append(loop)
        return loop

    def faults(self) -> list[dict[str, Any]]:
        """What the loops were told of."""
        return [each for loop in self.loops for each in loop.faults]

    def dump(self) -> str:
        """Who waits where."""
        lines = ["asyncio tasks:"]
        for loop in self.loops:
            for task in sorted(asyncio.all_tasks(loop), key=lambda each: each.get_name()):
                stack = _stack_of(task)
                lines.append(
                    f"  {task.get_name()} {getattr(task.get_coro(), '__qualname__', '?')}: {' < '.join(stack)}"
                )
        lines.append("threads:")
        frames = sys._current_frames()
        for thread in threading.enumerate():
            ours = thread.name == MAIN or (isinstance(thread, SimThread) and thread.is_alive())
            if ours and thread.ident is not None:
                frame = frames.get(thread.ident)
                names: list[str] = []
                while frame is not None and len(names) < 14:
                    if "/simulation/scheduler.py" not in frame.f_code.co_filename:
                        names.append(f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}")
                    frame = frame.f_back
                lines.append(f"  {thread.name}: {' < '.join(names)}")
        return "\n".join(lines)

    @contextmanager
    def entered(self) -> Generator[World]:
        """Have millrace live in this world."""
        others = {
            "Lock": SimLock,
            "RLock": SimRLock,
            "Thread": SimThread,
            "Event": SimEvent,
            "Condition": SimCondition,
            "SimpleQueue": SimQueue,
            "perf_counter": self.sched.seconds,
            "process_time": self.sched.seconds,
            "monotonic": self.sched.seconds,
            "sleep": self.sched.sleep,
        }
        undo: list[tuple[Any, str, Any]] = []
        _scheduler.append(self.sched)
        for module, name, what in _imported():
            undo.append((module, name, getattr(module, name)))
            setattr(module, name, others[what])
        for module in modules():
            if hasattr(module, "new_loop"):
                undo.append((module, "new_loop", module.new_loop))
                module.new_loop = self.new_loop
        undo.append((offload.Worker, "__bases__", offload.Worker.__bases__))
        offload.Worker.__bases__ = (SimThread,)  # it was derived when millrace was imported
        undo.append((asyncio, "all_tasks", asyncio.all_tasks))
        asyncio.all_tasks = _all_tasks_in_order  # type: ignore[assignment]
        anyio_asyncio.set = OrderedSet  # type: ignore[attr-defined]
        ids = IdSource(self.clock.now, self.rng.randbytes)
        ambient.install(now_ns=self.clock.now, new_id=ids.fresh_uuid)
        collects = gc.isenabled()
        gc.disable()
        try:
            yield self
        finally:
            if collects:
                gc.enable()
            ambient.install(now_ns=system_clock, new_id=system_ids.fresh_uuid)
            del anyio_asyncio.set  # type: ignore[attr-defined]
            for module, name, value in reversed(undo):
                setattr(module, name, value)
            _scheduler.pop()
            engines_module._default.clear()

    def run(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine to its end in this world; what it gives."""
        with self.entered():
            loop = self.new_loop()
            try:
                return loop.run_until_complete(main())
            finally:
                self.sched.finish()
                loop.close()

    def engine(self, **options: Any) -> millrace.Engine:
        """An engine of this world."""
        return millrace.Engine(clock=self.clock.now, random=self.rng.randbytes, **options)


_all_tasks = asyncio.all_tasks


def _all_tasks_in_order(loop: asyncio.AbstractEventLoop | None = None) -> OrderedSet:
    """`asyncio.all_tasks`, which is a set in an order that follows from addresses."""
    return OrderedSet(sorted(_all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name())))


def _stack_of(task: asyncio.Task[Any]) -> list[str]:
    names: list[str] = []
    coro: Any = task.get_coro()
    while coro is not None and len(names) < 12:
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is None:
            names.append(type(coro).__name__)
            break
        names.append(f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}")
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
    return list(reversed(names))
