"""What a figure comes to, and what several rounds come to."""

from __future__ import annotations

import pytest

from benchmarks.model import Goal, Kind, Limits, Row, Verdict, Work, judge
from benchmarks.summary import Round, failures, summarise

WORKS = {"ours": Work("maps.repeated", {"n": 1}), "floor": Work("floors.calls", {"n": 1})}


def goal(*rows: Row) -> Goal:
    return Goal(number=1, title="a map", works=WORKS, rows=rows)


@pytest.mark.parametrize(
    ("figure", "limits", "verdict"),
    [
        (1.0, Limits(3, 1), Verdict.STRETCH),
        (1.01, Limits(3, 1), Verdict.HELD),
        (3.0, Limits(3, 1), Verdict.HELD),
        (3.01, Limits(3, 1), Verdict.MISSED),
        (0.1, Limits(3), Verdict.HELD),
        (-0.2, Limits(0.5, shown="0 B"), Verdict.HELD),
        (None, Limits(3, 1), Verdict.MISSED),
        (0.1, None, Verdict.UNJUDGED),
        (None, None, Verdict.UNJUDGED),
    ],
)
def test_a_limit_is_held_by_what_is_not_above_it(figure: float | None, limits: Limits | None, verdict: Verdict) -> None:
    assert judge(figure, limits) is verdict


def test_a_ratio_is_formed_within_a_round() -> None:
    row = Row("map", ("ours.us",), "µs", "floor.us", limits=Limits(3, 2))
    rounds = [Round({"ours.us": 2 * slow, "floor.us": slow}, {}) for slow in (1.0, 10.0, 100.0)]

    found = summarise(goal(row), rounds)["rows"][0]

    assert found["ratio"] == {"median": 2, "min": 2, "max": 2, "values": [2, 2, 2]}
    assert found["millrace"]["median"] == 20
    assert found["floor"]["max"] == 100
    assert found["verdict"] == "stretch held"


def test_an_absolute_goal_is_judged_by_its_own_figure() -> None:
    row = Row("call", ("ours.us",), "µs", "floor.us", Kind.ABSOLUTE, Limits(10, 6))

    found = summarise(goal(row), [Round({"ours.us": 9, "floor.us": 0.1}, {})])["rows"][0]

    assert found["verdict"] == "goal held"
    assert found["ratio"]["median"] == pytest.approx(90)


def test_growth_is_the_largest_over_the_smallest() -> None:
    row = Row("growth", ("ours.small", "ours.large", "ours.huge"), "×", kind=Kind.GROWTH, limits=Limits(1.5, 1.2))

    found = summarise(goal(row), [Round({"ours.small": 4, "ours.large": 2, "ours.huge": 5}, {})])["rows"][0]

    assert found["ratio"]["median"] == 2.5
    assert found["millrace"] is None
    assert found["verdict"] == "missed"


def test_a_work_that_failed_in_one_round_is_missed_and_says_why() -> None:
    row = Row("map", ("ours.us",), "µs", "floor.us", limits=Limits(3, 2))
    rounds = [Round({"ours.us": 1, "floor.us": 1}, {}), Round({"floor.us": 1}, {"ours": "out of luck"})]

    summary = summarise(goal(row), rounds)

    assert summary["rows"][0]["verdict"] == "missed"
    assert summary["rows"][0]["reason"] == "out of luck"
    assert summary["rows"][0]["ratio"]["values"] == [1]
    assert failures([summary]) == ["goal 1, ours: out of luck"]


def test_a_floor_of_nothing_has_no_ratio() -> None:
    row = Row("dropped", ("ours.bytes",), "B", "floor.bytes", Kind.ABSOLUTE, Limits(0.5))

    found = summarise(goal(row), [Round({"ours.bytes": 0, "floor.bytes": 0}, {})])["rows"][0]

    assert found["ratio"] is None
    assert found["verdict"] == "goal held"
