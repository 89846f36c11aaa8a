"""Awaits: how much is looked at to find out who waits for whom. What comes of it is seen in the limiter's tests."""

from __future__ import annotations

from typing import Any

import attrs

from millrace.actors.awaits import Awaits

MANY = 50


@attrs.define(eq=False)
class Run:
    """A run of a flow run's, which depends on others and stands in a line that has not come to it."""

    scope: object = None
    needs: tuple[Any, ...] = ()
    lane: object = None
    held_back_in: object = None
    asked: int = 0

    def depends_on(self) -> list[Any]:
        self.asked += 1
        return list(self.needs)


@attrs.define(eq=False)
class Stream:
    """Stands for the runs of one flow run."""

    scopes: tuple[object, ...]
    asked: int = 0

    def covers(self, run: Any) -> bool:
        self.asked += 1
        return run.scope in self.scopes


def test_a_stream_is_asked_for_runs_of_its_own_flow_run_and_for_no_others() -> None:
    awaits = Awaits()
    scopes = [object() for _ in range(MANY)]
    streams = [Stream((scope,)) for scope in scopes]
    waiting = [Run() for _ in scopes]
    for run, stream in zip(waiting, streams, strict=True):
        awaits.add(run, stream)

    moment = awaits.at_this_moment()
    for scope, run in zip(scopes, waiting, strict=True):
        assert run in moment.waiting_for(Run(scope))
    assert [each.asked for each in streams] == [1] * MANY


def test_what_a_run_depends_on_is_asked_once_for_all_that_is_looked_at_in_one_moment() -> None:
    awaits = Awaits()
    line = object()
    late = Run(lane=line, held_back_in=line)
    targets = [Run(needs=(late,)) for _ in range(MANY)]
    waiting = [Run() for _ in targets]
    for run, target in zip(waiting, targets, strict=True):
        awaits.add(run, target)

    moment = awaits.at_this_moment()
    for _ in range(MANY):
        assert moment.waiting_for(Run(lane=line)).runs >= {*waiting, *targets}
    assert [each.asked for each in targets] == [1] * MANY
