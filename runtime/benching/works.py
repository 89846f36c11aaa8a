"""Work: what is done for each item, and with which arguments.

Decides which call an item becomes: a line of a file gives parameters by name, or the first one that is free; without
a file an item is its number, which goes to the first free parameter if there is one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import attrs

from millrace.actors.errors import ConfigurationError, TaskDefinitionError
from millrace.runtime.base_task import BaseTask
from millrace.runtime.benching.models import Model
from millrace.runtime.task_decorator import task

Call = tuple[tuple[Any, ...], Mapping[str, Any]]


@attrs.frozen
class Work:
    """What is done for each item.

    Args:
        title: What it is called.
        task: The task.
        count: How many items there are.
        call: The arguments for an item, by its number.
        opened: Gives what is open while the work is done.
    """

    title: str
    task: BaseTask[..., Any]
    count: int
    call: Callable[[int], Call] = attrs.field(repr=False)
    opened: Callable[[], AbstractAsyncContextManager[object]] = attrs.field(default=nullcontext, repr=False)


def work_of_model(name: str, model: Model, count: int) -> Work:
    """The work of a model."""

    async def call(item: int) -> object:
        return await model(item)

    made = task(name=name)(call)
    return Work(
        f"model:{name}", cast("BaseTask[..., Any]", made), count, lambda item: ((item,), {}), lambda: cast("Any", model)
    )


def work_of_task(
    title: str,
    subject: BaseTask[..., Any],
    parameters: Mapping[str, Any],
    count: int | None,
    inputs: Sequence[Any] | None = None,
) -> Work:
    """The work of a user's task.

    Args:
        title: What it is called.
        subject: The task.
        parameters: Of every call.
        count: How many items; None: as many as there are inputs.
        inputs: What the calls differ in; used over again where there are more items.

    Raises:
        TaskDefinitionError: it is a generator.
        SignatureMismatchError: a parameter is none of the task's, or one is missing.
        ConfigurationError: an input has nowhere to go.
    """
    if subject.is_generator:
        raise TaskDefinitionError(
            f"'{subject.name}' is a generator, which ends when its reader likes: time its steps as tasks."
        )
    shape = subject.shape
    free = next((name for name in shape.positional if name not in parameters), None)
    if inputs is None:
        assert count is not None  # one of the two is given

        def numbered(item: int) -> Call:
            return shape.call_of(parameters if free is None else {**parameters, free: item})

        numbered(0)  # raises where it does not fit
        return Work(title, subject, count, numbered)
    calls = [shape.call_of({**parameters, **_by_name(line, free, number)}) for number, line in enumerate(inputs, 1)]
    return Work(title, subject, count or len(calls), lambda item: calls[item % len(calls)])


def _by_name(line: Any, free: str | None, number: int) -> dict[str, Any]:
    if isinstance(line, dict):
        return cast("dict[str, Any]", line)
    if free is None:
        raise ConfigurationError(
            f"--inputs, line {number}", line, "a JSON object: the task has no parameter that is free"
        )
    return {free: line}


def read_inputs(path: Path) -> list[Any]:
    """The inputs of a file with a JSON document on each line; empty lines count for nothing.

    Raises:
        ConfigurationError: it cannot be read, a line is no JSON, or there is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError("--inputs", str(path), f"a file that can be read ({error})") from None
    found: list[Any] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except ValueError as error:
                raise ConfigurationError(f"--inputs, line {number}", line, f"one JSON document ({error})") from None
    if not found:
        raise ConfigurationError("--inputs", str(path), "a file with a JSON document on each line; it has none")
    return found
