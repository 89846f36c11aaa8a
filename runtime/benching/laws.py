"""Laws: how throughput depends on how much is in flight. Two of them, because services come in two shapes.

Decides what each law says, and where its curve is highest. How a law is fitted to measurements is in `fitting`.

The *Universal Scalability Law* bends from the first item on: what all share costs a little more with each one that is
in flight (contention), and so does keeping them in step (coherency). With the latter, more becomes worse in the end.

*Saturation* is straight up to a capacity and bends there: a service with so many places. Up to it, more in flight is
more done, in the same time; from there on items wait for places. Where being overloaded costs something in itself,
throughput falls again.

Sources: N. J. Gunther, Guerrilla Capacity Planning, Springer 2007, chapters 4 to 6 (the first law, and the meaning of
its parameters); P. J. Denning and J. P. Buzen, The Operational Analysis of Queueing Network Models, ACM Computing
Surveys 10 (1978), section 6 (the bounds that cross at the saturation point).
"""

from __future__ import annotations

from math import inf, sqrt
from typing import ClassVar

import attrs


@attrs.frozen
class UniversalScalability:
    """`rate · n / (1 + contention · (n - 1) + coherency · n · (n - 1))`.

    Args:
        rate: Runs a second with one in flight; more than 0.
        contention: The share of the work that is done by one at a time; 0 or more. Called sigma, or alpha, by Gunther.
        coherency: What each pair in flight costs, as a share of the work; 0 or more. Kappa, or beta.
    """

    title: ClassVar[str] = "USL"

    rate: float
    contention: float
    coherency: float

    def __call__(self, n: float) -> float:
        """The throughput with so many in flight."""
        return self.rate * n / (1 + self.contention * (n - 1) + self.coherency * n * (n - 1))

    @property
    def peak(self) -> float:
        """With how many in flight throughput is highest; infinite where it never falls."""
        if self.contention >= 1:  # each one more costs more than it brings
            return 1.0
        return sqrt((1 - self.contention) / self.coherency) if self.coherency > 0 else inf

    @property
    def freedom(self) -> int:
        """How many numbers it took to describe the measurements."""
        return 1 + (self.contention > 0) + (self.coherency > 0)


@attrs.frozen
class Saturation:
    """`rate · min(n, capacity) / (1 + overload · max(0, n / capacity - 1))`.

    Args:
        rate: Runs a second with one in flight; more than 0.
        capacity: How many places the service has; more than 0.
        overload: What each time its capacity beyond it costs, as a share of the work; 0 or more.
    """

    title: ClassVar[str] = "saturation"

    rate: float
    capacity: float
    overload: float

    def __call__(self, n: float) -> float:
        """The throughput with so many in flight."""
        return self.rate * min(n, self.capacity) / (1 + self.overload * max(0.0, n / self.capacity - 1))

    @property
    def peak(self) -> float:
        """With how many in flight throughput is highest; the smallest, where there are several."""
        return self.capacity

    @property
    def freedom(self) -> int:
        """How many numbers it took to describe the measurements."""
        return 2 + (self.overload > 0)


Law = UniversalScalability | Saturation
