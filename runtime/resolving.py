"""Resolving: a value with the futures in it replaced by their results, or by their states.

Decides nothing; it looks where `inputs` looks and takes outcomes as futures give them.
"""

from __future__ import annotations

from typing import Any

from millrace.runtime.futures import Future, refuse_to_block, take
from millrace.runtime.inputs import holds_futures, replace
from millrace.runtime.waiting import block_until_done


def resolve_futures_to_results(value: Any) -> Any:
    """Replace each future inside a value by its result; blocks until they have ended.

    Args:
        value: A future, or lists, tuples, sets, dicts, attrs classes or dataclasses with futures inside, at any depth.

    Returns:
        A value of the same structure; the same object where it holds none.

    Raises:
        BlockingCallOnLoop: one has not ended, and this is the thread of a loop.
        Exception: what the first failed run raised.
    """
    return replace(value, _result)


def resolve_futures_to_states(value: Any) -> Any:
    """Replace each future inside a value by its run's final state; blocks until they have ended.

    Args:
        value: As in `resolve_futures_to_results`.

    Returns:
        A value of the same structure; the same object where it holds none.

    Raises:
        BlockingCallOnLoop: one has not ended, and this is the thread of a loop.
    """
    return replace(value, _state) if holds_futures(value) else value


def _ended(future: Future[Any]) -> Any:
    source = future.source
    if not source.done:
        refuse_to_block(source, "resolving a future", "await the future")
        with source.lend():
            block_until_done(source, None)
    return source


def _result(future: Future[Any]) -> Any:
    return take(_ended(future), raise_on_failure=True)


def _state(future: Future[Any]) -> Any:
    source = _ended(future)
    source.see()
    return source.state
