"""What stands for the code of a task, and the key of a task."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import linecache
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from millrace.runtime.caching import task_key
from millrace.runtime.caching.sources import source_token


def load(folder: Path, name: str, text: str) -> Any:
    """A module with this text."""
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def typed_in(text: str, name: str = "fetch") -> Any:
    """A function that has no source to read."""
    names: dict[str, Any] = {}
    exec(text, names)  # noqa: S102  # this is what the test is about
    return names[name]


def plain(x: Any) -> Any:
    return x


class Machine:
    def __init__(self, pace: int = 1) -> None:
        self.pace = pace

    def run(self, x: int) -> int:
        return x * self.pace

    def stop(self, x: int) -> int:
        return x

    @staticmethod
    def check(x: int) -> int:
        return x

    def __call__(self, x: int) -> int:
        return x


class OtherMachine:
    def __call__(self, x: int) -> int:
        return x + 1


def test_the_same_text_has_the_same_token_in_another_module(tmp_path: Path) -> None:
    text = "def fetch(x):\n    return x + 1\n"

    assert source_token(load(tmp_path, "a", text).fetch) == source_token(load(tmp_path, "b", "\n\n" + text).fetch)


def test_a_changed_body_has_another_token(tmp_path: Path) -> None:
    one = load(tmp_path, "a", "def fetch(x):\n    return x + 1\n")
    other = load(tmp_path, "b", "def fetch(x):\n    return x + 2\n")

    assert source_token(one.fetch) != source_token(other.fetch)


def test_a_function_whose_code_is_exchanged_has_another_token() -> None:
    def fetch() -> int:
        return 1

    def newer() -> int:
        return 2

    before = source_token(fetch)
    fetch.__code__ = newer.__code__

    assert source_token(fetch) != before


def test_what_was_typed_in_goes_by_its_code() -> None:
    fetch = typed_in("def fetch(x):\n    return x + 1")

    assert source_token(fetch) == source_token(typed_in("\n\ndef fetch(x):  # here\n    return x + 1"))
    for other in ("x + 2", "x - 1", "y + 1", "(lambda: x + 1)()", "x in {1, 2}"):
        assert source_token(fetch) != source_token(typed_in(f"def fetch(x):\n    return {other}"))


def test_a_text_that_is_not_the_function_s_own_is_not_gone_by(tmp_path: Path) -> None:
    # 1. A module is imported. 2. Its file is written anew, with something else on the same lines. 3. A key is computed.
    before = load(tmp_path, "a", "def fetch(x):\n    return x + 1\n")
    (tmp_path / "a.py").write_text("def delete(x):\n    return x - 1\n")
    other = load(tmp_path, "b", "def fetch(x):\n    return x + 2\n")
    (tmp_path / "b.py").write_text("def delete(x):\n    return x - 1\n")

    assert source_token(before.fetch) != source_token(other.fetch)


def test_what_is_typed_in_is_not_taken_for_what_was_typed_in_before(monkeypatch: pytest.MonkeyPatch) -> None:
    # `python -c` keeps its text under the name that exec() gives to all it compiles.
    monkeypatch.setitem(linecache.cache, "<string>", (15, None, ["def fetch(): 0\n"], "<string>"))
    one, other = typed_in("def fetch(): return 1"), typed_in("def fetch(): return 2")

    assert source_token(one) != source_token(other)


def test_code_differs_by_the_code_inside_of_it() -> None:
    one = typed_in("def fetch(x):\n    return [lambda: 1, lambda: 2]")
    other = typed_in("def fetch(x):\n    return [lambda: 1, lambda: 3]")

    assert source_token(one) != source_token(other)


def test_lambdas_of_one_line_differ() -> None:
    first, second, third = (lambda x: x + 1), (lambda x: x + 2), (lambda x: x + 1)

    assert source_token(first) != source_token(second)
    assert source_token(first) == source_token(third)


def test_a_method_is_the_same_bound_or_not() -> None:
    assert source_token(Machine().run) == source_token(Machine.run) == source_token(Machine(2).run)
    assert source_token(Machine.run) != source_token(Machine.stop)
    assert source_token(Machine.__dict__["check"]) == source_token(Machine.check)


def test_an_object_that_can_be_called_goes_by_its_class() -> None:
    assert source_token(Machine(1)) == source_token(Machine(2))
    assert source_token(Machine()) != source_token(OtherMachine())


def test_a_partial_differs_by_its_function_and_its_arguments() -> None:
    tokens = {
        source_token(functools.partial(plain, 1)),
        source_token(functools.partial(plain, 2)),
        source_token(functools.partial(plain, x=1)),
        source_token(functools.partial(Machine.check, 1)),
        source_token(functools.partial(plain)),
        source_token(plain),
    }

    assert len(tokens) == 6
    assert source_token(functools.partial(plain, [1])) == source_token(functools.partial(plain, [1]))


def test_a_partial_whose_arguments_change_does_too() -> None:
    settings = {"pace": 1}
    fetch = functools.partial(plain, settings)
    before = source_token(fetch)
    settings["pace"] = 2

    assert source_token(fetch) != before


def test_a_wrapped_function_differs_by_what_it_wraps_and_by_its_wrapper() -> None:
    def once(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def call(*args: Any) -> Any:
            return fn(*args)

        return call

    def twice(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def call(*args: Any) -> Any:
            return fn(fn(*args))

        return call

    tokens = {source_token(fn) for fn in (plain, once(plain), twice(plain), once(Machine.check))}

    assert len(tokens) == 4
    assert source_token(functools.cache(plain)) != source_token(functools.cache(Machine.check))


def test_what_a_closure_holds_does_not_belong_to_the_source() -> None:
    def make() -> tuple[Callable[[], None], list[int]]:
        calls: list[int] = []

        def count() -> None:
            calls.append(1)

        return count, calls

    count, calls = make()
    before = source_token(count)
    count()

    assert calls == [1]
    assert source_token(count) == before


def test_a_function_written_in_c_goes_by_its_name() -> None:
    assert source_token(len) == source_token(len)
    assert source_token(len) != source_token(sum)


def test_a_source_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []

    def getsource(thing: Any) -> str:
        read.append(thing)
        return inspect.getsource(thing)

    monkeypatch.setattr("millrace.runtime.caching.texts.inspect", SimpleNamespace(getsource=getsource))

    def fetch() -> int:
        return 1

    tokens = {source_token(fetch) for _ in range(5)}

    assert len(tokens) == 1
    assert read == [fetch.__code__]


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (plain, "plain"),
        (Machine.run, "run"),
        (Machine().run, "run"),
        (Machine(), "Machine"),
        (functools.partial(functools.partial(plain), 1), "plain"),
        (functools.cache(plain), "plain"),
        (len, "len"),
    ],
    ids=range(7),
)
def test_the_key_of_a_task_is_the_last_part_of_its_name_and_the_beginning_of_a_hash(fn: Any, name: str) -> None:
    assert re.fullmatch(f"{name}-[0-9a-f]{{8}}", task_key(fn))


def test_tasks_of_one_name_differ_in_their_keys_by_their_source() -> None:
    one, other = typed_in("def fetch(): return 1"), typed_in("def fetch(): return 2")

    assert task_key(one) != task_key(other)
    assert task_key(one) == task_key(typed_in("def fetch(): return 1"))


def test_the_key_of_a_task_can_be_given_another_name() -> None:
    assert task_key(plain, "get") == task_key(plain).replace("plain", "get")


def test_the_key_of_a_task_without_a_source_says_so() -> None:
    assert task_key(functools.partial(plain, threading.Lock())) == "plain-unknown"
