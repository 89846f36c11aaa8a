"""Engines: which there are in this process, and which of them somebody finds who must not make one.

Decides when the default engine is made, and made anew: on first use, and after it was closed or the process forked.
What an engine does it does not know.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

from millrace.runtime.context import CURRENT
from millrace.runtime.entering import entered_engine
from millrace.runtime.settings import STORE

if TYPE_CHECKING:
    from uuid import UUID

    from millrace.runtime.engine import Engine

_default: list[Engine] = []
_default_lock = Lock()
_all: WeakSet[Engine] = WeakSet()  # of this process; weakly, as whoever made one holds it
_all_lock = Lock()  # guards that; taken inside of the other


def remember(engine: Engine) -> None:
    """An engine was made."""
    with _all_lock:
        _all.add(engine)


def default_engine() -> Engine:
    """The engine of calls that are made in no other; made on first use, and again after it was closed or forked."""
    with _default_lock:
        if not _default or _default[0].closed:
            from millrace.runtime.engine import Engine  # noqa: PLC0415  # which imports this

            _default[:] = [Engine(store=STORE.read())]
        return _default[0]


def engine_at_hand() -> Engine | None:
    """The engine that a call made here belongs to, without making one; None where one would have to be made."""
    run = CURRENT.get()
    if run is not None:
        return run.scope.engine
    entered = entered_engine()
    if entered is None and _default and not _default[0].closed:
        return _default[0]
    return entered


def engine_that_runs(run_id: UUID | str) -> Engine | None:
    """The engine of this process that runs a flow run, in whatever context it was entered; None where none does.

    Args:
        run_id: The flow run's id; what is none is nobody's.
    """
    with _all_lock:
        engines = list(_all)
    return next((each for each in engines if each.has_flow_run(run_id)), None)


def _forget_default() -> None:
    """A fork has none of its parent's threads: the child makes an engine of its own."""
    global _default_lock, _all_lock  # the parent may have held them at the fork
    _default_lock, _all_lock = Lock(), Lock()
    _default.clear()
    _all.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_default)
