"""Progress: what a flow run is busy with, counted by task, and how that is told.

Decides what is counted and what the line says. Reads the counters that the run's supervisor keeps and looks at the
runs that are alive; nothing is counted for its sake while runs end. A subflow's tasks are counted with those of its
parent, and stay counted when it has ended.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from types import TracebackType
from typing import Final, Self

import attrs

from millrace.actors.states import StateType
from millrace.runtime.cli.logs import cli_logger
from millrace.runtime.cli.screen import Screen
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.runs import TaskRun

REDRAW_SECONDS: Final = 0.25
LOG_SECONDS: Final = 5.0

RATE_SECONDS: Final = 3.0
"""The rate shown is that of the last so many seconds."""

FEW: Final = 10
"""A rate below this has a decimal."""

LOOKING_SHARE: Final = 0.05
"""Looking takes at most this share of the time: with very many runs alive it happens less often."""


@attrs.frozen
class Counts:
    """The runs of one task, or of several by the same name.

    Args:
        name: The task's name.
        total: Started so far, waiting ones included.
        ended: Ended, in whatever way.
        running: In RUNNING.
        retrying: Waiting for their next attempt.
        failed: Ended FAILED or CRASHED.
        cancelled: Ended CANCELLED.
        not_ready: Never started, because something they depend on did not complete.
    """

    name: str
    total: int = 0
    ended: int = 0
    running: int = 0
    retrying: int = 0
    failed: int = 0
    cancelled: int = 0
    not_ready: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            self.name,
            *(getattr(self, name) + getattr(other, name) for name in _NUMBERS),
        )

    def at_the_end(self) -> Counts:
        """The same when all has ended."""
        return attrs.evolve(self, ended=self.total, running=0, retrying=0)

    @property
    def facts(self) -> list[tuple[str, int]]:
        """What there is to say beside how many have ended."""
        told = ("running", "retrying", "failed", "cancelled", "not_ready")
        return [(name.replace("_", " "), getattr(self, name)) for name in told if getattr(self, name)]


_NUMBERS = [field.name for field in attrs.fields(Counts) if field.name != "name"]


class Ledger:
    """Counts the task runs of a flow run and of its subflows.

    Args:
        run: The flow run.
    """

    def __init__(self, run: FlowRun) -> None:
        self._run = run
        self._seen: dict[int, list[Counts]] = {}  # by id of the flow run, in the order in which they were seen

    def look(self) -> list[Counts]:
        """The counts at this moment, by task, in the order in which the tasks were first seen."""
        alive: set[int] = set()
        self._look_at(self._run, alive)
        sums: dict[str, Counts] = {}
        for run_id, counted in self._seen.items():
            for each in counted:
                now = each if run_id in alive else each.at_the_end()
                sums[each.name] = sums.get(each.name, Counts(each.name)).plus(now)
        return list(sums.values())

    def _look_at(self, run: FlowRun, alive: set[int]) -> None:
        children = tuple(run.children.values())
        counted = _count(run, children)
        if counted:  # a run that has just ended has nothing to count any more: what was seen last stays
            self._seen[run.id] = counted
            alive.add(run.id)
        for child in children:
            if isinstance(child, FlowRun):
                self._look_at(child, alive)


def _count(run: FlowRun, children: Iterable[TaskRun | FlowRun]) -> list[Counts]:
    sites = run.sites()
    made = dict.fromkeys(sites, 0)
    running = dict.fromkeys(sites, 0)
    retrying = dict.fromkeys(sites, 0)
    for child in children:
        if isinstance(child, FlowRun):
            continue
        site = child.node
        made[site] = made.get(site, 0) + 1
        if child.type is StateType.RUNNING:
            running[site] = running.get(site, 0) + 1
        elif child.type is StateType.SCHEDULED:
            retrying[site] = retrying.get(site, 0) + 1
    return [
        Counts(
            site.name,
            total=site.calls,
            ended=max(0, site.calls - unmade - made[site]),
            running=running[site],
            retrying=retrying[site],
            failed=site.setbacks.get(StateType.FAILED, 0) + site.setbacks.get(StateType.CRASHED, 0),
            cancelled=site.setbacks.get(StateType.CANCELLED, 0),
            not_ready=site.setbacks.get(StateType.PENDING, 0),
        )
        for site, unmade in sites.items()
    ]


@attrs.frozen
class Picture:
    """What there is to show at one moment.

    Args:
        title: The flow's and the run's name.
        state: The run's state.
        counts: Its task runs.
        rate: How many ended in a second, lately.
    """

    title: str
    state: str
    counts: list[Counts]
    rate: float

    def plain(self) -> str:
        """All of it on one line of text."""
        return "   ".join([f"{self.title}  {self.state}", *map(_told, self.counts), _rate(self.rate)])

    def fitted(self, width: int, *, colour: bool) -> str:
        """What fits into a line: numbers of the running give way first, then tasks that are done, then the last."""
        head, tail = f"{self.title}  {self.state}", _rate(self.rate)
        room = width - len(head) - len(tail) - 3  # for the tasks, and the gap after them
        for told in self._shorter_and_shorter():
            if len(told) + 2 <= room:
                painted = _paint(told) if colour else told
                title = f"\x1b[1m{self.title}\x1b[0m" if colour else self.title
                return f"{title}  {self.state}   {painted}{' ' * (room - len(told))}{tail}"
        return f"{head}  {tail}"[:width]

    def _shorter_and_shorter(self) -> Iterator[str]:
        shown = list(self.counts)
        yield "   ".join(map(_told, shown))
        while shown:
            more = [f"+{len(self.counts) - len(shown)}"] if len(shown) < len(self.counts) else []
            yield "   ".join([*(_told(each, "running") for each in shown), *more])
            done = [each for each in shown if each.ended == each.total]
            shown.remove(done[0] if done else shown[-1])


def _told(counts: Counts, without: str = "") -> str:
    facts = "".join(f" · {number:,} {name}" for name, number in counts.facts if name != without)
    return f"{counts.name} {counts.ended:,}/{counts.total:,}{facts}"


def _rate(rate: float) -> str:
    return f"{rate:.1f} runs/s" if 0 < rate < FEW else f"{rate:,.0f} runs/s"


def _paint(text: str) -> str:
    text = re.sub(r"(?<= · )[\d,]+ failed", "\x1b[31m\\g<0>\x1b[0m", text)
    return re.sub(r"(?<= · )[\d,]+ retrying", "\x1b[33m\\g<0>\x1b[0m", text)


class Progress:
    """Shows how far a flow run is, for as long as its block lasts, from a thread of its own.

    Args:
        run: The flow run.
        title: What to call it.
        screen: The terminal to draw on; None: log a line now and then.
        colour: Whether to draw in colour.
        every: Seconds between two looks.
    """

    def __init__(
        self, run: FlowRun, title: str, screen: Screen | None, *, colour: bool = False, every: float | None = None
    ) -> None:
        self._run = run
        self._title = title
        self._ledger = Ledger(run)
        self._show: Callable[[Picture], None] = self._log if screen is None else self._draw
        self._screen = screen
        self._colour = colour
        self._every = every or (LOG_SECONDS if screen is None else REDRAW_SECONDS)
        self._past: deque[tuple[float, int]] = deque([(perf_counter(), 0)])  # when, and how many had ended by then
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="millrace-progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._screen is not None:
            self._screen.clear()

    def _watch(self) -> None:
        pause = self._every
        while not self._over.wait(pause):
            began = perf_counter()
            self._show(self._picture(began))
            pause = max(self._every, (perf_counter() - began) / LOOKING_SHARE)

    def _picture(self, now: float) -> Picture:
        counts = self._ledger.look()
        ended = sum(each.ended for each in counts)
        past = self._past
        while len(past) > 1 and now - past[1][0] >= RATE_SECONDS:
            past.popleft()
        since, before = past[0]
        past.append((now, ended))
        return Picture(self._title, self._run.type.lower(), counts, max(0.0, (ended - before) / (now - since)))

    def _draw(self, picture: Picture) -> None:
        assert self._screen is not None  # chosen in __init__
        self._screen.draw(picture.fitted(self._screen.width, colour=self._colour))

    def _log(self, picture: Picture) -> None:
        cli_logger.info(picture.plain())
