"""Names of flow runs: where they come from, and where they are seen."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

import pytest

from millrace import (
    ConfigurationError,
    Engine,
    Event,
    FlowRun,
    FlowRunContext,
    RunNameError,
    flow,
    get_run_logger,
)
from tests.runtime.worlds import World


def this_run() -> FlowRun:
    """The flow run that the code at hand belongs to."""
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


async def crawl(day: date, depth: int = 2, *pages: str, **more: Any) -> str:
    """A body that says what its run is called."""
    return this_run().name


def named(world: World, how: Any, *args: Any, **kwargs: Any) -> Any:
    """What a run is called."""
    return world.run(world.flow(crawl, flow_run_name=how), *args, **kwargs)


def test_without_a_name_a_run_has_an_adjective_and_an_animal(world: World) -> None:
    name = named(world, None, date(2030, 1, 2))
    adjective, _, animal = name.partition("-")
    assert adjective.isalpha()
    assert animal.isalpha()


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("nightly", "nightly"),
        ("crawl-{day}", "crawl-2030-01-02"),
        ("{day:%A} {depth:03d}", "Wednesday 002"),
        ("{pages}{more}", "('a',){'x': 1}"),
        ("{depth!r} {{}}", "2 {}"),
    ],
)
def test_a_template_is_filled_in_from_the_parameters(world: World, template: str, name: str) -> None:
    assert named(world, template, date(2030, 1, 2), 2, "a", x=1) == name


def test_a_template_sees_what_was_converted(world: World) -> None:
    assert named(world, "{day:%j} {depth:02d}", "2030-02-01", "7") == "032 07"


def test_a_function_gives_the_name(world: World) -> None:
    assert named(world, lambda: "from a function", date(2030, 1, 2)) == "from a function"


def test_a_function_of_parameters_gets_all_of_them_converted(world: World) -> None:
    def name(parameters: dict[str, Any]) -> str:
        return f"{parameters['day'].year}-{parameters['depth'] + 1}-{parameters['pages']}-{parameters['more']}"

    assert named(world, name, "2030-01-02", "5") == "2030-6-()-{}"


def test_a_function_cannot_change_what_the_body_gets(world: World) -> None:
    def name(parameters: dict[str, Any]) -> str:
        parameters.clear()
        return "thief"

    async def body(x: int) -> int:
        return x

    assert world.run(world.flow(body, flow_run_name=name), 5) == 5


def test_every_run_is_named_by_itself(world: World) -> None:
    numbers = iter(range(9))
    made = world.flow(crawl, flow_run_name=lambda: f"run-{next(numbers)}")
    assert [world.run(made, date(2030, 1, 2)) for _ in range(3)] == ["run-0", "run-1", "run-2"]


def test_a_subflow_is_named_too_and_a_future_in_its_parameters_is_resolved_before(world: World) -> None:
    @world.task
    def work() -> int:
        return 7

    async def child(x: int) -> str:
        return this_run().name

    subflow = world.flow(child, flow_run_name="child-{x}")

    async def parent() -> Any:
        return await world.call(subflow, work.submit())

    assert world.body(parent) == "child-7"


def test_the_name_is_there_when_the_hooks_and_the_body_begin(world: World) -> None:
    seen: list[str] = []

    async def body() -> None:
        seen.append(this_run().name)

    hooks = [lambda _flow, run, _state: seen.append(run.name)]
    world.run(world.flow(body, flow_run_name="willow", on_running=hooks, on_completion=hooks))
    assert seen == ["willow"] * 3


def test_logs_and_events_have_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []
    engine = Engine()
    engine.subscribe(events.append)

    async def body() -> None:
        get_run_logger().warning("told")

    with caplog.at_level(logging.WARNING, "millrace"):
        world.run(world.flow(body, flow_run_name="willow"), engine=engine)
    engine.close()
    assert events[-1].run_name == "willow"
    (record,) = [each for each in caplog.records if each.getMessage() == "told"]
    assert "willow" in {str(value) for value in vars(record).values()}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (lambda: 5, "it gave an object of type int"),
        (lambda: "", "it gave '' where"),
        (lambda: None, "it gave an object of type NoneType"),
    ],
    ids=["a number", "nothing", "None"],
)
def test_a_name_that_is_no_text_fails_the_run_and_says_whose(world: World, name: Any, found: str) -> None:
    state = world.run(world.flow(crawl, flow_run_name=name), date(2030, 1, 2), return_state=True)
    assert isinstance(state.data, RunNameError)
    assert state.message.startswith(f"RunNameError: Could not name a run of 'crawl' with its 'flow_run_name': {found}")


def test_what_the_function_raises_is_the_cause(world: World) -> None:
    def name() -> str:
        raise KeyError("day")

    with pytest.raises(RunNameError, match="it raised KeyError: 'day'") as caught:
        named(world, name, date(2030, 1, 2))
    assert isinstance(caught.value.__cause__, KeyError)


def test_what_a_value_raises_when_it_is_formatted_is_told(world: World) -> None:
    with pytest.raises(RunNameError, match="'flow_run_name': it raised ValueError"):
        named(world, "{depth:nonsense}", date(2030, 1, 2))


def test_a_run_without_a_name_does_not_run_its_body(world: World) -> None:
    ran: list[int] = []

    async def body() -> None:
        ran.append(1)

    with pytest.raises(RunNameError):
        world.run(world.flow(body, flow_run_name=lambda: ""))
    assert ran == []


@pytest.mark.parametrize("template", ["{night}", "{day.year}", "{day", "{}", "{0}"])
def test_a_template_that_cannot_be_filled_in_is_refused_when_the_flow_is_made(template: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^'flow_run_name' takes "):
        flow(flow_run_name=template)(crawl)


@pytest.mark.parametrize("function", [lambda x: x, lambda x, parameters: x, crawl], ids=["one", "two", "async"])
def test_a_function_that_takes_something_else_is_refused_when_the_flow_is_made(function: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'flow_run_name' takes "):
        flow(flow_run_name=function)(crawl)


def test_a_name_forges_no_line_of_a_log(world: World) -> None:
    assert named(world, "{more}", date(2030, 1, 2), x="a\nERROR: all is lost") == r"{'x': 'a\nERROR: all is lost'}"
    assert "\n" not in named(world, lambda: "a\nERROR", date(2030, 1, 2))


def test_a_method_is_named_from_its_other_parameters() -> None:
    class Crawler:
        @flow(flow_run_name="crawl {depth}")
        def crawl(self, depth: int) -> str:
            return this_run().name

    assert Crawler().crawl(3) == "crawl 3"
