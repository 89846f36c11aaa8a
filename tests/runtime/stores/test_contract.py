"""The contract between an engine and a store: what every store must do. See `port`."""

from __future__ import annotations

import json

import pytest

from millrace.actors.errors import RunNotFound, RunNotResumable, StoreError, StoreFenced
from millrace.actors.states import StateType
from millrace.runtime.stores.port import OWNER_DIED, Owner
from millrace.runtime.stores.records import Answered, Called, Renamed, Undone, Value
from millrace.runtime.stores.rows import RunFilter
from tests.runtime.stores.places import (
    ENTRY,
    FLOW,
    Place,
    Writer,
    completed_task,
    entered,
    flow_made,
    running_flow,
    task_made,
)

SEVEN = Value("json", b"7")
SUSPENDED = json.dumps({"pause_reschedule": True})


# Writing and reading.


def test_a_flow_run_is_read_as_it_was_written(writer: Writer) -> None:
    writer.write(*running_flow())

    run = writer.store.read_flow_run(FLOW)

    assert run is not None
    assert (run.id, run.name, run.flow, run.version, run.entry) == (FLOW, "misty-otter", "nightly", "2", ENTRY)
    assert (run.created, run.started, run.ended, run.attempts, run.deaths) == (100, 105, None, 1, 0)
    assert (run.parent, run.parent_task_run, set(run.tags)) == (None, None, {"x"})
    assert run.parameters == {"day": Value("json", b'"Friday"')}
    assert (run.state.type, run.state.sequence, run.state.name) == (StateType.RUNNING, 1, "Running")
    assert run.owner == writer.opened.token


def test_a_task_run_is_read_as_it_was_written(writer: Writer) -> None:
    writer.write(*running_flow(), *completed_task(data=SEVEN))

    run = writer.store.read_task_run(FLOW + 1)

    assert run is not None
    assert (run.id, run.flow_run, run.task, run.key, run.name) == (FLOW + 1, FLOW, "load", 0, "load-001")
    assert (run.created, run.started, run.ended, run.attempts) == (110, 121, 122, 1)
    assert (run.parent, set(run.tags), dict(run.inputs), run.undone) == (None, {"a", "b"}, {"day": ["1"]}, False)
    assert (run.state.type, run.state.sequence) == (StateType.COMPLETED, 2)
    assert run.data == SEVEN


def test_what_is_not_there_is_not_read(writer: Writer) -> None:
    assert writer.store.read_flow_run(1) is None
    assert writer.store.read_task_run(1) is None
    assert writer.store.read_states(1) == []
    assert writer.store.read_flow_runs(RunFilter()) == []
    assert writer.store.read_task_runs(RunFilter()) == []


@pytest.mark.parametrize("groups", ["one", "many"])
def test_a_run_is_the_same_however_its_records_were_grouped(writer: Writer, groups: str) -> None:
    records = [*running_flow(), *completed_task(data=SEVEN)]
    if groups == "one":
        writer.write(*records)
    else:
        for record in records:
            writer.write(record)

    run = writer.store.read_task_run(FLOW + 1)
    assert run is not None
    assert (run.started, run.ended, run.attempts, run.state.type, run.data) == (121, 122, 1, StateType.COMPLETED, SEVEN)
    assert [state.type for state in writer.store.read_states(FLOW)] == ["PENDING", "RUNNING"]


def test_the_states_of_a_run_are_read_in_their_order(writer: Writer) -> None:
    writer.write(*running_flow(), *completed_task())

    states = writer.store.read_states(FLOW + 1)

    assert [(each.sequence, each.type, each.at, each.cause) for each in states] == [
        (0, "PENDING", 110, "created"),
        (1, "RUNNING", 121, "told"),
        (2, "COMPLETED", 122, "told"),
    ]


def test_all_that_a_state_says_is_kept(writer: Writer) -> None:
    retry = entered(
        FLOW + 1, 2, StateType.SCHEDULED, name="AwaitingRetry", message="Retry 1 of 2.", details='{"attempts": 1}'
    )
    writer.write(*running_flow(), *completed_task()[:2], retry)

    state = writer.store.read_states(FLOW + 1)[-1]

    assert (state.name, state.message, state.details) == ("AwaitingRetry", "Retry 1 of 2.", '{"attempts": 1}')


def test_a_run_of_many_attempts_has_begun_with_the_first(writer: Writer) -> None:
    writer.write(*running_flow(), *completed_task()[:2])
    writer.write(entered(FLOW + 1, 2, StateType.RUNNING, name="Retrying", at=500, attempts=2))

    run = writer.store.read_task_run(FLOW + 1)

    assert run is not None
    assert (run.started, run.attempts, run.state.name) == (121, 2, "Retrying")


def test_a_run_can_be_renamed(writer: Writer) -> None:
    writer.write(*running_flow(), task_made())
    writer.write(entered(FLOW + 1, 1, StateType.RUNNING, run_name="load Friday"))
    writer.write(Renamed(FLOW, "Thursday"))
    assert writer.store.read_flow_run(FLOW).name == "Thursday"  # type: ignore[union-attr]
    writer.write(entered(FLOW, 2, StateType.COMPLETED, is_flow=True, run_name="Friday", ended=True))

    assert writer.store.read_task_run(FLOW + 1).name == "load Friday"  # type: ignore[union-attr]
    assert writer.store.read_flow_run(FLOW).name == "Friday"  # type: ignore[union-attr]


def test_data_of_a_state_that_was_left_is_not_that_of_the_next(writer: Writer) -> None:
    writer.write(*running_flow(), *completed_task(data=SEVEN))
    writer.write(entered(FLOW + 1, 3, StateType.FAILED, ended=True))

    assert writer.store.read_task_run(FLOW + 1).data is None  # type: ignore[union-attr]


def test_a_value_that_could_not_be_kept_leaves_a_note(writer: Writer) -> None:
    lost = Value("", None, "a generator, which cannot be pickled")
    writer.write(*running_flow(), *completed_task(data=lost))

    assert writer.store.read_task_run(FLOW + 1).data == lost  # type: ignore[union-attr]


def test_hundreds_of_runs_are_written_in_one_group(writer: Writer) -> None:
    ids = range(FLOW + 1, FLOW + 1_001)
    writer.write(
        *running_flow(), *(each for run in ids for each in completed_task(run, Value("json", str(run).encode())))
    )

    results = writer.store.read_results(FLOW)

    assert results == {run: Value("json", str(run).encode()) for run in ids}


# Groups.


def test_a_group_is_written_as_a_whole_or_not_at_all(writer: Writer) -> None:
    writer.write(*running_flow())
    group = [*completed_task(FLOW + 1), *completed_task(FLOW + 2), *completed_task(FLOW + 1)]

    error = writer.outcome(*group)

    assert isinstance(error, StoreError)
    assert writer.store.read_task_runs(RunFilter()) == []
    assert writer.store.read_states(FLOW + 1) == []


def test_no_state_of_a_run_is_written_twice(writer: Writer) -> None:
    writer.write(*running_flow(), *completed_task(data=SEVEN))

    error = writer.outcome(entered(FLOW + 1, 2, StateType.FAILED, ended=True))

    assert isinstance(error, StoreError)
    run = writer.store.read_task_run(FLOW + 1)
    assert run is not None
    assert (run.state.type, run.data) == (StateType.COMPLETED, SEVEN)


def test_a_group_whose_acknowledgement_was_lost_can_be_written_again(writer: Writer) -> None:
    writer.write(*running_flow(), *completed_task())

    assert writer.outcome(*running_flow(), *completed_task(), number=1) is None

    assert len(writer.store.read_states(FLOW + 1)) == 3


def test_an_empty_group_is_acknowledged(writer: Writer) -> None:
    assert writer.outcome() is None


# Owners.


def test_each_owner_has_a_greater_token_than_those_before(place: Place) -> None:
    tokens: list[int] = []
    for _ in range(3):
        writer = Writer.of(place)
        tokens.append(writer.opened.token)
        writer.store.close()

    assert tokens == sorted(set(tokens))


def test_opening_a_store_ends_the_runs_of_an_owner_that_is_over(place: Place) -> None:
    first = Writer.of(place, "process 1 on mill")
    first.write(*running_flow(), *completed_task(FLOW + 1, SEVEN), task_made(FLOW + 2, key=1))
    first.store.close()

    second = Writer.of(place, "process 2 on mill", at=9_000)

    assert second.opened.crashed == [FLOW]
    for run in (second.store.read_flow_run(FLOW), second.store.read_task_run(FLOW + 2)):
        assert run is not None
        assert (run.state.type, run.state.cause, run.ended) == (StateType.CRASHED, OWNER_DIED, 9_000)
        assert run.state.message == "The run was not ended by its process, process 1 on mill, which is over."
    completed = second.store.read_task_run(FLOW + 1)
    assert completed is not None
    assert (completed.state.type, completed.data) == (StateType.COMPLETED, SEVEN)
    assert [state.sequence for state in second.store.read_states(FLOW)] == [0, 1, 2]
    second.store.close()


def test_deaths_of_owners_are_counted(place: Place) -> None:
    for death in range(3):
        writer = Writer.of(place)
        if death == 0:
            writer.write(*running_flow())
        else:
            assert writer.store.claim(FLOW, writer.opened.token, 1).deaths == death
        writer.store.close()

    last = Writer.of(place)
    assert last.store.read_flow_run(FLOW).deaths == 3  # type: ignore[union-attr]
    last.store.close()


def test_a_run_that_has_ended_is_left_alone_when_its_owner_is_over(place: Place) -> None:
    first = Writer.of(place)
    first.write(*running_flow(), entered(FLOW, 2, StateType.COMPLETED, is_flow=True, ended=True))
    first.store.close()

    second = Writer.of(place)

    assert second.opened.crashed == []
    assert second.store.read_flow_run(FLOW).state.type is StateType.COMPLETED  # type: ignore[union-attr]
    second.store.close()


def test_a_run_that_is_suspended_is_left_alone_when_its_owner_is_over(place: Place) -> None:
    first = Writer.of(place)
    pause = entered(FLOW, 2, StateType.PAUSED, is_flow=True, name="Suspended", details=SUSPENDED)
    first.write(*running_flow(), pause)
    first.store.close()

    second = Writer.of(place)

    assert second.opened.crashed == []
    assert second.store.read_flow_run(FLOW).state.name == "Suspended"  # type: ignore[union-attr]
    second.store.close()


def test_a_run_that_is_only_paused_crashes_with_its_owner(place: Place) -> None:
    first = Writer.of(place)
    first.write(*running_flow(), entered(FLOW, 2, StateType.PAUSED, is_flow=True, details='{"pause_key": "1"}'))
    first.store.close()

    second = Writer.of(place)

    assert second.opened.crashed == [FLOW]
    second.store.close()


def test_an_owner_whose_place_was_taken_writes_nothing_more(place: Place) -> None:
    stale = Writer.of(place)
    stale.write(*running_flow())
    place.usurp()
    present = Writer.of(place)

    error = stale.outcome(*completed_task(data=SEVEN))

    assert isinstance(error, StoreFenced)
    assert present.store.read_task_run(FLOW + 1) is None
    present.write(*running_flow(FLOW * 2))
    present.store.close()
    stale.store.close()


def test_an_owner_whose_place_was_taken_claims_nothing(place: Place) -> None:
    stale = Writer.of(place)
    stale.write(*running_flow())
    place.usurp()
    present = Writer.of(place)

    with pytest.raises(StoreFenced, match="is over, and another one has taken its place"):
        stale.store.claim(FLOW, stale.opened.token, 1)

    present.store.close()
    stale.store.close()


# Claiming.


def test_a_run_that_crashed_can_be_claimed_and_written_on(place: Place) -> None:
    first = Writer.of(place)
    first.write(*running_flow())
    first.store.close()
    second = Writer.of(place)

    run = second.store.claim(FLOW, second.opened.token, 1)
    second.write(entered(FLOW, 3, StateType.RUNNING, is_flow=True, attempts=1))

    assert (run.id, run.state.type, run.parameters["day"].blob) == (FLOW, StateType.CRASHED, b'"Friday"')
    now = second.store.read_flow_run(FLOW)
    assert now is not None
    assert (now.owner, now.ended, now.state.type) == (second.opened.token, None, StateType.RUNNING)
    second.store.close()


def test_a_run_that_somebody_runs_cannot_be_claimed(writer: Writer) -> None:
    writer.write(*running_flow())

    with pytest.raises(RunNotResumable, match="it is RUNNING, and process 1 on mill runs it"):
        writer.store.claim(FLOW, writer.opened.token, 1)


def test_a_run_that_is_not_there_cannot_be_claimed(writer: Writer) -> None:
    with pytest.raises(RunNotFound):
        writer.store.claim(FLOW, writer.opened.token, 1)


def test_a_run_is_claimed_by_one_only(place: Place) -> None:
    first = Writer.of(place)
    first.write(*running_flow(), entered(FLOW, 2, StateType.CRASHED, is_flow=True, ended=True))
    first.store.claim(FLOW, first.opened.token, 1)

    with pytest.raises(RunNotResumable):
        first.store.claim(FLOW, first.opened.token, 1)

    first.write(entered(FLOW, 3, StateType.RUNNING, is_flow=True))
    with pytest.raises(RunNotResumable):
        first.store.claim(FLOW, first.opened.token, 1)

    first.store.close()


# Running again.


def test_calls_are_read_by_attempt_and_in_their_order(writer: Writer) -> None:
    calls = [
        Called(FLOW, 1, 0, "", "load", 0, FLOW + 5, 1),
        Called(FLOW, 0, 1, "0.2", "store", 0, FLOW + 2, 3),
        Called(FLOW, 0, 0, "", "load", 0, FLOW + 1, 1),
    ]
    writer.write(*running_flow(), *calls)

    found = writer.store.read_calls(FLOW)

    assert [(each.attempt, each.order, each.path, each.name, each.place, each.first, each.count) for each in found] == [
        (0, 0, "", "load", 0, FLOW + 1, 1),
        (0, 1, "0.2", "store", 0, FLOW + 2, 3),
        (1, 0, "", "load", 0, FLOW + 5, 1),
    ]


def test_results_are_those_of_what_has_completed_and_counts(writer: Writer) -> None:
    subflow = FLOW * 2
    writer.write(
        *running_flow(),
        *completed_task(FLOW + 1, SEVEN),
        *completed_task(FLOW + 2, None),
        *completed_task(FLOW + 3)[:2],
        *completed_task(FLOW + 4, SEVEN),
        Undone(FLOW + 4),
        flow_made(subflow, parent=FLOW),
        entered(subflow, 1, StateType.COMPLETED, is_flow=True, data=SEVEN, ended=True),
    )

    assert writer.store.read_results(FLOW) == {FLOW + 1: SEVEN, FLOW + 2: None, subflow: SEVEN}


def test_names_are_those_of_completed_states_that_say_more_than_usual(writer: Writer) -> None:
    subflow = FLOW * 2
    writer.write(
        *running_flow(),
        *completed_task(FLOW + 1, SEVEN),
        *completed_task(FLOW + 2)[:2],
        entered(FLOW + 2, 2, StateType.COMPLETED, name="Skipped", message="nothing to do", ended=True),
        *completed_task(FLOW + 3)[:2],
        *completed_task(FLOW + 4)[:2],
        entered(FLOW + 4, 2, StateType.FAILED, name="TimedOut", ended=True),
        *completed_task(FLOW + 5)[:2],
        entered(FLOW + 5, 2, StateType.COMPLETED, name="Skipped", ended=True),
        Undone(FLOW + 5),
        flow_made(subflow, parent=FLOW),
        entered(subflow, 1, StateType.COMPLETED, is_flow=True, message="All states completed.", ended=True),
    )
    writer.write(entered(FLOW + 3, 2, StateType.COMPLETED, name="Cached", ended=True))

    assert writer.store.read_names(FLOW) == {
        FLOW + 2: ("Skipped", "nothing to do"),
        FLOW + 3: ("Cached", None),
        subflow: ("Completed", "All states completed."),
    }


def test_answers_are_read_as_they_were_given(writer: Writer) -> None:
    writer.write(*running_flow(), Answered(FLOW, '"approval"', SEVEN))
    writer.write(Answered(FLOW, "[1]", Value("json", b"null")))

    assert [(each.key, each.value) for each in writer.store.read_answers(FLOW)] == [
        ('"approval"', SEVEN),
        ("[1]", Value("json", b"null")),
    ]


def test_the_last_id_is_that_of_the_last_run_also_where_a_map_has_not_made_it(writer: Writer) -> None:
    writer.write(*running_flow())
    assert writer.store.last_id(FLOW) == FLOW

    writer.write(*completed_task(FLOW + 1))
    assert writer.store.last_id(FLOW) == FLOW + 1

    writer.write(Called(FLOW, 0, 0, "", "load", 0, FLOW + 2, 10))
    assert writer.store.last_id(FLOW) == FLOW + 11

    writer.write(Called(FLOW, 0, 1, "", "flow hourly", 0, FLOW * 2, 1), *completed_task(FLOW * 3))
    assert writer.store.last_id(FLOW) == FLOW + 11


# Looking for runs.


def test_runs_are_listed_newest_first(writer: Writer) -> None:
    for number in (1, 3, 2):
        writer.write(*running_flow(FLOW * number))
    writer.write(*(each for number in (1, 2, 3) for each in completed_task(FLOW + number, SEVEN, key=number - 1)))

    flow_runs = writer.store.read_flow_runs(RunFilter())
    assert [run.id for run in flow_runs] == [FLOW * 3, FLOW * 2, FLOW]
    assert [run.parameters for run in flow_runs] == [{}, {}, {}]
    task_runs = writer.store.read_task_runs(RunFilter(limit=2))
    assert [(run.id, run.data) for run in task_runs] == [(FLOW + 3, None), (FLOW + 2, None)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (RunFilter(types=[StateType.RUNNING]), [3, 1]),
        (RunFilter(types=[]), []),
        (RunFilter(names=["three"]), [3]),
        (RunFilter(of=["nightly", "weekly"]), [3, 2, 1]),
        (RunFilter(of=["weekly"]), [2]),
        (RunFilter(first=FLOW * 2, last=FLOW * 3 - 1), [2]),
        (RunFilter(tags=["x"]), [3, 2, 1]),
        (RunFilter(tags=["x"], limit=2), [3, 2]),
        (RunFilter(tags=["x", "y"]), []),
        (RunFilter(flow_run=FLOW), [3]),
        (RunFilter(outermost=True), [2, 1]),
        (RunFilter(names=["' OR 1=1 --"]), []),
    ],
)
def test_flow_runs_are_found_by_what_is_known_of_them(writer: Writer, wanted: RunFilter, found: list[int]) -> None:
    writer.write(
        *running_flow(),
        flow_made(FLOW * 2, name="two", flow="weekly"),
        flow_made(FLOW * 3, name="three", parent=FLOW),
        entered(FLOW * 3, 1, StateType.RUNNING, is_flow=True),
    )

    assert [run.id // FLOW for run in writer.store.read_flow_runs(wanted)] == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (RunFilter(types=[StateType.COMPLETED]), [1]),
        (RunFilter(names=["store-002"]), [2]),
        (RunFilter(of=["load"]), [3, 1]),
        (RunFilter(flow_run=FLOW), [2, 1]),
        (RunFilter(tags=["b"]), [3, 2, 1]),
        (RunFilter(tags=["c"]), []),
    ],
)
def test_task_runs_are_found_by_what_is_known_of_them(writer: Writer, wanted: RunFilter, found: list[int]) -> None:
    outside = task_made(FLOW + 3, flow_run=None)
    writer.write(*running_flow(), *completed_task(), task_made(FLOW + 2, task="store"), outside)

    assert [run.id - FLOW for run in writer.store.read_task_runs(wanted)] == found


def test_reading_goes_on_after_the_owner_is_gone(place: Place) -> None:
    writer = Writer.of(place)
    writer.write(*running_flow())
    writer.store.close()

    assert place.store().read_flow_run(FLOW) is not None


def test_opening_again_finds_what_was_written(place: Place) -> None:
    first = Writer.of(place)
    first.write(*running_flow(), *completed_task(data=SEVEN))
    first.store.close()

    second = place.store()
    second.open(Owner("process 2 on mill", 2_000))

    assert second.read_results(FLOW) == {FLOW + 1: SEVEN}
    second.close()
