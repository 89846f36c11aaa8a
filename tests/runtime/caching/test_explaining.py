"""Explanations: which part of a key made the difference."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from millrace.runtime.caching import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
    Explanation,
    explain,
    key_of,
)
from tests.runtime.caching.stand_ins import body, context_of

CONTEXT = context_of()


def told(policy: CachePolicy, *, then: dict[str, Any], first: dict[str, Any] | None = None, **other: Any) -> str:
    """What is said of a run, after another one of its task."""
    context = context_of()
    if first is not None:
        key_of(policy, context, first, {})
    return str(explain(context.task, policy, context_of(context.task, **other), then, {}))


def test_one_part_that_differs_is_named() -> None:
    assert (
        told(DEFAULT, first={"page": "a"}, then={"page": "b"})
        == "miss: input 'page' differs from the last key; source and run id agree"
    )


def test_several_parts_that_differ_are_named() -> None:
    assert (
        told(DEFAULT, first={"page": "a", "depth": 1}, then={"page": "b", "depth": 1}, flow_run=9)
        == "miss: run id and input 'page' differ from the last key; source and input 'depth' agree"
    )


def test_where_all_parts_differ_nothing_is_said_to_agree() -> None:
    assert told(INPUTS, first={"page": "a"}, then={"page": "b"}) == "miss: input 'page' differs from the last key"


def test_where_all_parts_agree_it_is_a_hit() -> None:
    assert told(RUN_ID, first={}, then={}) == "hit: run id agrees with the last key"
    assert (
        told(DEFAULT, first={"page": "a", "depth": 1}, then={"depth": 1, "page": "a"})
        == "hit: source, run id, input 'depth' and input 'page' agree with the last key"
    )


def test_a_part_that_the_last_key_did_not_have_differs() -> None:
    context = context_of()
    key_of(INPUTS, context, {"page": "a"}, {})

    found = explain(context.task, INPUTS + FLOW_PARAMETERS, context, {"page": "a"}, {"day": 1})

    assert str(found) == "miss: flow parameter 'day' differs from the last key; input 'page' agrees"


def test_a_part_that_only_the_last_key_had_differs() -> None:
    context = context_of()
    key_of(INPUTS + FLOW_PARAMETERS, context, {"page": "a"}, {"day": 1})

    found = explain(context.task, INPUTS, context, {"page": "a"}, {})

    assert str(found) == "miss: flow parameter 'day' differs from the last key; input 'page' agrees"


def test_a_policy_of_somebody_else_is_one_part() -> None:
    context = context_of()
    by_page = CacheKeyFnPolicy(lambda context, arguments: str(arguments["page"]))
    key_of(by_page + TASK_SOURCE, context, {"page": "a"}, {})

    found = explain(context.task, by_page + TASK_SOURCE, context, {"page": "b"}, {})

    assert str(found) == "miss: cache_key_fn differs from the last key; source agrees"


def test_two_policies_of_one_class_are_told_together() -> None:
    def given(name: str) -> CachePolicy:
        return CacheKeyFnPolicy(lambda context, arguments: str(arguments[name]))

    policy = given("page") + given("depth")
    for then in ({"page": "b", "depth": 1}, {"page": "a", "depth": 2}):
        assert (
            told(policy, first={"page": "a", "depth": 1}, then=then) == "miss: cache_key_fn differs from the last key"
        )


def test_before_the_first_key_there_is_nothing_to_compare_with() -> None:
    assert told(DEFAULT, then={"page": "a"}) == "miss: no key was computed before"


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (NO_CACHE, "the policy is NO_CACHE"),
        (FLOW_PARAMETERS, "there is nothing to make a key of"),
        (CacheKeyFnPolicy(lambda context, arguments: None), "cache_key_fn gave no key"),
        (TASK_SOURCE + CacheKeyFnPolicy(lambda context, arguments: None), "cache_key_fn gave no key"),
        (
            INPUTS,
            (
                "input 'page' cannot be part of a cache key: a '_thread.lock' cannot be taken apart (cannot pickle"
                " '_thread.lock' object). Leave it out, as in `cache_policy - 'page'`, or say with a cache_key_fn what"
                " of it counts."
            ),
        ),
    ],
    ids=range(5),
)
def test_where_there_is_no_key_it_is_said_why(policy: CachePolicy, why: str) -> None:
    assert told(policy, then={"page": threading.Lock()}) == f"no caching: {why}"


def test_to_explain_changes_and_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    context = context_of()
    key_of(INPUTS, context, {"page": "a"}, {})
    for value in ("b", threading.Lock(), "b"):
        explain(context.task, INPUTS, context, {"page": value}, {})

    assert explain(context.task, INPUTS, context, {"page": "a"}, {}).hit
    assert caplog.records == []


def test_what_is_told_is_there_as_data() -> None:
    context = context_of(body)
    key = key_of(DEFAULT, context, {"page": "a"}, {})

    hit = explain(context.task, DEFAULT, context, {"page": "a"}, {})
    miss = explain(context.task, DEFAULT, context, {"page": "b"}, {})
    none = explain(context.task, NO_CACHE, context, {"page": "a"}, {})

    assert hit == Explanation(key=key, agrees=("source", "run id", "input 'page'"))
    assert (miss.differs, miss.agrees) == (("input 'page'",), ("source", "run id"))
    assert miss.key not in {key, None}
    assert none == Explanation(reason="the policy is NO_CACHE")
    assert [each.hit for each in (hit, miss, none)] == [True, False, False]
