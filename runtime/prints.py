"""Prints: `print` in a body that logs them goes to the logger of its run.

Decides which prints those are: where somebody listens to the logger, what a capturing body prints, and what the
asyncio tasks, the threads and the calls in pools of threads print that it starts, as long as it runs itself. Of bodies
in one another the innermost decides. Does not know runs: the logger comes from outside.

`print` is replaced only while a body captures, and so is what starts threads, because a thread begins with an empty
context. What other code has put in their place meanwhile stays there. A handler of logs that prints is not captured.
"""

from __future__ import annotations

import builtins
import functools
import io
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar, Token
from threading import RLock, Thread
from typing import Any, Final, TypeVar

from millrace.runtime.settings import LOGGING_LOG_PRINTS

R = TypeVar("R")

Logger = logging.Logger | logging.LoggerAdapter[Any]

_PRINT: Final = builtins.print

_APART: Final = ("millrace.", "logging.")
"""Modules whose threads serve more than the body that happens to start them. One that hands records to a handler which
prints would even feed itself."""


def logs_prints(option: bool | None, around: bool | None) -> bool:  # noqa: FBT001  # never literals
    """Whether the prints of a run go to its logger.

    Args:
        option: What its task or flow says, if anything.
        around: Whether those of the flow run around it do; None outside of any.

    Raises:
        ConfigurationError: neither says, and the setting that decides then has a value that it cannot have.
    """
    if option is not None:
        return option
    return LOGGING_LOG_PRINTS.read() if around is None else around


class _Capture:
    """A context manager for the time in which a body runs. See `capture_prints`."""

    __slots__ = ("_logger_factory", "_token")

    def __init__(self, logger_factory: Callable[[], Logger | None]) -> None:
        self._logger_factory: Callable[[], Logger | None] | None = logger_factory  # None: the body has ended
        self._token: Token[_Capture | _Carried | None] | None = None

    def __enter__(self) -> None:
        self._token = _captured_by.set(self)
        _patches.hold()

    def __exit__(self, *_: object) -> None:
        self._logger_factory = None
        _patches.release()
        token, self._token = self._token, None  # it holds a context, and with that the run
        _give_back(token)

    @property
    def ended(self) -> bool:
        return self._logger_factory is None

    def logger(self) -> Logger | None:
        make = self._logger_factory
        if make is None:
            return None
        token = _captured_by.set(None)  # what it prints itself would ask it for a logger
        try:
            return make()
        finally:
            _captured_by.reset(token)

    def carried(self) -> _Carried | None:
        logger = self.logger()
        return None if logger is None else _Carried(self, logger)


class _Carried:
    """A capture in a thread, with the logger of where that was started: the run is not in the thread's context."""

    __slots__ = ("_capture", "_logger")

    def __init__(self, capture: _Capture, logger: Logger) -> None:
        self._capture = capture
        self._logger = logger

    def logger(self) -> Logger | None:
        return None if self._capture.ended else self._logger

    def carried(self) -> _Carried | None:
        return None if self._capture.ended else self


class _Release:
    """A context manager for a body whose prints are not captured, inside of one whose are."""

    __slots__ = ("_token",)

    def __init__(self) -> None:
        self._token: Token[_Capture | _Carried | None] | None = None

    def __enter__(self) -> None:
        self._token = _captured_by.set(None)

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        _give_back(token)


AS_EVER: Final = nullcontext()
"""What stands around a body whose prints go where they always go."""

_captured_by: ContextVar[_Capture | _Carried | None] = ContextVar("millrace_prints", default=None)


def _give_back(token: Token[_Capture | _Carried | None] | None) -> None:
    if token is not None:
        with suppress(ValueError):  # a coroutine that was dropped is closed in any context; its own one is gone
            _captured_by.reset(token)


def capture_prints(logger_factory: Callable[[], Logger | None] | None) -> AbstractContextManager[None]:
    """Have what a body prints go to a logger.

    `with capture_prints(get_run_logger):` stands around the body. It is made and entered in the context that the body
    runs in, and each run needs one of its own: prints are captured until its body has ended. What is printed to
    anything but `sys.stdout` and `sys.stderr` is printed there as ever.

    Args:
        logger_factory: Asked at every print, in the context of that. The logger gets messages of level INFO, without
            what is blank at their ends; where there is none, that is printed as ever. None: print as ever, also inside
            of a body whose prints are captured.

    Returns:
        The context manager, good for one time.
    """
    if logger_factory is None:
        return _Release() if _captured_by.get() is not None else AS_EVER
    return _Capture(logger_factory)


# What stands in the place of others while a body captures. Outside of such a body it does what they do.


def _printing(original: Callable[..., R]) -> Callable[..., R | None]:
    @functools.wraps(original)
    def print_or_log(*values: Any, **options: Any) -> R | None:
        capture = _captured_by.get()
        logger = None if capture is None or not _is_terminal(options.get("file")) else capture.logger()
        if logger is None or not _is_heard(logger):
            return original(*values, **options)
        options["file"] = text = io.StringIO()
        _PRINT(*values, **options)
        token = _captured_by.set(None)  # a handler may print: it must not wait for itself, nor go on for ever
        try:
            logger.info(text.getvalue().rstrip(), stacklevel=2)
        finally:
            _captured_by.reset(token)
        return None

    return print_or_log


def _is_heard(logger: Logger) -> bool:
    """Whether what is logged gets anywhere. Where logging was not set up, prints are better printed than lost."""
    if not logger.isEnabledFor(logging.INFO):
        return False
    found: logging.Logger | None = logger.logger if isinstance(logger, logging.LoggerAdapter) else logger
    while found is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in found.handlers):
            return True
        found = found.parent if found.propagate else None
    return False


def _starting(original: Callable[[Thread], None]) -> Callable[[Thread], None]:
    @functools.wraps(original)
    def start(thread: Thread) -> None:
        capture = _captured_by.get()
        carried = None if capture is None or _is_apart(thread) else capture.carried()
        if carried is None:
            original(thread)
            return
        take_out = _put_into(thread, carried)
        try:
            original(thread)
        except BaseException:
            take_out()
            raise

    return start


def _submitting(original: Callable[..., R]) -> Callable[..., R]:
    @functools.wraps(original)
    def submit(pool: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> R:
        capture = _captured_by.get()
        carried = None if capture is None else capture.carried()
        if carried is None:
            return original(pool, fn, *args, **kwargs)
        token = _captured_by.set(None)  # a thread that the pool starts now will serve others too
        try:
            return original(pool, functools.partial(_call_with, carried, fn), *args, **kwargs)
        finally:
            _captured_by.reset(token)

    return submit


def _is_terminal(file: object) -> bool:
    return file is None or file is sys.stdout or file is sys.stderr


def _is_apart(thread: Thread) -> bool:
    module = getattr(getattr(thread, "_target", None), "__module__", None)
    return isinstance(module, str) and f"{module}.".startswith(_APART)


def _put_into(thread: Thread, carried: _Carried) -> Callable[[], None]:
    """Have a thread begin with a capture; gives what undoes that."""
    run, attributes = thread.run, vars(thread)
    own = attributes.get("run")  # usually there is none, and the class has it

    def take_out() -> None:
        if own is None:
            attributes.pop("run", None)  # the thread was quicker, if what starts it was interrupted
        else:
            attributes["run"] = own

    def run_captured() -> None:
        take_out()
        _captured_by.set(carried)
        run()

    attributes["run"] = run_captured
    return take_out


def _call_with(carried: _Carried, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
    token = _captured_by.set(carried)
    try:
        return fn(*args, **kwargs)
    finally:
        _captured_by.reset(token)


class _Patch:
    """One attribute that is replaced while a body captures.

    Args:
        owner: The module or class that has it.
        name: Its name.
        wrap: Makes the new value of the present one.
    """

    def __init__(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        self._owner = owner
        self._name = name
        self._wrap = wrap
        self._original: Any = None
        self._ours: Any = None

    def put(self) -> None:
        """Put ours in its place, unless it stands there: somebody may have put it back after us."""
        found = getattr(self._owner, self._name)
        if found is not self._ours:
            # A new one each time: `found` may be what somebody has made around the last one.
            self._original, self._ours = found, self._wrap(found)
            setattr(self._owner, self._name, self._ours)

    def take(self) -> None:
        """Put back what was there, unless somebody has replaced ours."""
        if getattr(self._owner, self._name) is self._ours:
            setattr(self._owner, self._name, self._original)


class _Patches:
    """All that is replaced, and how many bodies capture."""

    def __init__(self) -> None:
        # Of the re-entrant kind: a coroutine may be dropped, and its capture left, wherever memory is allocated.
        self._lock = RLock()
        self._bodies = 0
        self._patches: list[_Patch] = []

    def hold(self) -> None:
        """A body captures from now on."""
        with self._lock:
            if not self._bodies:
                for patch in self._patches or self._made():
                    patch.put()
            self._bodies += 1

    def release(self) -> None:
        """A body has ended."""
        with self._lock:
            self._bodies -= 1
            if not self._bodies:
                for patch in self._patches:
                    patch.take()

    def _made(self) -> list[_Patch]:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # not loaded where prints are left alone

        self._patches = [
            _Patch(builtins, "print", _printing),
            _Patch(Thread, "start", _starting),
            _Patch(ThreadPoolExecutor, "submit", _submitting),
        ]
        return self._patches


_patches: Final = _Patches()
