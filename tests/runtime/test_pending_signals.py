"""Signals that come while the main thread is in the engine's own code: raised as soon as it comes back from there."""

from __future__ import annotations

import signal

import pytest

from millrace import Engine, Event, StateType, TerminationSignal, flow, task
from millrace.runtime.signals import PENDING

SIGNALS = pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminationSignal)]
)


@task
def double(number: int) -> int:
    return 2 * number


@SIGNALS
def test_a_signal_is_raised_by_the_call_in_whose_middle_it_comes(number: int, kind: type[BaseException]) -> None:
    ended: list[Event] = []
    begun: list[int] = []

    def send(event: Event) -> None:
        if event.state.type is StateType.COMPLETED:
            ended.append(event)
            if len(ended) == 3:
                signal.raise_signal(number)

    @flow
    def body() -> None:
        for each in range(10_000):
            begun.append(each)
            double(each)

    with Engine() as engine:
        engine.subscribe(send)
        with pytest.raises(kind):
            body()

    assert begun == [0, 1, 2]
    assert not PENDING


@SIGNALS
def test_it_is_not_raised_in_a_callback_that_the_engine_has_called(number: int, kind: type[BaseException]) -> None:
    went_on: list[str] = []

    def call(_future: object) -> None:
        signal.raise_signal(number)
        double(1)
        went_on.append("in the callback")

    @flow
    def body() -> None:
        future = double.submit(1)
        future.wait()
        future.add_done_callback(call)
        went_on.append("behind it")
        for each in range(10_000):
            double(each)
        went_on.append("to the end")

    with Engine(), pytest.raises(kind):
        body()

    assert went_on[0] == "in the callback"
    assert "to the end" not in went_on
    assert not PENDING
