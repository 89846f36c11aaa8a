"""Awaits: which runs wait for which others at the moment.

Decides who goes on only after a run has ended, through however many others: whose code waits for it, or who depends on
it, or who comes up only after it. A place where code goes on, such as a loop, may itself wait for one, as long as its
thread is blocked; whatever `turns_on` it waits with it then. Does not know who holds what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Several(Protocol):
    """What stands for several runs that somebody waits for the next end of, as a stream does.

    It may have `scopes`: the flow runs that all of them were started in. And, as a run may, `turns_on`: the place that
    has to go on before any of them ends, or before there is one; None where there is none.
    """

    def covers(self, run: Any, /) -> bool:
        """Whether a run is one of them."""
        ...


class Place:
    """Where code goes on, such as a loop, as somebody who waits: its thread is blocked.

    Args:
        where: What `turns_on` names; opaque here.
    """

    __slots__ = ("where",)

    def __init__(self, where: object) -> None:
        self.where = where


class Waiting:
    """A run and all that waits for it, through however many others.

    Attributes:
        runs: These.
        places: Likewise.
    """

    __slots__ = ("places", "runs")

    def __init__(self, runs: set[Any]) -> None:
        self.runs = runs
        self.places: set[Any] = set()  # as `turns_on` names them

    def __contains__(self, who: Any) -> bool:
        return who.where in self.places if isinstance(who, Place) else who in self.runs

    def holds_up(self, target: Any) -> bool:
        """Whether who waits for something waits for one of them.

        Args:
            target: What is waited for: a run, or `Several`; None for whatever was started.
        """
        if target is None or target in self.runs or (self.places and _turns_on(target) in self.places):
            return True
        covers = getattr(target, "covers", None)
        return covers is not None and any(covers(run) for run in self.runs)


def _turns_on(target: Any) -> Any:
    return getattr(target, "turns_on", None)


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
        """A run waits, or a place whose thread is blocked; for whom as in `Waiting.holds_up`."""
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

    __slots__ = ("_at", "_behind", "_by_target", "_for_any", "_for_several", "_in_scope")

    def __init__(self, by_target: Mapping[Any, Sequence[Any]], for_several: Sequence[tuple[Any, Several]]) -> None:
        self._by_target = by_target
        self._for_several = for_several
        self._at: dict[Any, list[Any]] | None = None  # by place: who does not go on before that does
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

    def waiting_for(self, run: Any) -> Waiting:
        """A run, and those that wait for it, and for these, and so on."""
        waiting = Waiting({run})
        found, places = waiting.runs, waiting.places
        new = Waiting({run})
        while new.runs or new.places:
            runs = new.runs
            come = [waits for each in runs for waits in self._by_target.get(each, ())]
            come += [waits for each in runs for waits in _dependents(each)]
            come += [caller for each in runs if (caller := getattr(each, "called_by", None)) is not None]
            come += [waits for waits, target in self._for_any if waits not in waiting and new.holds_up(target)]
            come += [
                waits
                for each in runs
                for waits, target in self._in_scope.get(_scope_of(each), ())
                if waits not in waiting and target.covers(each)
            ]
            come += [target for each in runs for target in self._behind.get(getattr(each, "lane", None), ())]
            come += [waits for place in new.places for waits in self._turning_on(place)]
            new = Waiting({each for each in come if each not in waiting and not isinstance(each, Place)})
            new.places = {each.where for each in come if each not in waiting and isinstance(each, Place)}
            found |= new.runs
            places |= new.places
        return waiting

    def _turning_on(self, place: Any) -> Sequence[Any]:
        """The runs that are waited for and go on only when a place does; and who waits for several of which all do."""
        if self._at is None:
            self._at = {}
            for run in self._by_target:
                self._at.setdefault(_turns_on(run), []).append(run)
            for waits, target in self._for_several:
                self._at.setdefault(_turns_on(target), []).append(waits)
        return self._at.get(place, ())
