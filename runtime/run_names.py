"""Names of runs: what `task_run_name` and `flow_run_name` make of the parameters.

Decides which templates and functions are taken, when the task or flow is defined, and what name a run gets. A template
is filled in by substitution alone: what a value says is never looked at as a template, and no field reaches into one.
A name can forge no line of a log. Does not know runs, nor what they are called where nobody has said.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any, Final

import attrs

from millrace.actors.errors import ConfigurationError, RunNameError
from millrace.actors.telling import told_of
from millrace.runtime.one_line import one_line
from millrace.runtime.shape import Shape

_CONVERSIONS: Final[dict[str | None, Callable[[Any], Any]]] = {"r": repr, "s": str, "a": ascii}


@attrs.frozen
class RunName:
    """How the runs of a task or flow are named. Made by `RunName.of`.

    Args:
        option: What it was given as, as in `task_run_name`.
        given: The template or function, as it was given.
        owner: The name of the task or flow.
    """

    option: str
    given: str | Callable[..., Any]
    owner: str
    _write: Callable[[Mapping[str, Any]], Any] = attrs.field(repr=False, eq=False)  # from parameters to a name

    @classmethod
    def of(cls, option: str, given: object, shape: Shape, *, owner: str | None = None) -> RunName | None:
        """Check what a user wrote.

        Args:
            option: The option, for errors.
            given: A template, with fields `{parameter}`, `{parameter!r}` or `{parameter:%A}`; or a function without
                arguments, or with one named `parameters`; or None.
            shape: Of the function whose parameters they are.
            owner: The name of the task or flow, for errors; by default the function's.

        Returns:
            What makes the names; None for None.

        Raises:
            ConfigurationError: it is none of these, or has a field that is no parameter; it names the option.
        """
        if given is None:
            return None
        name = owner or shape.function_name
        if isinstance(given, str):
            return cls(option, given, name, _template(option, given, shape))
        if callable(given):
            return cls(option, given, name, _function(option, given))
        raise ConfigurationError(option, given, "a template, as in 'fetch-{url}', or a function that gives a name")

    def make(self, parameters: Mapping[str, Any]) -> str:
        """Name a run.

        Args:
            parameters: The run's arguments by name, defaults filled in, futures replaced by their results.

        Returns:
            The name. Line ends, control characters and the like are escaped in it.

        Raises:
            RunNameError: the function, or the formatting of a value, raised something, or gave no text.
        """
        try:
            name = self._write(parameters)
        except Exception as error:
            raise RunNameError(self.option, self.owner, f"it raised {told_of(error)}") from error
        if inspect.iscoroutine(name):
            name.close()  # else Python complains that nobody awaited it, too
        if not isinstance(name, str) or not name:
            found = repr(name) if isinstance(name, str) else f"an object of type {type(name).__name__}"
            raise RunNameError(
                self.option, self.owner, f"it gave {found} where a string that is not empty was expected"
            )
        return one_line(name)


# Functions.


def _function(option: str, function: Callable[..., Any]) -> Callable[[Mapping[str, Any]], Any]:
    """What calls a user's function, with the parameters if it takes them: a copy, so that the run keeps its own."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise ConfigurationError(option, function, "a function that is not async")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise ConfigurationError(option, function, "a function whose arguments can be read") from None
    if "parameters" in signature.parameters and _fits(signature, parameters={}):
        return lambda parameters: function(parameters=dict(parameters))
    if _fits(signature):
        return lambda _parameters: function()
    raise ConfigurationError(option, function, "a function without arguments, or with one named 'parameters'")


def _fits(signature: inspect.Signature, **arguments: object) -> bool:
    try:
        signature.bind(**arguments)
    except TypeError:
        return False
    return True


# Templates.


@attrs.frozen
class _Field:
    """A place in a template, and the text before it; the parameter is None where no place follows the text."""

    before: str
    parameter: str | None
    convert: Callable[[Any], Any] | None
    format_spec: str

    def filled(self, parameters: Mapping[str, Any]) -> str:
        if self.parameter is None:
            return self.before
        value = parameters[self.parameter]
        if self.convert is not None:
            value = self.convert(value)
        return self.before + format(value, self.format_spec)


def _template(option: str, template: str, shape: Shape) -> Callable[[Mapping[str, Any]], str]:
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        expected = f"a template whose braces are closed, or doubled where they mean themselves ({error})"
        raise ConfigurationError(option, template, expected) from None
    fields: list[_Field] = []
    for before, name, format_spec, conversion in pieces:
        if name is not None:
            wrong = _what_is_wrong(shape, name, format_spec or "", conversion)
            if wrong:
                raise ConfigurationError(option, template, wrong)
        fields.append(_Field(before, name, _CONVERSIONS.get(conversion), format_spec or ""))
    if not template:
        raise ConfigurationError(option, template, "a template that is not empty")
    return lambda parameters: "".join([field.filled(parameters) for field in fields])


def _what_is_wrong(shape: Shape, name: str, format_spec: str, conversion: str | None) -> str:
    """What a template should have where it has a field that cannot be used; empty for one that can."""
    if name not in shape.names:
        if "." in name or "[" in name:
            return f"a template whose fields are parameters as they are, unlike '{name}'; a function can look inside"
        return f"a template whose fields are parameters, unlike '{name}'; {_parameters(shape)}"
    if "{" in format_spec:
        return f"a template whose fields are not nested, unlike '{name}:{format_spec}'"
    if conversion is not None and conversion not in _CONVERSIONS:
        return f"a template with the conversions !r, !s and !a, unlike '{name}!{conversion}'"
    return ""


def _parameters(shape: Shape) -> str:
    names = ", ".join(f"'{name}'" for name in shape.names)
    return f"'{shape.function_name}' has {names or 'no parameters, so a function is to give the name'}"
