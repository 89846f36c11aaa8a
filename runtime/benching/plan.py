"""The plan: which trials there are, and in which order.

Decides the order: within a round contenders take turns under each limit, and from round to round the order of both is
turned around, so that whatever drifts on the machine meanwhile drifts for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from millrace.runtime.benching.trials import ADAPTIVE, MILLRACE

FIRST: Final = 4
"""Where the limit that finds itself begins, as it does by default."""

LONGER: Final = 4
"""It is given so many times as long as the others: it needs many looks at what it has."""


@attrs.frozen
class Step:
    """One trial to be made.

    Args:
        contender: Whose limit it is.
        limit: The limit; where a limit that finds itself begins.
        round: In which round, from 0.
    """

    contender: str
    limit: int
    round: int


@attrs.frozen
class Plan:
    """What is to be measured.

    Args:
        limits: The limits, the smallest first.
        rounds: How often each is measured.
        seconds: After so long a trial begins no more items, if it has had enough to tell something.
        rivals: What is run beside the engine.
        adaptive: Whether the limit that finds itself is run too.
    """

    limits: tuple[int, ...]
    rounds: int = 3
    seconds: float = 5.0
    rivals: tuple[str, ...] = ()
    adaptive: bool = True

    def steps(self) -> Iterator[Step]:
        """The trials, in order."""
        contenders = (MILLRACE, *self.rivals)
        for number in range(self.rounds):
            turn = 1 if number % 2 == 0 else -1
            for limit in self.limits[::turn]:
                for contender in contenders[::turn]:
                    yield Step(contender, limit, number)
            if self.adaptive:
                yield Step(ADAPTIVE, min(FIRST, self.limits[-1]), number)

    def seconds_for(self, step: Step) -> float:
        """After so long a trial begins no more items."""
        return self.seconds * LONGER if step.contender == ADAPTIVE else self.seconds

    @property
    def count(self) -> int:
        """How many trials there are."""
        return self.rounds * (len(self.limits) * (1 + len(self.rivals)) + self.adaptive)
