"""What code may read about the runs it belongs to, and that nothing is an error where there is none."""

from __future__ import annotations

from contextvars import copy_context
from threading import Thread
from typing import Any
from uuid import UUID

import pytest

from millrace import Failed, FlowRunContext, TaskRunContext, current, tags
from tests.loose import flow, task
from tests.runtime.worlds import World

FLOW_FIELDS = (
    "flow_name",
    "flow_version",
    "id",
    "name",
    "parameters",
    "parent_flow_run_id",
    "root_flow_run_id",
    "run_count",
    "tags",
)
TASK_FIELDS = ("id", "name", "parameters", "run_count", "tags", "task_name")


def seen() -> tuple[dict[str, Any], dict[str, Any]]:
    """All that can be read: of the flow run, of the task run."""
    return (
        {name: getattr(current.flow_run, name) for name in FLOW_FIELDS},
        {name: getattr(current.task_run, name) for name in TASK_FIELDS},
    )


NO_FLOW = dict.fromkeys(FLOW_FIELDS) | {"parameters": {}, "tags": [], "run_count": 0}
NO_TASK = dict.fromkeys(TASK_FIELDS) | {"parameters": {}, "tags": [], "run_count": 0}


def test_outside_of_any_run_everything_is_none_or_empty() -> None:
    assert seen() == (NO_FLOW, NO_TASK)


def test_a_flow_reads_itself_and_no_task(world: World) -> None:
    async def body(urls: list[str], depth: int = 1) -> None:
        run = FlowRunContext.get()
        assert run is not None
        assert seen() == (
            {
                "id": str(run.flow_run.uuid),
                "name": run.flow_run.name,
                "flow_name": "crawl",
                "flow_version": "7",
                "parameters": {"urls": ["/"], "depth": 1},
                "parent_flow_run_id": None,
                "root_flow_run_id": str(run.flow_run.uuid),
                "run_count": 1,
                "tags": ["a", "b"],
            },
            NO_TASK,
        )

    with tags("b", "a"):
        world.run(world.flow(name="crawl", version="7")(body), ["/"])
    assert seen() == (NO_FLOW, NO_TASK)


@pytest.mark.parametrize("how", ["call", "submit", "map"])
def test_a_task_reads_itself_and_its_flow(how: str, world: World) -> None:
    @world.task(tags=["http"])
    def fetch(url: str, depth: int = 1) -> tuple[Any, ...]:
        run = TaskRunContext.get()
        assert run is not None
        return seen(), str(run.task_run.uuid), run.task_run.name

    async def body() -> None:
        inside, _ = seen()
        with tags("b"):
            got = await world.start(how, fetch, ["/"] if how == "map" else "/")
        got = got if how == "call" else await world.result(got)
        (of_flow, of_task), run_id, name = got[0] if how == "map" else got
        assert of_flow == inside
        assert of_task == {
            "id": run_id,
            "name": name,
            "task_name": "fetch",
            "parameters": {"url": "/", "depth": 1},
            "run_count": 1,
            "tags": ["b", "http"],
        }

    world.body(body)


def test_a_task_outside_of_any_flow_reads_no_flow() -> None:
    @task
    def alone() -> Any:
        return seen()

    of_flow, of_task = alone()

    assert of_flow == NO_FLOW
    assert of_task["task_name"] == "alone"


def test_a_subflow_knows_the_flows_around_it(world: World) -> None:
    @world.flow
    def innermost() -> Any:
        return seen()

    @world.flow
    async def inner() -> Any:
        return seen(), await world.call(innermost)

    async def outer() -> None:
        (outermost, _) = seen()
        ((middle, no_task), (inmost, _)) = await world.call(inner)
        assert no_task == NO_TASK
        assert (middle["parent_flow_run_id"], middle["root_flow_run_id"]) == (outermost["id"], outermost["id"])
        assert (inmost["parent_flow_run_id"], inmost["root_flow_run_id"]) == (middle["id"], outermost["id"])

    world.body(outer)


def test_a_subflow_that_a_task_has_called_still_reads_the_task(world: World) -> None:
    @world.flow
    def innermost() -> Any:
        return seen()

    @world.flow
    async def inner(how: str) -> Any:
        return seen(), await _call(world, innermost)

    @world.task
    async def step(how: str) -> Any:
        return seen(), await _call(world, inner, how)

    async def outer() -> None:
        (_, of_step), ((of_inner, task_of_inner), (of_innermost, task_of_innermost)) = await world.call(step, "now")
        assert of_step["parameters"] == {"how": "now"}
        assert task_of_inner == task_of_innermost == of_step
        assert [of_inner["flow_name"], of_innermost["flow_name"]] == ["inner", "innermost"]
        assert of_innermost["root_flow_run_id"] == of_inner["root_flow_run_id"] == of_inner["parent_flow_run_id"]

    if world.async_flows == world.async_tasks:
        world.body(outer)


async def _call(world: World, called: Any, *args: Any) -> Any:
    return await world.call(called, *args)


def test_a_flow_that_a_task_outside_of_any_flow_has_called_has_no_parent() -> None:
    @flow
    def inner() -> Any:
        return seen()

    @task
    def step() -> Any:
        return current.task_run.id, inner()

    step_id, (of_flow, of_task) = step()

    assert of_flow["parent_flow_run_id"] is None
    assert of_flow["root_flow_run_id"] == of_flow["id"]
    assert of_task["id"] == step_id


def test_the_attempt_is_counted(world: World) -> None:
    counts: list[int] = []

    @world.task(retries=2)
    def flaky() -> Any:
        counts.append(current.task_run.run_count)
        return Failed() if len(counts) < 3 else None

    async def body() -> None:
        await world.call(flaky)

    world.body(body)
    assert counts == [1, 2, 3]


def test_it_is_read_in_threads_that_the_context_was_taken_along_to() -> None:
    found: list[str | None] = []

    @task
    def step() -> str | None:
        taken_along = Thread(target=copy_context().run, args=(lambda: found.append(current.task_run.id),))
        bare = Thread(target=lambda: found.append(current.task_run.id))
        for thread in (taken_along, bare):
            thread.start()
            thread.join()
        return current.task_run.id

    assert [step(), None] == found


def test_parameters_have_their_futures_resolved_and_their_types_converted() -> None:
    @task
    def number() -> int:
        return 3

    @task
    def add(one: int, other: int) -> Any:
        return current.task_run.parameters

    @flow
    def sums(one: int) -> Any:
        return current.flow_run.parameters, add.submit(one, number.submit()).result()

    assert sums("1") == ({"one": 1}, {"one": 1, "other": 3})


@pytest.mark.parametrize(
    ("accessor", "noun", "fields"),
    [(current.flow_run, "flow run", FLOW_FIELDS), (current.task_run, "task run", TASK_FIELDS)],
    ids=["flow run", "task run"],
)
def test_an_unknown_attribute_is_told_with_those_there_are(accessor: Any, noun: str, fields: tuple[str, ...]) -> None:
    with pytest.raises(AttributeError) as told:
        _ = accessor.deployment_id

    assert str(told.value) == f"A {noun} has no 'deployment_id' to be read here. There are: {', '.join(fields)}."
    assert dir(accessor) == list(fields)


def test_ids_are_those_of_the_runs_as_text() -> None:
    @flow
    def body() -> Any:
        run = FlowRunContext.get()
        assert run is not None
        return UUID(current.flow_run.id), run.flow_run.uuid

    read, real = body()

    assert read == real
