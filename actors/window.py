"""The window of a stream: what is between its source and whoever takes its results.

Decides how many items are asked for now, whose outcome is given next, and when the stream is over. An item is in the
window from when it was asked for to when what came of it was given; so a taker that is slow holds up the source, and
what a stream holds does not grow with the number of items. Does not know sources, runs or who waits.

One asks for items, and counts `pulled`; one takes outcomes, and counts `given`; anybody tells of outcomes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

BATCH: Final = 16
"""Items that are asked for at a time, at most, while outcomes are there to be given."""

SHARE: Final = 4
"""While outcomes are there, no more is asked for before a share of the window, one in so many, is free."""


class Window:
    """See the module's docstring.

    Args:
        most: How many items may be in it; 1 or more.
        ordered: Outcomes are given in the order of the items, else as they come.
    """

    __slots__ = ("_at_least", "_come", "_early", "_order", "exhausted", "fault", "given", "most", "pulled")

    def __init__(self, most: int, *, ordered: bool) -> None:
        self.most = most
        self._at_least = max(1, min(BATCH, most // SHARE))
        self.pulled = 0  # items asked for and got; 0 <= pulled - given <= most
        self.given = 0  # outcomes given
        self.exhausted = False  # the source has no more items
        self.fault: BaseException | None = None  # what the source raised; it has no more items then
        self._come: deque[Any] = deque()  # outcomes that have come and were not given; empty where ordered
        # By number of the item: outcomes that have come and were not given. None where not ordered, as the next one.
        self._early: dict[int, Any] | None = {} if ordered else None
        self._order: deque[int] = deque()  # the numbers of the items in the window, where ordered; else empty

    @property
    def room(self) -> int:
        """How many more items may be in it."""
        return self.most - self.pulled + self.given

    @property
    def ready(self) -> bool:
        """Whether an outcome can be given."""
        if self._early is None:
            return bool(self._come)
        return bool(self._order) and self._order[0] in self._early

    @property
    def come(self) -> int:
        """How many outcomes have come and were not given."""
        return len(self._come) if self._early is None else len(self._early)

    @property
    def over(self) -> bool:
        """Whether all that the source had was given."""
        return self.exhausted and self.pulled == self.given

    def wanted(self) -> int:
        """How many items to ask for now.

        As long as outcomes are there it is better to give them: then a few items are asked for at a time, and not
        before that is worth it.
        """
        room = self.most - self.pulled + self.given
        if room < self._at_least:
            return 0 if self._come or self.exhausted or self.ready else room
        if self.exhausted:
            return 0
        return min(room, BATCH) if self.ready else room

    def enter(self, numbers: Sequence[int]) -> None:
        """Items have been asked for and got.

        Args:
            numbers: What their outcomes will be known by, in order.
        """
        if self._early is not None:
            self._order.extend(numbers)
        self.pulled += len(numbers)

    def arrive(self, number: int, outcome: Any) -> None:
        """An outcome has come. From any thread."""
        if self._early is None:
            self._come.append(outcome)
        else:
            self._early[number] = outcome

    def take(self) -> Any:
        """The outcome to give next; None where that has not come."""
        if self._early is None:
            if not self._come:
                return None
            self.given += 1
            return self._come.popleft()
        if not self.ready:
            return None
        self.given += 1
        return self._early.pop(self._order.popleft())

    def end(self, fault: BaseException | None = None) -> None:
        """The source has no more items.

        Args:
            fault: What it raised instead of one.
        """
        self.fault = fault
        self.exhausted = True

    def drain(self) -> list[Any]:
        """The outcomes that have come and that nobody takes any more. From any thread."""
        drained: list[Any] = []
        while self._come:
            try:
                drained.append(self._come.popleft())
            except IndexError:  # another thread drains it, too
                break
        while self._early:
            drained.append(self._early.popitem()[1])
        return drained
