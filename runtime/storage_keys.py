"""Storage keys: under which key a result is kept, from the template that a task has for it.

Decides what such a template may name: the parameters, and names and ids of the run and its flow run. Values are put in
as text, and their own text is never looked into again. Nothing inside of a value can be named, neither an attribute nor
an item: a template is no way into the objects of a program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from string import Formatter
from typing import TYPE_CHECKING, Any, Final

import attrs

from millrace.actors.errors import ConfigurationError

if TYPE_CHECKING:
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.shape import Shape

_ABOUT_THE_RUN: Final[dict[str, Callable[[Any], Any]]] = {
    "task_run.id": lambda run: run.uuid,
    "task_run.name": lambda run: run.name,
    "task_run.task_name": lambda run: run.task.name,
    "task.name": lambda run: run.task.name,
    # None outside of any flow, which is a text, too.
    "flow_run.id": lambda run: None if run.scope.flow is None else run.scope.uuid,
    "flow_run.name": lambda run: None if run.scope.flow is None else run.scope.name,
    "flow_run.flow_name": lambda run: None if run.scope.flow is None else run.scope.flow.name,
}
_OPTION: Final = "result_storage_key"
_PARAMETER: Final = re.compile(r"(?:parameters\[(?P<inside>\w+)\]|(?P<alone>\w+))\Z")


@attrs.frozen
class StorageKey:
    """A template of keys.

    Args:
        template: As the user wrote it: `"{task.name}-{day}"`; a parameter may be written `{parameters[day]}` too.
    """

    template: str
    _pieces: tuple[tuple[str, str | None, str], ...]  # text before a field, what the field names, its format

    @classmethod
    def of(cls, template: str, shape: Shape) -> StorageKey:
        """Check a template and make a key of it.

        Raises:
            ConfigurationError: its braces do not match, or it names what there is not.
        """
        try:
            parsed = list(Formatter().parse(template))
        except ValueError as error:
            raise ConfigurationError(_OPTION, template, f"a template whose braces are closed ({error})") from None
        if not template:
            raise ConfigurationError(_OPTION, template, "a template that is not empty")
        pieces: list[tuple[str, str | None, str]] = []
        for before, field, form, conversion in parsed:
            named = None if field is None else _named(field, shape)
            if field is not None and (named is None or conversion is not None or "{" in (form or "")):
                known = ", ".join(f"{{{name}}}" for name in (*shape.names, *_ABOUT_THE_RUN))
                raise ConfigurationError(_OPTION, template, f"a template of these fields: {known}")
            pieces.append((before, named, form or ""))
        return cls(template, tuple(pieces))

    def make(self, parameters: Mapping[str, Any], run: TaskRun) -> str:
        """The key of a run's result.

        Args:
            parameters: The run's arguments by name.
            run: The run.

        Raises:
            ConfigurationError: a value cannot be made text, or there is no text.
        """
        key = "".join([before + self._text(field, form, parameters, run) for before, field, form in self._pieces])
        if not key:
            raise ConfigurationError(_OPTION, self.template, "a template that gives some text, and here it gave none")
        return key

    def _text(self, field: str | None, form: str, parameters: Mapping[str, Any], run: TaskRun) -> str:
        if field is None:
            return ""
        about = _ABOUT_THE_RUN.get(field)
        value = parameters[field] if about is None else about(run)
        try:
            return format(value, form)
        except Exception as error:
            expected = f"formats that fit: {{{field}}} is a '{type(value).__name__}' here, which raised {error!r}"
            raise ConfigurationError(_OPTION, self.template, expected) from error


def _named(field: str, shape: Shape) -> str | None:
    if field in _ABOUT_THE_RUN:
        return field
    found = _PARAMETER.match(field)
    name = None if found is None else found["inside"] or found["alone"]
    return name if name in shape.names else None
