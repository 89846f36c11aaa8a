"""Entering: which engine was entered, in which context and on which loop.

Decides which one counts: the one that was entered in the context at hand; else the one that was entered last on the
loop that runs here, and has not been left; else one that stands in for the default engine. A server calls the start-up
code of an application in one task and its handlers in others, so what the former enters is in no context of the latter.
Nothing is held: an engine that nobody has any more, or a loop, is forgotten though it was never left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from millrace.runtime.running import running_loop

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine

ENTERED: ContextVar[Engine | None] = ContextVar("millrace_engine", default=None)
"""The engine that was entered in this context."""

# By loop: what was entered there and not left, in that order. Weakly: an engine holds the lanes of its loops, and
# a key that is held by its value never goes.
_on_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, list[ref[Entry]]] = WeakKeyDictionary()

_stand_ins: list[Engine] = []  # in place of the default engine; the last one counts


class Entry:
    """One `async with` of an engine, from its beginning to its end. Made on a loop, and held by the engine.

    Args:
        engine: The engine.
    """

    __slots__ = ("__weakref__", "_loop", "_token", "engine")

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        loop = asyncio.get_running_loop()
        self._loop = ref(loop)
        _on_loop.setdefault(loop, []).append(ref(self))
        self._token = ENTERED.set(engine)

    def leave_context(self) -> None:
        """The block is over: the engine around it counts again in this context."""
        try:
            ENTERED.reset(self._token)
        except ValueError:  # left in another context than it was entered in, as some test fixtures are
            ENTERED.set(None)

    def leave_loop(self) -> None:
        """The engine is closed: the one that was entered before it counts again on the loop."""
        loop = self._loop()
        if loop is None:
            return
        entries = _on_loop[loop]
        entries.remove(ref(self))
        if not entries:
            del _on_loop[loop]


def entered_engine() -> Engine | None:
    """The engine that was entered around the code at hand; None where there is none."""
    engine = ENTERED.get()
    if engine is None and _on_loop:
        engine = _entered_on_loop()
    if engine is None and _stand_ins:
        return _stand_ins[-1]
    return engine


def _entered_on_loop() -> Engine | None:
    loop = running_loop()
    if loop is not None:
        for each in reversed(_on_loop.get(loop, ())):
            entry = each()
            if entry is not None:
                return entry.engine
    return None


@contextmanager
def stand_in(engine: Engine) -> Generator[None]:
    """Put an engine in the place of the default one: for all calls, on every loop and thread, that are in no other."""
    _stand_ins.append(engine)
    try:
        yield
    finally:
        _stand_ins.remove(engine)
