"""Playing: one flow in a world in which threads are interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millrace.actors import validation
from tests.simulation.ledger import Ledger
from tests.simulation.world import Conditions, World

SWITCHING = Conditions(switching=0.3)


def play(seed: int, body: Callable[[World], Any]) -> Ledger:
    """Start a flow in a world in which threads are interrupted at locks, and keep its events until it has ended."""
    world = World(seed, SWITCHING)
    ledgers: list[Ledger] = []
    broken: list[str] = []

    async def main() -> None:
        async with world.engine(threads=2) as engine:
            ledgers.append(Ledger(engine, world.note))
            await engine.start(body(world)).wait_async()

    switch_off = validation.switch_on(broken.append)
    try:
        world.run(main)
    finally:
        switch_off()
    ledgers[0].broken += broken
    return ledgers[0]
