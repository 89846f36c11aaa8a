"""The supervisor against a model of it: children that begin, end and crash in any order, restarts, and the end of all.

The model is an account: who lives, how the others have ended, which restarts lie within the window, and what the flow
comes to. It knows no mailbox, no instruction and no state but the last.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from millrace.actors.instructions import IDLE, JOIN, SETTLE, STOP_CHILDREN, Judge
from millrace.actors.messages import (
    Admit,
    Cancel,
    ChildCrashed,
    ChildEnded,
    ChildrenDropped,
    ChildSeen,
    Raised,
    Returned,
    Spawned,
    Stopped,
)
from millrace.actors.policies import CrashPolicy
from millrace.actors.states import Crashed, Failed, StateType
from tests.actors.runs import TaskRun, at, child_of, running_flow

PERIOD = 5
THEN: tuple[Literal["fail"], Literal["cancel_siblings"]] = ("fail", "cancel_siblings")


class Model:
    """What is known of a flow and its children."""

    def __init__(self, intensity: int, then: str) -> None:
        self.intensity, self.then = intensity, then
        self.now = 1.0
        self.restarts: list[float] = []  # and those that were refused, as OTP counts them
        self.living = 0
        self.ended = {"COMPLETED": 0, "FAILED": 0, "CRASHED": 0, "CANCELLED": 0}
        self.unseen = 0
        self.escalated = False
        self.stopping = False
        self.over = ""

    def allows_a_restart(self) -> bool:
        """Whether a crash now leads to another attempt."""
        if self.stopping or self.escalated:
            return False
        self.restarts = [each for each in self.restarts if each >= self.now - PERIOD] + [self.now]
        self.escalated = len(self.restarts) > self.intensity
        self.stopping = self.escalated and self.then == "cancel_siblings"
        return not self.escalated

    def end_of(self, *, raises: bool) -> str:
        """The type of the state that the flow ends in when its body has ended."""
        if self.cancelled:
            return "CANCELLED"
        return "FAILED" if raises or self.escalated or self.unseen else "COMPLETED"

    cancelled = False


class Supervision(RuleBasedStateMachine):
    """What is done to both of them."""

    @initialize(intensity=st.integers(0, 3), then=st.sampled_from(THEN))
    def begin(self, intensity: int, then: Literal["fail", "cancel_siblings"]) -> None:
        self.flow = running_flow()
        self.flow.crash_policy = CrashPolicy(restart="task", max_restarts=intensity, within_seconds=PERIOD, then=then)
        self.model = Model(intensity, then)
        self.children: list[TaskRun] = []
        self.failed: list[TaskRun] = []
        self.numbers = 0

    def goes_on(self) -> bool:
        return not self.model.over

    @precondition(goes_on)
    @rule()
    def a_child_is_started(self) -> None:
        if not self.flow.admits:
            return
        self.numbers += 1
        child = child_of(self.flow, self.numbers)
        child.ask(Admit(at(self.model.now)))
        self.children.append(child)
        self.model.living += 1

    @precondition(goes_on)
    @rule(count=st.integers(1, 9))
    def a_map_is_started_and_dropped(self, count: int) -> None:
        stops = self.flow.ask(Spawned(count, ()))
        assert (stops is STOP_CHILDREN) == self.model.stopping
        idle = self.flow.ask(ChildrenDropped(count))
        assert (idle is IDLE) == (self.model.living == 0)
        self.model.ended["CANCELLED"] += count

    @precondition(lambda self: self.goes_on() and self.children)
    @rule(which=st.integers(0, 99), how=st.sampled_from(["COMPLETED", "FAILED"]))
    def a_child_ends(self, which: int, how: str) -> None:
        child = self.children[which % len(self.children)]
        now = at(self.model.now)
        if self.model.stopping:
            child.ask(Cancel("enough", now))
            self.end(child, Raised(CancelledError(), now, cancelled=True), "CANCELLED")
        else:
            self.end(child, Returned("plank", now) if how == "COMPLETED" else Stopped(Failed(), now), how)

    @precondition(lambda self: self.goes_on() and self.children)
    @rule(which=st.integers(0, 99))
    def a_child_crashes(self, which: int) -> None:
        child = self.children[which % len(self.children)]
        order = self.flow.ask(ChildCrashed(child, Crashed(message="gone"), at(self.model.now)))
        assert isinstance(order, Judge)
        escalated = self.model.escalated
        assert order.restart == self.model.allows_a_restart()
        assert order.stop_siblings == (self.model.stopping and not escalated and not self.model.cancelled)
        if not order.restart:
            self.end(child, Stopped(Crashed(message="gone"), at(self.model.now)), "CRASHED")

    def end(self, child: TaskRun, outcome: Returned | Raised | Stopped, how: str) -> None:
        assert child.ask(outcome) is SETTLE
        assert str(child.type) == how
        self.flow.tell(ChildEnded(child))
        self.children.remove(child)
        self.model.living -= 1
        self.model.ended[how] += 1
        if how in {"FAILED", "CRASHED"}:
            self.failed.append(child)
            self.model.unseen += 1

    @precondition(lambda self: self.goes_on() and self.failed)
    @rule()
    def a_failure_is_looked_at(self) -> None:
        self.flow.tell(ChildSeen(self.failed.pop()))
        self.model.unseen -= 1

    @precondition(goes_on)
    @rule(seconds=st.sampled_from([0.001, 1.0, PERIOD - 1.0, float(PERIOD), PERIOD + 0.5]))
    def time_passes(self, seconds: float) -> None:
        self.model.now += seconds

    @precondition(goes_on)
    @rule()
    def it_is_cancelled(self) -> None:
        order = self.flow.ask(Cancel("enough", at(self.model.now)))
        assert (order is STOP_CHILDREN) == (not self.model.cancelled)
        self.model.cancelled = self.model.stopping = True

    @precondition(goes_on)
    @rule(raises=st.booleans())
    def its_body_ends(self, raises: bool) -> None:
        now = at(self.model.now)
        order = self.flow.ask(Raised(ValueError("flood"), now) if raises else Returned(None, now))
        if self.model.living:
            assert order is JOIN
        else:
            assert order is SETTLE
            self.model.over = self.model.end_of(raises=raises)

    @precondition(lambda self: self.model.over)
    @rule(raises=st.booleans())
    def nothing_follows_its_end(self, raises: bool) -> None:
        now = at(self.model.now)
        assert self.flow.ask(Cancel("enough", now)) is None
        assert self.flow.ask(Raised(ValueError("late"), now) if raises else Returned("late", now)) is None

    @invariant()
    def both_give_the_same_account(self) -> None:
        flow, model = self.flow, self.model
        ended = {kind: count for kind, count in model.ended.items() if count}
        assert flow.live == model.living == len(flow.children)
        assert {str(kind): count for kind, count in flow.tally.items()} == ended
        assert flow.spawned == model.living + sum(model.ended.values())
        assert (flow.escalated is not None) == model.escalated
        assert flow.admits == (not model.over and not model.stopping)
        if model.over:
            assert flow.type is StateType(model.over)
            assert flow.state.is_final()

    @invariant()
    def no_more_restarts_are_within_the_window_than_are_allowed(self) -> None:
        times = () if self.flow.window is None else self.flow.window.times()
        since = at(self.model.now - PERIOD)
        assert self.model.escalated or sum(each >= since for each in times) <= self.model.intensity


TestSupervision = Supervision.TestCase
TestSupervision.settings = settings(max_examples=60, stateful_step_count=30)
