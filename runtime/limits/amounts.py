"""Amounts: how users write what a limit is, in code and in a setting.

Decides what is a name, what is an amount, and what else is refused. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from millrace.actors.adaptive import AdaptiveLimit
from millrace.actors.errors import ConfigurationError
from millrace.actors.tickets import Amount
from millrace.actors.token_bucket import RateLimit, check_whole


def checked_amount(name: str, amount: Any) -> Amount:
    """Check what there is to be of a limit.

    Raises:
        ConfigurationError: it is no amount; it names the limit.
    """
    if isinstance(amount, (AdaptiveLimit, RateLimit)):
        return amount
    try:
        check_whole(name, amount)
    except ConfigurationError:
        expected = "how many at once, as a whole number, 1 or more; or a RateLimit; or an AdaptiveLimit"
        raise ConfigurationError(f"limits[{name!r}]", amount, expected) from None
    whole: int = amount
    return whole


def checked_name(name: Any) -> str:
    """Check the name of a limit.

    Raises:
        ConfigurationError: it is no text, or an empty one.
    """
    if not isinstance(name, str) or not name:
        raise ConfigurationError("name", name, "the name of a limit")
    return name


def checked_names(names: Any) -> tuple[str, ...]:
    """Check one name or several; each once, in their order.

    Raises:
        ConfigurationError: they are something else.
    """
    if isinstance(names, str):
        return (checked_name(names),)
    if not isinstance(names, Iterable):
        raise ConfigurationError("names", names, "the name of a limit, or several")
    return tuple(dict.fromkeys(checked_name(each) for each in names))


def parse_limits(text: str) -> Mapping[str, Amount]:
    """Read what the setting says, as in `http=20, api=100/60, gpu=adaptive:4`.

    Raises:
        ValueError: it is something else.
    """
    limits: dict[str, Amount] = {}
    for part in text.split(","):
        name, equals, amount = (piece.strip() for piece in part.rpartition("="))
        if not equals or not name or name in limits:
            raise ValueError(text)
        limits[name] = _parsed(amount)
    return limits


def _parsed(text: str) -> Amount:
    kind, colon, initial = text.partition(":")
    if kind == "adaptive":
        return AdaptiveLimit(initial=int(initial)) if colon else AdaptiveLimit()
    number, slash, seconds = text.partition("/")
    if slash:
        return RateLimit(int(number), per_seconds=float(seconds))
    check_whole("limit", int(number))
    return int(number)
