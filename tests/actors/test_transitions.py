"""The table of transitions, against a drawing of it; and every pair of states, proposed to runs of both kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millrace.actors.events import Event
from millrace.actors.run import RunActor
from millrace.actors.states import TERMINAL, StateType
from millrace.actors.transitions import TRANSITIONS, possible
from millrace.actors.verdicts import Answer
from tests.actors.runs import at, bring_flow_to, bring_task_run_to, everything_about, make, propose

pytestmark = pytest.mark.usefixtures("surroundings")

# From the state on the left to the one above: + may follow; . does not follow; | is in the table, but a rule stands in
# the way: only what runs can be paused.
DRAWING = """
             SCHEDULED PENDING RUNNING PAUSED CANCELLING COMPLETED FAILED CANCELLED CRASHED
SCHEDULED    +         +       +       |      +          +         +      +         +
PENDING      +         +       +       |      +          +         +      +         +
RUNNING      +         .       +       +      +          +         +      +         +
PAUSED       +         +       +       |      +          .         +      +         +
CANCELLING   .         .       .       .      .          .         .      +         +
COMPLETED    .         .       .       .      .          .         .      .         .
FAILED       .         .       .       .      .          .         .      .         .
CANCELLED    .         .       .       .      .          .         .      .         .
CRASHED      .         .       .       .      .          .         .      .         .
"""

Pair = tuple[StateType, StateType]
Bring = Callable[[StateType, Callable[[Event], None]], RunActor]

RUNS = pytest.mark.parametrize("bring", [bring_task_run_to, bring_flow_to], ids=["task run", "flow run"])


def drawn() -> Iterator[tuple[Pair, str]]:
    heads, *lines = DRAWING.strip().splitlines()
    for line in lines:
        current, *marks = line.split()
        for proposed, mark in zip(heads.split(), marks, strict=True):
            yield (StateType(current), StateType(proposed)), mark


DRAWN = dict(drawn())


def expected_refusal(current: StateType, proposed: StateType) -> str:
    if current in TERMINAL:
        return f"it is {current} already, which is final, and cannot become {proposed}"
    if proposed is StateType.PAUSED:
        return f"only a run that is RUNNING can be paused, and this one is {current}"
    return f"{proposed} does not follow {current}"


def test_the_drawing_has_every_pair() -> None:
    assert set(DRAWN) == {(current, proposed) for current in StateType for proposed in StateType}


def test_the_table_is_the_drawing() -> None:
    wrong = [
        f"{current} -> {proposed}"
        for (current, proposed), mark in DRAWN.items()
        if possible(current, proposed) is (mark == ".")
    ]

    assert wrong == []


def test_terminal_states_have_no_row_in_the_table() -> None:
    assert TRANSITIONS.keys() == set(StateType) - TERMINAL


@RUNS
def test_a_pair_that_may_follow_is_accepted_and_any_other_changes_nothing(bring: Bring) -> None:
    """The rules are asked as the run itself asks them; what comes from outside of a flow run meets one more, below."""
    wrong: list[str] = []
    for (current, proposed), mark in DRAWN.items():
        events: list[Event] = []
        run = bring(current, events.append)
        before = everything_about(run)
        recorded = len(events)

        verdict = run.propose(make(proposed), at(5), "proposed")

        if mark == "+":
            right = (
                verdict.answer is Answer.ACCEPT
                and verdict.state is not None
                and verdict.state == run.state
                and run.type is run.state.type is proposed
                and run.sequence == before["sequence"] + 1
                and [state.id for state in run.history()][:-1] == [step[0] for step in before["history"]]
                and len(events) == recorded + 1
            )
        else:
            right = (
                verdict.answer is Answer.ABORT
                and verdict.state is None
                and verdict.reason == expected_refusal(current, proposed)
                and everything_about(run) == before
                and len(events) == recorded
            )
        if not right:
            wrong.append(f"{current} -> {proposed}: {verdict}, and the run went {run.trail()}")

    assert wrong == []


def test_from_outside_a_task_run_answers_by_the_same_table() -> None:
    wrong: list[str] = []
    for (current, proposed), mark in DRAWN.items():
        run = bring_task_run_to(current)
        before = everything_about(run)

        verdict = propose(run, make(proposed))

        expected = Answer.ACCEPT if mark == "+" else Answer.ABORT
        if verdict.answer is not expected or (expected is Answer.ABORT and everything_about(run) != before):
            wrong.append(f"{current} -> {proposed}: {verdict}, and the run went {run.trail()}")

    assert wrong == []


def test_from_outside_no_flow_run_is_given_its_end() -> None:
    wrong: list[str] = []
    for (current, proposed), mark in DRAWN.items():
        flow = bring_flow_to(current)
        before = everything_about(flow)

        verdict = propose(flow, make(proposed))

        expected = Answer.ACCEPT if mark == "+" and proposed not in TERMINAL else Answer.ABORT
        if verdict.answer is not expected or (expected is Answer.ABORT and everything_about(flow) != before):
            wrong.append(f"{current} -> {proposed}: {verdict}, and the run went {flow.trail()}")

    assert wrong == []


def test_the_answer_to_an_end_proposed_to_a_flow_run_says_what_to_do_instead() -> None:
    verdict = propose(bring_flow_to(StateType.RUNNING), make(StateType.COMPLETED))

    assert verdict.reason == "a flow run ends when its body and its children have; cancel it instead"


@RUNS
def test_by_force_any_state_follows_any_other_and_is_recorded_as_forced(bring: Bring) -> None:
    wrong: list[str] = []
    for current, proposed in DRAWN:
        events: list[Event] = []
        run = bring(current, events.append)
        sequence, last = run.sequence, run.state.id

        verdict = propose(run, make(proposed), force=True)

        forced: list[Any] = [event for event in events if event.cause == "forced"]
        right = (
            verdict.answer is Answer.ACCEPT
            and len(forced) == 1
            and forced[0].state.type is proposed
            and forced[0].follows == last
            and forced[0].sequence == sequence + 1
            and len(run.history()) == run.sequence + 1
        )
        if not right:
            wrong.append(f"{current} -> {proposed}: {verdict}, and the events were {[str(event) for event in events]}")

    assert wrong == []
