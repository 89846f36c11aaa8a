"""Flows in processes of their own: what is sent, what runs there, and what the exit code says."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Iterator
from contextvars import copy_context
from multiprocessing.context import SpawnContext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from millrace import (
    BlockingCallOnLoop,
    ConfigurationError,
    FlowDefinitionError,
    SerializationError,
    SignatureMismatchError,
    UpstreamTaskError,
    allow_failure,
    run_flow_in_subprocess,
    tags,
)
from tests.loose import flow, task
from tests.runtime import sent_flows

PATIENCE = 60.0


@pytest.fixture
def without_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)


def joined(*processes: Any) -> list[int | None]:
    """The exit codes."""
    for each in processes:
        each.join(PATIENCE)
    return [each.exitcode for each in processes]


def noted(path: Path) -> dict[str, Any]:
    """What a flow wrote down, without the id of its process, which is not this one."""
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert facts.pop("pid") != os.getpid()
    return facts


# What runs there.


def test_sync_and_async_flows_and_methods_run_with_their_parameters_and_tags(
    tmp_path: Path, without_cloudpickle: None
) -> None:
    paths = [tmp_path / name for name in "abc"]
    with tags("nightly"):
        processes = [
            run_flow_in_subprocess(sent_flows.plain, {"path": paths[0], "number": 2}),
            run_flow_in_subprocess(sent_flows.in_a_loop, {"path": paths[1], "numbers": [1, 2]}),
            run_flow_in_subprocess(sent_flows.Crawler(paths[2]).crawl, {"number": 3}),
        ]

    assert joined(*processes) == [0, 0, 0]
    facts = [noted(path) for path in paths]
    assert [each["doubled"] for each in facts] == [8, [2, 4], 6]
    assert [each["tags"] for each in facts] == [["nightly"]] * 3


def test_settings_and_other_variables_are_there_before_the_module_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL_OF_TEST", "of the parent")
    inherits, has_another, has_none = (tmp_path / name for name in "abc")
    processes = [
        run_flow_in_subprocess(sent_flows.plain, {"path": path, "number": 1}, env=env)
        for path, env in (
            (inherits, None),
            (has_another, {"SHELL_OF_TEST": "its own", "MILLRACE_THREADS": "3"}),
            (has_none, {"SHELL_OF_TEST": None}),
        )
    ]

    assert joined(*processes) == [0, 0, 0]
    assert [noted(path)["shell"] for path in (inherits, has_another, has_none)] == ["of the parent", "its own", None]
    assert noted(has_another)["imported_with"] == "3"


def test_a_changed_copy_of_a_flow_and_one_inside_of_a_function_are_sent_by_value(tmp_path: Path) -> None:
    @flow
    def local(path: str) -> None:
        Path(path).write_text(add_one.name, encoding="utf-8")

    @task(name="a task of its own")
    def add_one(x: int) -> int:
        return x + 1

    processes = [
        run_flow_in_subprocess(local, {"path": str(tmp_path / "local")}),
        run_flow_in_subprocess(
            sent_flows.plain.with_options(name="other"), {"path": tmp_path / "changed", "number": 1}
        ),
    ]

    assert joined(*processes) == [0, 0]
    assert (tmp_path / "local").read_text(encoding="utf-8") == "a task of its own"
    assert noted(tmp_path / "changed")["doubled"] == 4


def test_the_exit_code_says_how_it_ended(capfd: pytest.CaptureFixture[str]) -> None:
    ends = ["raise", "return", "exit", "interrupt", "terminate"]

    assert joined(*[run_flow_in_subprocess(sent_flows.ending, {"how": how}) for how in ends]) == [1, 1, 3, 130, -15]
    assert "ValueError: no\n" in capfd.readouterr().err


def test_one_that_is_told_to_terminate_comes_to_its_end_and_its_exit_code_says_why(tmp_path: Path) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)

    process = run_flow_in_subprocess(sent_flows.waiting, {"path": told})
    with told.open(encoding="utf-8") as lines:
        assert next(lines) == "begun\n"
        process.terminate()
        assert list(lines) == ["over\n"]

    assert joined(process) == [-15]


# What is sent.


@pytest.fixture
def nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What would be sent, instead of a process."""
    sent: list[Any] = []

    class Stand:
        def __init__(self, target: Any, args: tuple[bytes, Any], name: str) -> None:
            sent.append(pickle.loads(args[0]))

        def start(self) -> None:
            pass

    monkeypatch.setattr(SpawnContext, "Process", Stand)
    return iter([sent])


def test_futures_among_the_parameters_are_resolved_first(nothing_is_started: Iterator[list[Any]]) -> None:
    (sent,) = nothing_is_started

    @flow
    def outer() -> None:
        doubled = sent_flows.double.submit(2)
        first = sent_flows.double.submit(1)
        run_flow_in_subprocess(sent_flows.plain, {"path": [doubled], "number": doubled}, wait_for=[first])
        assert first.done()

    outer()

    assert sent == [(sent_flows.plain, ([4], 4), {}, frozenset())]


def test_a_failed_upstream_is_told_unless_it_is_allowed(nothing_is_started: Iterator[list[Any]]) -> None:
    (sent,) = nothing_is_started

    @task
    def refuse() -> None:
        raise ValueError("no")

    @flow
    def outer() -> str:
        failed = refuse.submit()
        with pytest.raises(UpstreamTaskError):
            run_flow_in_subprocess(sent_flows.ending, {"how": failed})
        with pytest.raises(UpstreamTaskError):
            run_flow_in_subprocess(sent_flows.ending, {"how": "return"}, wait_for=[failed])
        run_flow_in_subprocess(sent_flows.ending, {"how": allow_failure(failed)})
        return "looked at"

    outer()

    ((_, (error,), _, _),) = sent
    assert repr(error) == "ValueError('no')"


@pytest.mark.anyio
async def test_on_a_loop_futures_have_to_be_awaited_before() -> None:
    @task
    async def one() -> int:
        return 1

    @flow
    async def outer() -> None:
        future = one.submit()
        with pytest.raises(BlockingCallOnLoop, match="await its futures first"):
            run_flow_in_subprocess(sent_flows.plain, {"path": Path(), "number": future})

    await outer()


def test_the_context_that_is_given_says_the_tags(nothing_is_started: Iterator[list[Any]]) -> None:
    (sent,) = nothing_is_started
    with tags("there"):
        there = copy_context()
    with tags("here"):
        run_flow_in_subprocess(sent_flows.ending, {"how": "return"})
        run_flow_in_subprocess(sent_flows.ending, {"how": "return"}, context=there)

    assert [each[3] for each in sent] == [{"here"}, {"there"}]


def test_what_cannot_be_sent_is_told(without_cloudpickle: None) -> None:
    @flow
    def local(x: object) -> None:
        pass

    with pytest.raises(SerializationError) as told:
        run_flow_in_subprocess(local, {"x": 1})

    assert str(told.value).startswith("Could not send flow 'local' and its parameters to another process: ")
    assert str(told.value).endswith(
        ". Put what is sent into a module that can be imported, or pip install 'millrace[cloudpickle]'."
    )


def test_what_cannot_be_sent_even_by_value_is_told() -> None:
    with pytest.raises(SerializationError, match=r"^Could not send flow 'ending' .*: .*lock.*\.$"):
        run_flow_in_subprocess(sent_flows.ending, {"how": __import__("threading").Lock()})


def test_what_is_defined_in_an_interactive_session_is_not_sent_by_name(
    without_cloudpickle: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", session)
    exec("from millrace import flow\n@flow\ndef typed_in() -> None: ...\n", vars(session))  # noqa: S102  # has no file

    with pytest.raises(SerializationError, match="'typed_in' is defined where no other process can import it"):
        run_flow_in_subprocess(vars(session)["typed_in"])


def test_wrong_calls_are_told_before_anything_is_started() -> None:
    with pytest.raises(FlowDefinitionError, match=r"^run_flow_in_subprocess\(\) of "):
        run_flow_in_subprocess(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(SignatureMismatchError, match="'ending' takes the parameters 'how', and was given 'who'"):
        run_flow_in_subprocess(sent_flows.ending, {"who": 1})
    with pytest.raises(ConfigurationError, match=r"env\['THREADS'\]"):
        run_flow_in_subprocess(sent_flows.ending, {"how": "return"}, env={"THREADS": 3})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


# Pickling.


def test_a_flow_or_task_of_a_module_is_pickled_by_name() -> None:
    for thing in (sent_flows.plain, sent_flows.double, sent_flows.Crawler.crawl):
        assert pickle.loads(pickle.dumps(thing)) is thing


def test_a_bound_one_is_pickled_with_what_it_is_bound_to() -> None:
    crawler = sent_flows.Crawler(Path("/there"))

    again = pickle.loads(pickle.dumps(crawler.crawl))

    assert again.fn.__self__.path == Path("/there")
    assert again != crawler.crawl


def test_copies_that_were_sent_by_value_are_not_taken_for_others() -> None:
    cloudpickle: Any = pytest.importorskip("cloudpickle")

    @task
    def one() -> int:
        return 1

    sent = cloudpickle.dumps(one)
    first, second = pickle.loads(sent), pickle.loads(sent)

    assert len({one, first, second}) == 3
    assert [one(), first(), second()] == [1, 1, 1]
