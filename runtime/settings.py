"""Settings: what the environment says.

Decides which `MILLRACE_…` variables there are, what each takes, and what holds where one is not set or empty. Nothing
is read before somebody asks. A variable is looked up each time, and its text is parsed again only when it has changed.
Does not know what comes before a setting, such as an option of a task: whoever has the option asks only without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from millrace.actors.errors import ConfigurationError
from millrace.actors.seconds import LONGEST_DELAY_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

_YES = frozenset({"1", "true", "t", "yes", "y", "on"})
_SHORTEST_KEY: Final = 16
_NO = frozenset({"0", "false", "f", "no", "n", "off"})


class Setting(Generic[T]):
    """One variable of the environment.

    Args:
        name: The variable.
        parse: Makes a value of its text, which has no space around it; a ValueError says that it cannot be one.
        expected: What it takes, as the end of a sentence.
        default: What holds where it is not set.
        secret: Its text is shown nowhere.
    """

    __slots__ = ("_parsed", "default", "expected", "name", "parse", "secret")

    def __init__(
        self, name: str, parse: Callable[[str], T], expected: str, default: T, *, secret: bool = False
    ) -> None:
        self.name = name
        self.parse = parse
        self.expected = expected
        self.default = default
        self.secret = secret
        self._parsed: tuple[str, T] | None = None  # the last text, and its value

    def read(self) -> T:
        """The value at this moment.

        Raises:
            ConfigurationError: the text is not what is expected; it names the variable.
        """
        text = os.environ.get(self.name)
        if text is None:
            return self.default
        parsed = self._parsed
        if parsed is None or parsed[0] != text:
            stripped = text.strip()
            try:
                parsed = text, self.parse(stripped) if stripped else self.default
            except ValueError:
                raise ConfigurationError(self.name, "***" if self.secret else text, self.expected) from None
            self._parsed = parsed
        return parsed[1]


def _key(text: str) -> bytes:
    key = text.encode()
    if len(key) < _SHORTEST_KEY:
        raise ValueError
    return key


def whole_number(name: str, value: object, least: int) -> int:
    """Check a whole number that a user wrote, as a number or as text.

    Args:
        name: The option or the variable.
        value: What it was given.
        least: The smallest that may be.

    Raises:
        ConfigurationError: it is no whole number, or smaller.
    """
    try:
        number = int(str(value))
    except ValueError:
        number = least - 1
    if number < least:
        raise ConfigurationError(name, value, _whole(least))
    return number


def local_storage_path() -> Path:
    """The folder for results that are kept in files; `~` stands for the user's home, wherever that is at the moment.

    Raises:
        ConfigurationError: the path starts with `~`, and it is not known where that is.
    """
    from pathlib import Path  # noqa: PLC0415  # few programs keep results in files, and it takes a while

    path = Path(LOCAL_STORAGE_PATH.read())
    try:
        return path.expanduser()
    except RuntimeError:
        expected = f"{LOCAL_STORAGE_PATH.expected}; without '~' here, as there is no such home folder"
        raise ConfigurationError(LOCAL_STORAGE_PATH.name, str(path), expected) from None


def _whole(least: int) -> str:
    return f"a whole number, {least} or more"


def _number_setting(name: str, least: int, default: T) -> Setting[int | T]:
    return Setting(name, lambda text: whole_number(name, text, least), _whole(least), default)


def _delay(text: str) -> float:
    delay = float(text)
    if not 0 <= delay <= LONGEST_DELAY_SECONDS:
        raise ValueError(text)
    return delay


def _seconds(text: str) -> float:
    seconds = _delay(text)
    if not seconds:
        raise ValueError(text)
    return seconds


def _delays(text: str) -> float | tuple[float, ...]:
    parts = text.split(",")
    return _delay(text) if len(parts) == 1 else tuple(_delay(part) for part in parts)


def _delays_setting(name: str) -> Setting[float | tuple[float, ...] | None]:
    expected = f"a number of seconds from 0 to {LONGEST_DELAY_SECONDS:,}, or several with commas between them"
    return Setting(name, _delays, expected, None)


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in _YES | _NO:
        raise ValueError(text)
    return word in _YES


def _flag_setting(name: str) -> Setting[bool]:
    return Setting(name, _flag, "true or false", default=False)


def _limits(text: str) -> Mapping[str, Any]:
    from millrace.runtime.limits.amounts import parse_limits  # noqa: PLC0415  # few programs have any

    return parse_limits(text)


TASK_DEFAULT_RETRIES: Final = _number_setting("MILLRACE_TASK_DEFAULT_RETRIES", 0, 0)
"""How often a task that does not say so itself is tried again."""

TASK_DEFAULT_RETRY_DELAY_SECONDS: Final = _delays_setting("MILLRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS")
"""Seconds to wait before each retry of such a task, as `RetryPolicy.of` takes them; None for no delay."""

FLOW_DEFAULT_RETRIES: Final = _number_setting("MILLRACE_FLOW_DEFAULT_RETRIES", 0, 0)
"""How often a flow that does not say so itself is run again."""

FLOW_DEFAULT_RETRY_DELAY_SECONDS: Final = _delays_setting("MILLRACE_FLOW_DEFAULT_RETRY_DELAY_SECONDS")
"""Seconds to wait before each retry of such a flow; None for no delay."""

RESULTS_PERSIST_BY_DEFAULT: Final = _flag_setting("MILLRACE_RESULTS_PERSIST_BY_DEFAULT")
"""Whether results are kept in a storage where nobody says."""

RESULTS_DEFAULT_SERIALIZER: Final = Setting("MILLRACE_RESULTS_DEFAULT_SERIALIZER", str, "a serializer's tag", "pickle")
"""The tag of the serializer of results."""

DEFAULT_RESULT_STORAGE: Final[Setting[str | None]] = Setting(
    "MILLRACE_DEFAULT_RESULT_STORAGE", str, "a folder or a URL", None
)
"""Where results are kept: a folder or a URL; None for the folder of `local_storage_path`."""

LOCAL_STORAGE_PATH: Final = Setting("MILLRACE_LOCAL_STORAGE_PATH", str, "a folder", "~/.millrace/storage")
"""The folder for results that are kept in files; read it with `local_storage_path`."""

TASKS_REFRESH_CACHE: Final = _flag_setting("MILLRACE_TASKS_REFRESH_CACHE")
"""Whether tasks that do not say so themselves run although their result is in the cache, and write it anew."""

TASKS_DISABLE_CACHING: Final = _flag_setting("MILLRACE_TASKS_DISABLE_CACHING")
"""Whether no task uses a cache, whatever its policy."""

LOGGING_LOG_PRINTS: Final = _flag_setting("MILLRACE_LOGGING_LOG_PRINTS")
"""Whether `print` goes to the run logger where neither the task nor a flow around it says."""

LIMITS: Final[Setting[Mapping[str, Any]]] = Setting(
    "MILLRACE_LIMITS", _limits, "limits with commas between them, as in 'http=20, api=100/60, gpu=adaptive:4'", {}
)
"""The limits of every engine, by name."""

STORE: Final[Setting[str | None]] = Setting("MILLRACE_STORE", str, "the URL of a store", None)
"""Where the runs of an engine that is told nothing else are recorded; None: nowhere."""

STORE_RESULT_LIMIT: Final[Setting[int]] = _number_setting("MILLRACE_STORE_RESULT_LIMIT", 0, 2 * 1024 * 1024)
"""How many bytes a result may have to be recorded in a store; a larger one leaves a note."""

STORE_KEY: Final[Setting[bytes | None]] = Setting(
    "MILLRACE_STORE_KEY", _key, "at least 16 characters that nobody else knows", None, secret=True
)
"""What the values in a store are sealed with; None: they are not."""

THREADS: Final[Setting[int | None]] = _number_setting("MILLRACE_THREADS", 1, None)
"""How many threads an engine may run bodies in at once; None for as many as suit the machine."""

MONITOR: Final[Setting[float | None]] = Setting("MILLRACE_MONITOR", _seconds, "a number of seconds above 0", None)
"""After how many seconds without an answer it is said where a loop is blocked; None: nobody looks."""

SETTINGS: Final[tuple[Setting[Any], ...]] = (
    TASK_DEFAULT_RETRIES,
    TASK_DEFAULT_RETRY_DELAY_SECONDS,
    FLOW_DEFAULT_RETRIES,
    FLOW_DEFAULT_RETRY_DELAY_SECONDS,
    RESULTS_PERSIST_BY_DEFAULT,
    RESULTS_DEFAULT_SERIALIZER,
    DEFAULT_RESULT_STORAGE,
    LOCAL_STORAGE_PATH,
    TASKS_REFRESH_CACHE,
    TASKS_DISABLE_CACHING,
    LOGGING_LOG_PRINTS,
    LIMITS,
    STORE,
    STORE_RESULT_LIMIT,
    STORE_KEY,
    THREADS,
    MONITOR,
)
"""Every setting."""
