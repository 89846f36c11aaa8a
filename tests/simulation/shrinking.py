"""Shrinking: the smallest plan that fails in the same way."""

from __future__ import annotations

import random

import attrs

from tests.simulation.plans import Plan, draw, smaller
from tests.simulation.simulate import LEAST_STEPS, simulate
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
