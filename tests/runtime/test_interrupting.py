"""An exception that is raised in a body by another thread reaches the user's code, and nothing but that."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from millrace import Engine, TaskRunTimeoutError
from millrace.runtime.entering import ENTERED
from millrace.runtime.interrupting import Interruption
from tests.loose import task
from tests.runtime.worlds import PATIENCE


def overtime() -> TaskRunTimeoutError:
    return TaskRunTimeoutError("carve-001", 1.5)


def tick() -> None:
    """Something for a tight loop to call."""


class Body:
    """A body in a thread of its own, and what came of it."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.interruption = Interruption()
        self.begun = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self.behind: list[BaseException] = []
        self._fn = fn
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            try:
                self.value = self.interruption.call(self._fn, (self,), {})
            except BaseException as error:  # noqa: BLE001  # looked at by the test
                self.error = error
            for _ in range(50):
                tick()
        except BaseException as error:  # noqa: BLE001  # what must not be
            self.behind.append(error)

    def interrupt_when_begun(self) -> bool:
        assert self.begun.wait(PATIENCE)
        return self.interruption.interrupt(overtime())

    def is_in(self, file: str) -> bool:
        """Whether the thread is in the code of a file."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return frame is not None and frame.f_code.co_filename.endswith(file)

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def until_interrupted(body: Body) -> None:
    body.begun.set()
    while True:
        tick()


# What arrives.


def test_the_exception_is_raised_in_a_body_that_goes_on() -> None:
    body = Body(until_interrupted)

    assert body.interrupt_when_begun()
    body.join()
    assert isinstance(body.error, TaskRunTimeoutError)
    assert (body.error.run, body.error.seconds, str(body.error)) == ("carve-001", 1.5, str(overtime()))


def test_a_body_can_catch_it_as_what_it_is_and_clean_up() -> None:
    steps: list[str] = []

    def catches(body: Body) -> str:
        try:
            until_interrupted(body)
        except TaskRunTimeoutError:
            steps.append("caught")
        finally:
            steps.append("cleaned")
        return "swallowed"

    body = Body(catches)
    assert body.interrupt_when_begun()
    body.join()
    assert steps == ["caught", "cleaned"]
    assert (body.value, body.error, body.behind) == ("swallowed", None, [])


def test_a_body_is_interrupted_once() -> None:
    def goes_on(body: Body) -> int:
        times = 0
        for _ in range(3):
            try:
                until_interrupted(body)
            except TaskRunTimeoutError:
                times += 1
                if times == 1:
                    second.set()
                    assert go_on.wait(PATIENCE)
                    return times
        return times

    second, go_on = threading.Event(), threading.Event()
    body = Body(goes_on)
    assert body.interrupt_when_begun()
    assert second.wait(PATIENCE)
    assert not body.interruption.interrupt(overtime())
    go_on.set()
    body.join()
    assert (body.value, body.behind) == (1, [])


def test_a_body_that_raises_in_this_moment_raises_one_of_the_two() -> None:
    def raises(body: Body) -> None:
        try:
            until_interrupted(body)
        finally:
            raise KeyError("mine")

    body = Body(raises)
    assert body.interrupt_when_begun()
    body.join()
    assert isinstance(body.error, KeyError)
    assert isinstance(body.error.__context__, TaskRunTimeoutError)


def test_who_waits_in_a_call_into_c_is_interrupted_when_it_returns() -> None:
    gate = threading.Event()
    after: list[str] = []

    def waits(body: Body) -> None:
        body.begun.set()
        gate.wait(PATIENCE)
        after.append("went on")

    body = Body(waits)
    assert body.interrupt_when_begun()
    gate.set()
    body.join()
    assert isinstance(body.error, TaskRunTimeoutError)
    assert after == []


def test_arguments_and_results_pass_through() -> None:
    def fn(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert Interruption().call(fn, (1, 2), {"three": 3}) == ((1, 2), {"three": 3})


# What does not.


def test_a_body_that_has_not_begun_is_not_interrupted() -> None:
    interruption = Interruption()

    assert not interruption.pending
    assert not interruption.interrupt(overtime())


def test_a_body_that_was_left_is_not_interrupted() -> None:
    body = Body(lambda _: "done")
    body.join()

    assert not body.interruption.pending
    assert not body.interruption.interrupt(overtime())
    assert (body.value, body.behind) == ("done", [])


def test_between_two_steps_of_a_generator_nobody_is_interrupted() -> None:
    steps = iter([1, 2])
    interruption = Interruption()

    assert interruption.call(next, (steps,), {}) == 1
    assert not interruption.interrupt(overtime())
    assert interruption.call(next, (steps,), {}) == 2


def test_a_step_may_be_taken_in_another_thread_than_the_one_before() -> None:
    interruption = Interruption()
    interruption.call(tick, (), {})
    body = Body(lambda each: each.begun.set() or interruption.call(until_interrupted, (each,), {}))

    assert body.begun.wait(PATIENCE)
    while not interruption.interrupt(overtime()):
        tick()
    body.join()
    assert isinstance(body.error, TaskRunTimeoutError)


def test_the_body_keeps_nothing_alive_when_it_is_left() -> None:
    interruption = Interruption()
    with pytest.raises(KeyError):
        interruption.call({}.__getitem__, (1,), {})

    assert interruption._base is None


def test_the_engines_own_code_that_a_body_calls_is_not_interrupted() -> None:
    """Found by submitting in a loop: one in six timeouts hit the engine between counting a run and starting it."""
    engine = Engine(threads=1)
    inside, go_on = threading.Event(), threading.Event()

    def quick() -> None:
        inside.set()
        assert go_on.wait(PATIENCE)

    direct = task(quick)

    def calls(body: Body) -> str:
        ENTERED.set(engine)
        body.begun.set()
        direct()
        return "undisturbed"

    body = Body(calls)
    assert inside.wait(PATIENCE)
    assert body.interruption.pending
    assert not body.interruption.interrupt(overtime())
    go_on.set()
    body.join()
    assert (body.value, body.error, body.behind) == ("undisturbed", None, [])
    engine.close()


def test_whatever_the_engine_does_for_a_body_is_whole_afterwards() -> None:
    """Each body calls the engine as fast as it can and is interrupted somewhere: no run is lost on the way."""
    engine = Engine(threads=2)

    @task
    def child() -> int:
        return 1

    def calls(body: Body) -> None:
        ENTERED.set(engine)
        body.begun.set()
        while True:
            child()
            child.submit()

    for _ in range(80):
        body = Body(calls)
        body.interrupt_when_begun()
        body.join()
        assert isinstance(body.error, TaskRunTimeoutError)
        assert body.behind == []
    engine.close()
    assert engine.stats().task_runs == 0


def test_a_body_that_waits_in_the_engine_is_interrupted_when_it_has_waited() -> None:
    engine = Engine(threads=1)
    gate = threading.Event()
    after: list[str] = []

    @task
    def slow() -> None:
        assert gate.wait(PATIENCE)

    def waits(body: Body) -> None:
        ENTERED.set(engine)
        slow.submit().result(timeout=PATIENCE)
        after.append("went on")

    body = Body(waits)
    while not body.is_in("runtime/waiting.py"):
        tick()
    assert not body.interruption.interrupt(overtime())
    gate.set()
    body.join()
    assert isinstance(body.error, TaskRunTimeoutError)
    assert (after, body.behind) == ([], [])
    engine.close()


def test_a_body_that_is_called_directly_by_another_is_not_interrupted_in_its_place() -> None:
    engine = Engine(threads=1)
    inside, go_on = threading.Event(), threading.Event()
    steps: list[str] = []

    @task
    def leaf() -> None:
        steps.append("leaf")

    @task
    def inner() -> None:
        inside.set()
        assert go_on.wait(PATIENCE)
        leaf()
        steps.append("inner")

    def outer(_: Body) -> None:
        ENTERED.set(engine)
        inner()
        steps.append("outer")
        leaf()
        steps.append("never")

    body = Body(outer)
    assert inside.wait(PATIENCE)
    assert not body.interruption.interrupt(overtime())
    go_on.set()
    body.join()
    assert steps == ["leaf", "inner", "outer"]
    assert isinstance(body.error, TaskRunTimeoutError)
    engine.close()


# Races.


@pytest.fixture
def _eager_switches() -> Iterator[None]:
    """Let threads take turns as often as they can, and nobody collect garbage: what that calls swallows exceptions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    gc.disable()
    yield
    gc.enable()
    sys.setswitchinterval(before)


class Interrupter:
    """A thread that interrupts one body after another, each a while after it has begun."""

    def __init__(self) -> None:
        self.turns: SimpleQueue[tuple[Interruption, list[str], int] | None] = SimpleQueue()
        self.outcomes: SimpleQueue[bool] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        for interruption, signs, pause in iter(self.turns.get, None):
            while not interruption.pending and not signs:
                tick()
            signs.append("about to interrupt")
            for _ in range(pause):
                tick()
            self.outcomes.put(interruption.interrupt(overtime()))

    def race(self, pause: int) -> tuple[bool, bool]:
        """Call a body that ends soon after somebody is about to interrupt it: whether that came, and was sent."""
        interruption, signs = Interruption(), list[str]()
        self.turns.put((interruption, signs, pause))
        came = False
        try:
            interruption.call(self._ends_soon, (signs,), {})
        except TaskRunTimeoutError:
            came = True
        for _ in range(5):
            tick()
        return came, self.outcomes.get(timeout=PATIENCE)

    @staticmethod
    def _ends_soon(signs: list[str]) -> None:
        while not signs:
            tick()
        for _ in range(100):
            tick()


@pytest.mark.usefixtures("_eager_switches")
def test_an_exception_never_arrives_behind_the_body_that_ends_in_that_moment() -> None:
    """One thread leaves bodies that are over at once, another one interrupts them: thousands of near misses."""
    rounds = 2_000
    interrupter = Interrupter()
    behind: list[BaseException] = []
    outcomes: list[tuple[bool, bool]] = []
    pause = 100.0  # longer after each exception that came in time, shorter after each that did not
    for _ in range(rounds):
        try:
            outcomes.append(interrupter.race(round(pause)))
        except TaskRunTimeoutError as error:
            behind.append(error)
            continue
        pause = min(1.5 * pause, 10_000) if outcomes[-1][0] else max(pause / 1.5, 1)
    interrupter.turns.put(None)
    interrupter.thread.join(PATIENCE)

    assert behind == []
    assert set(outcomes) == {(True, True), (False, False)}  # what was sent has come, and nothing else has
