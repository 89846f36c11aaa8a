"""States: what they hold, how they are made, shown, compared, adopted, and what they give."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_type
from uuid import UUID

import pytest

from millrace.actors import ambient
from millrace.actors.errors import (
    AmbientMissing,
    CancelledRun,
    ConfigurationError,
    CrashedRun,
    FailedRun,
    MissingResult,
    PausedRun,
    RunError,
    UnfinishedRun,
)
from millrace.actors.isolation import IsolationLevel
from millrace.actors.made_states import make_awaiting, make_found, make_looked, make_retrying
from millrace.actors.state_details import Looked
from millrace.actors.states import (
    DEFAULT_NAMES,
    MISSING,
    TERMINAL,
    AwaitingConcurrencySlot,
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Late,
    Paused,
    Pending,
    Retrying,
    Running,
    Scheduled,
    State,
    StateDetails,
    StateType,
    StoredResult,
    Suspended,
    get_state_exception,
    make_state,
    raise_state_exception,
)
from millrace.actors.stored_result import Found
from millrace.actors.timestamps import to_nanoseconds
from millrace.actors.transaction_state import CommitMode, TransactionState
from millrace.actors.values import with_changes

if TYPE_CHECKING:
    from tests.actors.conftest import Surroundings

pytestmark = pytest.mark.usefixtures("surroundings")

WHEN = datetime(2026, 11, 20, 12, tzinfo=UTC)

Make = Callable[..., State[Any]]

FLOW = 0x0199F3C2_1111_7222_8333_444444444444
TASK = 0x0199F3C2_5555_7666_8777_888888888888
LATER = datetime(2030, 1, 1, tzinfo=UTC)

CONSTRUCTORS: list[tuple[Make, StateType, str]] = [
    (Scheduled, StateType.SCHEDULED, "Scheduled"),
    (Completed, StateType.COMPLETED, "Completed"),
    (Running, StateType.RUNNING, "Running"),
    (Failed, StateType.FAILED, "Failed"),
    (Crashed, StateType.CRASHED, "Crashed"),
    (Cancelling, StateType.CANCELLING, "Cancelling"),
    (Cancelled, StateType.CANCELLED, "Cancelled"),
    (Pending, StateType.PENDING, "Pending"),
    (Paused, StateType.PAUSED, "Paused"),
    (Suspended, StateType.PAUSED, "Suspended"),
    (AwaitingRetry, StateType.SCHEDULED, "AwaitingRetry"),
    (AwaitingConcurrencySlot, StateType.SCHEDULED, "AwaitingConcurrencySlot"),
    (Late, StateType.SCHEDULED, "Late"),
    (Retrying, StateType.RUNNING, "Retrying"),
]
SCHEDULED: list[Make] = [Scheduled, AwaitingRetry, AwaitingConcurrencySlot, Late]
FAILURES: list[tuple[Make, type[RunError], str]] = [
    (Failed, FailedRun, "Run failed."),
    (Crashed, CrashedRun, "Run crashed."),
    (Cancelled, CancelledRun, "Run cancelled."),
]

each_failure = pytest.mark.parametrize(("make", "wrapper", "default"), FAILURES)


def sent(value: object) -> Any:
    return pickle.loads(pickle.dumps(value))


def of_a_run(seq: int = 2, task: int | None = TASK) -> State[Any]:
    return make_state(StateType.COMPLETED, "Completed", None, 3, 5_000, FLOW, task, seq)


# Types.


def test_the_types_are_nine_and_four_of_them_are_terminal() -> None:
    assert [str(kind) for kind in StateType] == [
        "SCHEDULED",
        "PENDING",
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "CRASHED",
        "PAUSED",
        "CANCELLING",
    ]
    assert {str(kind) for kind in TERMINAL} == {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


@pytest.mark.parametrize("kind", [StateType, TransactionState, CommitMode, IsolationLevel])
def test_the_public_enums_are_strings(kind: type[StrEnum]) -> None:
    for member in kind:
        assert isinstance(member, str)
        assert f"{member}" == kind(member.name) == member.name


@pytest.mark.parametrize("kind", StateType)
def test_each_predicate_is_true_for_its_type_only(kind: StateType) -> None:
    state = State[Any](type=kind)

    for other in StateType:
        assert getattr(state, f"is_{other.lower()}")() is (other is kind)
    assert state.is_final() is (kind in TERMINAL)


# What a state holds.


@pytest.mark.parametrize("kind", StateType)
def test_the_name_of_a_state_defaults_to_its_type_in_title_case(kind: StateType) -> None:
    assert State[Any](type=kind).name == DEFAULT_NAMES[kind] == kind.value.title()


def test_a_state_holds_what_it_was_given() -> None:
    identifier = UUID(int=9)
    state = State(type="FAILED", name="Odd", message="m", data=[1], timestamp=LATER, id=identifier)

    assert state.type is StateType.FAILED
    assert (state.name, state.message, state.data) == ("Odd", "m", [1])
    assert (state.timestamp, state.id) == (LATER, identifier)


def test_a_type_that_does_not_exist_is_an_error() -> None:
    kinds = "SCHEDULED, PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, CRASHED, PAUSED, CANCELLING"

    with pytest.raises(ConfigurationError, match=rf"^'type' takes one of {kinds}, not 'DONE'\.$"):
        State[Any](type="DONE")


def test_the_timestamp_is_aware_utc_and_stands_once_it_was_looked_at(
    surroundings: Surroundings,
) -> None:
    state = Running()
    surroundings.advance(1)
    looked_at = state.timestamp
    surroundings.advance(1)

    assert state.timestamp == looked_at == surroundings.now - timedelta(seconds=1)
    assert looked_at.tzinfo is UTC
    assert state.nanoseconds == surroundings.ns - 10**9


def test_a_timestamp_is_turned_into_utc() -> None:
    given = datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))

    assert Running(timestamp=given).timestamp.isoformat() == "2030-01-01T00:00:00+00:00"


def test_a_time_without_a_zone_is_in_utc() -> None:
    naive = datetime(2030, 1, 1)  # noqa: DTZ001 - that is the point

    assert Running(timestamp=naive).timestamp == LATER
    assert Scheduled(scheduled_time=naive).state_details.scheduled_time == LATER


def test_a_state_has_one_id_that_no_other_state_has() -> None:
    first, second = Running(), Running()

    assert first.id == first.id
    assert first.id != second.id


def test_nothing_is_asked_of_the_surroundings_before_somebody_looks(
    surroundings: Surroundings,
) -> None:
    state = Completed(data=1)
    assert state.result() == 1
    assert surroundings.ids_given == 0

    assert state.id == UUID(int=1)


def test_the_details_are_empty_unless_given() -> None:
    details = Completed().state_details

    assert {name: getattr(details, name) for name in details.__match_args__} == {
        "flow_run_id": None,
        "task_run_id": None,
        "child_flow_run_id": None,
        "scheduled_time": None,
        "cache_key": None,
        "cache_expiration": None,
        "pause_timeout": None,
        "pause_reschedule": False,
        "pause_key": None,
        "run_input_keyset": None,
        "refresh_cache": None,
        "retriable": None,
        "transition_id": None,
        "untrackable_result": False,
        "deferred": None,
        "attempts": None,
    }
    assert not Completed().has_details


@pytest.mark.parametrize("given", [StateDetails(cache_key="k"), {"cache_key": "k"}])
def test_details_are_given_as_such_or_as_a_mapping(given: Any) -> None:
    state = Completed(state_details=given)

    assert state.state_details == StateDetails(cache_key="k")
    assert state.has_details


def test_an_id_in_the_details_may_be_a_string() -> None:
    state = Completed(state_details={"task_run_id": str(UUID(int=TASK))})

    assert state.state_details.task_run_id == UUID(int=TASK)


@pytest.mark.parametrize(
    ("details", "by_hand"),
    [
        (None, True),
        (StateDetails(cache_key="k"), True),
        (StateDetails(flow_run_id=UUID(int=FLOW)), False),
        (StateDetails(task_run_id=UUID(int=TASK)), False),
    ],
)
def test_a_state_without_run_ids_was_made_by_hand(
    details: StateDetails | None,
    by_hand: bool,
) -> None:
    assert Completed(state_details=details).hand_made is by_hand


# How it is shown.


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (Failed(message="message"), "Failed('message')"),
        (Completed(data=3), "Completed()"),
        (Completed(message=""), "Completed()"),
        (AwaitingRetry(scheduled_time=LATER), "AwaitingRetry(type=SCHEDULED)"),
        (Failed(name="TimedOut", message="late"), "TimedOut('late', type=FAILED)"),
    ],
    ids=range(5),
)
def test_a_state_reads_like_its_constructor(state: State[Any], text: str) -> None:
    assert str(state) == text


def test_the_repr_adds_type_and_data() -> None:
    assert repr(Completed(data=[3])) == "Completed(message=None, type=COMPLETED, result=[3])"
    assert repr(Failed(message="m", name="TimedOut")) == ("TimedOut(message='m', type=FAILED, result=None)")


# Which states are the same.


def test_states_are_equal_by_id() -> None:
    state = Completed(data=1)
    same = Failed(id=state.id)
    other = Completed(data=1)

    assert state == same
    assert hash(state) == hash(same)
    assert state != other
    assert state != 1
    assert len({state, same, other}) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: Completed(data=[1], message="m"),
        lambda: Failed(data=ValueError("x"), state_details={"cache_key": "k"}),
        of_a_run,
        lambda: Scheduled(scheduled_time=LATER),
        lambda: Completed(data=MISSING),
        lambda: Failed().adopt(3, FLOW, TASK, 1),
    ],
    ids=["plain", "with details", "of a run", "scheduled", "missing", "adopted"],
)
def test_a_state_survives_pickling(make: Make, surroundings: Surroundings) -> None:
    state = make()

    back: State[Any] = sent(state)
    surroundings.advance(5)

    assert back == state
    assert repr(back) == repr(state)
    assert back.timestamp == state.timestamp
    assert back.state_details == state.state_details
    assert back.hand_made is state.hand_made


def test_a_copy_of_a_state_is_the_same_state() -> None:
    state = Completed(data=[1])

    assert copy.copy(state) == state
    assert copy.copy(state).data is state.data


# States of runs.


def test_a_state_of_a_run_has_the_ids_of_the_run_in_its_details() -> None:
    state = of_a_run()

    assert state.state_details.flow_run_id == UUID(int=FLOW)
    assert state.state_details.task_run_id == UUID(int=TASK)
    assert not state.hand_made
    assert not state.has_details
    assert state.nanoseconds == 5_000


@pytest.mark.parametrize(
    ("task", "seq", "expected"),
    [
        (TASK, 0, "0199f3c2-5555-8000-8777-888888888888"),
        (TASK, 2, "0199f3c2-5555-8002-8777-888888888888"),
        (TASK, 0xFFF, "0199f3c2-5555-8fff-8777-888888888888"),
        (None, 2, "0199f3c2-1111-8002-8333-444444444444"),
    ],
)
def test_the_id_of_a_state_of_a_run_follows_from_run_and_position(
    task: int | None, seq: int, expected: str, surroundings: Surroundings
) -> None:
    state = of_a_run(seq, task)

    assert str(state.id) == expected
    assert state.id.version == 8
    assert state == of_a_run(seq, task)
    assert surroundings.ids_given == 0


def test_an_adopted_state_is_the_proposed_one_with_the_run_s_ids(
    surroundings: Surroundings,
) -> None:
    data = [1]
    proposed = Failed(message="m", name="Odd", data=data, state_details={"cache_key": "k"})

    adopted = proposed.adopt(5_000, FLOW, TASK, 4)

    assert adopted is not proposed
    assert adopted == proposed
    assert repr(adopted) == repr(proposed)
    assert adopted.data is data
    assert adopted.nanoseconds == 5_000
    assert adopted.state_details == StateDetails(cache_key="k", flow_run_id=UUID(int=FLOW), task_run_id=UUID(int=TASK))
    assert proposed.hand_made
    assert proposed.state_details == StateDetails(cache_key="k")
    assert surroundings.ids_given == 0


def test_adoption_keeps_an_id_and_a_time_that_somebody_has_seen() -> None:
    proposed = Failed(timestamp=LATER)
    seen = proposed.id

    adopted = proposed.adopt(5_000, FLOW, None, 1)

    assert (adopted.id, adopted.timestamp) == (seen, LATER)
    assert adopted.state_details == StateDetails(flow_run_id=UUID(int=FLOW))


def test_a_state_that_many_runs_propose_gets_an_id_of_its_own_in_each() -> None:
    shared = Completed(message="skipped")
    assert shared == shared.adopt(1, FLOW, TASK, 1)

    ids = {shared.adopt(1, FLOW, TASK + number, 1).id for number in range(1, 10)}

    assert len(ids) == 9
    assert shared.id not in ids


def test_a_state_of_one_run_that_another_adopts_gets_the_other_s_ids() -> None:
    details = StateDetails(task_run_id=UUID(int=TASK), cache_key="k")
    adopted = Completed(state_details=details).adopt(1, FLOW, None, 3)

    assert adopted.state_details == StateDetails(flow_run_id=UUID(int=FLOW), cache_key="k")
    assert str(adopted.id) == "0199f3c2-1111-8003-8333-444444444444"


@pytest.mark.parametrize(
    "ids", [(FLOW, TASK + 1), (FLOW + 1, TASK), (FLOW + 1, None)], ids=["task", "flow", "flow run"]
)
def test_a_state_that_was_a_run_s_gets_the_ids_of_the_next_one(ids: tuple[int, int | None]) -> None:
    flow, task = ids
    first = Completed(state_details={"cache_key": "k"}).adopt(1, FLOW, TASK, 3)
    assert first.state_details.task_run_id == UUID(int=TASK)

    details = first.adopt(1, flow, task, 3).state_details

    assert (details.flow_run_id, details.task_run_id) == (UUID(int=flow), None if task is None else UUID(int=task))
    assert details.cache_key == "k"


@pytest.mark.parametrize(
    "proposed",
    [Failed(message="no"), Failed(state_details={"retriable": False}), AwaitingRetry(scheduled_time=WHEN)],
    ids=["nothing else", "another detail", "a scheduled time"],
)
def test_the_number_of_attempts_is_one_of_the_details_beside_what_else_they_say(proposed: State[Any]) -> None:
    state = proposed.adopt(1, FLOW, TASK, 3)
    expected = with_changes(state.state_details, attempts=2)
    state.note_attempts(2)

    assert state.state_details == expected
    assert sent(state).state_details == expected
    assert state.scheduled_ns == proposed.scheduled_ns
    assert state.has_details


def test_the_states_that_runs_make_for_another_attempt_are_those_that_are_made_by_hand() -> None:
    for made, by_hand in (
        (make_retrying("m"), Retrying(message="m")),
        (make_awaiting("AwaitingRetry", "m", to_nanoseconds(WHEN)), AwaitingRetry(scheduled_time=WHEN, message="m")),
    ):
        one, other = (state.adopt(1, FLOW, TASK, 2) for state in (made, by_hand))
        assert (one.type, one.name, one.message, one.data) == (other.type, other.name, other.message, other.data)
        assert (one.nanoseconds, one.state_details) == (other.nanoseconds, other.state_details)
        assert one.id == other.id


@pytest.mark.parametrize("expires", [None, WHEN])
@pytest.mark.parametrize("refresh", [None, True])
def test_the_states_of_a_run_that_looks_into_the_cache_are_those_that_are_made_by_hand(
    expires: datetime | None, refresh: bool | None
) -> None:
    details = StateDetails(cache_key="k", cache_expiration=expires, refresh_cache=refresh)
    looked = make_looked(None, 3, Looked("k", expires, refresh))
    for made, by_hand in (
        (make_found(Found(3, expires), looked), Completed(name="Cached", data=3, state_details=details)),
        (looked, Running(data=3, state_details=details)),
        (make_looked("Retrying", 3, Looked("k", expires, refresh)), Retrying(data=3, state_details=details)),
    ):
        one, other = (state.adopt(1, FLOW, TASK, 2) for state in (made, by_hand))
        assert (one.type, one.name, one.message, one.data) == (other.type, other.name, other.message, other.data)
        assert (one.nanoseconds, one.state_details) == (other.nanoseconds, other.state_details)
        assert (one.id, one.has_details, one.scheduled_ns) == (other.id, True, None)
        assert sent(one).state_details == other.state_details


def test_what_was_found_expires_when_it_does_and_not_when_the_one_who_looked_had_thought() -> None:
    looked = make_looked(None, None, Looked("k", WHEN, None))
    by_hand = Running(state_details={"cache_key": "k", "cache_expiration": WHEN, "pause_key": "p"})

    for state in (looked, by_hand):
        details = make_found(Found(3), state).state_details
        assert (details.cache_key, details.cache_expiration) == ("k", None)


def test_a_transition_id_is_told_without_the_details_being_made() -> None:
    identifier = UUID(int=5)

    assert Running(state_details={"transition_id": identifier}).transition_id == identifier
    assert Running().transition_id is None
    assert make_looked(None, None, Looked("k", None, None)).transition_id is None


def test_a_state_that_was_made_for_one_run_becomes_its_state_itself_and_any_other_is_copied() -> None:
    own = make_retrying("m")
    constant = Running()

    assert own.adopt(1, FLOW, TASK, 2) is own
    assert own.adopt(1, FLOW, TASK, 3) is not own
    assert constant.adopt(1, FLOW, TASK, 2) is not constant


# Constructors.


@pytest.mark.parametrize(("make", "kind", "name"), CONSTRUCTORS)
def test_a_constructor_makes_its_state(make: Make, kind: StateType, name: str) -> None:
    state = make(message="m", data=3)

    assert (state.type, state.name) == (kind, name)
    assert (state.message, state.data) == ("m", 3)
    assert state.hand_made


@pytest.mark.parametrize("make", [*SCHEDULED, lambda: State[Any](type=StateType.SCHEDULED)])
def test_scheduled_without_a_time_means_now(make: Make, surroundings: Surroundings) -> None:
    assert make().state_details.scheduled_time == surroundings.now


@pytest.mark.parametrize("make", SCHEDULED)
def test_scheduled_with_other_details_than_a_time_means_now_too(make: Make, surroundings: Surroundings) -> None:
    details = make(state_details={"cache_key": "k"}).state_details

    assert (details.cache_key, details.scheduled_time) == ("k", surroundings.now)


@pytest.mark.parametrize("make", SCHEDULED)
def test_scheduled_takes_a_time(make: Make) -> None:
    assert make(scheduled_time=LATER).state_details.scheduled_time == LATER
    inside = make(state_details={"scheduled_time": LATER})
    assert inside.state_details.scheduled_time == LATER


@pytest.mark.parametrize("make", SCHEDULED)
def test_a_scheduled_time_given_twice_is_an_error(make: Make) -> None:
    with pytest.raises(
        ValueError,
        match=r"^The scheduled time is given twice: as 'scheduled_time' and in 'state_details'\. Give it once\.$",
    ):
        make(scheduled_time=LATER, state_details=StateDetails(scheduled_time=LATER))


@pytest.mark.parametrize("make", [Paused, Suspended])
def test_a_pause_ends_after_some_seconds_or_at_a_time_or_never(make: Make, surroundings: Surroundings) -> None:
    after = make(timeout_seconds=1.5).state_details.pause_timeout
    assert after == surroundings.now + timedelta(seconds=1.5)
    assert make(timeout_seconds=0).state_details.pause_timeout == surroundings.now
    assert make(pause_expiration_time=LATER).state_details.pause_timeout == LATER
    assert make().state_details.pause_timeout is None


@pytest.mark.parametrize("make", [Paused, Suspended])
def test_giving_both_times_of_a_pause_is_an_error(make: Make) -> None:
    with pytest.raises(
        ValueError,
        match=r"^The end of a pause is given twice: as 'timeout_seconds' and as"
        r" 'pause_expiration_time'\. Give one\.$",
    ):
        make(timeout_seconds=0, pause_expiration_time=LATER)


@pytest.mark.parametrize("given", [{}, {"timeout_seconds": 1}, {"pause_expiration_time": LATER}], ids=str)
def test_a_pause_timeout_in_the_details_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError,
        match=r"^The end of a pause is given as 'timeout_seconds' or 'pause_expiration_time', not"
        r" in 'state_details'\.$",
    ):
        Paused(**given, state_details=StateDetails(pause_timeout=LATER))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"timestamp": 3}, "'timestamp' takes a datetime, not 3."),
        ({"name": 3}, "'name' takes text, not 3."),
        ({"message": ValueError("no")}, "'message' takes text, not ValueError('no')."),
        ({"state_details": {"scheduled_time": "now"}}, "'state_details' takes a datetime, not 'now'."),
        ({"state_details": {"flow_run_id": "x"}}, "'state_details' takes UUIDs, or their text, as ids, not 'x'."),
        ({"state_details": {"task_run_id": 3}}, "'state_details' takes UUIDs, or their text, as ids, not 3."),
    ],
)
def test_what_is_no_text_time_or_id_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Running(**given)

    assert str(raised.value) == message


@pytest.mark.parametrize("make", SCHEDULED)
def test_a_scheduled_time_that_is_none_is_refused(make: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"^'scheduled_time' takes a datetime, not 'tomorrow'\.$"):
        make(scheduled_time="tomorrow")


@pytest.mark.parametrize("make", [Paused, Suspended])
def test_the_end_of_a_pause_that_is_no_time_is_refused(make: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"^'pause_expiration_time' takes a datetime, not 3\.$"):
        make(pause_expiration_time=3)
    for seconds in ("5", -1, float("nan")):
        with pytest.raises(ConfigurationError, match=r"^'timeout_seconds' takes a number of seconds, 0 or more, or"):
            make(timeout_seconds=seconds)


def test_a_pause_may_reschedule_and_have_a_key() -> None:
    details = Paused(reschedule=True, pause_key="k").state_details

    assert (details.pause_reschedule, details.pause_key) == (True, "k")
    assert Paused().state_details == StateDetails()


def test_a_suspended_state_is_a_paused_one_that_reschedules() -> None:
    details = Suspended(pause_key="k").state_details

    assert (details.pause_reschedule, details.pause_key) == (True, "k")


@pytest.mark.parametrize("make", [Suspended, AwaitingRetry, AwaitingConcurrencySlot, Late, Retrying])
def test_a_state_that_is_known_by_its_name_cannot_be_given_another(make: Make) -> None:
    with pytest.raises(TypeError, match=r"got multiple values for keyword argument 'name'$"):
        make(name="Other")


# The result.


@pytest.mark.parametrize("value", [3, None, [Completed], ValueError("as data")])
def test_the_result_of_a_completed_state_is_its_data(value: object) -> None:
    state = Completed(data=value)

    assert state.result() is value
    assert state.result(raise_on_failure=False) is value
    assert asyncio.run(state.aresult()) is value


@pytest.mark.parametrize("make", [Failed, Crashed, Cancelled])
def test_a_failure_raises_its_exception_or_returns_it(make: Make) -> None:
    error = ValueError("no")
    state = make(data=error)

    with pytest.raises(ValueError, match=r"^no$") as raised:
        state.result()
    with pytest.raises(ValueError, match=r"^no$") as raised_async:
        asyncio.run(state.aresult())

    assert raised.value is raised_async.value is error
    assert state.result(raise_on_failure=False) is error
    assert asyncio.run(state.aresult(raise_on_failure=False)) is error


@pytest.mark.parametrize("make", [Scheduled, Pending, Running, Cancelling, Retrying])
@pytest.mark.parametrize("raise_on_failure", [True, False])
def test_a_state_that_is_not_final_has_no_result(
    make: Make,
    raise_on_failure: bool,
) -> None:
    state = make()

    with pytest.raises(UnfinishedRun) as raised:
        state.result(raise_on_failure)
    with pytest.raises(UnfinishedRun):
        asyncio.run(state.aresult(raise_on_failure))

    assert str(raised.value) == f"The run has no result: it is {state}."
    assert raised.value.state is state


@pytest.mark.parametrize("make", [Paused, Suspended])
def test_a_paused_state_has_no_result(make: Make) -> None:
    state = make()

    with pytest.raises(PausedRun) as raised:
        state.result()
    with pytest.raises(PausedRun):
        asyncio.run(state.aresult())

    assert str(raised.value) == f"The run has no result: it is {state}. Resume it first."


def test_a_result_that_was_not_kept_is_missing() -> None:
    state = Completed(data=MISSING)
    text = r"^The run completed, but its result was not kept\. Set persist_result=True to keep"

    with pytest.raises(MissingResult, match=text):
        state.result(raise_on_failure=False)
    with pytest.raises(MissingResult, match=text):
        asyncio.run(state.aresult())


class Stored(StoredResult):
    """A value in a storage that counts how it is read."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.loads = self.aloads = 0

    def load(self) -> Any:
        self.loads += 1
        return self.value

    async def aload(self) -> Any:
        self.aloads += 1
        await asyncio.sleep(0)
        return self.value


def test_a_result_in_a_storage_is_loaded() -> None:
    stored = Stored([1])
    state = Completed(data=stored)

    assert state.result() is stored.value
    assert (stored.loads, stored.aloads) == (1, 0)


def test_async_code_loads_a_result_without_blocking() -> None:
    stored = Stored([1])
    state = Completed(data=stored)

    assert asyncio.run(state.aresult()) is stored.value
    assert (stored.loads, stored.aloads) == (0, 1)


def test_an_exception_in_a_storage_is_loaded() -> None:
    error = ValueError("no")
    stored = Stored(error)
    state = Failed(data=Failed(data=stored))

    assert state.result(raise_on_failure=False) is error
    assert asyncio.run(state.aresult(raise_on_failure=False)) is error
    assert (stored.loads, stored.aloads) == (1, 1)


@pytest.mark.parametrize("where", ["load", "aload"])
def test_a_result_that_the_storage_has_lost_is_missing(where: str) -> None:
    class Lost(StoredResult):
        def load(self) -> Any:
            raise MissingResult("memory")

        async def aload(self) -> Any:
            raise MissingResult("memory")

    state = Completed(data=Lost())

    with pytest.raises(MissingResult, match=r"^The run completed, but its result is not in memory any more\.$"):
        state.result() if where == "load" else asyncio.run(state.aresult())


def test_a_value_of_the_user_s_that_can_be_loaded_is_handed_out_as_it_is() -> None:
    class Model:
        def load(self) -> Any:
            raise AssertionError

        aload = load

    model = Model()

    assert Completed(data=model).result() is model


def test_a_place_in_a_storage_has_to_say_how_it_is_read() -> None:
    with pytest.raises(NotImplementedError):
        StoredResult().load()
    with pytest.raises(NotImplementedError):
        asyncio.run(StoredResult().aload())


def test_the_mark_of_a_missing_result_is_one_and_stays_it() -> None:
    assert repr(MISSING) == "MISSING"
    assert sent(MISSING) is MISSING


def test_a_state_knows_the_type_of_its_result() -> None:
    state = Completed(data=3)
    assert_type(state, State[int])
    assert_type(state.result(), int)
    assert_type(state.result(raise_on_failure=False), int | BaseException)
    assert_type(Completed(), State[None])
    wider: State[object] = state
    assert wider is state


# The exception of a state.


@each_failure
def test_without_data_the_exception_has_the_state_s_message(make: Make, wrapper: type[RunError], default: str) -> None:
    for data in (None, MISSING):
        error = get_state_exception(make(message="it broke", data=data))
        assert (type(error), str(error)) == (wrapper, "it broke")


@each_failure
def test_without_data_and_message_the_exception_says_what_happened(
    make: Make, wrapper: type[RunError], default: str
) -> None:
    error = get_state_exception(make())

    assert (type(error), str(error)) == (wrapper, default)


@each_failure
def test_a_string_in_the_data_is_the_message_of_the_exception(
    make: Make, wrapper: type[RunError], default: str
) -> None:
    error = get_state_exception(make(message="m", data="in the data"))

    assert (type(error), str(error)) == (wrapper, "in the data")


@each_failure
def test_an_exception_in_the_data_is_the_exception(make: Make, wrapper: type[RunError], default: str) -> None:
    for given in (ValueError("no"), KeyboardInterrupt()):
        assert get_state_exception(make(data=given)) is given


def test_a_state_in_the_data_gives_its_exception() -> None:
    error = ValueError("no")

    assert get_state_exception(Failed(data=Crashed(data=error))) is error
    assert str(get_state_exception(Failed(data=Cancelled()))) == "Run cancelled."


@pytest.mark.parametrize("make", [Failed, Crashed, Cancelled])
def test_of_several_states_in_the_data_the_first_failure_counts(make: Make) -> None:
    first = make(message="first")
    error = get_state_exception(Failed(data=[Completed(), Running(), first, Failed()]))

    assert str(error) == "first"


def test_several_states_without_a_failure_are_an_error() -> None:
    state = Failed(message="m", data=(Completed(), Running()))

    with pytest.raises(
        ValueError,
        match=r"^None of the states in the data of Failed\('m'\) failed, crashed or was"
        r" cancelled\.$",
    ):
        get_state_exception(state)


@pytest.mark.parametrize(
    ("data", "shown"),
    [(3, r"3, of type int"), ([], r"\[\], of type list"), ([1], r"\[1\], of type list")],
)
def test_other_data_of_a_failure_is_an_error(data: object, shown: str) -> None:
    text = rf"^The data of Failed\(\) cannot be made an exception: it is {shown}\. Make the state of an exception"

    with pytest.raises(TypeError, match=text):
        get_state_exception(Failed(data=data))
    with pytest.raises(TypeError, match=text):
        asyncio.run(Failed(data=data).aresult())


@pytest.mark.parametrize("make", [Completed, Running, Paused])
def test_a_state_that_did_not_fail_has_no_exception(make: Make) -> None:
    state = make()

    with pytest.raises(ValueError, match=r"^Only a FAILED, CRASHED or CANCELLED state has an") as e:
        get_state_exception(state)
    assert str(e.value).endswith(f"exception, and {state} is {state.type}.")


@each_failure
def test_raising_the_exception_of_a_failure(make: Make, wrapper: type[RunError], default: str) -> None:
    with pytest.raises(wrapper) as raised:
        raise_state_exception(make())

    assert str(raised.value) == default


@pytest.mark.parametrize("make", [Completed, Running, Paused])
def test_raising_the_exception_of_any_other_state_does_nothing(make: Make) -> None:
    assert [*map(raise_state_exception, [make()])] == [None]


# The surroundings.


@pytest.mark.parametrize(
    ("look", "what"),
    [
        (lambda: Completed().timestamp, "now_ns"),
        (lambda: Completed().id, "new_id"),
        (Scheduled, "now_ns"),
    ],
    ids=["time", "id", "scheduled"],
)
def test_where_nothing_is_installed_the_error_says_what(
    look: Callable[[], object], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ambient, "_now_ns", ambient._no_clock)
    monkeypatch.setattr(ambient, "_new_id", ambient._no_ids)

    with pytest.raises(AmbientMissing) as raised:
        look()

    assert raised.value.what == what


def test_one_part_of_the_surroundings_can_be_installed_alone() -> None:
    ambient.install(now_ns=lambda: 7_000)

    assert Completed().nanoseconds == 7_000
    assert Completed().id.int > 0

    ambient.install(new_id=lambda: UUID(int=5))

    assert Completed().nanoseconds == 7_000
    assert Completed().id == UUID(int=5)
