"""The address: what the URL of a store says.

Decides which of its options are the store's and which the server's, and what may be shown of it: the host and the
database, and never who connects, nor with what password.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from millrace.actors.errors import ConfigurationError
from millrace.runtime.secret import Secret
from millrace.runtime.urls import masked

SCHEMES: Final = ("postgresql", "postgres")

SCHEMA: Final = "millrace"
"""The schema that the tables are in, where the URL names no other."""

_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LONGEST: Final = 63
"""How many letters a name may have on the server."""

_SYNCHRONOUS: Final = ("on", "off", "local", "remote_write", "remote_apply")
_DIGITS: Final = re.compile(r"\d{1,6}(\.\d{1,3})?")

RECONNECT_SECONDS: Final = 30.0
"""How long the store tries to get a lost connection back before it has failed."""


class Address:
    """Where a store is, and how it is to be used.

    Args:
        url: As `postgresql://user@host:5432/database`; with the options `schema`, `synchronous_commit` and
            `reconnect_seconds`, and all that asyncpg knows, as `sslmode`.

    Raises:
        ConfigurationError: it is none, or an option has a value that cannot be used.
    """

    __slots__ = ("_passwords", "dsn", "name", "reconnect_seconds", "schema", "synchronous_commit")

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            parts, given = urlsplit(""), {}
        if parts.scheme not in SCHEMES:
            raise ConfigurationError("store", masked(url), "a URL as 'postgresql://user@host:5432/database'")
        self.schema = _option(url, given, "schema", _IDENTIFIER, "a plain name in small letters") or SCHEMA
        self.synchronous_commit = given.pop("synchronous_commit", None)
        if self.synchronous_commit not in (None, *_SYNCHRONOUS):
            raise ConfigurationError("store", masked(url), f"synchronous_commit={', '.join(_SYNCHRONOUS)}")
        seconds = _option(url, given, "reconnect_seconds", _DIGITS, "a number of seconds")
        self.reconnect_seconds = RECONNECT_SECONDS if seconds is None else float(seconds)
        user, _, host = parts.netloc.rpartition("@")
        password = user.partition(":")[2]
        self._passwords = [each for each in (password, unquote(password), given.get("password", "")) if each]
        self.dsn = Secret(parts._replace(query=urlencode(given)).geturl())
        shown = f"postgresql://{host}{parts.path}"
        self.name = shown if self.schema == SCHEMA else f"{shown}?schema={self.schema}"

    def beside(self, suffix: str) -> Address:
        """The same with another schema: that of something that belongs to the store."""
        other = copy.copy(self)
        other.schema = self.schema[: _LONGEST - len(suffix)] + suffix
        return other

    def harmless(self, text: str) -> str:
        """What a driver says, without a password of this address in it."""
        for password in self._passwords:
            text = text.replace(password, "***")
        return text

    def __repr__(self) -> str:
        return f"Address({self.name!r})"


def _option(url: str, given: dict[str, str], name: str, form: re.Pattern[str], expected: str) -> str | None:
    value = given.pop(name, None)
    if value is not None and not form.fullmatch(value):
        raise ConfigurationError("store", masked(url), f"{expected} for '{name}'")
    return value


def settings_of(address: Address) -> Mapping[str, str]:
    """What each connection to an address has the server set.

    The owner of a group is fenced by a row that is looked at again when it was locked, which is what READ COMMITTED
    does. A connection that is idle for long is kept, and one whose host is gone is found dead within a minute.
    """
    return {
        "search_path": f'"{address.schema}"',
        "application_name": "millrace",
        "client_min_messages": "warning",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "idle_session_timeout": "0",
        "jit": "off",
        "tcp_keepalives_idle": "20",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    }
