"""The limiter against a model of it, in any order of requests, returns, refusals, changes and passing time.

The model knows no queues: of all who wait, the highest priority first and then in the order in which they came, whoever
wants nothing that an earlier one still waits for, and finds enough, is served; and so on, until nobody is.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from millrace.actors.errors import ConfigurationError, DeadlockError
from millrace.actors.tickets import SlotLimit, Standing, Ticket
from millrace.actors.token_bucket import Bucket, RateLimit
from tests.actors.limits import Noted

SECOND = 1_000_000_000
SLOTS = ("db", "gpu")
RATE = RateLimit(2, per_seconds=1, burst=3)
PRIORITIES = st.sampled_from([0, 0, 0, 0, 3, -1])


class Model:
    """How much there is of each limit, who waits, and who holds what."""

    def __init__(self) -> None:
        self.size = {"db": 1, "gpu": 3}
        self.bucket = Bucket(RATE)
        self.waiting: list[tuple[Ticket, dict[str, int]]] = []
        self.held: dict[Ticket, dict[str, int]] = {}

    def used(self, name: str) -> int:
        return sum(needs.get(name, 0) for needs in self.held.values())

    def has(self, name: str, occupy: int, at: int) -> bool:
        if name == "api":
            return self.bucket.ready_at(occupy, at) == at
        return self.used(name) + occupy <= self.size[name]

    def serve(self, at: int) -> list[Ticket]:
        """Serve whoever can be."""
        served: list[Ticket] = []
        again = True
        while again:
            again = False
            passed: set[str] = set()
            for ticket, needs in list(self.waiting):
                if passed.isdisjoint(needs) and all(self.has(name, occupy, at) for name, occupy in needs.items()):
                    self.waiting.remove((ticket, needs))
                    self.held[ticket] = needs
                    if "api" in needs:
                        self.bucket.take(needs["api"], at)
                    served.append(ticket)
                    again = True
                passed |= set(needs)
        return served


class Limits(RuleBasedStateMachine):
    """What is done to both of them."""

    def __init__(self) -> None:
        super().__init__()
        self.limiter = Noted(**Model().size, api=RATE)
        self.model = Model()

    tickets = Bundle("tickets")

    @rule(
        target=tickets,
        needs=st.dictionaries(st.sampled_from([*SLOTS, "api"]), st.sampled_from([1, 1, 1, 2, 4]), min_size=1),
        priority=PRIORITIES,
    )
    def ask(self, needs: dict[str, int], priority: int) -> Any:
        most = {**self.model.size, "api": RATE.burst}
        ticket = self.limiter.take(priority=priority, **needs)
        if ticket.error is not None:
            assert isinstance(ticket.error, ConfigurationError)
            assert any(occupy > most[name] for name, occupy in needs.items())
            return multiple()
        self.model.waiting.append((ticket, needs))
        self.model.waiting.sort(key=lambda each: -each[0].priority)  # and among equals the order stays
        self.settle()
        return ticket

    @rule(ticket=consumes(tickets), failed=st.sampled_from([None, False, True]))
    def give_back(self, ticket: Ticket, failed: bool | None) -> None:
        self.limiter.give_back(ticket, failed=failed)
        self.forget(ticket)
        self.settle()

    @rule(ticket=consumes(tickets))
    def give_back_twice(self, ticket: Ticket) -> None:
        self.limiter.give_back(ticket)
        self.limiter.give_back(ticket)
        self.forget(ticket)
        self.settle()

    @rule(ticket=tickets)
    def refuse(self, ticket: Ticket) -> None:
        error = TimeoutError()
        waits = any(each is ticket for each, _ in self.model.waiting)
        self.limiter.refuse(ticket, error)
        assert (ticket.error is error) == waits
        if waits:
            self.forget(ticket)
        self.settle()

    @rule(name=st.sampled_from(SLOTS), size=st.integers(1, 4))
    def resize(self, name: str, size: int) -> None:
        self.limiter.change(name, size)
        self.model.size[name] = size
        for ticket, needs in list(self.model.waiting):
            if needs.get(name, 0) > size:
                assert isinstance(ticket.error, ConfigurationError)
                self.forget(ticket)
        self.settle()

    @rule(milliseconds=st.integers(0, 1_500))
    def pass_time(self, milliseconds: int) -> None:
        """Look again at whoever is due, each at its own moment, as timers do."""
        until = self.limiter.at + milliseconds * SECOND // 1_000
        while due := [ticket for ticket, _ in self.model.waiting if 0 < ticket.due <= until]:
            first = min(due, key=lambda ticket: ticket.due)
            self.limiter.at = max(self.limiter.at, first.due)
            self.limiter.look_again(first)
            self.settle()
        self.limiter.at = until

    def forget(self, ticket: Ticket) -> None:
        self.model.waiting = [each for each in self.model.waiting if each[0] is not ticket]
        self.model.held.pop(ticket, None)

    def settle(self) -> None:
        """Whoever the model serves now is held, and nobody else has been told anything."""
        for ticket in self.model.serve(self.limiter.at):
            assert ticket.held

    @invariant()
    def both_agree_on_who_holds_and_who_waits(self) -> None:
        assert all(ticket.held for ticket in self.model.held)
        for ticket, _ in self.model.waiting:
            assert ticket.standing is Standing.WAITS
        for name in SLOTS:
            assert self.limiter.held(name) == self.model.used(name)
            limit = self.limiter.limits[name]
            assert list(limit.queue) == [ticket for ticket, needs in self.model.waiting if name in needs]
            assert isinstance(limit, SlotLimit)
            assert limit.stuck == 0
            assert limit.widest >= max((needs.get(name, 0) for _, needs in self.model.waiting), default=0)

    @invariant()
    def who_waits_for_nothing_but_time_is_due(self) -> None:
        passed: set[str] = set()
        for ticket, needs in self.model.waiting:
            slots = {name: occupy for name, occupy in needs.items() if name != "api"}
            has_slots = all(self.model.has(name, occupy, self.limiter.at) for name, occupy in slots.items())
            if passed.isdisjoint(needs) and has_slots:
                assert ticket.due == self.model.bucket.ready_at(needs["api"], self.limiter.at)
            passed |= set(needs)

    def teardown(self) -> None:
        """Everybody gives back, and nothing is left."""
        while self.model.held or self.model.waiting:
            self.pass_time(1_000_000)
            for ticket in list(self.model.held):
                self.give_back(ticket, None)
        assert [self.limiter.held(name) for name in SLOTS] == [0, 0]


NESTED = {"db": 1, "gpu": 3}
OPEN = (Standing.HELD, Standing.WAITS)


class Nested(RuleBasedStateMachine):
    """Requests inside of what others hold: nobody waits in vain, and who does not is not told so."""

    def __init__(self) -> None:
        super().__init__()
        self.limiter = Noted(**NESTED)
        self.outer: dict[Ticket, Ticket | None] = {}  # what each is inside of

    tickets = Bundle("tickets")

    @rule(
        target=tickets,
        name=st.sampled_from(["db", "gpu"]),
        occupy=st.sampled_from([1, 1, 2, 3]),
        both=st.booleans(),
        priority=PRIORITIES,
    )
    def ask(self, name: str, occupy: int, both: bool, priority: int) -> Any:
        needs = {"db": 1, "gpu": occupy} if both else {name: occupy if name == "gpu" else 1}
        return self.add(self.limiter.take(priority=priority, **needs), None)

    @rule(
        target=tickets,
        outer=tickets,
        name=st.sampled_from(["db", "gpu"]),
        occupy=st.sampled_from([1, 1, 2]),
        priority=PRIORITIES,
    )
    def ask_inside(self, outer: Ticket, name: str, occupy: int, priority: int) -> Any:
        if not outer.held:
            return multiple()
        chain: list[Ticket] = []
        each: Ticket | None = outer
        while each is not None:
            chain.append(each)
            each = self.outer[each]
        needs = {name: occupy if name == "gpu" else 1}
        return self.add(self.limiter.take(around=chain, priority=priority, **needs), outer)

    @rule(ticket=tickets)
    def give_back(self, ticket: Ticket) -> None:
        if ticket.held and not any(inner.standing in OPEN for inner in self.within(ticket)):
            self.limiter.give_back(ticket)

    def add(self, ticket: Ticket, outer: Ticket | None) -> Any:
        self.outer[ticket] = outer
        if ticket.error is None:
            return ticket
        assert isinstance(ticket.error, DeadlockError)
        assert not self.comes_to_its_end(ticket), "it was told that it waits in vain, and does not"
        del self.outer[ticket]
        return multiple()

    def within(self, ticket: Ticket) -> list[Ticket]:
        return [inner for inner, outer in self.outer.items() if outer is ticket]

    def comes_to_its_end(self, extra: Ticket | None = None) -> bool:
        """Play on with copies: whoever has nothing open inside gives back, until nobody does; whether all have."""
        copy = Noted(**NESTED)
        waiting = [ticket for ticket in self.outer if ticket.standing is Standing.WAITS or ticket is extra]
        twins: dict[Ticket, Ticket] = {}
        for ticket in [*(each for each in self.outer if each.held), *waiting]:
            needs = {limit.name: occupy for limit, occupy in ticket.needs}
            twins[ticket] = copy.take(priority=ticket.priority, **needs)
        done = True
        while done:
            done = False
            for ticket, twin in twins.items():
                inner = [twins[each] for each in self.within(ticket) if each in twins]
                if twin.held and not any(each.standing in OPEN for each in inner):
                    copy.give_back(twin)
                    done = True
        return all(twin.standing is Standing.GONE for twin in twins.values())

    @invariant()
    def whatever_is_under_way_can_come_to_its_end(self) -> None:
        assert self.comes_to_its_end()


TestLimits = Limits.TestCase
TestLimits.settings = settings(max_examples=80, stateful_step_count=40)
TestNested = Nested.TestCase
TestNested.settings = settings(max_examples=60, stateful_step_count=30)
