"""Parameters of a flow run, as they are written on a command line.

Decides what a value is: JSON where it is JSON, a string otherwise. Does not know the flow's signature.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from millrace.actors.errors import ConfigurationError


def read_parameters(pairs: Sequence[str], document: str | None) -> dict[str, Any]:
    """The parameters of `-p name=value ...` and `--params '{...}'`; the former win.

    Raises:
        ConfigurationError: a pair has no `=` or no name, a name is given twice, or the document is no JSON object.
    """
    parameters = {} if document is None else _read_document(document)
    given: set[str] = set()
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError("-p", pair, "name=value")
        if name in given:
            raise ConfigurationError("-p", pair, f"each name once, and {name} was given before")
        given.add(name)
        parameters[name] = _read_value(text)
    return parameters


def _read_value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _read_document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise ConfigurationError("--params", text, f"a JSON object ({error})") from None
    if not isinstance(document, dict):
        raise ConfigurationError("--params", text, "a JSON object, as in '{\"depth\": 3}'")
    return cast("dict[str, Any]", document)


def _refuse(constant: str) -> None:
    """NaN and Infinity, which Python's reader takes and JSON does not have."""
    raise ValueError(f"{constant} is no JSON")
