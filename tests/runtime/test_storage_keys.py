"""Storage keys: the templates of `result_storage_key`, and what becomes of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace import INPUTS, ConfigurationError, FlowRunContext, State, TaskRunContext, quote
from millrace.runtime.shape import Shape
from millrace.runtime.storage_keys import StorageKey
from tests.loose import flow, task
from tests.runtime.ledgers import Ledger


def fetch(day: Any, page: Any = 1) -> str:
    return f"{day} {page}"


SHAPE = Shape(fetch)


RUN_ID = UUID(int=2)
FLOW_RUN_ID = UUID(int=3)


def key(template: str, *, in_flow: bool = True, **parameters: Any) -> str:
    """The key of a run of `fetch`."""
    crawl = SimpleNamespace(name="crawl") if in_flow else None
    scope = SimpleNamespace(flow=crawl, name="brave-bat", uuid=FLOW_RUN_ID)
    run: Any = SimpleNamespace(scope=scope, task=SimpleNamespace(name="fetch"), name="fetch-1a2", uuid=RUN_ID)
    return StorageKey.of(template, SHAPE).make(SHAPE.by_name((), {"day": "monday"} | parameters), run)


# What a template may name.


def test_a_parameter_is_named_alone_or_as_in_prefect() -> None:
    assert key("{day}/{parameters[page]}.json") == "monday/1.json"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("task_run.id", str(RUN_ID)),
        ("task_run.name", "fetch-1a2"),
        ("task_run.task_name", "fetch"),
        ("task.name", "fetch"),
        ("flow_run.id", str(FLOW_RUN_ID)),
        ("flow_run.name", "brave-bat"),
        ("flow_run.flow_name", "crawl"),
    ],
)
def test_names_and_ids_of_runs_can_be_named(field: str, text: str) -> None:
    assert key(f"<{{{field}}}>") == f"<{text}>"


@pytest.mark.parametrize("field", ["flow_run.id", "flow_run.name", "flow_run.flow_name"])
def test_outside_of_any_flow_there_is_none_to_name(field: str) -> None:
    assert key(f"{{{field}}}/1", in_flow=False) == "None/1"


def test_values_are_written_in_their_formats() -> None:
    assert key("{day:>8}|{page:03d}", page=7) == "  monday|007"


def test_doubled_braces_are_text() -> None:
    assert key("{{day}}-{day}") == "{day}-monday"


def test_a_template_without_fields_is_a_key() -> None:
    assert key("latest") == "latest"


# Values are text, and nothing else.


@pytest.mark.parametrize("value", ["{page}", "{task_run.id}", "{parameters[page]}", "{{}}", "{", "{0}", "%s", "$day"])
def test_the_text_of_a_value_is_never_expanded(value: str) -> None:
    assert key("a-{day}-{page}", day=value) == f"a-{value}-1"


@given(st.text(), st.text())
def test_whatever_values_are_they_stand_in_the_key_as_they_are(day: str, page: str) -> None:
    assert key("<{day}|{page}>", day=day, page=page) == f"<{day}|{page}>"


class Secretive:
    """Has something that is nobody's business."""

    inside = "hidden"

    def __getitem__(self, name: str) -> str:
        return self.inside

    def __str__(self) -> str:
        return "shown"


@pytest.mark.parametrize(
    "template",
    [
        "{day.inside}",
        "{day[inside]}",
        "{parameters[day].inside}",
        "{parameters[day][inside]}",
        "{parameters}",
        "{task_run}",
        "{task_run.node}",
        "{task_run.task.fn.__globals__}",
        "{flow_run.engine}",
        "{day!r}",
        "{day:{page}}",
        "{}",
        "{0}",
        "{nobody}",
        "{parameters[nobody]}",
        "{ day }",
    ],
)
def test_nothing_else_can_be_named(template: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'result_storage_key' takes a template of these fields: \{day\}"):
        key(template, day=Secretive())


def test_a_value_is_what_it_says_of_itself() -> None:
    assert key("{day}", day=Secretive()) == "shown"


@pytest.mark.parametrize("template", ["{day", "day}", "{{day}", "{day:{}"])
def test_braces_have_to_match(template: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'result_storage_key' takes a template"):
        key(template)


def test_an_empty_template_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="takes a template that is not empty"):
        key("")


def test_a_key_without_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"gives some text, and here it gave none, not '\{day\}'"):
        key("{day}", day="")


def test_a_format_that_does_not_fit_its_value_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"formats that fit: \{day\} is a 'str' here, which raised ValueError"):
        key("{day:.2f}")


# In a task.


def test_a_template_is_checked_when_the_task_is_made() -> None:
    with pytest.raises(ConfigurationError, match=r"these fields: \{url\}, \{depth\}, \{task_run.id\}"):

        @task(result_storage_key="{urls}")
        def crawl(url: str, depth: int = 1) -> None: ...


def test_a_key_that_cannot_be_made_fails_the_run_before_its_body() -> None:
    seen: list[str] = []

    @task(result_storage=Ledger(), result_storage_key="{name}")
    def keep(name: str) -> None:
        seen.append(name)

    state = keep("", return_state=True)

    assert state.is_failed()
    assert isinstance(state.data, ConfigurationError)
    assert seen == []


def test_the_key_is_made_of_the_call_and_of_its_run() -> None:
    ledger = Ledger()
    names: list[str] = []

    @task(
        task_run_name="get-{url}",
        result_storage=ledger,
        result_storage_key="{flow_run.flow_name}/{flow_run.name}/{task_run.name}/{parameters[url]}-{depth}",
    )
    def crawl(url: str, depth: int = 1) -> None:
        context = FlowRunContext.get()
        assert context is not None
        names.append(context.flow_run.name)

    @flow
    def day() -> None:
        crawl("a")
        crawl("b", depth=2)

    day()
    assert ledger.keys == [f"day/{names[0]}/get-a/a-1", f"day/{names[0]}/get-b/b-2"]


def test_futures_in_the_arguments_count_by_their_results() -> None:
    ledger = Ledger()

    @task
    def today() -> str:
        return "monday"

    @task(result_storage=ledger, result_storage_key="{day}")
    def keep(day: str) -> str:
        return day

    @flow
    def both() -> Any:
        return keep(today.submit())

    assert both() == "monday"
    assert ledger.keys == ["monday"]


def test_what_a_method_is_called_on_can_be_named() -> None:
    ledger = Ledger()

    class Client:
        def __str__(self) -> str:
            return "client"

        @task(result_storage=ledger, result_storage_key="{self}-{page}")
        def get(self, page: int) -> int:
            return page

    assert Client().get(3) == 3
    assert ledger.keys == ["client-3"]


def test_a_key_of_the_users_own_is_looked_for_first() -> None:
    ledger = Ledger()
    days: list[str] = []

    @task(result_storage=ledger, result_storage_key="{day}")
    def count(day: str) -> int:
        days.append(day)
        return len(days)

    states: list[State[int]] = [count(day, return_state=True) for day in ("monday", "monday", "tuesday")]

    assert [(state.name, state.result()) for state in states] == [("Completed", 1), ("Cached", 1), ("Completed", 2)]
    assert states[1].state_details.cache_key is None
    assert days == ["monday", "tuesday"]


def test_beside_a_policy_it_is_where_a_result_lies_and_is_looked_for() -> None:
    ledger = Ledger()
    days: list[str] = []

    @task(result_storage=ledger, result_storage_key="{day}", cache_policy=INPUTS)
    def count(day: str, page: int) -> int:
        days.append(day)
        return page

    states: list[State[int]] = [count("monday", page, return_state=True) for page in (1, 2)]

    assert [(state.name, state.result()) for state in states] == [("Completed", 1), ("Cached", 1)]
    assert (ledger.keys, days) == (["monday"], ["monday"])
    first, second = (state.state_details.cache_key for state in states)
    assert first != second


def test_the_id_of_the_run_is_another_each_time() -> None:
    ledger = Ledger()
    ids: list[str] = []

    @task(result_storage=ledger, result_storage_key="{task_run.id}")
    def one() -> int:
        context = TaskRunContext.get()
        assert context is not None
        ids.append(str(context.task_run.uuid))
        return 1

    @flow
    def twice() -> Any:
        return quote([one(), one()])

    twice()
    assert ledger.keys == ids
    assert len(set(ids)) == 2
