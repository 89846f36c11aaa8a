"""Lines: those who wait for one limit, in the order in which they come up.

Decides that order: a higher priority comes first, and among equals whoever came first. Does not know what they wait
for, nor when anybody is served.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Waits(Protocol):
    """What stands in a line."""

    priority: int  # the higher, the sooner; stays what it is as long as it stands there


T = TypeVar("T", bound=Waits)


class Line(Generic[T]):
    """Whoever waits. Changed by one at a time; anybody may look through it meanwhile."""

    __slots__ = ("_front", "_ranks", "count")

    def __init__(self) -> None:
        self.count = 0  # how many stand in it
        # By priority, the highest first: who came, in that order. None is empty, but for one that is alone. Another
        # mapping after each change of the priorities that there are, because of those who look through it.
        self._ranks: dict[int, OrderedDict[T, None]] = {0: OrderedDict()}
        self._front = self._ranks[0]  # the first of them

    @property
    def first(self) -> T | None:
        """Who comes up next."""
        return next(iter(self._front), None)

    @property
    def lowest(self) -> int:
        """The priority of who comes up last."""
        return next(reversed(self._ranks))

    def add(self, one: T) -> None:
        """Have somebody stand behind its equals."""
        rank = self._ranks.get(one.priority)
        if rank is None:
            rank = OrderedDict()
            ranks = {**self._ranks, one.priority: rank} if self.count else {one.priority: rank}
            self._arrange({priority: ranks[priority] for priority in sorted(ranks, reverse=True)})
        rank[one] = None
        self.count += 1

    def remove(self, one: T) -> None:
        """Have somebody stand there no more."""
        rank = self._ranks[one.priority]
        del rank[one]
        self.count -= 1
        if not rank and len(self._ranks) > 1:
            self._arrange({priority: each for priority, each in self._ranks.items() if each is not rank})

    def clear(self) -> None:
        """Have nobody stand there."""
        self._arrange({0: OrderedDict()})
        self.count = 0

    def _arrange(self, ranks: dict[int, OrderedDict[T, None]]) -> None:
        self._ranks = ranks
        self._front = next(iter(ranks.values()))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[T]:
        """Those who stand there now, in order; who comes or leaves meanwhile changes nothing."""
        found: list[T] = []
        for rank in self._ranks.values():
            found += rank
        return iter(found)
