"""Comparing: what two engines came to, and what of that should not be so.

Decides what is a failure: a flow that both did not play to the same, but for what is listed; a listed difference whose
case gives something else than is written down beside it; and an answer that is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.differential.differences import DIFFERENCES, rewritten
from tests.differential.parameters import PLACE

_MOST = 8  # places of one flow that are told
_LONGEST = 160

Cases = Mapping[tuple[int, int, str], Any]


def failures(
    millrace: tuple[Mapping[int, Any], Cases], prefect: tuple[Mapping[int, Any], Cases], seeds: Iterable[int]
) -> list[str]:
    """What should not be so, each as a text.

    Args:
        millrace: What millrace saw, by seed, and what its cases gave.
        prefect: The same of Prefect.
        seeds: Which scripts were to be played; -1 for the parameters.
    """
    found: list[str] = []
    for seed in seeds:
        ours, theirs = millrace[0].get(seed), prefect[0].get(seed)
        if ours is None or theirs is None:
            found.append(f"flow {seed}: {'millrace' if ours is None else 'Prefect'} gave no answer")
            continue
        places = list(unequal(ours, theirs if seed == PLACE else rewritten(theirs)))
        if places:
            told = "".join(f"\n  {place}" for place in places[:_MOST])
            found.append(f"flow {seed} differs in {len(places)} places:{told}")
    return found + list(_wrong_cases(millrace[1], "millrace")) + list(_wrong_cases(prefect[1], "prefect"))


def _wrong_cases(given: Cases, engine: str) -> Iterator[str]:
    for each in DIFFERENCES:
        expected = getattr(each, engine)
        gave = given.get((each.section, each.bullet, each.case.__name__), "no answer")
        if gave != expected:
            case = f"{each.section}.{each.bullet} ({each.case.__name__})"
            yield f"difference {case}: {engine} gave {gave!r}, and {expected!r} is written down"


def unequal(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Where two values differ, as texts.

    Args:
        ours: What millrace came to.
        theirs: What Prefect came to.
        path: Where they are in what is compared.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from unequal(ours.get(key, "nothing"), theirs.get(key, "nothing"), f"{path}.{key}".lstrip("."))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from unequal(one, other, f"{path}[{number}]")
    elif ours != theirs or type(ours) is not type(theirs):
        yield f"{path}: millrace {_cut(ours)}, Prefect {_cut(theirs)}"


def _cut(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
