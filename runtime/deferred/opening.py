"""Opening: which queue a run is put off to, and where one is found again.

Decides that a queue belongs to a store: to the one that is named, else to that of the engine at hand, else to the one
that the settings name. A store need not be open for that, nor belong to this process. Whoever has a store has that
store's own queue, which is closed with it; who has a URL has that of a store of this process, where there is one.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from millrace.actors.errors import ConfigurationError
from millrace.runtime.engine import Engine
from millrace.runtime.engines import engine_at_hand
from millrace.runtime.settings import STORE
from millrace.runtime.stores.opening import store_of

if TYPE_CHECKING:
    from millrace.runtime.deferred.port import Queue
    from millrace.runtime.stores.port import Store

_EXPECTED: Final = (
    "a store that has a queue: the URL of one, as 'sqlite:///runs.db', here, in Engine(store=...) or in MILLRACE_STORE;"
    " or, for workers of this process, Engine(store=MemoryStore())"
)

_known: WeakValueDictionary[str, Queue] = WeakValueDictionary()  # by URL
_opened: list[Queue] = []  # those that belong to no store of this process's, and stay until its end
_knowing = Lock()


def queue_for(option: Store | str | None) -> tuple[Queue, Engine | None]:
    """The queue that is meant, and the engine that has its store open in this process.

    Args:
        option: The store or its URL; None for that of the engine at hand, else that of the settings.

    Raises:
        ConfigurationError: there is no store, or it has no queue.
    """
    engine = engine_at_hand()
    store = None if engine is None or engine.chronicle is None else engine.chronicle.writer.store
    if store is not None and (option is None or option is store):
        return queue_of(store), engine
    named = STORE.read() if option is None else option
    if named is None:
        raise ConfigurationError("store", None, _EXPECTED)
    own = None if store is None or getattr(store, "queue", None) is None else queue_of(store)
    queue = _queue_named(named) if isinstance(named, str) else queue_of(named)
    return queue, engine if queue is own else None


def queue_of(store: Store) -> Queue:
    """The queue of a store, which is found by its URL from now on.

    Raises:
        ConfigurationError: it has none.
    """
    queue = _own_queue(store)
    with _knowing:
        _known[queue.url] = queue
    return queue


def _own_queue(store: Store) -> Queue:
    queue: Queue | None = getattr(store, "queue", None)
    if queue is None:
        raise ConfigurationError("store", store.name, _EXPECTED)
    return queue


def _queue_named(url: str) -> Queue:
    """The queue at the place of a store's URL: one for each place."""
    queue = _own_queue(store_of(url))
    with _knowing:
        known = _known.setdefault(queue.url, queue)
        if known is queue:
            _opened.append(queue)
        return known


def queue_at(url: str) -> Queue:
    """The queue that has a URL.

    Raises:
        ConfigurationError: it is in the memory of another process, or is over.
    """
    queue = _known.get(url)
    if queue is not None:
        return queue
    if url.startswith("memory:"):
        raise ConfigurationError("store", url, "a queue of this process; that one was in memory, and is gone")
    named = STORE.read()
    if named is not None:  # a URL of a server says not who connects; that is known where the settings name the same
        queue = _queue_named(named)
        if queue.url == url:
            return queue
    return _queue_named(url)
