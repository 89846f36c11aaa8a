"""Awaits: which runs wait for which others at the moment.

Decides who goes on only after a run has ended, through however many others: whose code waits for it, or who depends on
it, or who comes up only after it. Does not know who holds what.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, Protocol


class Several(Protocol):
    """What stands for several runs that somebody waits for the next end of, as a stream does."""

    def covers(self, run: Any, /) -> bool:
        """Whether a run is one of them."""
        ...


def awaits(target: Any, runs: AbstractSet[Any]) -> bool:
    """Whether who waits for something waits for one of some runs.

    Args:
        target: What is waited for: a run, or `Several`; None for whatever was started.
        runs: Those.
    """
    if target is None or target in runs:
        return True
    covers = getattr(target, "covers", None)
    return covers is not None and any(covers(run) for run in runs)


def _dependents(run: Any) -> list[Any]:
    """The runs that have been made and depend on one: among those that are told of its end they say for whom."""
    watchers = tuple(getattr(run, "watchers", None) or ())
    return [watcher.downstream for watcher in watchers if hasattr(watcher, "downstream")]


def comes_after(run: Any, before: Any) -> bool:
    """Whether a run is not even asked for before another one is out of the way, as a later one of the same map."""
    asked = getattr(run, "comes_after", None)
    return asked is not None and bool(asked(before))


def _is_behind(target: Any, before: list[Any]) -> bool:
    """Whether a run, or one that it depends on, is not even asked for before some others are out of the way."""
    needed = {target: None}  # in the order in which they were found
    new = [target]
    while new:
        if any(comes_after(each, other) for each in new for other in before):
            return True
        several = [run for each in new for run in getattr(each, "depends_on", list)()]
        new = [run for run in dict.fromkeys(several) if run not in needed]
        needed.update(dict.fromkeys(new))
    return False


class Awaits:
    """Who waits for whom."""

    __slots__ = ("_by_target", "_for_several")

    def __init__(self) -> None:
        self._by_target: dict[Any, list[Any]] = {}  # by run: those that wait for it; none is empty
        self._for_several: list[tuple[Any, Several]] = []  # who waits, and for which

    def add(self, run: Any, target: Any) -> None:
        """A run waits; for whom as in `awaits`."""
        if hasattr(target, "covers"):
            self._for_several.append((run, target))
        elif target is not None:
            self._by_target.setdefault(target, []).append(run)

    def remove(self, run: Any, target: Any) -> None:
        """It waits no longer."""
        if hasattr(target, "covers"):
            self._for_several.remove((run, target))
        elif target is not None:
            waiting = self._by_target[target]
            waiting.remove(run)
            if not waiting:
                del self._by_target[target]

    def waiting_for(self, run: Any) -> set[Any]:
        """A run, and those that wait for it, and for these, and so on."""
        found = {run}
        new = [run]
        while new:
            come = [waits for each in new for waits in self._by_target.get(each, ())]
            come += [waits for each in new for waits in _dependents(each)]
            come += [caller for each in new if (caller := getattr(each, "called_by", None)) is not None]
            come += [waits for waits, target in self._for_several if waits not in found and awaits(target, found)]
            come += [target for target in self._by_target if target not in found and _is_behind(target, new)]
            new = list(set(come) - found)
            found.update(new)
        return found
