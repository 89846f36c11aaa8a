"""Awaits: which runs wait for which others at the moment.

Decides who goes on only after a run has ended, through however many others: whose code waits for it, or who depends on
it, or who comes up only after it. Does not know who holds what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol


class Several(Protocol):
    """What stands for several runs that somebody waits for the next end of, as a stream does.

    It may have `scopes`: the flow runs that all of them were started in.
    """

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
    line = _held_back_in(run)
    return line is not None and getattr(before, "lane", None) is line


def _held_back_in(run: Any) -> Any:
    """The line that does not come to a run before others of it are out of the way; None where it has, or if in none."""
    return getattr(run, "held_back_in", None)


def _is_behind(target: Any) -> set[Any]:
    """The lines that do not come to a run, or to one that it depends on, before others of them are out of the way."""
    needed = {target: None}  # in the order in which they were found
    new = [target]
    while new:
        several = [run for each in new for run in getattr(each, "depends_on", list)()]
        new = [run for run in dict.fromkeys(several) if run not in needed]
        needed.update(dict.fromkeys(new))
    return {line for each in needed if (line := _held_back_in(each)) is not None}


def _scope_of(run: Any) -> Any:
    """The flow run that a run was started in."""
    around = getattr(run, "around", None)
    return getattr(run, "scope", None) if around is None else around


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

    def at_this_moment(self) -> Moment:
        """What there is to find out about them now."""
        return Moment(self._by_target, self._for_several)


class Moment:
    """Who waits for whom at one moment: what was found out for one run is there for the next.

    Args:
        by_target: By run: those that wait for it.
        for_several: Who waits for several, and for which.
    """

    __slots__ = ("_behind", "_by_target", "_for_any", "_in_scope")

    def __init__(self, by_target: Mapping[Any, Sequence[Any]], for_several: Sequence[tuple[Any, Several]]) -> None:
        self._by_target = by_target
        self._for_any: list[tuple[Any, Several]] = []  # of `for_several`: those that may be anybody's
        self._in_scope: dict[Any, list[tuple[Any, Several]]] = {}  # the others, by the flow run
        for waits, target in for_several:
            scopes = getattr(target, "scopes", None)
            places = [self._for_any] if scopes is None else [self._in_scope.setdefault(each, []) for each in scopes]
            for place in places:
                place.append((waits, target))
        self._behind: dict[Any, list[Any]] = {}  # by line: what is waited for, and it does not come to yet
        for target in by_target:
            for line in _is_behind(target):
                self._behind.setdefault(line, []).append(target)

    def waiting_for(self, run: Any) -> set[Any]:
        """A run, and those that wait for it, and for these, and so on."""
        found = {run}
        new = {run}
        while new:
            come = [waits for each in new for waits in self._by_target.get(each, ())]
            come += [waits for each in new for waits in _dependents(each)]
            come += [caller for each in new if (caller := getattr(each, "called_by", None)) is not None]
            come += [waits for waits, target in self._for_any if waits not in found and awaits(target, new)]
            come += [
                waits
                for each in new
                for waits, target in self._in_scope.get(_scope_of(each), ())
                if waits not in found and target.covers(each)
            ]
            come += [target for each in new for target in self._behind.get(getattr(each, "lane", None), ())]
            new = set(come) - found
            found.update(new)
        return found
