"""The limiter: who is served when, and who is told that it never will be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millrace.actors import deadlocks
from millrace.actors.adaptive import AdaptiveLimit
from millrace.actors.errors import ConfigurationError, DeadlockError, LimitNotFound
from millrace.actors.limiter_messages import Take
from millrace.actors.tickets import Standing, Ticket
from millrace.actors.token_bucket import RateLimit
from tests.actors.limits import Named, Noted

SECOND = 1_000_000_000


def test_slots_are_given_out_until_there_are_no_more() -> None:
    limiter = Noted(db=2)
    tickets = [limiter.take(db=1) for _ in range(3)]

    assert [each.held for each in tickets] == [True, True, False]
    assert limiter.held("db") == 2


def test_a_freed_slot_goes_to_the_next_who_waits() -> None:
    limiter = Noted(db=1)
    first, second, third = (limiter.take(db=1) for _ in range(3))

    assert limiter.give_back(first) == [second]
    assert second.held
    assert not third.held
    assert limiter.give_back(second) == [third]
    assert limiter.give_back(third) == []
    assert limiter.held("db") == 0


def test_nobody_comes_in_between_a_freed_slot_and_the_next() -> None:
    limiter = Noted(db=1)
    first, second = limiter.take(db=1), limiter.take(db=1)
    limiter.give_back(first)
    third = limiter.take(db=1)

    assert (second.held, third.held) == (True, False)


def test_who_wants_much_is_not_passed_by_for_ever() -> None:
    limiter = Noted(db=3)
    one, other = limiter.take(db=1), limiter.take(db=1)
    wide = limiter.take(db=3)
    narrow = limiter.take(db=1)

    assert not narrow.held  # there is room for it, but it came later
    assert limiter.give_back(one) == []
    assert limiter.give_back(other) == [wide]
    assert limiter.give_back(wide) == [narrow]


def test_several_are_served_at_once_by_one_that_held_much() -> None:
    limiter = Noted(db=3)
    wide = limiter.take(db=3)
    waiting = [limiter.take(db=1) for _ in range(4)]

    assert limiter.give_back(wide) == waiting[:3]


def test_several_limits_are_taken_at_once_or_not_at_all() -> None:
    limiter = Noted(db=1, gpu=1)
    held = limiter.take(gpu=1)
    both = limiter.take(db=1, gpu=1)

    assert limiter.held("db") == 0
    assert limiter.give_back(held) == [both]
    assert (limiter.held("db"), limiter.held("gpu")) == (1, 1)


def test_two_who_want_the_same_limits_in_another_order_do_not_wait_in_a_circle() -> None:
    limiter = Noted(db=1, gpu=1)
    first = limiter.take(db=1, gpu=1)
    second = limiter.take(gpu=1, db=1)
    third = limiter.take(db=1, gpu=1)

    assert limiter.give_back(first) == [second]
    assert limiter.give_back(second) == [third]


def test_who_waits_for_another_limit_holds_up_those_behind_it_and_nobody_before() -> None:
    limiter = Noted(db=2, gpu=1)
    gpu = limiter.take(gpu=1)
    both = limiter.take(db=1, gpu=1)
    behind = limiter.take(db=1)

    assert not behind.held
    assert limiter.give_back(gpu) == [both, behind]


def test_one_that_stops_waiting_lets_those_behind_it_go_on() -> None:
    limiter = Noted(db=2)
    held = limiter.take(db=1)
    wide, narrow = limiter.take(db=2), limiter.take(db=1)

    assert limiter.give_back(wide) == [narrow]
    assert limiter.give_back(held) == []
    assert limiter.held("db") == 1


def test_giving_back_twice_is_giving_back_once() -> None:
    limiter = Noted(db=1)
    ticket = limiter.take(db=1)
    limiter.give_back(ticket)
    limiter.give_back(ticket)

    assert limiter.held("db") == 0
    assert limiter.take(db=1).held


def test_one_that_was_given_back_before_it_was_asked_for_is_not_served() -> None:
    limiter = Noted(db=1)
    ticket = limiter.ticket(db=1)
    limiter.give_back(ticket)
    limiter.tell(Take(ticket, 0))

    assert ticket.standing is Standing.GONE
    assert limiter.held("db") == 0


def test_one_that_is_refused_waits_no_longer_and_knows_why() -> None:
    limiter = Noted(db=1)
    held, late, behind = (limiter.take(db=1) for _ in range(3))
    error = TimeoutError()

    assert limiter.refuse(late, error) == [late]
    assert late.error is error
    assert limiter.refuse(held, error) == []
    assert held.held
    assert limiter.give_back(held) == [behind]


def test_who_stood_behind_one_that_is_refused_goes_on() -> None:
    limiter = Noted(db=2)
    limiter.take(db=1)
    wide, narrow = limiter.take(db=2), limiter.take(db=1)

    assert limiter.refuse(wide, TimeoutError()) == [wide, narrow]
    assert narrow.held


# Changes.


def test_a_higher_priority_is_served_first_and_among_equals_whoever_came_first() -> None:
    limiter = Noted(db=1)
    held = limiter.take(db=1)
    usual, late, soon, other, sooner = (limiter.take(db=1, priority=each) for each in (0, -1, 5, 5, 9))
    order = [sooner, soon, other, usual, late]

    assert list(limiter.limits["db"].queue) == order
    for each in order:
        assert limiter.give_back(held) == [each]
        held = each
    assert limiter.give_back(held) == []


def test_a_higher_priority_is_first_at_every_limit_that_it_wants() -> None:
    limiter = Noted(db=1, gpu=1)
    db, gpu = limiter.take(db=1), limiter.take(gpu=1)
    both = limiter.take(db=1, gpu=1)
    soon = limiter.take(gpu=1, db=1, priority=1)

    assert limiter.give_back(gpu) == []
    assert limiter.give_back(db) == [soon]
    assert limiter.give_back(soon) == [both]


def test_a_higher_priority_takes_what_is_not_enough_for_those_whom_it_passes() -> None:
    limiter = Noted(db=2)
    held = limiter.take(db=1)
    wide = limiter.take(db=2)
    assert not limiter.take(db=1).held
    soon = limiter.take(db=1, priority=1)

    assert soon.held
    assert limiter.give_back(held) == []
    assert limiter.give_back(soon) == [wide]


def test_a_higher_priority_gets_the_next_token() -> None:
    limiter = Noted(api=RateLimit(1, burst=1))
    limiter.take(api=1)
    usual, soon = limiter.take(api=1), limiter.take(api=1, priority=1)
    assert {ticket for ticket, _ in limiter.due} <= {usual, soon}

    limiter.at = SECOND
    assert [*limiter.look_again(usual), *limiter.look_again(soon)] == [soon]
    assert (usual.held, usual.due) == (False, 2 * SECOND)
    limiter.at = 2 * SECOND
    assert limiter.look_again(usual) == [usual]


def test_nobody_is_passed_by_who_would_wait_in_vain_then() -> None:
    limiter = Noted(db=3)
    outer, other = limiter.take(db=1), limiter.take(db=2)
    inner = limiter.take(db=1, around=[outer])
    wide = limiter.take(db=3, priority=9)  # it needs what `outer` holds until `inner` was served

    assert wide.error is None
    assert limiter.give_back(other) == [inner]
    assert limiter.give_back(inner) == []
    assert limiter.give_back(outer) == [wide]


def test_more_slots_serve_those_who_wait() -> None:
    limiter = Noted(db=1)
    limiter.take(db=1)
    waiting = [limiter.take(db=1) for _ in range(3)]

    assert limiter.change("db", 3) == waiting[:2]


def test_fewer_slots_take_nothing_from_anybody_and_let_others_wait() -> None:
    limiter = Noted(db=3)
    tickets = [limiter.take(db=1) for _ in range(3)]
    assert limiter.change("db", 1) == []
    late = limiter.take(db=1)

    assert all(each.held for each in tickets)
    assert [limiter.give_back(each) for each in tickets] == [[], [], [late]]


def test_who_waits_for_more_than_there_is_at_all_after_a_change_is_told() -> None:
    limiter = Noted(db=4)
    held = limiter.take(db=2)
    wide, narrow = limiter.take(db=3), limiter.take(db=1)

    assert limiter.change("db", 2) == [wide]
    assert str(wide.error) == "'occupy' takes at most 2, which is all that there is of 'db', not 3."
    assert limiter.give_back(held) == [narrow]


def test_more_than_there_is_at_all_is_refused_at_once() -> None:
    limiter = Noted(db=4)
    limiter.take(db=1)
    wide = limiter.take(db=5)

    assert limiter.told[-1] is wide
    assert isinstance(wide.error, ConfigurationError)


def test_who_waits_for_a_limit_that_is_removed_waits_for_the_others_only() -> None:
    limiter = Noted(db=1, gpu=1)
    db, gpu = limiter.take(db=1), limiter.take(gpu=1)
    only, both = limiter.take(db=1), limiter.take(db=1, gpu=1)

    assert limiter.change("db", None) == [only]
    assert limiter.give_back(db) == []
    assert limiter.give_back(gpu) == [both]
    assert "db" not in limiter.limits
    limiter.give_back(both)
    assert limiter.held("gpu") == 0


def test_a_limit_that_is_made_again_knows_nothing_of_the_one_before() -> None:
    limiter = Noted(db=1)
    before = limiter.take(db=1)
    limiter.change("db", None)
    limiter.change("db", 1, exists=False)
    after = limiter.take(db=1)

    assert after.held
    limiter.give_back(before)
    assert limiter.held("db") == 1


def test_a_limit_cannot_be_made_twice_nor_changed_where_there_is_none() -> None:
    limiter = Noted(db=1)

    with pytest.raises(ConfigurationError, match="does not exist yet"):
        limiter.change("db", 2, exists=False)
    with pytest.raises(LimitNotFound, match="There is no limit 'gpu'"):
        limiter.change("gpu", 2)
    with pytest.raises(LimitNotFound):
        limiter.change("gpu", None)
    with pytest.raises(ConfigurationError, match="of the same kind"):
        limiter.change("db", RateLimit(1))
    assert limiter.size("db") == 1


# Rates.


def test_tokens_come_in_with_time() -> None:
    limiter = Noted(api=RateLimit(2))
    tickets = [limiter.take(api=1) for _ in range(4)]
    assert [each.held for each in tickets] == [True, True, False, False]
    assert limiter.due == [(tickets[2], SECOND // 2)]
    limiter.at = SECOND // 2

    assert limiter.look_again(tickets[2]) == [tickets[2]]
    assert limiter.due[1:] == [(tickets[3], SECOND)]


def test_a_token_that_was_taken_is_not_given_back() -> None:
    limiter = Noted(api=RateLimit(1))
    limiter.give_back(limiter.take(api=1))

    assert not limiter.take(api=1).held


def test_who_needs_slot_and_token_takes_neither_before_both_are_there() -> None:
    limiter = Noted(db=1, api=RateLimit(1))
    slot = limiter.take(db=1)
    both = limiter.take(db=1, api=1)
    assert limiter.due == []  # time alone is of no use to it
    assert limiter.give_back(slot) == [both]
    after = limiter.take(db=1, api=1)

    assert limiter.give_back(both) == []
    assert limiter.held("db") == 0
    assert limiter.due == [(after, SECOND)]


def test_one_that_is_looked_at_too_early_is_looked_at_again() -> None:
    limiter = Noted(api=RateLimit(1))
    limiter.take(api=1)
    ticket = limiter.take(api=1)
    limiter.at = SECOND // 4

    assert limiter.look_again(ticket) == []
    assert limiter.due == [(ticket, SECOND), (ticket, SECOND)]


def test_a_quicker_rate_is_looked_at_sooner() -> None:
    limiter = Noted(api=RateLimit(1))
    limiter.take(api=1)
    ticket = limiter.take(api=1)
    limiter.change("api", RateLimit(4, burst=1))

    assert limiter.due == [(ticket, SECOND), (ticket, SECOND // 4)]


# Deadlocks.


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Ticket]:
    """The tickets of which it is looked at what they are inside of."""
    looked: list[Ticket] = []
    surrounding = deadlocks.surrounding

    def noted(ticket: Ticket, *others: Any) -> list[Ticket]:
        looked.append(ticket)
        return surrounding(ticket, *others)

    monkeypatch.setattr(deadlocks, "surrounding", noted)
    return looked


def refused(ticket: Ticket) -> str:
    assert isinstance(ticket.error, DeadlockError)
    assert ticket.standing is Standing.GONE
    return f"{ticket.error.waiter} < {ticket.error.holder}"


def test_one_inside_of_which_a_slot_of_the_same_limit_is_asked_for_is_told() -> None:
    limiter = Noted(db=1)
    parent = limiter.take(of="parent", db=1)
    child = limiter.take(of="child", around=[parent], db=1)

    assert refused(child) == "task run 'child' < task run 'parent'"
    assert child.error is not None
    assert "'db'" in str(child.error)
    assert limiter.told[-1] is child
    assert limiter.give_back(parent) == []
    assert limiter.held("db") == 0


def test_where_there_is_room_for_both_nobody_is_told() -> None:
    limiter = Noted(db=2)
    parent, other = limiter.take(db=1), limiter.take(db=1)
    child = limiter.take(around=[parent], db=1)

    assert child.error is None
    assert limiter.give_back(other) == [child]


def test_parents_that_hold_all_slots_and_wait_for_their_children_are_found_by_the_last_child() -> None:
    limiter = Noted(db=3)
    parents = [limiter.take(of=f"parent-{number}", db=1) for number in range(3)]
    children = [limiter.take(of=f"child-{number}", around=[parents[number]], db=1) for number in range(3)]

    assert [child.error is None for child in children] == [True, True, False]
    assert refused(children[2]) == "task run 'child-2' < task run 'parent-2'"
    assert limiter.give_back(parents[2]) == [children[0]]
    assert limiter.give_back(children[0]) == [children[1]]


def test_who_wants_what_its_own_code_holds_is_told_without_a_look_at_those_in_line(looks: list[Ticket]) -> None:
    limiter = Noted(db=1)
    holder = limiter.take(of="holder", db=1)
    others = [limiter.take(db=1) for _ in range(50)]

    assert refused(limiter.take(of="again", around=[holder], db=1)) == "task run 'again' < task run 'holder'"
    assert looks == []
    assert limiter.give_back(holder) == others[:1]


def test_who_waits_for_limits_that_go_on_is_not_looked_at_because_another_one_may_be_stuck(looks: list[Ticket]) -> None:
    limiter = Noted(flows=1, db=1, disk=2)
    flow_run, served = limiter.take(flows=1), limiter.take(db=1)
    limiter.blocks(flow_run, target=Named("child"))
    next_flow = limiter.take(flows=1)
    looks.clear()
    waiting = [limiter.take(db=1) for _ in range(50)]
    assert set(looks) == {next_flow}

    both = limiter.take(flows=1, disk=1)  # it is in line for one that may be stuck, and so it holds up those behind it
    assert limiter.take(disk=2).error is None
    assert both in looks
    assert limiter.give_back(served) == waiting[:1]


def test_two_who_hold_what_the_other_one_wants_are_found() -> None:
    limiter = Noted(db=1, gpu=1)
    db, gpu = limiter.take(of="one", db=1), limiter.take(of="other", gpu=1)
    one = limiter.take(of="one", around=[db], gpu=1)
    other = limiter.take(of="other", around=[gpu], db=1)

    assert one.error is None
    assert refused(other) == "task run 'other' < task run 'other'"
    assert limiter.give_back(gpu) == [one]


def test_one_that_was_given_back_meanwhile_surrounds_nothing() -> None:
    limiter = Noted(db=1)
    before = limiter.take(db=1)
    limiter.give_back(before)
    holder = limiter.take(db=1)
    waits = limiter.take(around=[before], db=1)

    assert waits.error is None
    assert limiter.give_back(holder) == [waits]


def test_one_that_gives_back_although_something_waits_inside_leaves_no_trace() -> None:
    limiter = Noted(db=2)
    parent, other = limiter.take(db=1), limiter.take(db=1)
    child = limiter.take(around=[parent], db=1)

    assert limiter.give_back(parent) == [child]
    assert limiter.take(around=[other], db=1).error is None


def test_who_stands_behind_one_that_waits_in_vain_is_found_too() -> None:
    limiter = Noted(db=2, gpu=1)
    gpu = limiter.take(of="gpu", gpu=1)
    db = limiter.take(of="db", db=1)
    both = limiter.take(of="both", db=1, gpu=1)
    inside_gpu = limiter.take(of="inside-gpu", around=[gpu], db=1)  # a slot is free, but `both` stands before it

    assert both.error is None
    assert refused(inside_gpu) == "task run 'inside-gpu' < task run 'gpu'"
    assert limiter.give_back(db) == []
    assert limiter.give_back(gpu) == [both]


def test_who_waits_inside_for_time_alone_does_not_wait_in_vain() -> None:
    limiter = Noted(db=1, api=RateLimit(1, burst=1))
    limiter.take(api=1)
    parent = limiter.take(db=1)
    limiter.take(around=[parent], api=1)
    other = limiter.take(around=[limiter.take(api=1)], db=1)

    assert other.error is None


def test_who_waits_for_one_that_waits_for_one_that_goes_on_does_not_wait_in_vain() -> None:
    limiter = Noted(db=1, gpu=1, net=1)
    gpu = limiter.take(gpu=1)
    db, net = limiter.take(db=1), limiter.take(net=1)
    inside_db = limiter.take(around=[db], gpu=1)
    inside_net = limiter.take(around=[net], db=1)

    assert (inside_db.error, inside_net.error) == (None, None)
    assert limiter.give_back(gpu) == [inside_db]
    limiter.give_back(inside_db)
    assert limiter.give_back(db) == [inside_net]


def test_a_limit_that_becomes_too_small_tells_who_waits_in_vain_now() -> None:
    limiter = Noted(db=2)
    parent, other = limiter.take(of="parent", db=1), limiter.take(db=1)
    child = limiter.take(of="child", around=[parent], db=1)
    behind = limiter.take(db=1)

    assert limiter.change("db", 1) == [child]
    assert refused(child) == "task run 'child' < task run 'parent'"
    assert limiter.give_back(other) == []
    assert limiter.give_back(parent) == [behind]


def test_one_that_was_started_by_a_holder_waits_as_long_as_the_holder_does_not_wait_for_it() -> None:
    limiter = Noted(db=1)
    parent = limiter.take(of="parent", db=1)
    child = limiter.take(of="child", outside=[parent], db=1)
    assert child.error is None

    assert limiter.blocks(parent) == [child]
    assert refused(child) == "task run 'child' < task run 'parent'"
    limiter.goes_on(parent)
    assert limiter.take(outside=[parent], db=1).error is None


def test_one_that_a_holder_has_started_is_not_told_while_that_waits_for_something_else() -> None:
    limiter = Noted(db=1)
    parent = limiter.take(of="parent", db=1)
    own, other = Named("own"), Named("other")
    child = limiter.take(of=own, beside=[parent], db=1)

    assert limiter.blocks(parent, target=other) == []
    limiter.goes_on(parent, target=other)
    assert limiter.blocks(parent, target=own) == [child]
    assert refused(child) == "task run 'own' < task run 'parent'"


@pytest.mark.parametrize("last", ["holder", "between", "asks"])
def test_one_that_a_holder_waits_for_through_other_runs_is_told_whoever_comes_last(last: str) -> None:
    limiter = Noted(db=1)
    parent = limiter.take(of="parent", db=1)
    far, near, deep = Named("far"), Named("near"), Named("deep")
    steps: dict[str, Callable[[], object]] = {
        "holder": lambda: limiter.blocks(parent, target=near),
        "between": lambda: limiter.blocks(target=deep, run=far),
        "asks": lambda: tickets.append(limiter.take(of=deep, db=1)),
    }
    tickets: list[Ticket] = []
    limiter.blocks(target=far, run=near)
    for name, step in steps.items():
        if name != last:
            step()
    assert all(each.error is None for each in tickets)

    steps[last]()
    assert refused(tickets[0]) == "task run 'deep' < task run 'parent'"


def test_runs_that_wait_no_longer_are_not_gone_through() -> None:
    limiter = Noted(db=1)
    parent = limiter.take(db=1)
    near, far = Named("near"), Named("far")
    limiter.blocks(target=far, run=near)
    limiter.blocks(target=far, run=near)
    limiter.goes_on(target=far, run=near)
    limiter.blocks(parent, target=near)
    limiter.goes_on(target=far, run=near)

    assert limiter.take(of=far, db=1).error is None


def test_one_of_several_that_a_holder_waits_for_is_told_and_others_are_not() -> None:
    class Several:
        def covers(self, run: object) -> bool:
            return run is one

    limiter = Noted(db=1)
    parent = limiter.take(of="parent", db=1)
    one, other, awaits_one = Named("one"), Named("other"), Named("awaits-one")
    several = Several()
    free = limiter.take(of=other, beside=[parent], db=1)

    assert limiter.blocks(parent, target=awaits_one) == []
    assert limiter.blocks(target=several, run=awaits_one) == []
    told = limiter.take(of=one, beside=[parent], db=1)
    assert refused(told) == "task run 'one' < task run 'parent'"
    limiter.goes_on(target=several, run=awaits_one)
    assert limiter.give_back(parent) == [free]


def test_one_that_a_holder_waits_for_already_is_told_at_once() -> None:
    limiter = Noted(db=1)
    parent = limiter.take(of="parent", db=1)
    limiter.blocks(parent)

    assert refused(limiter.take(of="child", outside=[parent], db=1)) == "task run 'child' < task run 'parent'"
    assert limiter.take(of="other", db=1).error is None


def test_one_that_a_holder_waits_for_is_told_though_it_was_started_before() -> None:
    limiter = Noted(db=1)
    child_run = Named("child")
    parent = limiter.take(of="parent", db=1)
    child, other = limiter.take(of=child_run, db=1), limiter.take(db=1)

    assert limiter.blocks(parent, target=child_run) == [child]
    assert refused(child) == "task run 'child' < task run 'parent'"
    assert other.error is None


def test_a_holder_that_waits_while_others_hold_enough_bothers_nobody() -> None:
    limiter = Noted(db=2)
    parent, other = limiter.take(db=1), limiter.take(db=1)
    child = limiter.take(outside=[parent], db=1)

    assert limiter.blocks(parent) == []
    assert limiter.blocks(other) == []  # for something else
    assert limiter.give_back(other) == [child]


def test_those_who_stand_in_line_for_one_limit_are_played_on_one_after_another() -> None:
    limiter = Noted(db=3, disk=1)
    parent, other, outer = limiter.take(db=1), limiter.take(db=2), limiter.take(disk=1)
    ahead = limiter.take(db=1)
    child = limiter.take(around=[parent], db=1)
    wide = limiter.take(around=[outer], db=3)  # all are there once the others are done, and they will be

    assert [each.error for each in (ahead, child, wide)] == [None] * 3
    assert limiter.give_back(other) == [ahead, child]


def test_one_inside_of_which_two_wait_is_given_back_after_both() -> None:
    limiter = Noted(db=1, disk=1)
    busy = limiter.take(disk=1)
    parent = limiter.take(of="parent", db=1)
    goes_on = limiter.take(of="goes on", outside=[parent], disk=1)
    stuck = limiter.take(of="stuck", outside=[parent], db=1)

    assert limiter.blocks(parent) == [stuck]
    assert refused(stuck) == "task run 'stuck' < task run 'parent'"
    assert limiter.give_back(busy) == [goes_on]


def test_who_is_not_the_first_at_every_limit_is_not_played_on() -> None:
    limiter = Noted(a=1, b=2, c=1)
    slow = limiter.take(of="slow", b=1)
    stuck = limiter.take(of="stuck", c=1)
    wide = limiter.take(of="wide", b=2)
    inner = limiter.take(of="inner", around=[stuck], a=1, b=1)  # behind the wide one
    assert (wide.error, inner.error) == (None, None)
    last = limiter.take(of="last", around=[slow], c=1)  # waits for stuck, that for inner, that for slow

    assert refused(last) == "task run 'last' < task run 'slow'"
    assert limiter.give_back(slow) == [wide]
    assert limiter.give_back(wide) == [inner]


def test_who_waits_for_a_limit_that_was_removed_and_for_another_one_is_played_on_at_that() -> None:
    limiter = Noted(db=2, disk=1)
    parent, other = limiter.take(of="parent", db=1), limiter.take(db=1)
    limiter.take(disk=1)
    both = limiter.take(of="both", db=1, disk=1)
    assert limiter.change("disk", None) == []
    child = limiter.take(of="child", around=[parent], db=2)

    assert refused(child) == "task run 'child' < task run 'parent'"
    assert limiter.give_back(other) == [both]


def test_one_that_will_not_wait_for_ever_is_not_told() -> None:
    limiter = Noted(db=1, gpu=1)
    parent = limiter.take(db=1)
    timed = limiter.take(around=[parent], timed=True, db=1)
    gpu = limiter.take(gpu=1)
    behind = limiter.take(around=[gpu], db=1)

    assert (timed.error, behind.error) == (None, None)
    assert limiter.refuse(timed, TimeoutError()) == [timed]
    assert limiter.give_back(parent) == [behind]


def test_waits_that_are_over_leave_no_trace() -> None:
    limiter = Noted(db=2)
    parent = limiter.take(db=1)
    limiter.blocks(parent)
    limiter.blocks(parent)
    limiter.goes_on(parent)
    limiter.goes_on(parent)
    wide = limiter.take(outside=[parent], db=2)

    assert wide.error is None
    assert limiter.give_back(parent) == [wide]


# Adaptive limits.


def test_an_adaptive_limit_changes_by_what_is_given_back() -> None:
    limiter = Noted(gpu=AdaptiveLimit(initial=2, algorithm="aimd"))
    assert limiter.size("gpu") == 2
    for _ in range(16):
        pair = limiter.take(gpu=1), limiter.take(gpu=1)
        limiter.at += SECOND
        for each in pair:
            limiter.give_back(each, failed=False)

    assert limiter.size("gpu") > 2
    assert limiter.held("gpu") == 0


def test_a_slot_is_held_from_when_it_was_taken() -> None:
    limiter = Noted(gpu=AdaptiveLimit(initial=2, maximum=8, tolerance=1.0))
    limiter.at = 1000 * SECOND
    before = 0
    for number in range(200):
        pair = limiter.take(gpu=1), limiter.take(gpu=1)
        limiter.at += (1 + number // 100) * SECOND  # takes twice as long from some time on
        for each in pair:
            limiter.give_back(each, failed=False)
        assert [each.since for each in pair] == [limiter.at - (1 + number // 100) * SECOND] * 2
        if number == 99:
            before = limiter.size("gpu")

    assert before > 2
    assert limiter.size("gpu") < before


def test_what_says_nothing_changes_no_limit() -> None:
    limiter = Noted(gpu=AdaptiveLimit(initial=2, algorithm="aimd"))
    for _ in range(100):
        limiter.give_back(limiter.take(gpu=1))

    assert limiter.size("gpu") == 2


def test_who_wants_more_than_an_adaptive_limit_has_now_is_served_alone() -> None:
    limiter = Noted(gpu=AdaptiveLimit(initial=2, maximum=8))
    one = limiter.take(gpu=1)
    wide = limiter.take(gpu=5)

    assert limiter.give_back(one) == [wide]
    assert not limiter.take(gpu=1).held
    assert isinstance(limiter.take(gpu=9).error, ConfigurationError)


def test_a_fixed_limit_can_become_an_adaptive_one_and_back() -> None:
    limiter = Noted(gpu=2)
    limiter.change("gpu", AdaptiveLimit(initial=3))
    assert limiter.size("gpu") == 3
    limiter.change("gpu", 1)
    assert limiter.size("gpu") == 1
