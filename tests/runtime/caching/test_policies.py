"""Cache policies: what goes into a key, and how policies are joined, reduced and configured."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from millrace.actors.errors import CacheKeyError, ConfigurationError, Unhashable
from millrace.actors.isolation import IsolationLevel
from millrace.runtime.caching import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    NONE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
    CompoundCachePolicy,
    Inputs,
    task_input_hash,
)
from tests.runtime.caching.stand_ins import context_of

PAGE = {"page": "a", "depth": 1}


def other_body(page: Any = None, depth: int = 1) -> Any:
    return [page]


def key(policy: CachePolicy, inputs: Any = PAGE, flow_parameters: Any = None, **context: Any) -> str | None:
    """The key of a run."""
    return policy.compute_key(context_of(**context), inputs, flow_parameters or {})


class Weekly(CachePolicy):
    """A policy as users write them."""

    def __init__(self, week: str | None = "w1") -> None:
        self.week = week

    def compute_key(
        self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        return self.week


# What each policy looks at.


@pytest.mark.parametrize(
    ("policy", "looks_at"),
    [
        (INPUTS, {"inputs"}),
        (TASK_SOURCE, {"source"}),
        (RUN_ID, {"flow run"}),
        (FLOW_PARAMETERS, {"flow parameters"}),
        (DEFAULT, {"inputs", "source", "flow run"}),
        (INPUTS + FLOW_PARAMETERS, {"inputs", "flow parameters"}),
        (CacheKeyFnPolicy(task_input_hash), {"inputs", "source"}),
        (Weekly(), set[str]()),
        (Weekly() + INPUTS, {"inputs"}),
    ],
    ids=str,
)
def test_a_key_changes_with_what_its_policy_looks_at_and_with_nothing_else(
    policy: CachePolicy, looks_at: set[str]
) -> None:
    flow = {"flow_parameters": {"day": 1}}
    base = key(policy, **flow)
    changed = {
        "inputs": key(policy, {"page": "b", "depth": 1}, **flow),
        "source": key(policy, fn=other_body, **flow),
        "flow run": key(policy, flow_run=9, **flow),
        "flow parameters": key(policy, flow_parameters={"day": 2}),
        "task run": key(policy, task_run=99, **flow),
    }

    assert base
    assert {what for what, other in changed.items() if other != base} == looks_at


def test_inputs_count_by_name_and_value_in_any_order() -> None:
    assert key(INPUTS, {"page": "a", "depth": 1}) == key(INPUTS, {"depth": 1, "page": "a"})
    assert key(INPUTS, {"page": 1, "depth": "a"}) != key(INPUTS, {"page": "a", "depth": 1})


def test_the_run_s_id_is_that_of_the_flow_run_or_outside_of_flows_of_the_task_run() -> None:
    assert key(RUN_ID) == "00000000-0000-0000-0000-000000000007"
    assert key(RUN_ID, flow_run=None) == "00000000-0000-0000-0000-000000000008"


def test_a_function_s_key_is_taken_as_it_is() -> None:
    seen: list[Any] = []

    def by_page(context: Any, arguments: dict[str, Any]) -> str:
        seen.append((context, arguments))
        return f"page-{arguments['page']}"

    context = context_of()

    assert CacheKeyFnPolicy(by_page).compute_key(context, PAGE, {}) == "page-a"
    assert CachePolicy.from_cache_key_fn(by_page) == CacheKeyFnPolicy(cache_key_fn=by_page)
    assert seen == [(context, PAGE)]


def test_task_input_hash_differs_by_task_and_arguments() -> None:
    keys = {
        task_input_hash(context_of(), {"page": "a"}),
        task_input_hash(context_of(), {"page": "b"}),
        task_input_hash(context_of(other_body), {"page": "a"}),
        task_input_hash(context_of(), {}),
    }

    assert len(keys) == 4


@pytest.mark.parametrize("policy", [NO_CACHE, NONE, NO_CACHE + NONE, NO_CACHE - "page"])
def test_no_cache_gives_no_key(policy: CachePolicy) -> None:
    assert policy == NO_CACHE
    assert key(policy) is None


def test_a_policy_with_nothing_to_look_at_gives_no_key() -> None:
    assert key(INPUTS, {}) is None
    assert key(FLOW_PARAMETERS) is None
    assert key(INPUTS + FLOW_PARAMETERS, {}) is None


def test_outside_of_any_run_there_is_no_key() -> None:
    policies: list[Any] = [TASK_SOURCE, RUN_ID, DEFAULT]

    assert [policy.compute_key(None, PAGE, {}) for policy in policies] == [None, None, None]


def test_what_has_nothing_to_say_is_left_out_of_a_joined_key() -> None:
    assert key(DEFAULT, {})
    assert key(INPUTS + TASK_SOURCE, {}) == key(TASK_SOURCE)


# Joining.


def test_where_inputs_stand_in_a_sum_does_not_matter() -> None:
    assert INPUTS + TASK_SOURCE == TASK_SOURCE + INPUTS
    assert key(INPUTS + TASK_SOURCE + RUN_ID) == key(TASK_SOURCE + (INPUTS + RUN_ID)) == key(DEFAULT)


def test_the_order_of_other_policies_counts() -> None:
    assert key(RUN_ID + TASK_SOURCE) != key(TASK_SOURCE + RUN_ID)
    assert key(Weekly("a") + Weekly("b")) != key(Weekly("b") + Weekly("a"))


def test_a_sum_of_inputs_is_one_that_leaves_out_what_any_of_them_does() -> None:
    both = (INPUTS - "page") + TASK_SOURCE + (INPUTS - "depth")

    assert isinstance(both, CompoundCachePolicy)
    assert both.policies == (TASK_SOURCE, Inputs(exclude=["page", "depth"]))


def test_no_cache_in_a_sum_says_nothing() -> None:
    assert INPUTS + NO_CACHE == INPUTS
    assert NO_CACHE + INPUTS == INPUTS
    assert DEFAULT + NO_CACHE == DEFAULT
    assert INPUTS + None == INPUTS
    assert NO_CACHE + None == NO_CACHE
    assert sum([INPUTS, TASK_SOURCE], start=NO_CACHE) == INPUTS + TASK_SOURCE


def test_policies_are_joined_with_policies_only() -> None:
    anything: Any = 5
    for policy in (INPUTS, DEFAULT, NO_CACHE, Weekly()):
        with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+"):
            _ = policy + anything


# Leaving out.


@pytest.mark.parametrize("policy", [INPUTS, DEFAULT, INPUTS + Weekly(), Inputs(exclude=["other"])])
def test_an_input_can_be_left_out(policy: CachePolicy) -> None:
    fewer = policy - "page"

    assert key(fewer, {"page": "a", "depth": 1}) == key(fewer, {"page": "b", "depth": 1})
    assert key(fewer, {"page": "a", "depth": 1}) != key(fewer, {"page": "a", "depth": 2})
    assert key(fewer, {"page": "a", "depth": 1}) != key(policy, {"page": "a", "depth": 1})


@pytest.mark.parametrize("policy", [INPUTS, DEFAULT])
@pytest.mark.parametrize("names", [["page", "depth"], ("depth", "page"), {"page", "depth"}])
def test_several_inputs_can_be_left_out_at_once(policy: CachePolicy, names: Any) -> None:
    assert policy - names == policy - "page" - "depth"


def test_leaving_out_a_name_that_the_task_does_not_have_changes_no_key() -> None:
    assert key(INPUTS - "other") == key(INPUTS)


def test_where_all_inputs_are_left_out_there_is_one_key() -> None:
    fewer = INPUTS - ["page", "depth"]

    assert key(fewer) == key(fewer, {"page": "b", "depth": 2})
    assert key(fewer) not in {None, key(INPUTS)}
    assert key(TASK_SOURCE + fewer) != key(TASK_SOURCE)


@pytest.mark.parametrize("policy", [TASK_SOURCE, RUN_ID, FLOW_PARAMETERS, NO_CACHE, RUN_ID + TASK_SOURCE])
def test_a_policy_that_does_not_look_at_inputs_stays_as_it_is(policy: CachePolicy) -> None:
    assert policy - "page" == policy


@pytest.mark.parametrize("policy", [INPUTS, DEFAULT, RUN_ID])
@pytest.mark.parametrize("names", [5, None, [5], INPUTS], ids=str)
def test_only_names_can_be_left_out(policy: CachePolicy, names: Any) -> None:
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for -"):
        _ = policy - names


def test_what_inputs_leave_out_are_names() -> None:
    numbers: Any = [5]

    assert Inputs(exclude="page").exclude == {"page"}
    with pytest.raises(ConfigurationError, match="'exclude' takes the names of parameters, not"):
        Inputs(exclude=numbers)


# Configuring.


@pytest.mark.parametrize("policy", [INPUTS, DEFAULT, NO_CACHE, Weekly(), CacheKeyFnPolicy(task_input_hash)])
def test_a_configured_policy_is_a_copy(policy: CachePolicy, tmp_path: Path) -> None:
    locks = object()
    configured = policy.configure(key_storage=tmp_path, isolation_level="SERIALIZABLE", lock_manager=locks)

    assert type(configured) is type(policy)
    assert (configured.key_storage, configured.lock_manager) == (tmp_path, locks)
    assert configured.isolation_level is IsolationLevel.SERIALIZABLE
    assert (policy.key_storage, policy.isolation_level, policy.lock_manager) == (None, None, None)
    assert key(configured) == key(policy)


def test_what_is_not_configured_anew_stays() -> None:
    policy = INPUTS.configure(key_storage="here").configure(isolation_level=IsolationLevel.READ_COMMITTED)

    assert (policy.key_storage, policy.isolation_level) == ("here", IsolationLevel.READ_COMMITTED)
    assert (policy - "page").key_storage == "here"
    assert (DEFAULT.configure(key_storage="here") - "page").key_storage == "here"


@pytest.mark.parametrize(
    "configure",
    [
        INPUTS.configure,
        lambda isolation_level: CachePolicy(isolation_level=isolation_level),
        lambda isolation_level: Inputs(isolation_level=isolation_level),
    ],
    ids=range(3),
)
def test_there_are_two_isolation_levels(configure: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError) as told:
        configure(isolation_level="LOOSE")

    expected = "'isolation_level' takes READ_COMMITTED or SERIALIZABLE, or None, not 'LOOSE'."
    assert str(told.value) == expected


def test_a_sum_is_configured_as_its_policies_are() -> None:
    locks = object()
    both = INPUTS.configure(key_storage="here") + TASK_SOURCE.configure(lock_manager=locks)
    same = INPUTS.configure(key_storage="here") + TASK_SOURCE.configure(key_storage="here")

    assert (both.key_storage, both.lock_manager) == ("here", locks)
    assert same.key_storage == "here"


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("key_storage", "here", "there"),
        ("isolation_level", "SERIALIZABLE", "READ_COMMITTED"),
        ("lock_manager", object(), object()),
    ],
)
def test_policies_that_are_configured_otherwise_cannot_be_joined(name: str, one: Any, other: Any) -> None:
    first, second = INPUTS.configure(**{name: one}), TASK_SOURCE.configure(**{name: other})
    for left, right in [(first, second), (first + RUN_ID, second), (first, RUN_ID + second)]:
        with pytest.raises(ConfigurationError, match=f"'{name}' takes one value in policies that are joined"):
            _ = left + right


def test_policies_do_not_change() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        INPUTS.key_storage = "here"  # type: ignore[misc]


# Policies of users.


def test_a_policy_of_ones_own_may_be_a_dataclass() -> None:
    @dataclasses.dataclass(frozen=True)
    class Salted(CachePolicy):
        salt: str = "s"

        def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:
            return f"{self.salt}{inputs['page']}"

    policy = Salted("x").configure(key_storage="here")

    assert key(policy) == "xa"
    assert policy.key_storage == "here"
    assert key(policy + RUN_ID) != key(Salted("y") + RUN_ID)


def test_a_policy_that_derives_from_one_of_these_computes_its_keys_itself() -> None:
    @attrs.frozen
    class Upper(Inputs):
        def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:
            given = {name: str(value).upper() for name, value in inputs.items()}
            return Inputs.compute_key(self, task_ctx, given, flow_parameters)

    assert key(Upper()) == key(Upper(), {"page": "A", "depth": "1"})
    assert key(Upper() + RUN_ID) == key(Upper() + RUN_ID, {"page": "A", "depth": "1"})
    assert key((Upper() + RUN_ID) - "page") == key((Upper() + RUN_ID) - "page", {"page": "b", "depth": 1})


def test_what_is_given_beside_goes_to_every_policy() -> None:
    class Curious(CachePolicy):
        def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:
            return str(kwargs)

    context = context_of()
    with_more = (Curious() + RUN_ID).compute_key(context, PAGE, {}, more=1)

    assert with_more != (Curious() + RUN_ID).compute_key(context, PAGE, {})


# Parts that cannot be computed.


def test_a_part_without_a_key_means_no_key_at_all() -> None:
    assert key(Weekly(None)) is None
    assert key(Weekly(None) + TASK_SOURCE) is None
    assert key(TASK_SOURCE + CacheKeyFnPolicy(lambda context, arguments: None)) is None


def test_an_input_without_a_hash_is_named() -> None:
    inputs = {"page": "a", "lock": [threading.Lock()]}
    for policy in (INPUTS, DEFAULT, DEFAULT + Weekly(), INPUTS - "page", CacheKeyFnPolicy(task_input_hash) + RUN_ID):
        with pytest.raises(CacheKeyError) as told:
            key(policy, inputs)

        assert str(told.value) == (
            "input 'lock' cannot be part of a cache key: a '_thread.lock' cannot be taken apart (cannot pickle"
            " '_thread.lock' object). Leave it out, as in `cache_policy - 'lock'`, or say with a cache_key_fn what of"
            " it counts."
        )
        assert isinstance(told.value.__cause__, Unhashable)
    assert key(INPUTS - "lock", inputs)


def test_a_flow_parameter_without_a_hash_is_named() -> None:
    with pytest.raises(CacheKeyError, match=r"^flow parameter 'lock' cannot be part of a cache key: a '_thread.lock'"):
        key(RUN_ID + FLOW_PARAMETERS, flow_parameters={"lock": threading.Lock()})


def test_a_policy_in_a_sum_that_raises_is_named() -> None:
    class Broken(CachePolicy):
        pass

    with pytest.raises(CacheKeyError, match=r"^policy 'Broken' cannot be part of a cache key: it raised ") as told:
        key(Broken() + RUN_ID)

    assert isinstance(told.value.__cause__, NotImplementedError)


@pytest.mark.parametrize(("given", "said"), [(5, "a 'int'"), ("", "an empty string"), (b"k", "a 'bytes'")])
def test_a_key_in_a_sum_is_a_string_with_something_in_it(given: Any, said: str) -> None:
    with pytest.raises(CacheKeyError, match=f"^cache_key_fn cannot be part of a cache key: it gave {said}; expected"):
        key(CacheKeyFnPolicy(lambda context, arguments: given) + RUN_ID)
