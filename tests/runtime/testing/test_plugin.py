"""The fixtures of the pytest plugin, in test runs of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

pytest_plugins = ("pytester",)

ROOT = Path(__file__).parents[3]
OutcomeOf = Callable[..., pytest.RunResult]

FLOWS = """
import asyncio
import threading

import pytest

from millrace import concurrency, flow, task
from millrace.runtime.testing import assert_completed, assert_failed, assert_states


@task(retries=3, retry_delay_seconds=[1, 5, 30])
async def fetch(url):
    return len(url)


@task(retries=3, retry_delay_seconds=[1, 5, 30])
def load(url):
    return len(url)


@flow
async def crawl(urls):
    return sum(await fetch.map(urls))


@flow
def report(urls):
    return sum(load.map(urls).result())


@flow
async def for_ever():
    await asyncio.Event().wait()
"""


@pytest.fixture
def outcome_of(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> OutcomeOf:
    """Runs tests in a process of their own, with the plugin as it is found by its entry point."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(flows=FLOWS)

    def run(tests: str, *more: str) -> pytest.RunResult:
        pytester.makepyfile("from flows import *\n\n" + dedent(tests))
        options = ("-p", "anyio", "-p", "millrace.runtime.testing.plugin", "-p", "no:cacheprovider", "-W", "error")
        return pytester.runpytest_subprocess(*options, *more, timeout=60)

    return run


def test_delays_pass_in_virtual_time_in_async_and_in_sync_tests(outcome_of: OutcomeOf) -> None:
    outcome_of(
        """
        pytestmark = pytest.mark.anyio

        @pytest.fixture(params=["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
        def anyio_backend(request):
            return request.param

        async def test_crawl_retries(millrace_engine, millrace_clock):
            with millrace_engine.fail(fetch, attempts=2, error=TimeoutError()):
                assert await crawl(["a", "bc"]) == 3
            assert millrace_clock.elapsed == 6

        def test_report_retries(millrace_engine, millrace_clock):
            with millrace_engine.fail(load, attempts=2, error=TimeoutError):
                assert report(["a", "bc"]) == 3
            assert millrace_clock.elapsed == 6

        async def test_runs_are_seen(millrace_engine):
            with millrace_engine.fail(fetch):
                await crawl(["a"])
            (run,) = millrace_engine.runs(fetch)
            assert assert_completed(run) == 1
            assert_states(run, "Pending", "Running", "AwaitingRetry", "Retrying", "Completed")
            assert_completed(millrace_engine.runs(crawl)[0])

        async def test_what_fails_is_seen(millrace_engine):
            with millrace_engine.fail(fetch, attempts=None, error=TimeoutError("too late")):
                state = await crawl(["a"], return_state=True)
            assert str(assert_failed(state, TimeoutError, "late")) == "too late"

        async def test_the_clock_can_be_advanced(millrace_engine, millrace_clock):
            begun = asyncio.Event()

            @task(timeout_seconds=10)
            async def patient():
                begun.set()
                await asyncio.Event().wait()

            future = patient.submit()
            await begun.wait()
            millrace_clock.advance(10)
            state = await future.wait_async()
            assert state.name == "TimedOut"

        def test_without_the_fixture_nothing_is_different():
            from millrace import Engine
            from millrace.runtime.testing import VirtualEngine
            assert report([]) == 0
            assert not isinstance(Engine.current(), VirtualEngine)
        """
    ).assert_outcomes(passed=10)


def test_a_test_that_leaves_something_running_is_an_error(outcome_of: OutcomeOf) -> None:
    result = outcome_of(
        """
        gate = threading.Event()

        @task
        def block():
            gate.wait()

        @pytest.mark.anyio
        async def test_leaves_a_flow(millrace_engine):
            future = millrace_engine.start(for_ever)
            await asyncio.sleep(0)

        @pytest.mark.anyio
        async def test_leaves_a_task(millrace_engine):
            fetch.with_options(name="held").submit("a")
            future = task(asyncio.Event.wait).submit(asyncio.Event())

        def test_leaves_a_thread(millrace_engine):
            future = block.submit()
            while not future.state.is_running():
                pass
            future.cancel()

        def test_leaves_a_flow_in_a_loop_of_the_engines(millrace_engine):
            millrace_engine.start(for_ever)

        def test_leaves_a_slot(millrace_engine):
            millrace_engine.limits.create("db", 1)
            concurrency("db").__enter__()

        def test_the_next_one_is_clean(millrace_engine):
            gate.set()
            assert millrace_engine.stats().flow_runs == 0

        def test_fails_and_leaves_something(millrace_engine):
            millrace_engine.start(for_ever)
            assert False

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """
    )

    result.assert_outcomes(passed=6, failed=1, errors=5)
    result.stdout.re_match_lines(
        [
            r"The test left something behind:",
            r"  Flow run '[a-z]+-[a-z]+' of 'for_ever' is still Running\.",
            r"The test left something behind:",
            r"  Task run 'wait-\w+' of 'wait' is still Running\.",
            r"The test left something behind:",
            r"  1 of the engine's threads still run a body whose run was cancelled or timed out\.",
            r"The test left something behind:",
            r"  Flow run '[a-z]+-[a-z]+' of 'for_ever' is still Running\.",
            r"The test left something behind:",
            r"  A slot of 'db' is still held by code outside of any run\.",
        ]
    )


def test_the_fixtures_are_listed_with_what_they_are_for(outcome_of: OutcomeOf) -> None:
    listed = outcome_of("", "--fixtures")

    assert listed.ret == 0
    listed.stdout.re_match_lines([
        r"millrace_clock -- .*", r"    The time of `millrace_engine`: .*", r"millrace_engine -- .*",
        r"    An engine in virtual time, .*",
    ])  # fmt: skip
