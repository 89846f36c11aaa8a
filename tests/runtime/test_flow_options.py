"""The options of a flow: what each takes, how it is changed, and who inherits it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from millrace import (
    ConfigurationError,
    CrashPolicy,
    DefaultTaskRunner,
    Engine,
    Flow,
    FlowDefinitionError,
    FlowRun,
    FlowRunContext,
    JSONSerializer,
    MemoryStorage,
    ReservedArgumentError,
    SequentialTaskRunner,
    TaskRunContext,
    ThreadPoolTaskRunner,
    exponential_backoff,
    flow,
    tags,
    task,
)
from millrace.runtime.flow_options import NAMES
from tests.runtime.worlds import World


def crawl(day: str = "today") -> str:
    """Look at every page."""
    return day


def hook(*_: Any) -> None: ...


def this_run() -> FlowRun:
    """The flow run that the code at hand belongs to."""
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


@attrs.frozen
class Option:
    """One option: where it is found on a flow, what it may be given, what it is without, and what it does not take."""

    name: str
    attribute: str
    given: Any
    found: Any
    default: Any
    wrong: tuple[Any, ...]


MEMORY, JSON, RUNNER, POLICY = MemoryStorage(), JSONSerializer(), SequentialTaskRunner(), CrashPolicy(restart="task")
HOOKS = ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")
FLAGS: tuple[Any, ...] = (0, 1, "yes", [])
NO_SECONDS = (0, -1, "5", True, float("nan"), float("inf"), [5])

OPTIONS = (
    Option("name", "name", "nightly", "nightly", "crawl", (5, ["a"])),
    Option("description", "description", "mine", "mine", "Look at every page.", (5,)),
    Option("version", "version", "1.2", "1.2", None, (1.2,)),
    Option("flow_run_name", "flow_run_name", "crawl-{day}", "crawl-{day}", None, ("crawl-{night}", "", 5)),
    Option("retries", "retries", 3, 3, 0, (-1, 1.5, "3", True)),
    Option("retry_delay_seconds", "retry_delay_seconds", [1, 2], [1, 2], None, (-1, "5", [1, -1], [[1]])),
    Option("task_runner", "task_runner", RUNNER, RUNNER, None, (SequentialTaskRunner, "threads", 5)),
    Option("timeout_seconds", "timeout_seconds", 5, 5.0, None, NO_SECONDS),
    Option("validate_parameters", "should_validate_parameters", False, False, True, FLAGS),
    Option("persist_result", "persist_result", True, True, None, FLAGS),
    Option("result_storage", "result_storage", MEMORY, MEMORY, None, (5, MemoryStorage, [])),
    Option("result_serializer", "result_serializer", JSON, JSON, None, (5, "xml", JSONSerializer)),
    Option("cache_result_in_memory", "cache_result_in_memory", False, False, True, FLAGS),
    Option("log_prints", "log_prints", True, True, None, FLAGS),
    Option("crash_policy", "crash_policy", POLICY, POLICY, CrashPolicy(), ("task", {}, 5)),
    *(Option(name, f"{name}_hooks", [hook], [hook], [], ("hook", 5, [5], hook)) for name in HOOKS),
)

ONE_BY_ONE = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
WRONG = pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(option.name, value, id=f"{option.name}-{number}")
        for option in OPTIONS
        for number, value in enumerate(option.wrong)
    ],
)


def with_one(name: str, value: Any) -> Any:
    """A flow with one option."""
    options: dict[str, Any] = {name: value}
    return flow(**options)(crawl)


def found_on(made: Any) -> dict[str, Any]:
    """All options, as they are found on a flow."""
    return {option.name: getattr(made, option.attribute) for option in OPTIONS}


# What there is.


def test_the_tests_know_every_option() -> None:
    assert {option.name for option in OPTIONS} == NAMES


@ONE_BY_ONE
def test_an_option_is_found_on_the_flow(option: Option) -> None:
    made = with_one(option.name, option.given)
    assert found_on(made) == {each.name: each.default for each in OPTIONS} | {option.name: option.found}


@ONE_BY_ONE
def test_without_it_there_is_a_default(option: Option) -> None:
    assert getattr(flow(crawl), option.attribute) == option.default


@ONE_BY_ONE
def test_none_means_the_default(option: Option) -> None:
    assert getattr(with_one(option.name, None), option.attribute) == option.default


@ONE_BY_ONE
def test_a_changed_copy_differs_in_that_option_and_in_no_other(option: Option) -> None:
    made = flow(**{each.name: each.given for each in OPTIONS if each.name != option.name})(crawl)
    before = found_on(made)
    changed = made.with_options(**{option.name: option.given})
    assert found_on(made) == before
    assert found_on(changed) == before | {option.name: option.found}
    assert found_on(changed.with_options(**{option.name: None})) == before
    assert type(changed) is type(made)


@WRONG
def test_what_it_does_not_take_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^'{name}' takes ") as caught:
        with_one(name, value)
    assert caught.value.name == name


@WRONG
def test_and_so_it_is_in_a_changed_copy(name: str, value: Any) -> None:
    made = flow(crawl)
    with pytest.raises(ConfigurationError, match=f"^'{name}' takes "):
        made.with_options(**{name: value})


def test_an_option_that_there_is_not_is_refused_and_those_there_are_named() -> None:
    with pytest.raises(TypeError, match=r"^A flow has no option 'retrys'\. There are: cache_result.*, retries"):
        flow(retrys=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="A flow has no option 'retrys'"):
        flow(crawl).with_options(retrys=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_options_of_the_wrong_kind_are_told_before_there_is_a_function() -> None:
    with pytest.raises(TypeError, match="no option 'tag'"):
        flow(tag="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


# What some of them are made of.


def test_a_name_for_people_is_not_the_name_of_the_function() -> None:
    made = flow(name="Nightly crawl!")(crawl)
    assert (made.name, made.__name__, made.fn) == ("Nightly crawl!", "crawl", crawl)  # type: ignore[attr-defined]


def test_a_callable_object_has_the_name_of_its_class() -> None:
    class Crawl:
        def __call__(self) -> int:
            return 7

    made: Any = flow(Crawl())
    assert (made.name, made()) == ("Crawl", 7)


def test_delays_may_come_from_a_function_of_the_retries() -> None:
    made = flow(retries=3, retry_delay_seconds=exponential_backoff(10))(crawl)
    assert made.retry_policy.delays == (10, 20, 40)
    assert made.with_options(retries=1).retry_policy.delays == (10,)


@pytest.mark.parametrize("spell", [str, Path, lambda path: f"file://{path}"], ids=["text", "path", "url"])
def test_a_storage_may_be_named(tmp_path: Path, spell: Callable[[Any], Any]) -> None:
    storage: Any = flow(result_storage=spell(tmp_path))(crawl).result_storage
    storage.write("key", b"blob")
    assert storage.read("key") == b"blob"


def test_a_serializer_may_be_named() -> None:
    serializer: Any = flow(result_serializer="json")(crawl).result_serializer
    assert serializer.loads(serializer.dumps([1])) == [1]


@pytest.mark.parametrize("thing", [5, None, "crawl", int], ids=repr)
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(FlowDefinitionError, match=r"^@flow on "):
        flow(name="x")(thing)


def test_a_flow_of_a_flow_is_refused_and_told_what_to_do() -> None:
    with pytest.raises(FlowDefinitionError, match=r"which is a flow already; use with_options\(\)"):
        flow(flow(crawl))


@pytest.mark.parametrize("parameter", ["return_state", "wait_for"])
def test_a_parameter_with_a_name_that_calls_use_is_refused(parameter: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def body({parameter}): ...", scope)  # noqa: S102  # the name of a parameter is what is tried
    with pytest.raises(ReservedArgumentError, match=parameter):
        flow(scope["body"])


def test_a_changed_copy_of_a_method_stays_one() -> None:
    class Crawler:
        depth = 7

        @flow
        def crawl(self) -> int:
            return self.depth

    assert Crawler().crawl.with_options(name="other")() == 7
    Crawler.crawl = Crawler.crawl.with_options(retries=1)  # type: ignore[method-assign]
    assert Crawler().crawl() == 7


def test_a_runner_is_taken_as_it_is_and_each_run_has_a_copy(world: World) -> None:
    runner = ThreadPoolTaskRunner(max_workers=1)
    seen: list[Any] = []

    async def body() -> None:
        seen.append(this_run().runner)

    made = world.flow(body, task_runner=runner)
    world.run(made)
    world.run(made)
    assert made.task_runner is runner
    assert len({id(each) for each in (*seen, runner)}) == 3
    assert [each == runner for each in seen] == [True, True]


def test_the_runs_of_a_flow_with_the_default_runner_are_its_own(world: World) -> None:
    @world.task
    def work(x: int) -> int:
        return x

    async def body() -> Any:
        return await world.result(work.map(range(3)))

    assert world.run(world.flow(body, task_runner=DefaultTaskRunner())) == [0, 1, 2]


def test_parameters_are_passed_as_they_are_where_that_is_asked_for(world: World) -> None:
    async def body(x: int) -> Any:
        return x

    made = world.flow(body)
    assert world.run(made, "5") == 5
    assert world.run(made.with_options(validate_parameters=False), "5") == "5"


# Who inherits.


def inherited(world: World, attribute: str, outer: dict[str, Any], inner: dict[str, Any]) -> Any:
    """What is found on the run of a subflow."""

    async def child() -> Any:
        return getattr(this_run(), attribute)

    subflow = world.flow(child, **inner)

    async def parent() -> Any:
        return await world.call(subflow)

    return world.run(world.flow(parent, **outer))


OTHER = MemoryStorage()


@pytest.mark.parametrize(
    ("option", "outer", "inner", "expected"),
    [
        ("log_prints", None, None, False),
        ("log_prints", True, None, True),
        ("log_prints", True, False, False),
        ("log_prints", False, True, True),
        ("persist_result", None, None, None),
        ("persist_result", True, None, True),
        ("persist_result", True, False, False),
        ("persist_result", False, True, True),
        ("result_storage", None, None, None),
        ("result_storage", MEMORY, None, MEMORY),
        ("result_storage", MEMORY, OTHER, OTHER),
        ("result_storage", None, OTHER, OTHER),
        ("result_serializer", JSON, None, JSON),
        ("result_serializer", None, JSON, JSON),
    ],
    ids=repr,
)
def test_a_subflow_does_as_the_flow_around_it_unless_it_says_so_itself(
    world: World, option: str, outer: Any, inner: Any, expected: Any
) -> None:
    assert inherited(world, option, {option: outer}, {option: inner}) is expected


def test_what_is_said_once_holds_for_subflows_of_subflows(world: World) -> None:
    async def innermost() -> Any:
        return this_run().log_prints

    deepest = world.flow(innermost)

    async def middle() -> Any:
        return await world.call(deepest)

    between = world.flow(middle)

    async def outermost() -> Any:
        return await world.call(between)

    assert world.run(world.flow(outermost, log_prints=True)) is True


def test_a_flow_inside_a_task_does_as_the_flow_of_the_task() -> None:
    @flow
    def inner() -> Any:
        return this_run().log_prints, this_run().result_storage

    @task
    def work() -> Any:
        return inner()

    @flow(log_prints=True, result_storage=MEMORY)
    def outer() -> Any:
        return work(), work.submit().result()

    assert outer() == ((True, MEMORY),) * 2


def test_two_flows_beside_each_other_know_nothing_of_each_other(world: World) -> None:
    async def loud() -> Any:
        return this_run().log_prints

    assert world.run(world.flow(loud, log_prints=True)) is True
    assert world.run(world.flow(loud)) is False


def test_prints_of_a_flow_and_its_tasks_are_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @world.task
    def work() -> None:
        print("in the task")  # noqa: T201  # prints are the subject

    async def body() -> None:
        print("in the flow")  # noqa: T201  # prints are the subject
        await world.call(work)
        await world.result(work.submit())

    with caplog.at_level(logging.INFO, "millrace"):
        world.run(world.flow(body, log_prints=True))
    told = [(record.name, record.getMessage()) for record in caplog.records if record.getMessage().startswith("in ")]
    assert told == [("millrace.flow_runs", "in the flow"), *[("millrace.task_runs", "in the task")] * 2]


def test_prints_of_each_attempt_are_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[int] = []

    async def body() -> None:
        attempts.append(1)
        print(f"attempt {len(attempts)}")  # noqa: T201  # prints are the subject
        if len(attempts) == 1:
            raise ValueError

    with caplog.at_level(logging.INFO, "millrace"):
        world.run(world.flow(body, log_prints=True, retries=1))
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("attempt")]
    assert told == ["attempt 1", "attempt 2"]


def test_a_setting_that_cannot_be_read_fails_the_call_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None: ...

    monkeypatch.setenv("MILLRACE_LOGGING_LOG_PRINTS", "perhaps")
    engine = Engine()
    with pytest.raises(ConfigurationError, match="MILLRACE_LOGGING_LOG_PRINTS"):
        world.run(world.flow(body), engine=engine)
    assert engine.flow_runs() == []
    world.run(world.flow(body, log_prints=False), engine=engine)
    engine.close()


def test_tags_go_along_into_subflows_and_their_tasks(world: World) -> None:
    @world.task(tags=["own"])
    def work() -> Any:
        context = TaskRunContext.get()
        assert context is not None
        return sorted(context.task_run.tags)

    async def child() -> Any:
        with tags("inner"):
            return sorted(this_run().tags), await world.call(work), await world.result(work.submit())

    subflow = world.flow(child)

    async def parent() -> Any:
        with tags("outer"):
            return await world.call(subflow)

    assert world.body(parent) == (["outer"], ["inner", "outer", "own"], ["inner", "outer", "own"])


def test_options_that_many_runs_share_are_left_as_they_are(world: World) -> None:
    delays = [0.0, 0.0]
    made = world.flow(crawl, retries=2, retry_delay_seconds=delays)
    threads = [threading.Thread(target=lambda: world.run(made)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert delays == [0.0, 0.0]
    assert isinstance(made, Flow) is not world.async_flows
