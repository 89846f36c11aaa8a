"""Batches of seeds, each in a process of its own: what a simulation that was killed leaves behind goes with that.

Decides how many seeds share a process, and what is counted over all of them. A log holds what batches have come to, a
line for each, so that a search that takes hours can be stopped at any time, and goes on where it was.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import attrs

from tests.simulation.simulate import simulate
from tests.simulation.simulation import LEAST_STEPS

BATCH: Final = 250
"""So many seeds share a process."""


@attrs.frozen
class Tally:
    """What many simulations came to.

    Args:
        seeds: How many there were.
        steps: How many steps they took.
        least: How many the shortest one took.
        runs: How many runs there were in them.
        killed: How many processes were killed in them.
        groups: How many groups of records were written to a store in them.
        seconds: Of CPU.
        failed: The seeds that failed.
        commits: Of the engine that they were run on; none for that of now.
    """

    seeds: int = 0
    steps: int = 0
    least: int = sys.maxsize
    runs: int = 0
    killed: int = 0
    groups: int = 0
    seconds: float = 0.0
    failed: tuple[int, ...] = ()
    commits: tuple[str, ...] = ()

    def with_more(self, other: Tally) -> Tally:
        """The two together."""
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("seeds", "steps", "runs", "killed", "groups", "seconds", "failed")
        }
        commits = tuple(dict.fromkeys(self.commits + other.commits))
        return Tally(least=min(self.least, other.least), commits=commits, **sums)

    def __str__(self) -> str:
        failed = ", ".join(map(str, self.failed)) or "none"
        at = f"; at {', '.join(self.commits)}" if self.commits else ""
        return (
            f"{self.seeds:,} seeds, failed: {failed}; {self.steps:,} steps, {self.least:,} at least in each; "
            f"{self.runs:,} runs, {self.killed:,} kills, {self.groups:,} groups; {self.seconds:,.0f} s of CPU{at}"
        )


def in_child(seeds: Iterable[int], stop: int, chars: int, *, twice: bool = False) -> Tally:
    """Run the simulations of some seeds in a fork of this process.

    Args:
        seeds: The seeds.
        stop: After how many that fail.
        chars: How much is said of each that does.
        twice: Run each twice, and let it fail where it comes to another trace.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        gc.freeze()  # what is there already is looked through no more, after each simulation
        try:
            told = json.dumps(attrs.asdict(run_all(seeds, stop, chars, twice=twice)))
            os.write(writing, told.encode())
            sys.stdout.flush()
            code = 0
        finally:
            os._exit(code)  # a simulation that failed leaves threads behind, and coroutines in the middle of something
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if status or not told:
        print(f"the process of the seeds from {next(iter(seeds))} on ended by itself, with status {status}")  # noqa: T201
        return Tally(failed=tuple(seeds)[:1])
    return _tally(json.loads(told))


@attrs.define
class Log:
    """What batches have come to, on file. Several processes may write to one.

    Args:
        path: The file; it need not be there.
    """

    path: Path

    def read(self) -> dict[tuple[int, int], Tally]:
        """What stands there, by the first seed of a batch and how many it has."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        read = [json.loads(line) for line in lines]
        return {(first, count): _tally(found) for first, count, found in read}

    def write(self, batch: range, tally: Tally) -> None:
        """Note what a batch has come to."""
        line = json.dumps((batch.start, len(batch), attrs.asdict(tally)))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _tally(found: dict[str, Any]) -> Tally:
    lists = {name: tuple(found.get(name, ())) for name in ("failed", "commits")}
    given: dict[str, Any] = {**found, **lists}
    return Tally(**given)


def run_all(seeds: Iterable[int], stop: int, chars: int, *, twice: bool = False) -> Tally:
    """Run the simulations of some seeds here. See `in_child`."""
    tally = Tally()
    for seed in seeds:
        report = simulate(seed)
        problem = report.problem
        if not problem and report.steps < LEAST_STEPS:
            problem = f"it has come to its end after {report.steps} steps"
        if twice and not problem and simulate(seed).digest != report.digest:
            problem = "another trace when it is run again"
        if problem:
            again = f"Again: python -m tests.simulation --seed {seed} --trace"
            print(f"seed {seed}: {problem[:chars]}\n{again}\n", flush=True)  # noqa: T201  # what was asked for
        failed = (seed,) if problem else ()
        tally = tally.with_more(
            Tally(1, report.steps, report.steps, report.runs, report.lives - 1, report.groups, 0.0, failed)
        )
        if len(tally.failed) >= stop:
            break
    used = resource.getrusage(resource.RUSAGE_SELF)
    return attrs.evolve(tally, seconds=used.ru_utime + used.ru_stime)
