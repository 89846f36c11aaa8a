"""Logging: the run logger, with the standard library's means only."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest

from millrace import FlowRunContext, flow, get_run_logger, quote, task
from tests.runtime.worlds import PATIENCE, World


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "millrace")  # a command that ran in this process may have set it


def own(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Records of runs; loops in debug mode write some of their own."""
    return [each for each in caplog.records if each.name.startswith("millrace")]


def test_in_a_flow_it_logs_as_that_flow_run(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> Any:
        get_run_logger().info("hello %s", "there")
        context = FlowRunContext.get()
        assert context is not None
        return quote(context.flow_run)

    run = world.body(body).unquote()
    (record,) = own(caplog)
    assert record.name == "millrace.flow_runs"
    assert record.levelno == logging.INFO
    assert record.getMessage() == "hello there"
    fields = vars(record)
    assert fields["flow_run_id"] == str(run.uuid)
    assert fields["flow_run_name"] == run.name
    assert "task_run_id" not in fields


@pytest.mark.parametrize("how", ["submit", "map", "call"])
def test_in_a_task_it_logs_as_that_task_run(world: World, caplog: pytest.LogCaptureFixture, how: str) -> None:
    @world.task
    def speak(_x: int = 0) -> None:
        get_run_logger().warning("from a task")

    async def body() -> Any:
        if how == "call":
            await world.call(speak)
        else:
            await world.result(speak.submit() if how == "submit" else speak.map([1]))
        context = FlowRunContext.get()
        assert context is not None
        return quote(context.flow_run)

    run = world.body(body).unquote()
    (record,) = own(caplog)
    assert record.name == "millrace.task_runs"
    fields = vars(record)
    assert fields["flow_run_id"] == str(run.uuid)
    assert fields["flow_run_name"] == run.name
    assert fields["task_run_name"].startswith("speak-")
    assert fields["task_run_name"].endswith(fields["task_run_id"][-3:])


def test_in_a_task_outside_of_any_flow_it_has_the_fields_of_the_task_only(caplog: pytest.LogCaptureFixture) -> None:
    @task
    def speak() -> None:
        get_run_logger().info("alone")

    speak()
    (record,) = own(caplog)
    assert record.name == "millrace.task_runs"
    assert "flow_run_id" not in vars(record)
    assert "task_run_id" in vars(record)


def test_outside_of_any_run_it_falls_back_to_a_plain_logger(caplog: pytest.LogCaptureFixture) -> None:
    get_run_logger(helper="yes").info("from anywhere")
    (record,) = own(caplog)
    assert record.name == "millrace"
    assert vars(record)["helper"] == "yes"
    assert "flow_run_id" not in vars(record)


def test_more_fields_may_be_given_to_it_and_to_a_call(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        logger = get_run_logger(part="reader", page=1)
        logger.info("one")
        logger.info("two", extra={"page": 2, "flow_run_name": "mine"})
        logger.info("three", extra=None)

    world.body(body)
    one, two, three = (vars(each) for each in own(caplog))
    assert (one["part"], one["page"]) == ("reader", 1)
    assert (two["part"], two["page"], two["flow_run_name"]) == ("reader", 2, "mine")
    assert three["page"] == 1


def test_in_a_task_it_has_the_fields_that_it_was_given_too(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @world.task
    def speak() -> None:
        get_run_logger(part="reader").info("one")

    async def body() -> None:
        await world.result(speak.submit())

    world.body(body)
    (record,) = own(caplog)
    assert vars(record)["part"] == "reader"


def test_it_is_a_logger_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def body() -> None:
        logger = get_run_logger()
        logger.debug("debug")
        try:
            int("x")
        except ValueError:
            logger.exception("it failed")
        logger.log(logging.CRITICAL, "critical")
        assert logger.isEnabledFor(logging.INFO)

    body()
    debug, failed, critical = own(caplog)
    assert (debug.levelname, failed.levelname, critical.levelname) == ("DEBUG", "ERROR", "CRITICAL")
    assert failed.exc_info is not None
    assert failed.filename == "test_logging.py"


def test_runs_side_by_side_log_each_as_itself(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @world.task
    def speak(x: int) -> str:
        get_run_logger().info("number %d", x)
        return str(x)

    async def body() -> Any:
        futures = speak.map(range(20))
        await world.result(futures)
        return [str(each.task_run_id) for each in futures]

    ids = world.body(body)
    found = {record.getMessage(): vars(record)["task_run_id"] for record in own(caplog)}
    assert found == {f"number {x}": run_id for x, run_id in enumerate(ids)}


def test_a_logger_keeps_its_run_wherever_it_is_used(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @world.task
    def speak(logger: Any) -> None:
        logger.info("for the flow")

    async def body() -> None:
        await world.result(speak.submit(get_run_logger()))

    world.body(body)
    assert [each.name for each in own(caplog)] == ["millrace.flow_runs"]


def test_in_a_subflow_it_logs_as_the_subflow(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @world.flow
    def inner() -> None:
        get_run_logger().info("inner")

    async def body() -> None:
        get_run_logger().info("outer")
        await world.call(inner)

    world.body(body)
    outer, within = own(caplog)
    assert vars(outer)["flow_run_id"] != vars(within)["flow_run_id"]


def test_a_run_that_says_nothing_logs_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    @world.task
    def quiet() -> None:
        pass

    async def body() -> None:
        await world.result(quiet.submit())

    world.body(body)
    assert own(caplog) == []


PROGRAM = """
import logging
from millrace import flow, get_run_logger, task

@task
def speak():
    get_run_logger().warning("from a task")

@flow
def body():
    get_run_logger().error("from a flow")
    speak.submit().result()
    speak()

body()
get_run_logger().error("from outside")
assert not logging.getLogger().handlers
assert all(type(each) is logging.NullHandler for each in logging.getLogger("millrace").handlers)
"""


def test_the_library_adds_no_handler_and_prints_nothing_by_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
