"""Opening: which store an option names, and what an engine gets of it.

Decides what URLs of stores look like. `sqlite:///runs.db` is a file in the folder at hand, `sqlite:////srv/runs.db` one
with an absolute path; `postgresql://user@host:5432/runs` is a database of a server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from millrace.actors.errors import ConfigurationError
from millrace.runtime.stores.chronicle import Chronicle
from millrace.runtime.stores.memory import MemoryStore
from millrace.runtime.stores.port import Store
from millrace.runtime.stores.writer import StoreWriter
from millrace.runtime.urls import masked

_EXPECTED: Final = "a store or the URL of one, as 'sqlite:///runs.db' or 'postgresql://user@host/database'"
_SYNCHRONOUS: Final = ("FULL", "NORMAL")
_METHODS: Final = ("open", "append", "claim", "close", "read_flow_run", "read_calls")


def open_chronicle(option: Store | str, now: Callable[[], int]) -> Chronicle:
    """Open a store for an engine.

    Args:
        option: The store, or its URL.
        now: The time, in nanoseconds since the epoch.

    Raises:
        ConfigurationError: it names none.
        StoreError: it cannot be opened, or is refused.
    """
    return Chronicle(StoreWriter(store_of(option), now), now)


def store_of(option: Store | str) -> Store:
    """The store that an option names; it is not opened.

    Raises:
        ConfigurationError: it names none.
    """
    if isinstance(option, str):
        return _named(option)
    if isinstance(option, type) or not all(callable(getattr(option, name, None)) for name in _METHODS):
        raise ConfigurationError("store", option, _EXPECTED)
    return option


def _named(url: str) -> Store:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError("store", masked(url), _EXPECTED) from None
    if parts.scheme == "memory" and url.rstrip("/") == "memory:":
        return MemoryStore()
    if parts.scheme in {"postgresql", "postgres"}:
        from millrace.runtime.stores.postgres import PostgresStore  # noqa: PLC0415  # an extra

        return PostgresStore(url)
    if parts.scheme != "sqlite":
        raise ConfigurationError("store", masked(url), _EXPECTED)
    if parts.netloc or not parts.path.strip("/"):
        raise ConfigurationError("store", url, "the URL of a file: 'sqlite:///runs.db', 'sqlite:////var/lib/runs.db'")
    from millrace.runtime.stores.sqlite import SqliteStore  # noqa: PLC0415  # not every Python is built with sqlite3

    options = _options(url, parts.query)
    return SqliteStore(unquote(parts.path[1:]), **options)


def _options(url: str, query: str) -> Mapping[str, Any]:
    """What stands behind the question mark."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    options: dict[str, Any] = {}
    if "synchronous" in given:
        options["synchronous"] = cast("Any", given.pop("synchronous").upper())
        if options["synchronous"] not in _SYNCHRONOUS:
            raise ConfigurationError("store", url, "synchronous=FULL or synchronous=NORMAL")
    if "mode" in given:
        if given.pop("mode") != "ro":
            raise ConfigurationError("store", url, "mode=ro, or no mode")
        options["read_only"] = True
    if given:
        raise ConfigurationError("store", url, f"no other options than synchronous and mode, not {', '.join(given)}")
    return options
