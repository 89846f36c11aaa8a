"""Calls: which fit, and what is said of those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from millrace import (
    AsyncFlow,
    AsyncTask,
    BlockingCallOnLoop,
    ConfigurationError,
    Engine,
    Flow,
    FlowDefinitionError,
    FlowRunContext,
    MillraceError,
    ParameterBindError,
    ReservedArgumentError,
    SignatureMismatchError,
    Task,
    TaskDefinitionError,
    TaskRunContext,
    flow,
    run,
    task,
)
from millrace.runtime.shape import Shape
from tests.runtime.worlds import PATIENCE, World


async def never() -> None:
    raise AssertionError("It ran.")


def f(url: str, retries: int = 3, *, strict: bool = False) -> tuple[str, int, bool]:
    return url, retries, strict


# Calls that fit.


def test_arguments_are_bound_like_those_of_a_function(world: World) -> None:
    fetch = world.task(f)

    async def body() -> Any:
        return [
            await world.call(fetch, "a"),
            await world.call(fetch, "a", 5),
            await world.call(fetch, retries=5, url="a"),
            await world.result(fetch.submit("a", strict=True)),
            await world.result(fetch.submit(url="a")),
        ]

    assert world.body(body) == [
        ("a", 3, False),
        ("a", 5, False),
        ("a", 5, False),
        ("a", 3, True),
        ("a", 3, False),
    ]


def test_every_kind_of_parameter_may_be_had(world: World) -> None:
    @world.task
    def many(a: Any, /, b: Any, *args: Any, c: Any, d: Any = 4, **kwargs: Any) -> Any:
        return a, b, args, c, d, kwargs

    async def body() -> None:
        assert await world.call(many, 1, 2, c=3) == (1, 2, (), 3, 4, {})
        assert await world.call(many, 1, 2, 8, 9, c=3, e=5) == (1, 2, (8, 9), 3, 4, {"e": 5})
        assert await world.result(many.submit(1, b=2, c=3, a=6)) == (1, 2, (), 3, 4, {"a": 6})
        with pytest.raises(ParameterBindError, match="'a'"):
            many.submit(a=1, b=2, c=3)
        with pytest.raises(ParameterBindError, match="'c'"):
            many.submit(1, 2)

    world.body(body)


def test_a_flow_is_bound_in_the_same_way(world: World) -> None:
    bound = world.flow(f)
    assert world.run(bound, "a", strict=True) == ("a", 3, True)
    assert world.run(bound, retries=1, url="b") == ("b", 1, False)


def test_a_direct_call_gives_what_the_function_returned(world: World) -> None:
    value = object()

    @world.task
    def give() -> Any:
        return value

    async def body() -> bool:
        return await world.call(give) is value

    assert world.body(body) is True


def test_a_call_outside_of_any_flow_works_too() -> None:
    @task
    def double(x: int) -> int:
        assert TaskRunContext.get() is not None
        return 2 * x

    @task
    async def adouble(x: int) -> int:
        assert TaskRunContext.get() is not None
        return 2 * x

    assert double(2) == 4
    assert asyncio.run(adouble(2)) == 4


def test_calling_an_async_task_or_flow_gives_a_coroutine() -> None:
    @task
    async def adouble(x: int) -> int:
        return 2 * x

    @flow
    async def body(x: int) -> int:
        return await adouble(x)

    for called in (adouble(1), body(2)):
        assert asyncio.iscoroutine(called)
        assert asyncio.run(called) in (2, 4)


def test_the_bare_function_is_at_hand(world: World) -> None:
    @task
    def double(x: int) -> int:
        """Twice as much."""
        return 2 * x

    assert double.fn(2) == 4
    assert vars(double)["__name__"] == "double"
    assert double.__doc__ == "Twice as much."
    assert double.description == "Twice as much."
    assert repr(double) == "<Task 'double'>"
    assert repr(world.flow(f, name="named")) in ("<Flow 'named'>", "<AsyncFlow 'named'>")


# Calls that do not.


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        pytest.param((), {}, "'url'", id="one is missing"),
        pytest.param((), {"retries": 1}, "'url'", id="one is missing beside another"),
        pytest.param(("a",), {"url": "b"}, "'url'", id="one is given twice"),
        pytest.param(("a", 1, True), {}, "too many positional arguments", id="there are too many"),
        pytest.param(("a",), {"uri": "b"}, "'uri'", id="one is not known"),
        pytest.param((), {"uri": "b"}, "'url', and there is no parameter 'uri'", id="one is misspelt"),
    ],
)
@pytest.mark.parametrize("how", ["task", "submit", "map", "flow", "run", "start"])
def test_a_wrong_call_names_the_parameter_and_shows_the_signature(
    world: World, args: Any, kwargs: Any, named: str, how: str
) -> None:
    called = world.task(f) if how in ("task", "submit", "map") else world.flow(f)
    engine = Engine()

    def call() -> Any:
        if how in ("task", "flow"):
            return called(*args, **kwargs)
        if how == "run":
            return run(called, *args, **kwargs)
        if how == "start":
            return engine.start(called, *args, **kwargs)
        return getattr(called, how)(*args, **kwargs)

    with pytest.raises(ParameterBindError) as caught:
        call()
    text = str(caught.value)
    assert text.startswith("Cannot bind the arguments of 'f': ")
    assert named in text
    assert "Its signature is f(url: " in text
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, MillraceError)
    engine.close()


def test_a_wrong_call_is_told_where_it_is_made_and_not_where_it_is_awaited() -> None:
    @task
    async def double(x: int) -> int:
        return 2 * x

    @flow
    async def body(x: int) -> int:
        return x

    with pytest.raises(ParameterBindError):
        _ = double()  # type: ignore[call-overload]
    with pytest.raises(ParameterBindError):
        _ = body()  # type: ignore[call-overload]


def test_a_wrong_call_starts_nothing(world: World) -> None:
    fetch = world.task(f)

    async def body() -> Any:
        for call in (fetch, fetch.submit, fetch.map):
            with pytest.raises(ParameterBindError):
                call()
        context = FlowRunContext.get()
        assert context is not None
        return context.flow_run.spawned

    assert world.body(body) == 0


def test_parameters_given_by_name_have_to_be_those_of_the_function() -> None:
    shape = Shape(f)
    assert shape.call_of({"strict": True, "url": "a"}) == (("a",), {"strict": True})
    with pytest.raises(
        SignatureMismatchError,
        match=r"^'f' takes the parameters 'url', 'retries', 'strict', and was given 'url', 'uri'\.$",
    ):
        shape.call_of({"url": "a", "uri": "b"})
    with pytest.raises(SignatureMismatchError, match="and was given none"):
        shape.call_of({})


# Reserved names.


@pytest.mark.parametrize("decorator", [task, flow], ids=["task", "flow"])
@pytest.mark.parametrize("name", ["return_state", "wait_for"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_parameter_with_a_reserved_name_is_an_error(decorator: Any, name: str, kind: str) -> None:
    space: dict[str, Any] = {}
    prefix = "async " if kind == "async" else ""
    exec(f"{prefix}def fetch(url, {name}=None): pass", space)  # noqa: S102  # the name of a parameter is what is tried
    with pytest.raises(
        ReservedArgumentError,
        match=rf"^'fetch' has a parameter named '{name}', which is an option of every call\. Rename the parameter\.$",
    ):
        decorator(space["fetch"])


# What is no function.


async def _coroutine() -> None:
    pass


@pytest.mark.parametrize("thing", [3, None, "text", object, int, Task], ids=repr)
def test_a_task_has_to_be_made_of_a_function(thing: Any) -> None:
    with pytest.raises(TaskDefinitionError, match="expected a function or coroutine function"):
        task()(thing)  # with brackets, so that None is a thing like the others
    with pytest.raises(FlowDefinitionError, match="expected a function or coroutine function"):
        flow()(thing)


def test_a_coroutine_is_no_function() -> None:
    made = _coroutine()
    with pytest.raises(TaskDefinitionError, match="coroutine"):
        task(made)  # type: ignore[call-overload]
    with pytest.raises(FlowDefinitionError, match="coroutine"):
        flow(made)  # type: ignore[call-overload]
    made.close()


def test_a_task_cannot_be_made_of_a_task_nor_a_flow_of_a_flow() -> None:
    with pytest.raises(TaskDefinitionError, match=r"which is a task already; use with_options\(\) to change it"):
        task(task(f))
    with pytest.raises(FlowDefinitionError, match=r"which is a flow already; use with_options\(\) to change it"):
        flow(flow(f))


def test_what_can_be_called_like_a_function_will_do() -> None:
    class Doubler:
        def __call__(self, x: int) -> int:
            return 2 * x

    assert task(Doubler()).name == "Doubler"
    assert task(Doubler())(4) == 8
    assert task(name="power")(partial(pow, 2))(exp=3) == 8
    doubled: Callable[[int], int] = lambda x: 2 * x  # noqa: E731  # a lambda is what is tried
    assert task(doubled)(1) == 2


@pytest.mark.parametrize("make", [task, flow])
def test_a_function_that_tells_nobody_its_parameters_is_refused(make: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^'fn' takes a function whose parameters can be read; wrap it in one"
    ):
        make(max)


def test_the_decorator_knows_sync_from_async() -> None:
    assert type(task(f)) is Task
    assert type(task(never)) is AsyncTask
    assert type(flow(f)) is Flow
    assert type(flow(never)) is AsyncFlow
    assert type(task(name="named")(never)) is AsyncTask


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tags": "text"}, "tags"),
        ({"retries": -1}, "retries"),
        ({"retry_delay_seconds": "soon"}, "retry_delay_seconds"),
    ],
    ids=str,
)
def test_a_wrong_option_of_a_task_is_named(options: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^'{named}' takes "):
        task(**options)(f)
    with pytest.raises(ConfigurationError, match=f"^'{named}' takes "):
        task(f).with_options(**options)


def test_a_wrong_option_of_a_flow_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^'task_runner' takes a TaskRunner"):
        flow(task_runner="threads")(f)  # type: ignore[call-overload]


# Running.


def test_run_gives_what_the_flow_gives() -> None:
    @flow
    async def body(x: int) -> int:
        return x + 1

    assert run(body, 1) == 2
    assert run(body, x=2) == 3
    assert run(flow(f), "a") == ("a", 3, False)


def test_run_of_a_coroutine_says_to_pass_the_flow_itself() -> None:
    @flow
    async def body() -> None:
        await never()

    with pytest.raises(
        FlowDefinitionError, match=r"a coroutine: expected a flow\. Pass the flow itself, not a call of it"
    ):
        run(body())  # type: ignore[call-overload]


@pytest.mark.parametrize("thing", [f, 3, None], ids=["a function", "a number", "None"])
def test_run_of_something_else_says_what_it_expects(thing: Any) -> None:
    with pytest.raises(FlowDefinitionError, match=r"expected a flow\. Decorate it with @flow\."):
        run(thing)


def test_run_of_a_task_says_that_it_can_be_called() -> None:
    with pytest.raises(FlowDefinitionError, match=r"expected a flow\. Call the task itself, or have a flow call it\.$"):
        run(task(f))  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


@pytest.mark.anyio
async def test_run_inside_a_loop_says_to_await_the_flow() -> None:
    @flow
    async def body() -> int:
        return 1

    with pytest.raises(
        BlockingCallOnLoop, match=r"^run\(body, \.\.\.\) would block .* Use `await body\(\.\.\.\)` instead"
    ):
        run(body)
    assert await body() == 1


@pytest.mark.anyio
async def test_run_of_a_sync_flow_inside_a_loop_runs_it_there() -> None:
    assert run(flow(f), "a") == ("a", 3, False)


@pytest.mark.parametrize("thing", [f, 3, task(f)], ids=["a function", "a number", "a task"])
def test_starting_something_that_is_no_flow_says_what_it_expects(thing: Any) -> None:
    engine = Engine()
    with pytest.raises(FlowDefinitionError, match="expected a flow"):
        _ = engine.start(thing)
    engine.close()


def test_starting_a_coroutine_says_to_pass_the_flow_itself() -> None:
    @flow
    async def body() -> None:
        await never()

    engine = Engine()
    with pytest.raises(FlowDefinitionError, match="Pass the flow itself, not a call of it"):
        _ = engine.start(body())  # type: ignore[arg-type]
    engine.close()


def test_submitting_with_return_state_on_a_loop_says_to_await() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        @task
        async def late() -> None:
            await gate.wait()

        @flow
        async def body() -> None:
            with pytest.raises(BlockingCallOnLoop, match="wait_async"):
                late.submit(return_state=True)
            gate.set()

        async with asyncio.timeout(PATIENCE):
            await body()

    asyncio.run(main())
