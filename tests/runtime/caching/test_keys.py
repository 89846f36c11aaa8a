"""Keys as the engine asks for them: with one warning where there is none, and with a memory that does not grow."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from millrace import flow, task
from millrace.runtime.caching import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
    key_of,
    task_input_hash,
)
from millrace.runtime.caching.keys import _MEMORIES, last_digests
from millrace.runtime.run_contexts import FlowRunContext, TaskRunContext
from tests.runtime.caching.stand_ins import body, context_of


class Raising(CachePolicy):
    def __init__(self, error: Callable[[], Exception]) -> None:
        self.error = error

    def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:
        raise self.error()


def count_up() -> Iterator[int]:
    yield 1


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "millrace.caching"]


@pytest.mark.parametrize(
    "policy", [DEFAULT, INPUTS, TASK_SOURCE, RUN_ID, FLOW_PARAMETERS, CacheKeyFnPolicy(task_input_hash)], ids=str
)
def test_the_engine_gets_the_key_that_the_policy_computes(policy: CachePolicy) -> None:
    context = context_of()

    key = key_of(policy, context, {"page": "a"}, {"day": 1})

    assert key == policy.compute_key(context, {"page": "a"}, {"day": 1})
    assert key is not None


@pytest.mark.parametrize(
    "policy",
    [
        NO_CACHE,
        CacheKeyFnPolicy(lambda context, arguments: None),
        INPUTS + CacheKeyFnPolicy(lambda context, arguments: None),
        FLOW_PARAMETERS,
    ],
    ids=range(4),
)
def test_a_policy_that_wants_no_key_is_not_warned_of(policy: CachePolicy, caplog: pytest.LogCaptureFixture) -> None:
    assert key_of(policy, context_of(), {"page": "a"}, {}) is None
    assert warnings(caplog) == []


def test_a_part_that_cannot_be_computed_means_no_key_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    context = context_of()

    keys = [key_of(DEFAULT, context, {"page": threading.Lock(), "depth": n}, {}) for n in range(5)]

    assert keys == [None] * 5
    assert warnings(caplog) == [
        (
            "Task 'body' runs without caching: input 'page' cannot be part of a cache key: a '_thread.lock' cannot be"
            " taken apart (cannot pickle '_thread.lock' object). Leave it out, as in `cache_policy - 'page'`, or say"
            " with a cache_key_fn what of it counts."
        )
    ]


def test_every_reason_is_warned_of_once_for_each_task(caplog: pytest.LogCaptureFixture) -> None:
    first, second = context_of(), context_of()
    for _ in range(2):
        for context in (first, second):
            key_of(INPUTS, context, {"page": threading.Lock()}, {})
            key_of(INPUTS, context, {"page": [iter([]), count_up()]}, {})
            key_of(INPUTS, context, {"depth": threading.Lock()}, {})

    said = [message.split(" cannot be taken apart")[0].rpartition("input ")[2] for message in warnings(caplog)]
    assert sorted(said) == sorted(
        2
        * [
            "'page' cannot be part of a cache key: a '_thread.lock'",
            "'page' cannot be part of a cache key: a 'generator'",
            "'depth' cannot be part of a cache key: a '_thread.lock'",
        ]
    )


def test_a_policy_that_raises_means_no_key_and_one_warning_whatever_it_says(caplog: pytest.LogCaptureFixture) -> None:
    numbers = iter(range(10))
    policy = Raising(lambda: LookupError(f"no page {next(numbers)}"))
    context = context_of()

    keys = [key_of(policy, context, {"page": "a"}, {}) for _ in range(5)]

    assert keys == [None] * 5
    assert warnings(caplog) == [
        (
            "Task 'body' runs without caching: policy 'Raising' cannot be part of a cache key: it raised"
            " LookupError('no page 0')."
        )
    ]


def test_a_function_that_gives_no_string_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    wrong: Any = lambda context, arguments: 5  # noqa: E731  # of the wrong type on purpose

    assert key_of(CacheKeyFnPolicy(wrong), context_of(), {}, {}) is None
    assert warnings(caplog) == [
        (
            "Task 'body' runs without caching: cache_key_fn cannot be part of a cache key: it gave a 'int'; expected is"
            " a string with something in it, or None."
        )
    ]


def test_a_source_without_a_hash_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    context = context_of(partial(body, threading.Lock()))

    assert key_of(TASK_SOURCE, context, {}, {}) is None
    assert len(warnings(caplog)) == 1
    assert "source cannot be part of a cache key: a '_thread.lock'" in warnings(caplog)[0]


def test_many_threads_warn_once(caplog: pytest.LogCaptureFixture) -> None:
    context = context_of()
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        for _ in range(50):
            key_of(INPUTS, context, {"page": together}, {})

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(warnings(caplog)) == 1


def test_a_signal_that_is_no_error_goes_through_a_policy() -> None:
    class Stop(BaseException):
        pass

    error: Any = Stop

    with pytest.raises(Stop):
        key_of(Raising(error), context_of(), {}, {})


def test_warnings_go_to_a_logger_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    key_of(Raising(ValueError), context_of(), {}, {})

    assert [(record.name, record.levelno) for record in caplog.records] == [("millrace.caching", logging.WARNING)]


# What is remembered.


@pytest.mark.parametrize(
    ("policy", "key"),
    [
        (INPUTS, "8e8d20dc9d435c4421d435291e4a8d913ed1cd2fe37d0f90c587eebdf876d8e7"),
        (INPUTS - "unit", "b8ec15eb2b21a2c0350e5a2f8d5ded9a9fcc34930128eea411f81d239352e6ca"),
        (INPUTS - ["unit", "number", "more"], "8cba67f959cb95da84cabd92dc00195d628184bd54b3d2958a6cc35519de85b4"),
        (INPUTS + FLOW_PARAMETERS, "50f7f6b7f9d25c7b48a9a3113e4a7efd58ed8df1038d97cbf02c50e899fa7d88"),
    ],
    ids=str,
)
def test_a_key_is_the_same_in_every_version_and_whatever_order_the_arguments_come_in(
    policy: CachePolicy, key: str
) -> None:
    inputs = {"unit": "kg", "number": 7, "more": [1, 2.5, None, {"a": b"b"}]}

    assert key_of(policy, context_of(), inputs, {"day": 1}) == key
    assert key_of(policy, context_of(), dict(reversed(inputs.items())), {"day": 1}) == key


def test_two_policies_whose_parts_have_one_name_are_both_remembered() -> None:
    class Own(CachePolicy):
        def __init__(self, key: str) -> None:
            self.key = key

        def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:
            return self.key

    context = context_of()
    remembered = []
    for first, second in (("a", "b"), ("c", "b"), ("a", "c")):
        key_of(Own(first) + Own(second), context, {}, {})
        remembered.append(last_digests(context.task))

    assert all(each is not None and list(each) == ["policy 'Own'"] for each in remembered)
    assert all(remembered.count(each) == 1 for each in remembered)


def test_a_policy_of_ones_own_is_given_the_context_of_the_run() -> None:
    contexts: list[TaskRunContext] = []

    def key(context: TaskRunContext, arguments: dict[str, Any]) -> str:
        contexts.append(context)
        return f"{arguments}"

    @task(cache_policy=CacheKeyFnPolicy(key) + INPUTS, persist_result=True, result_storage="memory://")
    def fetch(page: int) -> int:
        return page

    @flow
    def pages() -> None:
        fetch(1)

    pages()

    assert [(each.task, each.task_run.name, each.parameters) for each in contexts] == [
        (fetch, "fetch-001", {"page": 1})
    ]
    assert contexts[0].start_time.tzinfo is not None


def test_only_digests_of_the_last_key_are_remembered() -> None:
    class Large:
        pass

    value = Large()
    gone = weakref.ref(value)
    context = context_of()
    key_of(INPUTS, context, {"page": [value], "depth": 1}, {})
    del value
    key_of(INPUTS, context, {"page": "secret", "depth": 2}, {})
    remembered = last_digests(context.task)

    assert gone() is None
    assert remembered is not None
    assert sorted(remembered) == ["input 'depth'", "input 'page'"]
    assert {type(digest) for digest in remembered.values()} == {int}
    assert "secret" not in repr(remembered)


def test_a_key_that_was_not_computed_leaves_the_last_one() -> None:
    context = context_of()
    key_of(INPUTS, context, {"page": "a"}, {})
    before = last_digests(context.task)
    key_of(INPUTS, context, {"page": threading.Lock()}, {})

    assert last_digests(context.task) is before


def test_a_task_is_forgotten_when_it_is_gone() -> None:
    context = context_of()
    key_of(DEFAULT, context, {"page": "a"}, {})
    key_of(DEFAULT, context, {"page": threading.Lock()}, {})
    known = len(_MEMORIES)
    gone = weakref.ref(context.task)
    del context
    gc.collect()

    assert gone() is None
    assert len(_MEMORIES) == known - 1


# In runs that were really started.


def key_here(policy: CachePolicy) -> str | None:
    """The key of the run that this is called in."""
    context = TaskRunContext.get()
    assert context is not None
    around = FlowRunContext.get()
    return key_of(policy, context, context.parameters, {} if around is None else around.parameters)


@task
def keyed(policy: CachePolicy, page: str = "a") -> str | None:
    return key_here(policy)


def test_the_runs_of_a_flow_run_share_its_id() -> None:
    @flow
    def twice(day: int) -> list[str | None]:
        around = FlowRunContext.get()
        assert around is not None
        keys = [keyed(RUN_ID), keyed.submit(RUN_ID).result(), keyed(FLOW_PARAMETERS)]
        return [*keys, str(around.flow_run.uuid)]

    first, second, other_day = twice(1), twice(1), twice(2)

    assert first[0] == first[1] == first[3]
    assert second[0] == second[1] == second[3] != first[0]
    assert first[2] == second[2] != other_day[2]


def test_every_run_outside_of_flows_has_an_id_of_its_own() -> None:
    first, second = keyed(RUN_ID), keyed(RUN_ID)

    assert None not in {first, second}
    assert first != second


def test_runs_with_the_same_arguments_have_the_same_key() -> None:
    policy = (INPUTS - "policy") + TASK_SOURCE

    assert keyed(policy, "a") == keyed(policy, page="a") == keyed(policy)
    assert keyed(policy, "a") != keyed(policy, "b")
