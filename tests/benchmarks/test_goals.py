"""The goals fit together with what they run; and how a work is run. Nothing here is timed."""

from __future__ import annotations

import importlib
import inspect

import pytest

from benchmarks.cli import main
from benchmarks.goals import GOALS
from benchmarks.model import Goal, Kind, Work
from benchmarks.rounds import WorkFailed, clean_environment, run_round, run_work

BOTH = [
    pytest.param(make(quick), id=f"{number}-{'quick' if quick else 'full'}")
    for number, make in GOALS.items()
    for quick in (True, False)
]


def test_goals_are_known_by_their_own_number() -> None:
    assert (
        [make(True).number for make in GOALS.values()]
        == list(GOALS)
        == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]
    )


@pytest.mark.parametrize("goal", BOTH)
def test_every_work_can_be_called_as_asked(goal: Goal) -> None:
    for work in goal.works.values():
        module, _, name = work.function.partition(".")
        function = getattr(importlib.import_module(f"benchmarks.works.{module}"), name)
        assert inspect.signature(function).bind(**work.arguments).arguments == work.arguments


@pytest.mark.parametrize("goal", BOTH)
def test_every_figure_comes_from_a_work_of_its_goal_and_every_work_has_a_row(goal: Goal) -> None:
    used = {figure.partition(".")[0] for row in goal.rows for figure in row.figures}

    assert used == set(goal.works)
    assert set(goal.profiled) <= set(goal.works)


def test_a_work_runs_in_a_process_of_its_own_and_gives_its_figures() -> None:
    assert set(run_work(Work("floors.calls", {"n": 10}))["figures"]) == {"us"}


def test_what_flows_through_a_stream_is_counted_by_each_work() -> None:
    """Each of them raises where an item is missing; and whatever the time, nothing is left of what has gone by."""
    for work in GOALS[5](True).works.values():
        less = {"seconds": 0.1} if "seconds" in work.arguments else {"n": 5_000}
        figures = run_work(Work(work.function, {**work.arguments, **less}))["figures"]
        assert figures.get("bytes", 0) < 20
    for work in GOALS[11](True).works.values():
        assert set(run_work(Work(work.function, {**work.arguments, "n": 5_000}))["figures"]) == {"p50", "p99", "most"}


def test_a_small_flow_is_measured_while_the_map_beside_it_goes_on() -> None:
    """It raises where the map was done before."""
    for work in GOALS[23](True).works.values():
        figures = run_work(Work(work.function, {**work.arguments, "steps": 3}))["figures"]
        assert set(figures) == {"alone", "beside"}


@pytest.mark.parametrize("number", [16, 17])
def test_what_is_kept_is_found_and_written_again_by_each_work(number: int) -> None:
    """Each of them raises where it did not do what it is to be timed for."""
    goal = GOALS[number](True)
    for work in goal.works.values():
        figures = run_work(Work(work.function, {**work.arguments, "n": 10}))["figures"]
        assert set(figures) == {"us"}


def test_the_knee_of_a_server_is_to_be_within_a_fifth_of_its_capacity() -> None:
    (judged,) = [row for row in GOALS[22](False).rows if row.limits is not None]

    assert (judged.kind, judged.limits and judged.limits.goal, judged.unit) == (Kind.ABSOLUTE, 20, "%")


def test_the_goals_for_kept_results_are_those_of_the_design() -> None:
    limits = [
        {(row.kind, row.limits.goal) for row in GOALS[number](False).rows if row.limits is not None}
        for number in (16, 17)
    ]
    assert limits == [{(Kind.ABSOLUTE, 25), (Kind.RATIO, 25 / 5.8)}, {(Kind.RATIO, 2)}]


@pytest.mark.parametrize("number", [3, 5, 7, 9, 16])
def test_a_goal_in_microseconds_is_judged_in_parts_of_a_bare_task_as_well(number: int) -> None:
    goal = GOALS[number](False)
    absolute = {row.subject: row.limits for row in goal.rows if row.unit == "µs" and row.kind is Kind.ABSOLUTE}
    beside = [row for row in goal.rows if row.floor == "task_group.us"]

    assert beside
    for row in beside:
        in_microseconds = absolute[row.subject]
        assert in_microseconds
        assert row.limits
        assert row.limits.goal == in_microseconds.goal / 5.8
    assert goal.works["task_group"] == Work("floors.task_group", {"n": 100_000})


def test_what_a_deadline_adds_is_judged_in_parts_of_what_the_machine_takes_for_a_bare_task() -> None:
    goal = GOALS[14](True)
    judged = [row for row in goal.rows if "deadline" in row.name]

    assert [(row.kind, row.limits and row.limits.goal) for row in judged] == [(Kind.RATIO, 3 / 5.8)] * 3
    for row in judged:
        (subject,), floor = row.subject, row.floor
        work = goal.works[subject.partition(".")[0]]
        figures = run_work(Work(work.function, {**work.arguments, "n": 10}))["figures"]
        assert {subject, floor} == {f"{work.arguments['name']}.{name}" for name in figures}


def test_what_is_recorded_is_recorded_by_each_work() -> None:
    """Each of them raises where it did not do what it is to be timed for."""
    for number in (7, 8):
        for work in GOALS[number](True).works.values():
            assert set(run_work(Work(work.function, {**work.arguments, "n": 10}))["figures"]) == {"us"}
    figures = run_work(Work("durable.large_store", {"n": 1_000, "flow_runs": 100}))["figures"]
    assert set(figures) == {"opening_ms", "flow_runs_ms", "task_runs_ms"}


def test_an_instrument_reports_what_it_saw() -> None:
    document = run_work(Work("floors.calls", {"n": 10}), "calls")

    assert "function calls" in document["report"]


def test_a_work_that_raises_leaves_its_reason_and_the_others_their_figures() -> None:
    works = {"bad": Work("probes.expect", {"found": 1, "expected": 2}), "good": Work("floors.calls", {"n": 10})}

    found = run_round(Goal(number=1, title="", works=works, rows=()), reverse=True)

    assert set(found.figures) == {"good.us"}
    assert found.failures == {"bad": "RuntimeError: expected 2, got 1"}


def test_a_work_that_does_not_exist_fails() -> None:
    with pytest.raises(WorkFailed, match="nowhere"):
        run_work(Work("nowhere.nothing"))


def test_what_slows_python_or_sets_up_millrace_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    monkeypatch.setenv("OTHER", "1")

    found = clean_environment()

    assert "OTHER" in found
    assert not {"MILLRACE_THREADS", "PYTHONDEVMODE"} & set(found)


@pytest.mark.parametrize("asked", [["--goals", "13"], ["--goals", ""], ["--rounds", "0"], ["--profile", "x"]])
def test_what_is_not_there_cannot_be_asked_for(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(asked)
    assert asked[0] in capsys.readouterr().err
