"""The contract between a queue and those who use it: what every queue must do. See `port`."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from millrace.actors.errors import RunNotFound, StoreError, StoreFenced
from millrace.actors.states import StateType
from millrace.runtime.deferred.port import Step, Told
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.rows import RunFilter
from tests.runtime.deferred.places import SEVEN, Hand, Place, Rung, completed, job, running

OTHER = "send-3c4d"


def names(place: Place, number: int = 1) -> list[str]:
    return [state.name for state in place.there.read_states(number)]


def test_what_is_put_off_is_scheduled_for_everybody(place: Place) -> None:
    place.here.put(job(tags=frozenset({"x", "y"}), flow_run=9))

    row = place.there.read(1)

    assert row is not None
    assert (row.id, row.task, row.key, row.created) == (1, "load", "load-1a2b", 101)
    assert row.tags == {"x", "y"}
    assert (row.flow_run, row.ended, row.lost, row.data) == (9, None, 0, None)
    assert (row.state.type, row.state.name, row.state.sequence, row.state.at) == (
        StateType.SCHEDULED, "Scheduled", 0, 101,
    )  # fmt: skip


def test_what_is_not_there_is_not_read(place: Place) -> None:
    assert place.here.read(1) is None
    assert place.here.read_states(1) == []
    assert place.here.waiting() == {}


def test_two_runs_cannot_have_one_id(place: Place) -> None:
    place.here.put(job())

    with pytest.raises(StoreError, match=r"there is a run with the id 0{31}1 already"):
        place.there.put(job())

    assert names(place) == ["Scheduled"]


def test_a_worker_takes_what_it_was_put_off_with(place: Place) -> None:
    put = job(tags=frozenset({"x"}), flow_run=9, awaited=(3, 4))
    place.here.put(put)
    hand = Hand(place.there)

    (taken,) = hand.exchange(most=5).jobs

    assert taken == put
    assert names(place) == ["Scheduled", "Pending"]
    state = place.here.read_states(1)[1]
    assert (state.message, state.at) == ("It was taken by process 7 on mill.", 220)
    hand.leave()


def test_nobody_takes_what_somebody_has(place: Place) -> None:
    for number in (1, 2, 3):
        place.here.put(job(number))
    one, other = Hand(place.here), Hand(place.there)

    assert [one.take(2), other.take(2), one.take(2)] == [[1, 2], [3], []]
    one.leave()
    other.leave()


def test_a_worker_takes_only_what_it_can_run_and_the_first_ids_first(place: Place) -> None:
    for number, key in ((4, OTHER), (3, "load-1a2b"), (2, "mail-5e6f"), (1, OTHER)):
        place.here.put(job(number, key))
    hand = Hand(place.there, keys=["load-1a2b", OTHER])

    assert [hand.take(2), hand.take(None)] == [[1, 3], [4]]
    assert place.here.waiting() == {("mail", "mail-5e6f"): 1}
    hand.leave()


def test_states_are_told_as_they_come(place: Place) -> None:
    place.here.put(job())
    hand = Hand(place.there)
    hand.take()

    hand.exchange(running())

    assert names(place) == ["Scheduled", "Pending", "Running"]
    hand.leave()


def test_the_end_comes_with_the_result(place: Place) -> None:
    place.here.put(job())
    hand = Hand(place.there)
    hand.take()

    hand.exchange(completed())

    row = place.here.read(1)
    assert row is not None
    assert (row.ended, row.state.name, row.data, row.stored) == (230, "Completed", SEVEN, None)
    assert names(place) == ["Scheduled", "Pending", "Running", "Completed"]
    assert hand.take() == []
    hand.leave()
    assert names(place)[-1] == "Completed"


def test_it_is_told_where_a_result_lies(place: Place) -> None:
    place.here.put(job())
    hand = Hand(place.there)
    hand.take()
    there = Value("", None, "a result that lies elsewhere")

    hand.exchange(Told(1, [Step(StateType.COMPLETED, "Completed", None, 230, "told")], True, there, "key-7"))

    row = place.here.read(1)
    assert row is not None
    assert (row.data, row.stored) == (there, "key-7")
    hand.leave()


def test_of_a_run_that_a_worker_does_not_have_it_tells_nothing(place: Place) -> None:
    place.here.put(job())
    one, other = Hand(place.here), Hand(place.there)
    one.take()

    other.exchange(completed())

    assert names(place) == ["Scheduled", "Pending"]
    one.leave()
    other.leave()


def test_what_is_given_back_is_taken_again(place: Place) -> None:
    place.here.put(job())
    one, other = Hand(place.here), Hand(place.there)
    one.take()
    other.rung.clear()

    step = Step(StateType.CANCELLED, "Cancelled", None, 230, "told")
    one.exchange(Told(1, [step], returned=True))

    assert other.rung.wait()
    assert other.take() == [1]
    assert names(place) == ["Scheduled", "Pending", "Scheduled", "Pending"]
    assert place.here.read_states(1)[2].message == "It was given back by process 7 on mill."
    one.leave()
    other.leave()


def test_who_leaves_gives_back_what_it_has(place: Place) -> None:
    place.here.put(job())
    one, other = Hand(place.here), Hand(place.there)
    one.take()
    other.rung.clear()

    one.leave()

    assert other.rung.wait()
    assert other.take() == [1]
    row = place.here.read(1)
    assert row is not None
    assert row.lost == 0
    with pytest.raises(StoreFenced):
        one.exchange()
    other.leave()


# Waiting for others.


def test_a_run_is_not_taken_before_those_have_ended_that_it_waits_for(place: Place) -> None:
    place.here.put(job(1))
    place.here.put(job(2))
    place.here.put(job(3), awaited=[1, 2, 99])
    hand = Hand(place.there)
    assert hand.take() == [1, 2]

    assert hand.exchange(completed(1), most=None).jobs == []
    assert [each.id for each in hand.exchange(completed(2), most=None).jobs] == [3]
    hand.leave()


def test_whatever_they_come_to(place: Place) -> None:
    place.here.put(job(1))
    place.here.put(job(2), awaited=[1])
    hand = Hand(place.there)
    hand.rung.clear()

    place.here.cancel(1, "Nobody wants it.", 150)

    assert hand.rung.wait()
    assert hand.take() == [2]
    hand.leave()


def test_one_that_has_ended_holds_nobody_up(place: Place) -> None:
    place.here.put(job(1))
    place.here.cancel(1, "Nobody wants it.", 150)
    place.here.put(job(2), awaited=[1])
    hand = Hand(place.there)

    assert hand.take() == [2]
    hand.leave()


def test_a_run_may_be_put_off_that_has_ended(place: Place) -> None:
    step = Step(StateType.FAILED, "Failed", "It never began.", 140, "told")

    place.here.put(job(), end=Told(1, [step], ended=True, data=SEVEN))

    row = place.there.read(1)
    assert row is not None
    assert (row.ended, row.state.name, row.data) == (140, "Failed", SEVEN)
    hand = Hand(place.there)
    assert hand.take() == []
    hand.leave()


# Cancelling.


def test_what_nobody_has_is_cancelled_at_once(place: Place) -> None:
    place.here.put(job())

    place.there.cancel(1, "Nobody wants it.", 150)

    row = place.here.read(1)
    assert row is not None
    assert (row.ended, row.state.type, row.state.message) == (150, StateType.CANCELLED, "Nobody wants it.")
    hand = Hand(place.here)
    assert hand.take() == []
    hand.leave()


def test_its_worker_is_told_to_cancel_a_run(place: Place) -> None:
    place.here.put(job())
    hand = Hand(place.there)
    hand.take()
    hand.rung.clear()

    place.here.cancel(1, "Nobody wants it.", 150)

    assert hand.rung.wait()
    assert hand.exchange().cancelled == {1: "Nobody wants it."}
    assert names(place) == ["Scheduled", "Pending"]
    hand.leave()
    assert names(place) == ["Scheduled", "Pending", "Cancelled"]  # nobody wants it, so nobody else begins it


def test_cancelling_what_has_ended_changes_nothing(place: Place) -> None:
    place.here.put(job())
    place.here.cancel(1, "Nobody wants it.", 150)

    place.there.cancel(1, "Still not.", 160)

    assert len(names(place)) == 2
    with pytest.raises(RunNotFound):
        place.here.cancel(2, "Nobody wants it.", 150)


# Bells.


def test_a_worker_is_rung_for_what_is_put_off(place: Place) -> None:
    hand = Hand(place.there)
    hand.rung.clear()

    place.here.put(job())

    assert hand.rung.wait()
    assert hand.take() == [1]
    hand.leave()


def test_who_watches_is_told_of_the_end_once(place: Place) -> None:
    place.here.put(job(1))
    place.here.put(job(2))
    told, never = Rung(), Rung()
    place.here.watch(1, told)
    place.here.watch(2, never)
    hand = Hand(place.there)
    hand.take()

    hand.exchange(completed(1))
    assert told.wait()
    place.here.unwatch(2, never)
    hand.exchange(completed(2))

    assert not told._rung.acquire(blocking=False)
    assert not never._rung.acquire(blocking=False)
    hand.leave()


def test_who_watches_what_has_ended_is_told_at_once(place: Place) -> None:
    place.here.put(job())
    place.here.cancel(1, "Nobody wants it.", 150)
    told = Rung()

    place.there.watch(1, told)

    assert told.wait()


def test_what_is_not_there_yet_can_be_watched(place: Place) -> None:
    told = Rung()
    place.there.watch(1, told)

    place.here.put(job())
    place.here.cancel(1, "Nobody wants it.", 150)

    assert told.wait()


# Looking.


def test_it_is_told_when_a_run_first_began_and_how_often(place: Place) -> None:
    place.here.put(job())
    before = place.there.read(1)
    hand = Hand(place.here)
    hand.take()
    again = Step(StateType.RUNNING, "Retrying", None, 228, "told")
    hand.exchange(running(), Told(1, [again]))

    after = place.there.read(1)

    assert before is not None
    assert after is not None
    assert [(row.started, row.attempts) for row in (before, after)] == [(None, 0), (225, 2)]
    hand.leave()


def test_runs_are_listed_newest_first_by_what_is_known_of_them(place: Place) -> None:
    place.here.put(job(1))
    place.here.put(job(2, OTHER, tags=frozenset({"x", "y"})))
    place.here.put(job(0x30C, tags=frozenset({"x"}), flow_run=9))
    place.here.cancel(1, "Nobody wants it.", 150)

    def found(**wanted: Any) -> list[int]:
        return [row.id for row in place.there.read_all(RunFilter(**wanted))]

    assert found() == [0x30C, 2, 1]
    assert found(limit=2) == [0x30C, 2]
    assert found(first=2) == [0x30C, 2]
    assert found(last=2) == [2, 1]
    assert found(of=["send"]) == [2]
    assert found(of=["load", "send"]) == [0x30C, 2, 1]
    assert found(names=["load-30c", "load-001"]) == [0x30C, 1]
    assert found(types=[StateType.CANCELLED, StateType.FAILED]) == [1]
    assert found(tags=["x"]) == [0x30C, 2]
    assert found(tags=["x", "y"]) == [2]
    assert found(flow_run=9) == []  # it was put off there, and belongs to nobody


def test_what_is_listed_is_what_is_read(place: Place) -> None:
    place.here.put(job(tags=frozenset({"x"}), flow_run=9))
    hand = Hand(place.there)
    hand.take()
    hand.exchange(completed())

    read = place.here.read(1)
    assert read is not None
    assert place.here.read_all(RunFilter()) == [attrs.evolve(read, data=None)]
    hand.leave()


# Looking after it.


def test_what_ended_long_ago_is_removed(place: Place) -> None:
    for number in (1, 2, 3):
        place.here.put(job(number))
    place.here.cancel(1, "Nobody wants it.", 150)
    place.here.cancel(2, "Nobody wants it.", 250)

    assert place.there.prune(200, counts_only=True) == 1
    assert place.there.prune(200) == 1

    assert [place.here.read(number) is not None for number in (1, 2, 3)] == [False, True, True]
    assert names(place, 1) == []
    told = Rung()
    place.here.watch(3, told)
    place.there.cancel(3, "Nobody wants it.", 260)
    assert told.wait()


def test_a_queue_that_was_closed_can_be_used_again(place: Place) -> None:
    place.here.put(job())
    place.here.close()

    assert names(place) == ["Scheduled"]
    place.here.put(job(2))

    hand = Hand(place.here)
    assert hand.take() == [1, 2]
    assert hand.queue.read(1) is not None
    hand.leave()
