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
    def ordered(self) -> bool:
        """Whether outcomes are given in the order of the items."""
        return self._early is not None

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


class ScriptedWindow(Window):
    """A window that first gives outcomes in an order that is known beforehand, and then as they come.

    Where the next one of that order cannot come, because its item is not there or there is no room for it, the rest of
    the order does not matter any more.

    Args:
        most: How many items may be in it; 1 or more.
        script: The order: indexes of items, counted from the first one that is asked for.
    """

    __slots__ = ("_aside", "_numbers", "_script")

    def __init__(self, most: int, script: Sequence[int]) -> None:
        super().__init__(most, ordered=False)
        self._script = deque(script)
        self._numbers: dict[int, int] = {}  # by index: the numbers of items that have been asked for, and not given
        self._aside: dict[int, Any] = {}  # by number: outcomes that have come, and whose turn it is not

    @property
    def ready(self) -> bool:
        """Whether an outcome can be given."""
        self._sort()
        return bool(self._aside) and (not self._script or self._numbers.get(self._script[0]) in self._aside)

    @property
    def come(self) -> int:
        """How many outcomes have come and were not given."""
        return len(self._come) + len(self._aside)

    def wanted(self) -> int:
        """How many items to ask for now. See `Window`."""
        room = self.room
        if self.exhausted or (self.ready and room < self._at_least):
            return 0
        return min(room, BATCH) if self.ready else room

    def enter(self, numbers: Sequence[int]) -> None:
        """Items have been asked for and got. See `Window`."""
        if self._script:
            self._numbers |= zip(range(self.pulled, self.pulled + len(numbers)), numbers, strict=True)
        super().enter(numbers)

    def arrive(self, number: int, outcome: Any) -> None:
        """An outcome has come. From any thread."""
        self._come.append((number, outcome))

    def take(self) -> Any:
        """The outcome to give next; None where that has not come."""
        self._sort()
        if self._script:
            index = self._script[0]
            number = self._numbers.get(index)
            if number is None and (self.exhausted or self.room <= 0 or index < self.pulled):
                self._script.clear()
            elif number is None or number not in self._aside:
                return None
            else:
                del self._numbers[index]
                self._script.popleft()
                self.given += 1
                return self._aside.pop(number)
        if not self._aside:
            return None
        self.given += 1
        return self._aside.pop(next(iter(self._aside)))

    def drain(self) -> list[Any]:
        """The outcomes that have come and that nobody takes any more. From any thread."""
        drained = [outcome for _, outcome in super().drain()]
        while self._aside:
            drained.append(self._aside.popitem()[1])
        return drained

    def _sort(self) -> None:
        while self._come:
            number, outcome = self._come.popleft()
            self._aside[number] = outcome


def window_of(most: int, *, ordered: bool, script: Sequence[int] = ()) -> Window:
    """The window for a stream. See `Window`, and `ScriptedWindow`."""
    return ScriptedWindow(most, script) if script and not ordered else Window(most, ordered=ordered)
