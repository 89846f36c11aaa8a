"""Progress of `millrace bench`: bars on a terminal where rich is installed, else a line for each trial.

Decides what is said while it is measured, and how seldom: whoever draws takes the interpreter from what is measured.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self

from millrace.runtime.benching import units
from millrace.runtime.benching.figures import throughput
from millrace.runtime.benching.load import Load
from millrace.runtime.benching.plan import Plan, Step
from millrace.runtime.benching.trials import ADAPTIVE, Trial
from millrace.runtime.cli.logs import cli_logger
from millrace.runtime.cli.screen import is_live

REDRAWS_PER_SECOND: Final = 4


class Told(AbstractContextManager["Told"]):
    """Says a line after each trial. A context manager, and what `measure` tells.

    Args:
        plan: What is to be measured.
        quiet: Say nothing.
    """

    def __init__(self, plan: Plan, *, quiet: bool) -> None:
        self._plan = plan
        self._quiet = quiet
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def began(self, step: Step, load: Load) -> None:
        """A trial begins."""

    def ended(self, trial: Trial) -> None:
        """A trial has ended."""
        self._done += 1
        if not self._quiet:
            failed = sum(not sample.ok for sample in trial.samples)
            errors = f", {failed:,} failed" if failed else ""
            cli_logger.info(
                f"{self._done}/{self._plan.count}  round {trial.round + 1}, {_named(trial.contender, trial.limit)}: "
                f"{units.rate(throughput(trial))} runs/s{errors}"
            )


class Bars(AbstractContextManager["Bars"]):
    """Two bars: all trials, and the items of the one at hand.

    Args:
        plan: What is to be measured.
    """

    def __init__(self, plan: Plan) -> None:
        from rich.console import Console  # noqa: PLC0415  # an extra, and slow to import
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self._done = 0
        self._load: Load | None = None
        self._began = perf_counter()
        bars = self

        class Live(Progress):
            """Looks at the load whenever it draws, so that nothing is told of each run."""

            def get_renderables(self) -> Any:
                bars.look()
                return super().get_renderables()

        self._progress = Live(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            refresh_per_second=REDRAWS_PER_SECOND,
            transient=True,
        )
        self._all = self._progress.add_task("trials", total=plan.count, said="")
        self._one = self._progress.add_task("", total=1, said="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._load = None
        self._progress.stop()

    def began(self, step: Step, load: Load) -> None:
        """A trial begins."""
        self._began = perf_counter()
        self._load = load
        self._progress.update(
            self._one,
            description=f"round {step.round + 1}, {_named(step.contender, step.limit)}",
            completed=0,
            total=load.work.count,
        )

    def ended(self, trial: Trial) -> None:
        """A trial has ended."""
        self._load = None
        self._done += 1
        rate = f"{_named(trial.contender, trial.limit)}: {units.rate(throughput(trial))} runs/s"
        self._progress.update(self._all, completed=self._done, said=rate)

    def refresh(self) -> None:
        """Draw now."""
        self._progress.refresh()

    def look(self) -> None:
        """See how far the trial at hand is."""
        load = self._load
        if load is not None:
            ended = len(load.samples)
            rate = ended / max(1e-3, perf_counter() - self._began)
            self._progress.update(self._one, completed=ended, said=f"{ended:,} ended · {units.rate(rate)} runs/s")


def progress_of(plan: Plan, *, quiet: bool) -> Told | Bars:
    """What fits the terminal, and what is installed."""
    if not quiet and is_live(sys.stderr):
        try:
            return Bars(plan)
        except ImportError:
            pass
    return Told(plan, quiet=quiet)


def _named(contender: str, limit: int) -> str:
    if contender == ADAPTIVE:
        return "the adaptive limit"
    return f"limit {limit}" if contender == "millrace" else f"limit {limit} by {contender}"
