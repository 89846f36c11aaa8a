"""Listeners: who is told of every accepted transition of an engine's runs.

Decides on which thread and when: with a store after the commit, on the thread that has written it; else in the turn
of the run. Where nobody listens, the journal has no sink, and no event is made.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

from millrace.actors.errors import ConfigurationError
from millrace.actors.events import Event, Journal
from millrace.runtime.hearing import HEARING
from millrace.runtime.one_line import engine_logger
from millrace.runtime.outcalls import log_raised

if TYPE_CHECKING:
    from millrace.runtime.stores.writer import StoreWriter

_logger = engine_logger("engine")

Listener = Callable[[Event], None]


class Listeners:
    """The listeners of one engine. From any thread.

    Args:
        journal: What events come from.
        writer: Of the engine's store, if it has one.
    """

    __slots__ = ("_journal", "_listeners", "_lock", "_writer")

    def __init__(self, journal: Journal, writer: StoreWriter | None) -> None:
        self._journal = journal
        self._writer = writer
        self._lock = Lock()
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Have one more listener; what is given ends that. See `Engine.subscribe`."""
        if not callable(listener):
            raise ConfigurationError("listener", listener, "a function of an event")
        with self._lock:
            self._listeners = [*self._listeners, listener]
            self._journal.sink = self._publish_here if self._writer is None else self._publish_later

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = [each for each in self._listeners if each is not listener]
                if not self._listeners:
                    self._journal.sink = None

        return unsubscribe

    def _publish_later(self, event: Event) -> None:
        """Nobody is to hear of what might not have been: the record comes first."""
        if self._writer is not None:
            self._writer.publish(self.publish, event)

    def _publish_here(self, event: Event) -> None:
        """In the turn of the run."""
        around, HEARING.event = HEARING.event, event
        try:
            self.publish(event)
        finally:
            HEARING.event = around

    def publish(self, event: Event) -> None:
        """Tell all of them, here and now."""
        for listener in self._listeners:
            try:
                listener(event)
            except BaseException as error:  # noqa: BLE001  # see there
                log_raised(_logger, error, "Listener %r raised, told of %s.", listener, event)
