"""Work: which call an item becomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace import task
from millrace.actors.errors import ConfigurationError, SignatureMismatchError, TaskDefinitionError
from millrace.runtime.benching.works import read_inputs, work_of_task


@task
def bare() -> None: ...


@task
def fetch(url: str, depth: int = 1, *, site: str = "") -> None: ...


@task
def numbers(most: int) -> Iterator[int]:
    yield from range(most)


def test_an_item_is_its_number() -> None:
    work = work_of_task("it", fetch, {}, 3)

    assert work.count == 3
    assert [work.call(item) for item in range(3)] == [((0,), {}), ((1,), {}), ((2,), {})]


def test_an_item_goes_to_the_first_parameter_that_is_free() -> None:
    work = work_of_task("it", fetch, {"url": "a", "site": "b"}, 3)

    assert work.call(7) == (("a", 7), {"site": "b"})


def test_a_task_that_takes_nothing_is_called_bare() -> None:
    assert work_of_task("it", bare, {}, 3).call(2) == ((), {})


def test_lines_give_parameters_by_name_or_the_first_that_is_free_and_are_used_over_again() -> None:
    work = work_of_task("it", fetch, {"depth": 5}, 3, [{"url": "a", "site": "b"}, "c"])

    assert [work.call(item) for item in range(3)] == [
        (("a", 5), {"site": "b"}),
        (("c", 5), {}),
        (("a", 5), {"site": "b"}),
    ]


def test_without_a_number_there_are_as_many_items_as_lines() -> None:
    assert work_of_task("it", fetch, {}, None, ["a", "b"]).count == 2


def test_parameters_that_do_not_fit_are_told_before_anything_runs() -> None:
    with pytest.raises(SignatureMismatchError, match="nope"):
        work_of_task("it", fetch, {"nope": 1}, 3)
    with pytest.raises(SignatureMismatchError, match="nope"):
        work_of_task("it", fetch, {}, None, ["a", {"nope": 1}])


def test_a_line_with_nowhere_to_go_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"^'--inputs, line 2' takes a JSON object: the task has no parameter"):
        work_of_task("it", bare, {}, None, [{}, "a"])


def test_a_generator_is_refused() -> None:
    with pytest.raises(TaskDefinitionError, match="'numbers' is a generator"):
        work_of_task("it", numbers, {}, 3)


def test_inputs_are_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "urls.jsonl"
    file.write_text('"a"\n\n{"url": "b"}\n3\n', encoding="utf-8")

    assert read_inputs(file) == ["a", {"url": "b"}, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"a"\nb\n', r"^'--inputs, line 2' takes one JSON document \(Expecting value"),
        ("\n\n", r"takes a file with a JSON document on each line; it has none"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "urls.jsonl"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigurationError, match=told):
        read_inputs(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="takes a file that can be read"):
        read_inputs(tmp_path / "none.jsonl")
