"""The pytest plugin: an engine and a clock for each test that asks for them.

Decides when the engine of a test begins and ends. It is the engine of all calls that the test makes in no other one, on
whatever loop and thread. Imported by pytest, which finds it by an entry point; nothing else imports pytest here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from millrace.runtime.entering import stand_in
from millrace.runtime.testing.clock import VirtualClock
from millrace.runtime.testing.ending import end, end_blocking
from millrace.runtime.testing.engine import VirtualEngine

_LEFT = pytest.StashKey[list[str]]()
_FAILED = pytest.StashKey[bool]()


@pytest.fixture
def millrace_clock() -> VirtualClock:
    """The time of `millrace_engine`: `advance(seconds)` lets it pass, `elapsed` says how much has."""
    return VirtualClock()


@pytest.fixture
def millrace_engine(request: pytest.FixtureRequest, millrace_clock: VirtualClock) -> Generator[VirtualEngine]:
    """An engine in virtual time, for all calls of the test. A test that leaves something running is an error."""
    engine = VirtualEngine(millrace_clock, seed=request.node.nodeid)
    with stand_in(engine):
        yield engine
        left = request.node.stash.get(_LEFT, []) + end_blocking(engine)
    if left and not request.node.stash.get(_FAILED, False):
        pytest.fail("The test left something behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """End the engine of an async test on its loop: when the loop has been closed, nobody can tell what was left.

    Whatever plugin runs the test, it does so inside of this, and takes the function that the item has then.
    """
    engine = item.funcargs.get("millrace_engine") if isinstance(item, pytest.Function) else None
    if not isinstance(item, pytest.Function) or not isinstance(engine, VirtualEngine):
        return (yield)
    test = item.obj
    if inspect.iscoroutinefunction(test):
        item.obj = _ended(test, item, engine)
    try:
        return (yield)
    except BaseException:
        item.stash[_FAILED] = True  # why it has left something is no question then
        raise
    finally:
        item.obj = test


def _ended(
    test: Callable[..., Awaitable[None]], item: pytest.Function, engine: VirtualEngine
) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def ended(*args: Any, **kwargs: Any) -> None:
        await test(*args, **kwargs)
        item.stash[_LEFT] = await end(engine)

    return ended
