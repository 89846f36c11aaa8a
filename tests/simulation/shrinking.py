"""Shrinking: the smallest plan that fails in the same way."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs

from tests.simulation.drawing import draw
from tests.simulation.plans import FlowPlan, Op, Plan, StorePlan
from tests.simulation.simulate import simulate
from tests.simulation.simulation import LEAST_STEPS
from tests.simulation.world import Conditions

CALMER = (
    {"clock_steps": False},
    {"dawdling": 0.0},
    {"shuffles": 0.0},
    {"switching": 0.0},
)
"""What conditions are made into, to see whether it fails all the same."""


def shrink(seed: int, *, tries: int = 2_000) -> tuple[Plan, Conditions, str, int]:
    """Leave out of a seed's plan whatever can be left out with the same kind of problem.

    Args:
        seed: The seed; it fails.
        tries: How many smaller plans are run at most.

    Returns:
        The plan, the conditions, the problem, and how many steps it has to take at least.
    """
    rng = random.Random(seed)
    conditions = Conditions.drawn(rng)
    plan = draw(rng)
    problem, least = simulate(seed, plan=plan, conditions=conditions).problem, LEAST_STEPS
    kind = kind_of(problem)
    found = simulate(seed, plan=plan, conditions=conditions, least_steps=0).problem
    if kind_of(found) == kind:
        problem, least = found, 0
    for change in CALMER:
        calmer = attrs.evolve(conditions, **change)
        found = simulate(seed, plan=plan, conditions=calmer, least_steps=least).problem
        if kind_of(found) == kind:
            conditions, problem = calmer, found
    progress = True
    while progress and tries > 0:
        progress = False
        for way in smaller(plan):
            tries -= 1
            if tries <= 0:
                break
            candidate = way()
            found = simulate(seed, plan=candidate, conditions=conditions, least_steps=least).problem
            if found and kind_of(found) == kind:
                plan, problem, progress = candidate, found, True
                break
    return plan, conditions, problem, least


def kind_of(problem: str) -> str:
    """What makes two problems the same: the first words of each, without names."""
    return ":".join(problem.split("\n", maxsplit=1)[0].split(":")[:2])[:50]


def shown(part: object, indent: int = 0) -> str:
    """A part of a plan, without what it does not say."""
    pad = "  " * indent
    if isinstance(part, tuple):
        return "\n".join(shown(each, indent) for each in part)
    fields = {
        field.name: getattr(part, field.name)
        for field in attrs.fields(type(part))  # type: ignore[arg-type]
        if getattr(part, field.name) != field.default
    }
    nested = {key: value for key, value in fields.items() if _is_plan(value)}
    plain = ", ".join(f"{key}={value!r}" for key, value in fields.items() if key not in nested)
    lines = [f"{pad}{type(part).__name__}({plain})"]
    lines += [shown(value, indent + 1) for value in nested.values()]
    return "\n".join(lines)


def _is_plan(value: object) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(map(_is_plan, value))
    return attrs.has(type(value))


def smaller(plan: Plan) -> list[Callable[[], Plan]]:
    """Ways to leave something out of a plan; those that leave out much come first."""
    ways: list[Callable[[], Plan]] = []
    for name in ("tops", "acts"):
        parts = getattr(plan, name)
        ways += [_without(plan, name, index) for index in range(len(parts)) if name == "acts" or len(parts) > 1]
    if plan.store is not None:
        ways += [_with_store(plan, each) for each in _smaller_stores(plan.store)]
    for index, top in enumerate(plan.tops):
        ways += [_with_flow(plan, index, each) for each in _smaller_flows(top.flow)]
    return ways


def _without(plan: Plan, name: str, index: int) -> Callable[[], Plan]:
    parts = getattr(plan, name)
    return lambda: attrs.evolve(plan, **{name: parts[:index] + parts[index + 1 :]})


def _with_flow(plan: Plan, index: int, flow: FlowPlan) -> Callable[[], Plan]:
    top = attrs.evolve(plan.tops[index], flow=flow)
    return lambda: attrs.evolve(plan, tops=(*plan.tops[:index], top, *plan.tops[index + 1 :]))


def _with_store(plan: Plan, store: StorePlan | None) -> Callable[[], Plan]:
    return lambda: attrs.evolve(plan, store=store)


def _smaller_stores(plan: StorePlan) -> list[StorePlan | None]:
    deaths = plan.deaths
    made: list[StorePlan | None] = [None]
    made += [attrs.evolve(plan, deaths=deaths[:i] + deaths[i + 1 :]) for i in range(len(deaths))]
    if plan.fails_at:
        made.append(attrs.evolve(plan, fails_at=0))
    if plan.slow:
        made.append(attrs.evolve(plan, slow=0.0))
    if plan.kind != "memory":
        made.append(attrs.evolve(plan, kind="memory"))
    return made


def _smaller_flows(plan: Any) -> list[Any]:
    """Smaller flows, or tasks."""
    made = [attrs.evolve(plan, ops=each) for each in _smaller_ops(plan.ops)]
    made += [attrs.evolve(plan, options=plan.options[:i] + plan.options[i + 1 :]) for i in range(len(plan.options))]
    made += [attrs.evolve(plan, hooks=plan.hooks[:i] + plan.hooks[i + 1 :]) for i in range(len(plan.hooks))]
    if plan.fails:
        made.append(attrs.evolve(plan, fails=0))
    return made


def _smaller_ops(ops: tuple[Op, ...]) -> list[tuple[Op, ...]]:
    made = [ops[:index] + ops[index + 1 :] for index in range(len(ops))]
    for index, op in enumerate(ops):
        others: list[Op] = []
        if op.task is not None:
            others += [attrs.evolve(op, task=each) for each in _smaller_flows(op.task)]
        if op.flow is not None:
            others += [attrs.evolve(op, flow=each) for each in _smaller_flows(op.flow)]
        if op.ops:
            others += [attrs.evolve(op, ops=each) for each in _smaller_ops(op.ops)]
        if op.count > 1:
            others.append(attrs.evolve(op, count=1))
        if op.on:
            others.append(attrs.evolve(op, on=op.on[1:]))
        made += [(*ops[:index], other, *ops[index + 1 :]) for other in others]
    return made
