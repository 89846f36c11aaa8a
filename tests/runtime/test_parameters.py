"""Parameters of flows: bound, resolved, converted, and refused before the body runs."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

import attrs
import pytest

from millrace import (
    ConfigurationError,
    Engine,
    FlowRunContext,
    ParameterBindError,
    ParameterTypeError,
    SignatureMismatchError,
    StateType,
    UpstreamTaskError,
    allow_failure,
    flow,
    quote,
    run,
)
from millrace.runtime.validation import hints, plan
from millrace.runtime.validation.hints import hints_of
from tests.runtime.annotated import Colour, Config, Point, Tree
from tests.runtime.worlds import World

if TYPE_CHECKING:
    from nowhere import Session  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]


class Limits(TypedDict, total=False):
    depth: int
    day: date


def crawl(
    urls: list[str],
    depth: int,
    since: date | None = None,
    *folders: Path,
    colour: Colour = Colour.RED,
    **limits: float,
) -> Any:
    return urls, depth, since, folders, colour, limits


# What the body gets.


def test_the_body_gets_what_the_annotations_ask_for(world: World) -> None:
    assert world.run(world.flow(crawl), ("a",), "3", "2024-01-02", "x", Path("y"), colour=2, rate="0.5") == (
        ["a"],
        3,
        date(2024, 1, 2),
        (Path("x"), Path("y")),
        Colour.GREEN,
        {"rate": 0.5},
    )


@pytest.mark.parametrize("how", ["call", "run", "start", "subflow"])
def test_it_is_the_same_however_a_flow_is_started(world: World, how: str) -> None:
    @world.flow
    def double(number: int) -> int:
        return 2 * number

    async def body() -> Any:
        return await world.call(double, "4")

    if how == "subflow":
        assert world.body(body) == 8
    elif how == "start":
        engine = Engine()
        assert engine.start(double, "4").result() == 8
        engine.close()
    else:
        assert (run(double, "4") if how == "run" else world.run(double, "4")) == 8


def test_classes_are_made_of_mappings(world: World) -> None:
    @world.flow
    def use(config: Config, points: dict[str, Point], tree: Tree | None = None) -> Any:
        return config, points, tree

    assert world.run(use, {"retries": "3"}, {"a": {"x": 1}}, tree={"value": 1, "children": [{"value": "2"}]}) == (
        Config(3),
        {"a": Point(1)},
        Tree(1, [Tree(2)]),
    )


def test_what_fits_is_passed_as_it_is(world: World) -> None:
    config, urls, anything = Config(1), ["a"], object()

    @world.flow
    def use(config: Config, urls: list[str], anything: Any, bare, *, mixed: list[Config | str]) -> Any:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return config, urls, anything, bare, mixed

    mixed = [config, "b"]
    given = (config, urls, anything, anything, mixed)
    assert all(map(lambda one, other: one is other, world.run(use, *given[:-1], mixed=mixed), given))


def test_defaults_are_converted_too(world: World) -> None:
    @world.flow
    def use(day: date = "2024-01-02", size: int = "x") -> Any:  # type: ignore[assignment]
        return day, size

    assert world.run(use, size=3) == (date(2024, 1, 2), 3)
    with pytest.raises(ParameterTypeError, match="size: 'x' is not a whole number"):
        world.run(use)


def test_a_default_of_none_needs_an_annotation_that_takes_it(world: World) -> None:
    @world.flow
    def use(size: int = None) -> Any:  # type: ignore[assignment]  # noqa: RUF013
        return size

    assert world.run(use, "1") == 1
    with pytest.raises(ParameterTypeError, match="size: None is not a whole number"):
        world.run(use)


def test_keyword_arguments_may_be_annotated_as_a_typed_dict(world: World) -> None:
    @world.flow
    def use(**limits: Unpack[Limits]) -> Any:
        return limits

    assert world.run(use, depth="3", day="2024-01-02") == {"depth": 3, "day": date(2024, 1, 2)}
    with pytest.raises(ParameterTypeError, match=r"limits\.width: 3 is given, and Limits has no such key"):
        world.run(use, width=3)


def test_positional_arguments_may_be_annotated_one_by_one(world: World) -> None:
    def plain(*args: Any) -> Any:
        return args

    plain.__annotations__["args"] = next(iter(cast("Any", tuple[int, str])))  # what `*args: *tuple[int, str]` comes to
    assert world.run(world.flow(plain), "1", "a") == (1, "a")


def test_names_in_annotations_are_found_where_the_function_stands(world: World) -> None:
    @attrs.define
    class Local:
        size: int

    @world.flow
    def use(local: Local) -> Any:
        return local, Local

    assert world.run(use, {"size": "1"})[0] == Local(1)


def test_an_annotation_that_cannot_be_evaluated_says_nothing(world: World) -> None:
    @attrs.define
    class Local:
        size: int

    @world.flow
    def use(session: Session, local: Local, text: "how long?", number: int) -> Any:  # type: ignore[valid-type]  # noqa: F722  # pyright: ignore[reportGeneralTypeIssues]
        return session, local, text, number

    assert world.run(use, 1, {"size": 1}, "3", "4") == (1, {"size": 1}, "3", 4)


# What is refused.


def test_one_error_names_every_wrong_parameter_and_place() -> None:
    ran: list[int] = []

    @flow(name="nightly crawl")
    def use(config: Config, urls: list[str], day: date, size: int = 3, *more: int, **others: Point) -> None:
        ran.append(1)

    given: Any = {"retries": "x", "depth": 1}, ["a", 3], "never", "1", 2.5
    others: Any = {"p": {"x": []}}
    with pytest.raises(ParameterTypeError) as caught:
        run(use, *given, **others)
    assert caught.value.problems == {
        "config.retries": "'x' is not a whole number",
        "config.depth": "1 is given, and Config has no such field",
        "urls[1]": "3 is not text",
        "day": "'never' is not a date",
        "more[0]": "2.5 is not a whole number",
        "others['p'].x": "[] is not a whole number",
    }
    assert str(caught.value).startswith(
        "Flow 'nightly crawl' was given 6 invalid parameters:\n  config.retries: 'x' is"
    )
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert not ran


def test_wrong_parameters_make_the_run_failed_before_the_body_runs(world: World) -> None:
    ran: list[int] = []
    tell = world.task(lambda: ran.append(1))

    @world.flow
    def use(size: int) -> None:
        tell.submit()

    engine = Engine()
    seen: list[Any] = []
    engine.subscribe(seen.append)
    state = world.run(use, "x", engine=engine, return_state=True)
    assert state.type is StateType.FAILED
    assert isinstance(state.data, ParameterTypeError)
    assert "ParameterTypeError" in state.message
    with pytest.raises(ParameterTypeError, match="size: 'x' is not a whole number"):
        world.run(use, "x", engine=engine)
    future = engine.start(use, "x")
    with pytest.raises(ParameterTypeError):
        future.result()
    assert future.state.is_failed()
    engine.close()
    assert not ran
    assert [each.state.type for each in seen if each.state is not None and each.state.is_final()] == [
        StateType.FAILED
    ] * 3
    assert {each.task_run_id for each in seen} == {None}


def test_a_subflow_with_wrong_parameters_fails_and_its_parent_may_go_on(world: World) -> None:
    @world.flow
    def inner(size: int) -> int:
        return size

    async def body() -> Any:
        with pytest.raises(ParameterTypeError):
            await world.call(inner, "x")
        state = await world.call(inner, "x", return_state=True)
        return state.is_failed(), await world.call(inner, "3")

    assert world.body(body) == (True, 3)


def test_a_call_that_does_not_fit_makes_no_run(world: World) -> None:
    use = world.flow(crawl)
    engine = Engine()
    seen: list[Any] = []
    engine.subscribe(seen.append)
    with pytest.raises(ParameterBindError):
        world.run(use, "x", engine=engine)
    assert not seen
    engine.close()


def test_a_validator_that_raises_is_a_problem_and_one_that_interrupts_is_a_crash(world: World) -> None:
    raised: list[type[BaseException]] = [ValueError, KeyboardInterrupt]

    def refuse(_: Any, __: Any, value: int) -> None:
        raise raised.pop(0)("too much")

    @attrs.define
    class Checked:
        size: int = attrs.field(validator=refuse)

    @world.flow
    def use(checked: Checked) -> Any:
        return Checked

    with pytest.raises(ParameterTypeError, match=r"checked: {'size': 1} makes no Checked: ValueError: too much"):
        world.run(use, {"size": 1})
    engine = Engine()
    seen: list[Any] = []
    engine.subscribe(seen.append)
    with pytest.raises(KeyboardInterrupt):
        world.run(use, {"size": 1}, engine=engine)
    assert seen[-1].state.type is StateType.CRASHED
    engine.close()


# The option.


def test_without_validation_parameters_are_passed_as_they_are(world: World) -> None:
    @world.flow(validate_parameters=False)
    def use(size: int, config: Config) -> Any:
        return size, config, FlowRunContext.get().parameters  # type: ignore[union-attr]

    given = {"retries": "x"}
    size, config, recorded = world.run(use, "3", given)
    assert (size, recorded) == ("3", {"size": "3", "config": given})
    assert config is given


def test_a_copy_may_validate_where_the_flow_does_not(world: World) -> None:
    use = world.flow(crawl, validate_parameters=False)
    strict = use.with_options(validate_parameters=True)
    assert not use.should_validate_parameters
    assert not use.with_options(name="other").should_validate_parameters
    assert strict.with_options(name="other").should_validate_parameters
    assert world.run(use, ["a"], "3")[1] == "3"
    assert world.run(strict, ["a"], "3")[1] == 3
    assert world.run(strict.with_options(validate_parameters=False), ["a"], "3")[1] == "3"


@pytest.mark.parametrize("value", ["yes", 1, object()])
def test_the_option_is_true_or_false(world: World, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="'validate_parameters' takes True or False, not "):
        world.flow(crawl, validate_parameters=value)
    with pytest.raises(ConfigurationError):
        world.flow(crawl).with_options(validate_parameters=value)


# By name.


def test_parameters_may_be_checked_without_a_run() -> None:
    use = flow(crawl)
    assert use.validate_parameters({"urls": ("a",), "depth": "3", "rate": "1"}) == {
        "urls": ["a"],
        "depth": 3,
        "since": None,
        "folders": (),
        "colour": Colour.RED,
        "limits": {"rate": 1.0},
    }
    with pytest.raises(ParameterTypeError, match="depth: 'x' is not a whole number"):
        use.validate_parameters({"urls": [], "depth": "x"})


def test_a_name_that_is_no_parameter_does_not_match_the_signature() -> None:
    @flow
    def use(size: int) -> int:
        return size

    with pytest.raises(SignatureMismatchError, match="'use' takes the parameters 'size', and was given 'size', 'sise'"):
        use.validate_parameters({"size": 1, "sise": 2})
    with pytest.raises(SignatureMismatchError, match="and was given none"):
        use.validate_parameters({})


# Futures.


def test_futures_are_resolved_first_and_their_results_converted(world: World) -> None:
    @world.task
    def text(value: Any) -> str:
        return str(value)

    @world.flow
    def inner(size: int, sizes: list[int], by_name: dict[str, int]) -> Any:
        return size, sizes, by_name

    async def body() -> Any:
        future = text.submit(3)
        state = await world.ended(future)
        return await world.call(inner, future, [future, state, 4], by_name={"a": text.submit(5)})

    assert world.body(body) == (3, [3, 3, 4], {"a": 5})


def test_a_result_that_cannot_be_converted_is_told_like_a_value(world: World) -> None:
    give = world.task(lambda: "x")

    @world.flow
    def inner(sizes: list[int]) -> Any:
        return sizes

    async def body() -> Any:
        with pytest.raises(ParameterTypeError, match=r"sizes\[1\]: 'x' is not a whole number"):
            await world.call(inner, [1, give.submit()])

    world.body(body)


def test_an_upstream_that_failed_is_told_before_its_parameter(world: World) -> None:
    @world.task
    def fail() -> int:
        raise RuntimeError("no")

    @world.flow
    def inner(size: int) -> Any:
        return size

    @world.flow
    def tolerant(size: int | Exception) -> Any:
        return repr(size)

    async def body() -> Any:
        with pytest.raises(UpstreamTaskError):
            await world.call(inner, fail.submit())
        with pytest.raises(ParameterTypeError, match=r"size: RuntimeError\('no'\) is not a whole number"):
            await world.call(inner, allow_failure(fail.submit()))
        return await world.call(tolerant, allow_failure(fail.submit()))

    assert world.body(body) == "RuntimeError('no')"


def test_annotations_of_arguments_are_taken_off_first(world: World) -> None:
    @world.flow
    def inner(size: int) -> Any:
        return size

    async def body() -> Any:
        return await world.call(inner, quote("3"))

    assert world.body(body) == 3


def test_a_flow_outside_of_others_takes_no_futures(world: World) -> None:
    give = world.task(lambda: 3)
    engine = Engine()

    @world.flow
    def make() -> Any:
        return quote(give.submit())

    @world.flow
    def outer(size: int) -> Any:
        return size

    future = world.run(make, engine=engine).unwrap()
    with pytest.raises(ParameterTypeError, match=r"size: .* is not a whole number"):
        world.run(outer, future, engine=engine)
    engine.close()


# What is recorded.


def test_the_converted_parameters_are_recorded(world: World) -> None:
    give = world.task(lambda: "3")

    @world.flow
    def inner(size: int, day: date = "2024-01-02", *more: int, **others: Any) -> Any:  # type: ignore[assignment]
        context = FlowRunContext.get()
        assert context is not None
        assert context.parameters is context.flow_run.parameters
        return context.parameters

    expected = {"size": 3, "day": date(2024, 1, 2), "more": (), "others": {}}
    assert world.run(inner, "3") == expected

    async def body() -> Any:
        return await world.call(inner, give.submit()), await world.call(inner, 1, "2024-01-03", "4", a=give.submit())

    assert world.body(body) == (
        expected,
        {"size": 1, "day": date(2024, 1, 3), "more": (4,), "others": {"a": "3"}},
    )


def test_results_are_recorded_in_place_of_futures_without_validation_too(world: World) -> None:
    give = world.task(lambda: "3")

    @world.flow(validate_parameters=False)
    def inner(size: int) -> Any:
        return FlowRunContext.get().parameters  # type: ignore[union-attr]

    async def body() -> Any:
        return await world.call(inner, give.submit())

    assert world.body(body) == {"size": "3"}


# What it costs.


def test_annotations_are_read_once_for_a_flow_and_all_its_copies(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Callable[..., Any]] = []

    def noted(fn: Callable[..., Any], signature: Any) -> Any:
        read.append(fn)
        return hints_of(fn, signature)

    monkeypatch.setattr(hints, "hints_of", noted)
    use = world.flow(crawl)
    assert not read
    for _ in range(3):
        world.run(use, ["a"], 3)
        world.run(use.with_options(name="other"), ["a"], "3")
    assert len(read) == 1


def test_nothing_is_converted_where_everything_fits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan.ParameterPlan, "_converted", None)
    use = world.flow(crawl)
    assert world.run(use, ["a"], 3, None, Path("x"), colour=Colour.GREEN, rate=1.5)[1] == 3
    with pytest.raises(TypeError):
        world.run(use, ["a"], "3")


def test_a_flow_that_has_run_can_be_copied_and_its_plan_be_pickled() -> None:
    use = flow(crawl)
    assert use.validate_parameters({"urls": [], "depth": "3"})["depth"] == 3
    for other in (copy.copy(use), copy.deepcopy(use)):
        assert other.validate_parameters({"urls": [], "depth": "4"})["depth"] == 4
    again = pickle.loads(pickle.dumps(use.plan))
    assert again.convert("crawl", {"depth": "5"}) == {"depth": 5}
