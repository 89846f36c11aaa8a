"""Goal 22: the knee that `millrace bench limits` finds for a real server on this machine, whose capacity is known."""

from benchmarks.model import Goal, Kind, Limits, Row, Work

CAPACITY = 20
OFF = Limits(20)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, with one round or three of each limit."""
    arguments = {"capacity": CAPACITY, "latency": 0.1, "rounds": 1 if quick else 3}
    return Goal(
        number=22,
        title=f"the right limit for a server that works at {CAPACITY} requests at once",
        works={"server": Work("right_limit.knee_of_a_server", arguments)},
        rows=(
            Row("the knee is off by", ("server.off_percent",), "%", kind=Kind.ABSOLUTE, limits=OFF),
            Row("the knee", ("server.knee",), "in flight", kind=Kind.ABSOLUTE),
            Row("what the adaptive limit chose", ("server.adaptive",), "in flight", kind=Kind.ABSOLUTE),
        ),
    )
