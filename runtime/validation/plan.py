"""The plan of a flow's parameters: what is asked of each of them, worked out on the first call.

Decides when nothing has to be done: where every value fits already, nothing is loaded and nothing is made. Collects
what is wrong with all parameters of a call in one error.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import ParameterTypeError

if TYPE_CHECKING:
    from millrace.runtime.validation.collecting import Hook
    from millrace.runtime.validation.converting import Converters
    from millrace.runtime.validation.fitting import Fits


class ParameterPlan:
    """What the annotations of a function ask of its arguments.

    Args:
        fn: The function, not bound to anything.
        signature: Its signature.
    """

    __slots__ = ("_checks", "_converters", "_fn", "_hints", "_hooks", "_signature")

    def __init__(self, fn: Callable[..., Any], signature: Signature) -> None:
        self._fn = fn
        self._signature = signature
        self._hints: dict[str, Any] = {}
        self._checks: dict[str, Fits] | None = None  # by parameter; without those that take everything
        self._converters: Converters | None = None
        self._hooks: dict[str, Hook] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return ParameterPlan, (self._fn, self._signature)  # what was worked out is worked out again

    def convert(self, flow: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Parameters as their annotations ask for.

        Args:
            flow: The flow's name, for the error.
            parameters: By name, those with defaults, too.

        Returns:
            The converted ones; the same dict where nothing had to be.

        Raises:
            ParameterTypeError: some cannot be converted; it names each of them, and the place inside.
        """
        if not parameters:
            return parameters
        checks = self._checks
        if checks is None:
            checks = self._read()
        for name, value in parameters.items():
            fits = checks.get(name)
            if fits is not None and not fits(value):
                break
        else:
            return parameters
        return self._converted(flow, parameters, checks)

    def _read(self) -> dict[str, Fits]:
        # Loaded when a flow is called that has parameters.
        from millrace.runtime.validation.fitting import check_of  # noqa: PLC0415
        from millrace.runtime.validation.hints import hints_of  # noqa: PLC0415

        self._hints = hints_of(self._fn, self._signature)
        checks: dict[str, Fits] = {}
        for name, hint in self._hints.items():
            fits = check_of(hint)
            if fits is not None:
                checks[name] = fits
        self._checks = checks
        return checks

    def _converted(self, flow: str, parameters: dict[str, Any], checks: dict[str, Fits]) -> dict[str, Any]:
        from millrace.runtime.validation.wrong import Wrong  # noqa: PLC0415  # loaded with the converters

        converted = dict(parameters)
        problems: dict[str, str] = {}
        for name, value in parameters.items():
            if name not in checks or checks[name](value):
                continue
            try:
                converted[name] = self._hook(name)(value)
            except Wrong as error:
                for path, text in error.inside(name):
                    problems[path] = f"{problems[path]}; {text}" if path in problems else text
            except RecursionError:
                problems[name] = "is nested too deeply"
        if problems:
            raise ParameterTypeError(flow, problems) from None
        return converted

    def _hook(self, name: str) -> Hook:
        hook = self._hooks.get(name)
        if hook is None:
            if self._converters is None:
                # Loaded when a value is found that has to be converted, or looked at closely.
                from millrace.runtime.validation.converting import Converters  # noqa: PLC0415

                self._converters = Converters()
            hook = self._hooks[name] = self._converters.hook(self._hints[name])
        return hook
