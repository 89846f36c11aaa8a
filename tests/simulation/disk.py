"""The disk of a simulation: a store that outlives the engines that write to it, and what befalls it.

Decides which groups take time or fail, when the process is killed, and what is there after that. A store in memory is
kept as it is, since each group is written there at once. A store of SQLite's lies on the disk of `tests.proofs.cuts`:
what was written and not brought to it is lost, or a random part of it, when the power goes with the process.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from millrace.runtime.stores.memory import MemoryStore
from millrace.runtime.stores.port import Group
from millrace.runtime.stores.records import Entered, FlowRunMade, TaskRunMade
from millrace.runtime.stores.sqlite import SqliteStore
from tests.proofs import cuts
from tests.simulation.plans import Death, StorePlan
from tests.simulation.stand_ins import SimLock
from tests.simulation.world import World

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # files there cost no disk; each has a folder of its own


State = tuple[int, int, int, str]
"""A state of a run: the run, its position, when it was entered, and what led to it."""


@attrs.define(eq=False)
class Written:
    """A group, and what became of it.

    Args:
        number: It was the so-manieth of all.
        life: Of the process that has written it.
        states: The states that it brings: each with what tells it from what others have put there.
        told: `""` until it was acknowledged or refused: `acknowledged`, `failed`.
    """

    number: int
    life: int
    states: frozenset[State]
    told: str = ""


class SimDisk:
    """What one process after the other writes to.

    Args:
        plan: What befalls it.
        seed: Of what is left to chance.
    """

    def __init__(self, plan: StorePlan, seed: int) -> None:
        self.plan = plan
        self.groups: list[Written] = []  # of all lives
        self._rng = random.Random(f"{seed} disk")
        self._seed = seed
        self._memory = MemoryStore()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._disk: cuts.Disk | None = None
        self._image: dict[str, bytes] = {}  # what the next life finds

    def store(self, world: World, kill: Callable[[Death], None]) -> SimStore:
        """The store, as the process of a world has it.

        Args:
            world: The world.
            kill: Ends the process.
        """
        deaths = self.plan.deaths
        death = deaths[world.life] if world.life < len(deaths) else None
        if self.plan.kind == "memory":
            self._memory._lock = SimLock()  # type: ignore[assignment]
            return SimStore(self, self._memory, world, death, kill)
        store = SimStore(self, self._in_file(world), world, death, kill)
        assert self._disk is not None
        self._disk.at_sync = store.at_sync
        return store

    def _in_file(self, world: World) -> SqliteStore:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
        folder = Path(self._folder.name) / str(world.life)
        folder.mkdir(mode=0o700)
        self._forget_disk()
        disk = self._disk = cuts.Disk(f"simulation-{self._seed}-{world.life}")
        for path, content in self._image.items():
            at = folder / Path(path).name
            at.write_bytes(content)
            at.chmod(0o600)
            disk.files[os.fspath(at)] = cuts.File(content)
        file = folder / "runs.db"
        store = SqliteStore(file, connect=lambda *_, **__: cuts.Connection(str(file), disk, "FULL"))
        store._control = None  # which would be a socket, and a real thread behind it
        return store

    def kill(self, death: Death) -> None:
        """The process ends in this moment: what it has written is what the next one finds."""
        if self._disk is not None:
            chance = self._rng.choice((0.0, 0.5)) if death.power else 1.0
            self._image = self._disk.image(lambda: self._rng.random() < chance)

    def _forget_disk(self) -> None:
        if self._disk is not None:
            self._disk.at_sync = lambda: None
            self._disk.unregister()

    def leave(self) -> None:
        """Nobody needs it any more."""
        self._forget_disk()
        if self._folder is not None:
            self._folder.cleanup()


class SimStore:
    """A store that groups befall in. See `port.Store`.

    Args:
        disk: Keeps account.
        store: Where all is written.
        world: The world.
        death: How the process ends; None: not of itself.
        kill: Ends it.
    """

    def __init__(
        self,
        disk: SimDisk,
        store: MemoryStore | SqliteStore,
        world: World,
        death: Death | None,
        kill: Callable[[Death], None],
    ) -> None:
        self._disk = disk
        self._store = store
        self._world = world
        self.death = death
        self._kill = kill
        self._moments: dict[str, int] = {}
        self.has_failed = False
        self.broken: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, group: Group) -> None:
        """Write a group, unless something befalls it."""
        self.append_for_good(group)

    def append_for_good(self, group: Group) -> None:
        """The same, also where an ablation has put something in the place of `append`."""
        plan, sched = self._disk.plan, self._world.sched
        written = Written(len(self._disk.groups) + 1, self._world.life, states_of(group))
        self._disk.groups.append(written)
        if self.has_failed:
            self.broken.append("17, a store that has failed is written to again")
        if plan.slow and self._world.rng.random() < plan.slow:
            sched.sleep(self._world.rng.choice((0.001, 0.1, 3.0)))
        self._reach("begun")
        fails = not self._world.life and group.number == plan.fails_at
        if fails and plan.fails == "before":
            self._tell(group, written, OSError("no space left on the disk"))
            return
        outcome: list[BaseException | None] = []
        self._store.append(Group(group.token, group.number, group.records, outcome.append))
        self._reach("written")
        self._tell(group, written, OSError("the answer was lost") if fails else outcome[0])
        self._reach("acknowledged")

    def _tell(self, group: Group, written: Written, error: BaseException | None) -> None:
        if not self._world.is_dead:
            written.told = "acknowledged" if error is None else "failed"
            self.has_failed = self.has_failed or error is not None
            self._world.note(f"group {written.number} of {len(written.states)}: {written.told}")
        group.done(error)

    def at_sync(self) -> None:
        """Something is brought to the disk: called before, and after."""
        self._reach("synced")

    def _reach(self, moment: str) -> None:
        death = self.death
        reached = self._moments[moment] = self._moments.get(moment, 0) + 1
        if death is not None and death.at == moment and death.when == reached:
            self._kill(death)


def states_of(group: Group) -> frozenset[State]:
    """The states that a group brings."""
    made = {(each.id, 0, each.at, "created") for each in group.records if isinstance(each, (FlowRunMade, TaskRunMade))}
    entered = {(each.run, each.sequence, each.at, each.cause) for each in group.records if isinstance(each, Entered)}
    return frozenset(made | entered)
