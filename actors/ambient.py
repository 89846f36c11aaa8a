"""The two things that a state made by hand takes from its surroundings: the time, and an id.

Everything else on this floor is given its time and ids with the message it handles. But a user may
write `Completed()` or `AwaitingRetry()` anywhere, and such a state has a timestamp and an id when
somebody looks. This floor has no clock and no random source, so the upper floor installs both here,
once, on import; a simulation installs its own. This module decides only what happens where nothing
is installed. It does not know what time it is, nor how ids are made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from millrace.actors.errors import AmbientMissing

if TYPE_CHECKING:
    from uuid import UUID


def _no_clock() -> NoReturn:
    raise AmbientMissing("now_ns")


def _no_ids() -> NoReturn:
    raise AmbientMissing("new_id")


_now_ns: Callable[[], int] = _no_clock
_new_id: Callable[[], UUID] = _no_ids


def install(*, now_ns: Callable[[], int] | None = None, new_id: Callable[[], UUID] | None = None) -> None:
    """Say where the time and ids come from; what is not given stays as it is.

    Args:
        now_ns: Gives the time in nanoseconds since the epoch, in UTC. Called from any thread.
        new_id: Gives an id that was never given before. Called from any thread.
    """
    global _now_ns, _new_id  # noqa: PLW0603 - one process has one clock, like one time.time()
    if now_ns is not None:
        _now_ns = now_ns
    if new_id is not None:
        _new_id = new_id


def now_ns() -> int:
    """The time in nanoseconds since the epoch.

    Raises:
        AmbientMissing: Nobody has installed a clock.
    """
    return _now_ns()


def new_id() -> UUID:
    """An id that was never given before.

    Raises:
        AmbientMissing: Nobody has installed a source of ids.
    """
    return _new_id()
