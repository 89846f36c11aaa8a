"""Outages: a server is killed and started again, again and again, while flows run on it; nothing is lost or doubled.

The flows' process lives all the time. What it was told is compared with what stands in the database in the end.

    python -m tests.proofs.outages --stops 20
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from contextlib import closing
from threading import Event, Thread
from typing import Any

import attrs

from millrace import Engine, PostgresStore, StateType, flow, task
from millrace.runtime.entering import ENTERED
from millrace.runtime.stores.rows import RunFilter
from tests.postgres import DURABLE, Server
from tests.proofs.verdicts import Row, tell

CALLS, ITEMS = 10, 40
LONGEST_SECONDS = 1.0
"""How long the server is left alone, and how long it is away, at most."""

ran: Counter[str] = Counter()


@task
def work(key: str) -> str:
    ran[key] += 1
    return f"result of {key}"


@flow
def body(number: int) -> int:
    one_by_one = [work(f"{number}-call-{each}") for each in range(CALLS)]
    at_once: list[Any] = work.map([f"{number}-item-{each}" for each in range(ITEMS)]).result()
    return len({*one_by_one, *at_once})


@attrs.define
class Tally:
    """What it all came to."""

    stops: int = 0
    flows: int = 0
    faults: list[str] = attrs.field(factory=list)

    def __str__(self) -> str:
        results = self.flows * (CALLS + ITEMS)
        return f"{self.stops} outages in {self.flows} flows: {results:,} results, {len(self.faults)} lost, or doubled"


def prove(server: Server, stops: int, seed: int) -> Tally:
    """Run flows until the server was away so often.

    Args:
        server: The server.
        stops: How often.
        seed: Of the moments.
    """
    tally = Tally()
    over = Event()
    url = server.url("outages")

    def interrupt() -> None:
        draw = random.Random(seed)
        pause = Event()
        try:
            for _ in range(stops):
                pause.wait(draw.uniform(0, LONGEST_SECONDS))
                server.stop()
                tally.stops += 1
                pause.wait(draw.uniform(0, LONGEST_SECONDS))
                server.start()
        finally:
            over.set()

    engine = Engine(store=url)
    ENTERED.set(engine)
    thread = Thread(target=interrupt)
    thread.start()
    while not over.is_set():
        came = body(tally.flows)
        if came != CALLS + ITEMS:
            tally.faults.append(f"flow {tally.flows} came to {came}")
        tally.flows += 1
    thread.join()
    engine.close()
    tally.faults += [f"{key} ran {times} times" for key, times in ran.items() if times != 1]
    tally.faults += _faults_of(url, tally.flows)
    return tally


def _faults_of(url: str, flows: int) -> list[str]:
    """What is not as it was told in the database."""
    with closing(PostgresStore(url)) as store:
        runs = store.read_flow_runs(RunFilter(limit=1_000))
        found = [f"{run.name} is {run.state.type}" for run in runs if run.state.type is not StateType.COMPLETED]
        for run in runs:
            done = store.read_results(run.id)
            if len(done) != CALLS + ITEMS:
                found.append(f"{run.name} has {len(done)} results")
    return found if len(runs) == min(flows, 1_000) else [*found, f"{len(runs)} flow runs, not {flows}"]


def main() -> int:
    """Prove it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}")  # noqa: T201  # what was asked for
    server = Server(DURABLE)
    try:
        tally = prove(server, options.stops, options.seed)
    finally:
        server.remove()
    for fault in tally.faults:
        print(fault)  # noqa: T201
    return tell([Row("outages of a PostgreSQL server", str(tally), holds=not tally.faults)])


if __name__ == "__main__":
    sys.exit(main())
