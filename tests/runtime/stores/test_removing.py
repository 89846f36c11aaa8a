"""What every store removes, and what it never does; and what it says of itself as a whole."""

from __future__ import annotations

import pytest

from millrace.actors.errors import RunNotFound, RunNotRemovable, StoreFenced
from millrace.actors.states import StateType
from millrace.runtime.stores.port import Store
from millrace.runtime.stores.records import Called, Record, TaskRunMade, Value
from millrace.runtime.stores.rows import RunFilter
from millrace.runtime.stores.verdicts import MOST_DEATHS, first_id_at
from tests.runtime.stores.places import FLOW, Place, Writer, completed_task, entered, flow_made, running_flow

MS = 1_000_000
SUSPENDED = '{"pause_reschedule": true}'


def run_at(milliseconds: int) -> int:
    """The id of a flow run that was made at a time."""
    return first_id_at(milliseconds * MS)


def ended_flow(run: int = FLOW, at: int = 200, parent: int | None = None) -> list[Record]:
    return [
        flow_made(run, parent=parent),
        entered(run, 1, StateType.RUNNING, is_flow=True, attempts=1),
        entered(run, 2, StateType.COMPLETED, is_flow=True, at=at, ended=True, data=Value("json", b"1")),
    ]


def loaded(run: int, flow_run: int, data: Value | None = None) -> list[Record]:
    """A task run of a flow run from its beginning to its end."""
    return [
        TaskRunMade(run, 110, flow_run, "load", 0, None, frozenset(), None),
        entered(run, 1, StateType.RUNNING, attempts=1),
        entered(run, 2, StateType.COMPLETED, data=data, ended=True),
    ]


def left_of(store: Store) -> tuple[list[int], list[int]]:
    """The ids of the flow runs and of the task runs that there are."""
    flow_runs = [row.id for row in store.read_flow_runs(RunFilter(limit=1_000))]
    return flow_runs, [row.id for row in store.read_task_runs(RunFilter(limit=1_000))]


def swept(writer: Writer, most: int = 10) -> int:
    """Sweep to the end; in how many steps."""
    steps = 0
    while writer.store.sweep(writer.opened.token, most):
        steps += 1
    return steps


def test_a_removed_flow_run_is_gone_with_all_inside_of_it(writer: Writer) -> None:
    inner, other = FLOW + (5 << 32), FLOW + (9 << 32)
    writer.write(
        *ended_flow(),
        *completed_task(FLOW + 1, Value("json", b"7")),
        *ended_flow(inner, parent=FLOW),
        *loaded(inner + 1, inner),
        Called(FLOW, 0, 0, "", "load", 0, FLOW + 1, 1),
        *ended_flow(other),
        *loaded(other + 1, other),
    )
    writer.write(entered(inner + 1, 3, StateType.COMPLETED, ended=True))

    writer.store.remove(FLOW, writer.opened.token)

    assert left_of(writer.store)[0] == [other]
    assert [row.id for row in writer.store.read_flow_runs(RunFilter(tags=["x"]))] == [other]
    assert writer.store.read_flow_run(FLOW) is None
    assert writer.store.read_flow_run(inner) is None
    swept(writer)
    assert left_of(writer.store)[0] == [other]
    assert other + 1 in left_of(writer.store)[1]
    assert FLOW + 1 not in left_of(writer.store)[1]
    assert writer.store.read_states(FLOW) == writer.store.read_states(FLOW + 1) == []
    assert writer.store.read_calls(FLOW) == []
    assert not writer.store.read_results(FLOW)


def test_task_runs_are_swept_a_few_at_a_time(writer: Writer) -> None:
    writer.write(*ended_flow(), *(record for at in range(1, 26) for record in completed_task(FLOW + at, key=at)))
    writer.store.remove(FLOW, writer.opened.token)

    first = writer.store.sweep(writer.opened.token, 10)

    assert first == 10
    assert len(left_of(writer.store)[1]) == 15
    assert swept(writer) >= 2
    assert left_of(writer.store) == ([], [])


def test_what_was_not_swept_is_swept_by_the_next_owner(place: Place, writer: Writer) -> None:
    writer.write(*ended_flow(), *completed_task())
    writer.store.remove(FLOW, writer.opened.token)
    writer.store.close()

    later = Writer.of(place)

    assert swept(later)
    assert left_of(later.store) == ([], [])
    later.store.close()


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (running_flow(), "it is RUNNING"),
        (
            [*running_flow(), entered(FLOW, 2, StateType.PAUSED, is_flow=True)],
            "it is PAUSED",
        ),
        (
            [*running_flow(), entered(FLOW, 2, StateType.PAUSED, is_flow=True, details=SUSPENDED)],
            "it is suspended",
        ),
        (ended_flow(parent=FLOW + (8 << 32)), "it belongs to another run"),
    ],
)
def test_a_run_that_is_not_over_is_never_removed(writer: Writer, records: list[Record], reason: str) -> None:
    writer.write(*records)

    with pytest.raises(RunNotRemovable, match=reason):
        writer.store.remove(FLOW, writer.opened.token)

    assert writer.store.read_flow_run(FLOW) is not None


def test_a_run_that_is_not_there_cannot_be_removed(writer: Writer) -> None:
    with pytest.raises(RunNotFound):
        writer.store.remove(FLOW, writer.opened.token)


def test_an_owner_that_is_over_removes_nothing(place: Place, writer: Writer) -> None:
    writer.write(*ended_flow(), *completed_task())
    place.usurp()
    second = Writer.of(place)

    for attempt in (
        lambda: writer.store.remove(FLOW, writer.opened.token),
        lambda: writer.store.sweep(writer.opened.token, 10),
        lambda: writer.store.remove_task_runs(1 << 60, writer.opened.token, 10),
    ):
        with pytest.raises(StoreFenced):
            attempt()
    assert left_of(second.store) == ([FLOW], [FLOW + 1])
    second.store.close()


def test_only_runs_that_ended_before_a_time_and_wait_for_nobody_are_over(place: Place, writer: Writer) -> None:
    old, late, live, suspended, inner = (run_at(at) for at in (1, 2, 3, 4, 5))
    writer.write(
        *ended_flow(old, 10 * MS),
        *ended_flow(late, 90 * MS),
        *running_flow(live),
        *running_flow(suspended),
        entered(suspended, 2, StateType.PAUSED, is_flow=True, details=SUSPENDED),
        *ended_flow(inner, 10 * MS, parent=old),
    )

    assert writer.store.read_finished(50 * MS, MOST_DEATHS, 0, 100) == [old]
    assert writer.store.read_finished(100 * MS, MOST_DEATHS, 0, 100) == [old, late]
    assert writer.store.read_finished(100 * MS, MOST_DEATHS, old, 100) == [late]
    assert writer.store.read_finished(100 * MS, MOST_DEATHS, 0, 1) == [old]


def test_a_parked_run_is_not_over(place: Place, writer: Writer) -> None:
    run = run_at(1)
    writer.write(*running_flow(run))
    writer.store.close()
    crashed = Writer.of(place, at=10 * MS)

    assert crashed.store.read_finished(50 * MS, 2, 0, 100) == [run]
    assert crashed.store.read_finished(50 * MS, 1, 0, 100) == []
    crashed.store.close()


def test_task_runs_outside_of_flows_are_removed_by_their_age(writer: Writer) -> None:
    old, late, live = (run_at(at) for at in (1, 2, 3))
    for run, at in ((old, 10 * MS), (late, 90 * MS)):
        writer.write(
            TaskRunMade(run, 110, None, "load", 0, None, frozenset(), None),
            entered(run, 1, StateType.RUNNING, attempts=1),
            entered(run, 2, StateType.COMPLETED, at=at, ended=True, data=Value("json", b"1")),
        )
    writer.write(
        TaskRunMade(live, 110, None, "load", 0, None, frozenset(), None),
        *ended_flow(run_at(4), 10 * MS),
        *loaded(run_at(4) + 1, run_at(4)),
    )
    token = writer.opened.token

    assert writer.store.remove_task_runs(50 * MS, token, 10) == 1
    assert writer.store.remove_task_runs(50 * MS, token, 10) == 0
    assert len(left_of(writer.store)[1]) == 3


def test_task_runs_are_counted_by_task_and_state(writer: Writer) -> None:
    writer.write(
        *running_flow(),
        *completed_task(FLOW + 1),
        *completed_task(FLOW + 2, key=1),
        TaskRunMade(FLOW + 3, 110, FLOW, "save", 0, None, frozenset(), None),
    )

    counts = writer.store.count_task_runs(FLOW)

    assert dict(counts) == {("load", StateType.COMPLETED): 2, ("save", StateType.PENDING): 1}
    assert [task for task, _ in counts] == ["load", "save"]


def test_a_store_says_what_there_is_in_it(writer: Writer) -> None:
    writer.write(*ended_flow(), *completed_task(), *running_flow(FLOW + (5 << 32)))

    facts = writer.store.read_facts()

    assert (facts.owner, facts.opened) == ("process 1 on mill", 1_000)
    assert dict(facts.flow_runs) == {StateType.COMPLETED: 1, StateType.RUNNING: 1}
    assert facts.task_runs == 1


def test_a_run_that_is_gone_may_come_again(writer: Writer) -> None:
    writer.write(*ended_flow(), *completed_task())
    writer.store.remove(FLOW, writer.opened.token)
    swept(writer)

    writer.write(*ended_flow())

    assert writer.store.read_flow_run(FLOW) is not None
