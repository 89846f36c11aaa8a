"""Looks: who among those that are looked after does not get on.

Decides that from the counts of what each has done, one look after another: whose count is the same at two looks in a
row has been at one thing since the first of them. Decides as well how long to wait before the next look: the longer
all get on, the longer. Knows no thread and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, TypeVar

W = TypeVar("W")

PATIENCE_SECONDS: Final = 0.001
"""Between two looks, where somebody may be stuck."""

MOST_PATIENCE_SECONDS: Final = 0.016
"""Between two looks, at most: each time that all have got on it is twice as long."""

DOUBTFUL_LOOKS: Final = 5
"""So many looks count as one, when there may be other reasons why somebody has not got on."""


class Looks(Generic[W]):
    """See the module's docstring."""

    __slots__ = ("_seen", "_times", "patience")

    def __init__(self) -> None:
        self.patience = PATIENCE_SECONDS
        self._seen: dict[W, int] = {}  # what the count was at the last look
        self._times: dict[W, int] = {}  # how much looks at the same count have come to since, where that is anything

    def look(self, counts: Mapping[W, int], *, doubtful: bool) -> list[W]:
        """Look once more.

        Args:
            counts: What each has done so far.
            doubtful: They may not have got on for want of the interpreter: the look itself came late.

        Returns:
            Those that are stuck.
        """
        same = {who for who, count in counts.items() if self._seen.get(who) == count}
        self._times = {who: self._times.get(who, 0) + (1 if doubtful else DOUBTFUL_LOOKS) for who in same}
        self._seen = dict(counts)
        self.patience = PATIENCE_SECONDS if same else min(2 * self.patience, MOST_PATIENCE_SECONDS)
        return [who for who, times in self._times.items() if times >= DOUBTFUL_LOOKS]
