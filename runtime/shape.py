"""The shape of a function: which arguments it takes, and whether a call fits.

Decides what a wrong call is. The usual call is checked by counting; only one that looks wrong, or uses what counting
cannot judge, is bound the slow way, for the answer or for the error.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from millrace.actors.errors import ConfigurationError, ParameterBindError, ReservedArgumentError, SignatureMismatchError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Shape:
    """The parameters of a function.

    Args:
        fn: The function.
        reserved: Names that its parameters must not have, because calls use them.

    Raises:
        ReservedArgumentError: a parameter has a reserved name.
        ConfigurationError: nobody can say which parameters there are.
    """

    __slots__ = (
        "_all_named", "_defaults", "_method", "_most", "_required", "_simple", "function_name", "names", "positional",
        "signature",
    )  # fmt: skip

    def __init__(self, fn: Callable[..., Any], reserved: tuple[str, ...] = ()) -> None:
        self.function_name = getattr(fn, "__name__", type(fn).__name__)
        try:
            signature = inspect.signature(fn)
        except (ValueError, TypeError):  # some that are written in C tell nobody
            expected = "a function whose parameters can be read; wrap it in one that names them"
            raise ConfigurationError("fn", fn, expected) from None
        self._take(signature)
        for name in reserved:
            if name in self.names:
                raise ReservedArgumentError(self.function_name, name)

    def _take(self, signature: inspect.Signature) -> None:
        self.signature = signature
        self._method: Shape | None = None  # the shape of a method, once it was asked for
        parameters = signature.parameters.values()
        self.names = tuple(signature.parameters)
        self.positional = tuple(each.name for each in parameters if each.kind in _POSITIONAL)
        # Counting is enough where every parameter can be given by position or by name.
        self._simple = all(each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for each in parameters)
        self._most = len(self.positional)
        self._required = frozenset(
            each.name
            for each in parameters
            if each.default is inspect.Parameter.empty
            and each.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        )
        self._all_named = frozenset(self.names)
        self._defaults = {name: each.default for name, each in signature.parameters.items()}  # `empty` where none is

    def of_method(self) -> Shape:
        """The shape of the function where it is bound as a method: without the first parameter."""
        if self._method is None:
            first, *others = self.signature.parameters.values() or (None,)
            if first is None or first.kind not in _POSITIONAL:
                return self  # `*args` takes the object, too
            method = object.__new__(Shape)
            method.function_name = self.function_name
            method._take(self.signature.replace(parameters=others))
            self._method = method
        return self._method

    @property
    def _takes_any(self) -> bool:
        return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in self.signature.parameters.values())

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Check that a call fits.

        Raises:
            ParameterBindError: it does not; the error names the parameter and shows the signature.
        """
        given = len(args)
        if self._simple and given <= self._most:
            if not kwargs:
                if given == self._most or self._required.isdisjoint(self.positional[given:]):
                    return
            elif (
                kwargs.keys() <= self._all_named
                and kwargs.keys().isdisjoint(self.positional[:given])
                and self._required <= kwargs.keys() | set(self.positional[:given])
            ):
                return
        self._bind(args, kwargs)

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            reason = str(error)
            unknown = next((name for name in kwargs if name not in self.names), None)
            if unknown is not None and repr(unknown) not in reason and not self._takes_any:
                reason = f"{reason}, and there is no parameter '{unknown}'"
            raise ParameterBindError(self.function_name, str(self.signature), reason) from None
        # Python 3.13.0 takes f(a=1) for a call of f(a, /, **more).
        missing = next((name for name in self.names if name in self._required and name not in bound.arguments), None)
        if missing is not None:
            reason = f"missing a required argument: '{missing}'"
            raise ParameterBindError(self.function_name, str(self.signature), reason)
        return bound

    def by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by parameter, defaults filled in.

        Raises:
            ParameterBindError: the call does not fit.
        """
        if self._simple and not kwargs and len(args) == self._most:
            return dict(zip(self.names, args, strict=True))  # mostly, and much quicker
        if self._simple:
            self.check(args, kwargs)
            given = {**dict(zip(self.names, args, strict=False)), **kwargs}
            return {name: given.get(name, default) for name, default in self._defaults.items()}
        bound = self._bind(args, kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def call_of(self, parameters: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call that gives parameters by name.

        Raises:
            SignatureMismatchError: a name is not a parameter, or a required one is missing.
        """
        kinds = {name: each.kind for name, each in self.signature.parameters.items()}
        missing = [name for name in self.names if name in self._required and name not in parameters]
        if missing or not (self._takes_any or parameters.keys() <= kinds.keys()):
            raise SignatureMismatchError(self.function_name, self.names, parameters, missing)
        bound = inspect.BoundArguments(self.signature, OrderedDict())
        extra = {name: value for name, value in parameters.items() if name not in kinds}
        for name, kind in kinds.items():
            if name in parameters:
                bound.arguments[name] = parameters[name]
            elif kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = extra
        return bound.args, bound.kwargs

    def name_of(self, place: int | str) -> str:
        """The parameter that a position or a keyword goes to."""
        if isinstance(place, str):
            return place
        if place < len(self.positional):
            return self.positional[place]
        for name, each in self.signature.parameters.items():
            if each.kind is inspect.Parameter.VAR_POSITIONAL:
                return name
        return f"argument {place + 1}"
