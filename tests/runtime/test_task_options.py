"""The options of a task: each is checked when the decorator runs, and each can be changed in a copy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any, assert_type

import pytest

from millrace import (
    AsyncGeneratorTask,
    AsyncTask,
    ConfigurationError,
    Engine,
    Future,
    GeneratorTask,
    ReservedArgumentError,
    Task,
    TaskDefinitionError,
    TaskRunContext,
    flow,
    task,
)
from millrace.actors.policies import exponential_backoff
from millrace.actors.seconds import LONGEST_DELAY_SECONDS
from millrace.actors.telling import shown
from millrace.runtime.caching import INPUTS
from millrace.runtime.results import JSONSerializer, MemoryStorage
from millrace.runtime.task_options import NAMES
from tests.loose import task as any_task
from tests.runtime.worlds import World


def body() -> None:
    """What a carver does."""


def hook(*_: Any) -> None:
    """What is called."""


def made(**options: Any) -> Any:
    return task(**options)(body)


# What is refused.

NOT_TEXT = [1, b"text", ["text"], True]
NOT_A_FLAG = [1, 0, "yes", [], object()]
NOT_SECONDS = [
    0,
    -1,
    float("nan"),
    float("inf"),
    LONGEST_DELAY_SECONDS + 1,
    10**400,
    True,
    "5",
    [1],
    timedelta(seconds=1),
]
NOT_HOOKS = ["hook", b"hook", 1, hook, [1], ["hook"], [hook, None]]

WRONG: dict[str, list[Any]] = {
    "name": NOT_TEXT,
    "description": NOT_TEXT,
    "version": NOT_TEXT,
    "tags": ["tag", b"tag", 1, [1], [None], [["nested"]], ["good", 2]],
    "task_run_name": [1, b"run", ["run"]],
    "retries": [-1, 1.5, float("nan"), True, "3", [1]],
    "retry_delay_seconds": [-1, float("nan"), float("inf"), True, "soon", b"1", [1, -1], [None], [[1]], {1: 2}],
    "retry_jitter_factor": [-1, float("nan"), float("inf"), 10**400, True, "1", [1]],
    "retry_condition_fn": [1, "often", [hook], True],
    "timeout_seconds": NOT_SECONDS,
    "interruptible": NOT_A_FLAG,
    "log_prints": NOT_A_FLAG,
    "cache_policy": [1, "INPUTS", object()],
    "cache_key_fn": [1, "key", [hook]],
    "cache_expiration": [1, "1 h", timedelta(0), timedelta(seconds=-1)],
    "refresh_cache": NOT_A_FLAG,
    "persist_result": NOT_A_FLAG,
    "result_storage": [1, [], object()],
    "result_serializer": [1, [], "unheard of"],
    "result_storage_key": NOT_TEXT,
    "cache_result_in_memory": NOT_A_FLAG,
    "on_running": NOT_HOOKS,
    "on_completion": NOT_HOOKS,
    "on_failure": NOT_HOOKS,
    "on_commit": NOT_HOOKS,
    "on_rollback": NOT_HOOKS,
}


def test_every_option_is_tried_with_something_wrong() -> None:
    assert set(WRONG) == NAMES


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in WRONG.items() for value in values], ids=repr
)
def test_an_option_of_the_wrong_type_or_range_is_refused_when_the_decorator_runs(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(**{option: value})

    assert caught.value.name == option
    assert str(caught.value).startswith(f"'{option}' takes ")
    refused = caught.value.value  # where one of several is wrong, that one
    assert refused is value or any(refused is each for each in value)
    assert str(caught.value).endswith(f", not {shown(refused)}.")


def test_of_several_wrong_options_each_is_enough() -> None:
    for delay, jitter in ((-1, -1), (-1, 0.5), (1, -1)):
        with pytest.raises(ConfigurationError, match=r"^'retry_(delay_seconds|jitter_factor)' takes .*, not -1\.$"):
            made(retries=1, retry_delay_seconds=delay, retry_jitter_factor=jitter)


@pytest.mark.parametrize("option", sorted(NAMES))
def test_with_options_refuses_the_same(option: str) -> None:
    original = made()
    with pytest.raises(ConfigurationError, match=rf"^'{option}' takes "):
        original.with_options(**{option: WRONG[option][0]})


@pytest.mark.parametrize("option", sorted(NAMES))
def test_none_is_the_default_of_every_option(option: str) -> None:
    plain, given = made(), made(**{option: None})

    assert seen(given) == seen(plain)


def test_an_option_that_does_not_exist_is_a_type_error_that_lists_those_that_do() -> None:
    make: Any = task
    for refuses, given in ((make, ()), (make, (body,)), (made().with_options, ())):
        with pytest.raises(TypeError, match=r"^A task has no option 'retrys'\. There are: .*retries, ") as caught:
            refuses(*given, retrys=3)
        assert not isinstance(caught.value, ConfigurationError)


@pytest.mark.parametrize("thing", [1, "text", None, [], int, dict], ids=repr)
def test_what_is_no_function_is_no_task(thing: Any) -> None:
    make: Any = task(name="wrong")
    with pytest.raises(TaskDefinitionError, match=r"expected a function or coroutine function"):
        make(thing)


def test_a_task_is_not_made_a_task_again() -> None:
    make: Any = task
    with pytest.raises(TaskDefinitionError, match=r"use with_options\(\) to change it"):
        make(made())


@pytest.mark.parametrize("reserved", ["wait_for", "return_state"])
def test_a_parameter_that_calls_use_themselves_is_refused(reserved: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def uses(x, {reserved}=None): ...", scope)  # noqa: S102  # the name of a parameter is what is tried
    with pytest.raises(ReservedArgumentError, match=reserved):
        task(scope["uses"])


# What is taken, and what can be changed.

CHANGES: dict[str, tuple[Any, Callable[[Any], Any], Any]] = {
    "name": ("carver", lambda each: each.name, "carver"),
    "description": ("carves", lambda each: each.description, "carves"),
    "version": ("2", lambda each: each.version, "2"),
    "tags": (["a", "b", "a"], lambda each: each.tags, frozenset("ab")),
    "task_run_name": ("carve-it", lambda each: each.task_run_name, "carve-it"),
    "retries": (3, lambda each: each.retries, 3),
    "retry_delay_seconds": ([1, 2], lambda each: each.retry_policy.delays, (1.0, 2.0)),
    "retry_jitter_factor": (0.5, lambda each: each.retry_policy.jitter, 0.5),
    "retry_condition_fn": (hook, lambda each: each.retry_policy.condition, hook),
    "timeout_seconds": (5, lambda each: each.timeout_seconds, 5.0),
    "interruptible": (False, lambda each: each.interruptible, False),
    "log_prints": (True, lambda each: each.log_prints, True),
    "cache_policy": (INPUTS, lambda each: each.cache_policy, INPUTS),
    "cache_key_fn": (hook, lambda each: each.cache_key_fn, hook),
    "cache_expiration": (timedelta(hours=1), lambda each: each.cache_expiration, timedelta(hours=1)),
    "refresh_cache": (True, lambda each: each.refresh_cache, True),
    "persist_result": (True, lambda each: each.persist_result, True),
    "result_storage": (MemoryStorage(), lambda each: type(each.result_storage), MemoryStorage),
    "result_serializer": ("json", lambda each: type(each.result_serializer), JSONSerializer),
    "result_storage_key": ("oak", lambda each: each.result_storage_key, "oak"),
    "cache_result_in_memory": (False, lambda each: each.cache_result_in_memory, False),
    "on_running": ([hook], lambda each: each.on_running_hooks, [hook]),
    "on_completion": ([hook], lambda each: each.on_completion_hooks, [hook]),
    "on_failure": ((hook,), lambda each: each.on_failure_hooks, [hook]),
    "on_commit": ([hook], lambda each: each.on_commit_hooks, [hook]),
    "on_rollback": ([hook], lambda each: each.on_rollback_hooks, [hook]),
}


def seen(made: Any) -> dict[str, Any]:
    """What can be seen of every option."""
    return {option: look(made) for option, (_, look, _) in CHANGES.items()}


def test_every_option_is_changed_by_a_test() -> None:
    assert set(CHANGES) == NAMES


@pytest.mark.parametrize("option", sorted(NAMES))
def test_an_option_is_taken_and_says_so(option: str) -> None:
    given, look, expected = CHANGES[option]

    assert look(made(**{option: given})) == expected


@pytest.mark.parametrize("option", sorted(NAMES))
def test_with_options_changes_one_option_in_a_copy_and_keeps_the_rest(option: str) -> None:
    given, _, expected = CHANGES[option]
    original = made()
    changed = original.with_options(**{option: given})

    assert changed is not original
    assert type(changed) is type(original)
    assert changed.fn is original.fn
    assert seen(changed)[option] == expected
    others = NAMES - {option} - ({"cache_policy"} if option == "cache_key_fn" else set())
    assert {name: seen(changed)[name] for name in others} == {name: seen(original)[name] for name in others}
    assert seen(original) == seen(made())


@pytest.mark.parametrize("option", sorted(NAMES))
def test_an_option_is_kept_where_another_one_is_changed_and_reset_by_none(option: str) -> None:
    given, _, expected = CHANGES[option]
    original = made(**{option: given})
    other = "version" if option == "name" else "name"
    changed = original.with_options(**{other: "other"})

    assert seen(changed)[option] == expected
    assert seen(changed.with_options(**{option: None}))[option] == seen(made())[option]


def test_with_options_refuses_what_contradicts_an_option_that_is_kept() -> None:
    cached = made(cache_policy=INPUTS)
    kept_nowhere = made(persist_result=False)

    with pytest.raises(ConfigurationError, match=r"^'persist_result' takes True, or nothing, beside cache_policy"):
        cached.with_options(persist_result=False)
    with pytest.raises(ConfigurationError, match=r"^'persist_result' takes True, or nothing, beside result_storage"):
        kept_nowhere.with_options(result_storage=MemoryStorage())
    with pytest.raises(ConfigurationError, match=r"^'cache_key_fn' takes nothing beside a cache_policy"):
        cached.with_options(cache_key_fn=hook)
    assert cached.with_options(cache_policy=None, persist_result=False).persist_result is False
    assert cached.with_options(cache_policy=None, cache_key_fn=hook).cache_key_fn is hook


def test_with_options_gives_a_task_of_the_same_kind() -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    for fn, kind in (
        (body, Task), (coroutine, AsyncTask), (generator, GeneratorTask), (async_generator, AsyncGeneratorTask),
    ):  # fmt: skip
        changed = any_task(fn).with_options(name="other", retries=2)
        assert type(changed) is kind
        assert (changed.fn, changed.name, changed.retries) == (fn, "other", 2)
        assert changed.task_key == any_task(fn).task_key


def test_with_options_keeps_hooks_that_were_added_by_decorators() -> None:
    original = made(on_running=[hook])

    def added(*_: Any) -> None:
        pass

    for kind in ("on_running", "on_completion", "on_failure", "on_commit", "on_rollback"):
        getattr(original, kind)(added)
    changed = original.with_options(name="other")

    assert changed.on_running_hooks == [hook, added]
    assert [changed.on_completion_hooks, changed.on_failure_hooks] == [[added], [added]]
    assert [changed.on_commit_hooks, changed.on_rollback_hooks] == [[added], [added]]
    changed.on_running(hook)
    assert original.on_running_hooks == [hook, added]  # the copy has lists of its own


def test_tags_and_hooks_that_are_given_as_iterators_are_kept_in_copies() -> None:
    """Found by reading: the iterator of tags was used up, and the copy had none."""
    original = made(tags=iter(["a", "b"]), on_running=iter([hook]))

    assert original.with_options(name="other").tags == {"a", "b"}
    assert original.with_options(name="other").on_running_hooks == [hook]


def test_a_list_of_delays_that_is_changed_later_changes_nothing() -> None:
    delays = [1.0, 2.0]
    carve = made(retries=2, retry_delay_seconds=delays)
    delays[:] = [-5]

    assert carve.retry_policy.delays == (1.0, 2.0)


def test_delays_that_are_computed_are_computed_anew_for_another_number_of_retries() -> None:
    original = made(retries=2, retry_delay_seconds=exponential_backoff(1))

    assert original.retry_policy.delays == (1.0, 2.0)
    assert original.with_options(retries=4).retry_policy.delays == (1.0, 2.0, 4.0, 8.0)


def test_a_task_looks_like_its_function() -> None:
    assert (made().__name__, made().__doc__, made().description) == ("body", body.__doc__, "What a carver does.")
    assert made().name == "body"
    assert made(description="").description == ""


# Defaults from the environment.


def test_the_environment_says_how_often_where_a_task_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_TASK_DEFAULT_RETRIES", "2")
    monkeypatch.setenv("MILLRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS", "1, 2.5")

    assert (made().retries, made().retry_policy.delays) == (2, (1.0, 2.5))
    assert (made(retries=0).retries, made(retry_delay_seconds=0).retry_policy.delays) == (0, (0.0,))
    assert made(retries=5).with_options(retries=None).retries == 2


@pytest.mark.parametrize("wrong", ["-1", "1.5", "often", "nan"])
def test_a_number_of_retries_in_the_environment_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("MILLRACE_TASK_DEFAULT_RETRIES", wrong)
    with pytest.raises(ConfigurationError, match=r"^'MILLRACE_TASK_DEFAULT_RETRIES' takes a whole number, 0 or more"):
        made()


# Methods.


def carver(world: World) -> Any:
    """An instance of a class whose methods are tasks, each put into it in another way."""

    def of_instance(self: Any, wood: str) -> Any:
        return self, wood, parameters()

    def of_class(cls: Any, wood: str) -> Any:
        return cls, wood, parameters()

    def of_nothing(wood: str) -> Any:
        return None, wood, parameters()

    def wrapped(kind: Any, fn: Any) -> Any:
        return kind(world.task(fn).fn)

    class Carver:
        method = world.task(of_instance, tags=["t"])
        above_class = any_task(wrapped(classmethod, of_class))
        above_static = any_task(wrapped(staticmethod, of_nothing))
        below_class: Any = classmethod(world.task(of_class))
        below_static = staticmethod(world.task(of_nothing))

    return Carver()


def parameters() -> dict[str, Any]:
    context = TaskRunContext.get()
    assert context is not None
    return context.parameters


METHODS = pytest.mark.parametrize(
    ("name", "receiver"),
    [("method", "self"), ("above_class", "cls"), ("below_class", "cls"), ("above_static", ""), ("below_static", "")],
)


STARTS = [
    (name, receiver, how)
    for name, receiver in METHODS.args[1]
    for how in ("call", "submit", "map")
    # From Python 3.13 on a classmethod gives a bound method of what it wraps, whose attributes are those of the latter.
    if name != "below_class" or how == "call"
]


@pytest.mark.parametrize(("name", "receiver", "how"), STARTS)
def test_a_task_in_a_class_is_a_method_however_it_is_started(world: World, name: str, receiver: str, how: str) -> None:
    instance = carver(world)
    expected: dict[str, Any] = {"self": instance, "cls": type(instance), "": None}

    async def runs() -> list[Any]:
        method = getattr(instance, name)
        if how == "map":
            return list(await world.result(method.map(["oak", "elm"])))
        called = await world.call(method, "oak") if how == "call" else await world.result(method.submit("oak"))
        return [called]

    results = world.body(runs)
    assert [wood for _, wood, _ in results] == ["oak", "elm"][: len(results)]
    for given, wood, named in results:
        assert given is expected[receiver]
        assert named["wood"] == wood
        assert set(named) <= {"wood", receiver}


@METHODS
def test_through_the_class_it_is_what_a_method_would_be(world: World, name: str, receiver: str) -> None:
    instance = carver(world)
    kind = type(instance)

    async def runs() -> Any:
        arguments = (instance, "oak") if receiver == "self" else ("oak",)
        return await world.call(getattr(kind, name), *arguments)

    given, wood, _ = world.body(runs)
    assert wood == "oak"
    assert given is {"self": instance, "cls": kind, "": None}[receiver]


def test_a_task_is_equal_to_itself_alone_and_a_changed_copy_is_another() -> None:
    original, twin = made(), made()
    copies = {original.with_options(), original.with_options(name="carver")}

    assert original == original  # noqa: PLR0124  # that is what is tried
    assert original != twin
    assert len({original, original, twin, *copies}) == 4
    assert {repr(each) for each in copies} == {"<Task 'body'>", "<Task 'carver'>"}


def test_a_bound_task_is_the_same_task_each_time(world: World) -> None:
    instance, other = carver(world), carver(world)

    assert instance.method == instance.method
    assert hash(instance.method) == hash(instance.method)
    assert instance.method != type(instance).method
    assert other.method != instance.method
    assert instance.method.tags == {"t"}


def test_all_runs_of_a_bound_task_are_counted_together(world: World) -> None:
    instance = carver(world)

    async def runs() -> list[int]:
        futures = [instance.method.submit("oak") for _ in range(3)]
        for future in futures:
            await world.result(future)
        return [future.source.key for future in futures]

    assert world.body(runs) == [0, 1, 2]


def test_with_options_of_a_bound_task_is_bound_too(world: World) -> None:
    instance = carver(world)
    changed = instance.method.with_options(name="other")

    async def runs() -> Any:
        return await world.call(changed, "oak")

    given, wood, _ = world.body(runs)
    assert (given, wood, changed.name) == (instance, "oak", "other")


class Typed:
    """Methods as type checkers see them."""

    @task
    def sync(self, wood: str) -> int:
        return len(wood)

    @task(retries=1)
    async def coroutine(self, wood: str) -> int:
        return len(wood)


def test_the_types_of_methods_are_exact() -> None:
    typed = Typed()
    results: tuple[int, int] = typed.sync("oak"), Typed.sync(typed, "oak")
    assert results == (3, 3)
    assert_type(typed.sync("oak"), int)
    future: Future[int] = typed.sync.submit("oak")
    assert future.result() == 3
    assert_type(typed.coroutine("oak"), Coroutine[Any, Any, int]).close()

    @flow
    def runs() -> list[int]:
        return [typed.sync("oak"), typed.sync.submit("oak").result(), typed.coroutine.submit("oak").result()]

    async def awaits() -> int:
        async with Engine():
            return await typed.coroutine("oak")

    assert runs() == [3, 3, 3]
    assert asyncio.run(awaits()) == 3
