"""The plan: whatever drifts meanwhile drifts for all."""

from __future__ import annotations

from millrace.runtime.benching.plan import Plan
from millrace.runtime.benching.trials import ADAPTIVE, MILLRACE


def test_contenders_take_turns_under_each_limit_and_every_other_round_goes_backwards() -> None:
    plan = Plan(limits=(1, 2), rounds=3, rivals=("other",), adaptive=True)

    found = [(step.round, step.limit, step.contender) for step in plan.steps()]

    there = [(1, MILLRACE), (1, "other"), (2, MILLRACE), (2, "other")]
    assert found == [
        *((0, *each) for each in there), (0, 2, ADAPTIVE),
        *((1, *each) for each in there[::-1]), (1, 2, ADAPTIVE),
        *((2, *each) for each in there), (2, 2, ADAPTIVE),
    ]  # fmt: skip
    assert plan.count == len(found)


def test_without_the_adaptive_limit_and_others_there_are_the_limits_alone() -> None:
    plan = Plan(limits=(1, 2, 4), rounds=2, adaptive=False)

    assert plan.count == len(list(plan.steps())) == 6


def test_the_adaptive_limit_begins_with_four_and_is_given_four_times_as_long() -> None:
    plan = Plan(limits=(1, 64), rounds=1, seconds=2.5)
    *given, adaptive = plan.steps()

    assert adaptive.limit == 4
    assert plan.seconds_for(adaptive) == 10.0
    assert {plan.seconds_for(step) for step in given} == {2.5}
