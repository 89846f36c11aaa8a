"""The limiter: who may go on, of those who want something that there is only so much of at a time.

Decides that a higher priority is served first, and among equals whoever comes first, at every limit, whoever wants much
like whoever wants little; that who wants several gets all of them at once or none; that what is given back goes
straight to the next, so that nobody comes in between; and who waits in vain, which is told and not left to wait. Does
not know runs, threads, loops or clocks. How much there is of a limit is its own affair (`tickets`).

Each limit has one queue, and a ticket that wants several stands in all of theirs. It is served when it is the first in
each of them and each has enough. All queues have one order (`line`): so the one that comes first of all is the first
wherever it stands, and gets on as soon as something is given back: nobody waits in a circle, and nobody is passed by
for ever but by higher priorities. The price is that who stands behind it at one limit waits for what it waits for at
another. Nobody is passed by who would wait in vain then: whoever comes stands behind all the others, where it has to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import ClassVar

from millrace.actors.awaits import Awaits
from millrace.actors.deadlocks import in_vain, may_be_stuck, wants_what_it_has
from millrace.actors.errors import ConfigurationError, DeadlockError, LimitNotFound
from millrace.actors.instructions import Order, Serve
from millrace.actors.limiter_messages import Blocks, Change, GiveBack, GoesOn, LookAgain, Refuse, Take
from millrace.actors.mailbox import Mailbox
from millrace.actors.tickets import NEVER, Limit, SlotLimit, Standing, Ticket, make_limit

_NEW = Standing.NEW
_WAITS = Standing.WAITS
_HELD = Standing.HELD
_GONE = Standing.GONE


class Limiter(Mailbox):
    """Gives out what is limited. See the module's docstring.

    Invariants, between two messages: no ticket waits that could be served; what is held of a limit is what those who
    hold it have of it, and no more than there is, unless that has become less since.
    """

    __slots__ = ("_awaits", "limits")

    def __init__(self) -> None:
        super().__init__()
        self._awaits = Awaits()
        self.limits: Mapping[str, Limit] = MappingProxyType({})  # another one after each change: anybody may read it

    # Tickets.

    def _take(self, message: Take) -> Order | None:
        ticket, at = message.ticket, message.at
        if ticket.standing is not _NEW:
            self.dead_letters += 1  # it was given back before
            return None
        for limit, occupy in ticket.needs:
            if limit.queue.count or limit.free_at(occupy, at) != at:
                return self._line_up(ticket, at)
        ticket.standing = _HELD
        ticket.since = at
        for limit, occupy in ticket.needs:
            limit.take(ticket, occupy, at)
        return Serve((ticket,))

    def _line_up(self, ticket: Ticket, at: int) -> Order | None:
        """Have a ticket wait. Unless it would be in vain."""
        wanted = [(limit, occupy) for limit, occupy in ticket.needs if not limit.removed]
        for limit, occupy in wanted:
            if occupy > limit.most:
                return self._refuse_new(ticket, _too_much(limit, occupy))
        ticket.standing = _WAITS
        for limit, occupy in wanted:
            limit.queue.add(ticket)
            limit.widest = max(limit.widest, occupy)
        if ticket.timed:
            ticket.around = ()
        for each in ticket.around:
            stuck = each.stuck
            each.inside += 1
            _note_stuck(each, before=stuck)
        if self._can_be_served(ticket, at):  # it has passed those for whom there is not enough
            self._unqueue(ticket)
            self._grant(ticket, at)
            return Serve((ticket,))
        if around := self._waits_in_vain(ticket):
            self._unqueue(ticket)
            return self._refuse_new(ticket, _deadlock(ticket, around))
        return Serve((), (ticket,)) if ticket.due else None  # perhaps it waits for nothing but time

    def _waits_in_vain(self, ticket: Ticket) -> list[Ticket] | None:
        """Whether one that has just come does: what it is inside of then. If others do now, it stands behind them."""
        if own := wants_what_it_has(ticket):
            return own
        limits = self.limits.values()
        if not (stuck := may_be_stuck(limits)) or not (lost := in_vain(stuck, self._awaits)):
            return None
        queues = [limit.queue for limit, _ in ticket.needs if not limit.removed]
        lowest = min(queue.lowest for queue in queues)
        if ticket.priority > lowest:
            for queue in queues:
                queue.remove(ticket)
            ticket.priority = lowest
            for queue in queues:
                queue.add(ticket)
            lost = in_vain(may_be_stuck(limits), self._awaits)
        return lost.get(ticket)

    def _refuse_new(self, ticket: Ticket, error: Exception) -> Order:
        ticket.standing = _GONE
        ticket.error = error
        return Serve((ticket,))

    def _give_back(self, message: GiveBack) -> Order | None:
        ticket, at = message.ticket, message.at
        standing, ticket.standing = ticket.standing, _GONE
        if standing is _HELD:
            waited_for = less = False
            for limit, occupy in ticket.needs:
                less = limit.give_back(ticket, occupy, at, failed=message.failed) or less
                waited_for = waited_for or limit.queue.count > 0
            refused = self._refuse_in_vain() if less else None
            return self._serve([limit for limit, _ in ticket.needs], at, refused) if waited_for or refused else None
        if standing is _WAITS:
            return self._serve(self._unqueue(ticket), at)
        return None

    def _refuse(self, message: Refuse) -> Order | None:
        ticket = message.ticket
        if ticket.standing is _NEW:
            return self._refuse_new(ticket, message.error)
        if ticket.standing is not _WAITS:
            return None
        ticket.standing = _GONE
        ticket.error = message.error
        return self._serve(self._unqueue(ticket), message.at, [ticket])

    def _look_again(self, message: LookAgain) -> Order | None:
        ticket = message.ticket
        ticket.due = 0
        return self._serve([limit for limit, _ in ticket.needs], message.at) if ticket.standing is _WAITS else None

    # Limits.

    def _change(self, message: Change) -> Order | None:
        name, amount, at = message.name, message.amount, message.at
        limit = self.limits.get(name)
        if limit is None and message.exists:
            message.done(LimitNotFound([name], self.limits))
            return None
        if limit is not None and not message.exists:
            message.done(ConfigurationError("name", name, "the name of a limit that does not exist yet"))
            return None
        if limit is not None and amount is not None and not limit.change(amount, at):
            expected = (
                "another limit of the same kind: how many at once, or how often; remove it to make one of the other"
            )
            message.done(ConfigurationError("limit", amount, expected))
            return None
        if limit is not None and amount is not None:
            order = self._serve([limit], at, self._refuse_too_much(limit) + self._refuse_in_vain())
        elif limit is not None:
            self.limits = MappingProxyType({each: kept for each, kept in self.limits.items() if kept is not limit})
            order = self._remove(limit, at)
        else:
            assert amount is not None  # what is not there cannot be removed: `exists` was set
            self.limits = MappingProxyType({**self.limits, name: make_limit(name, amount)})
            order = None
        message.done(None)
        return order

    def _remove(self, limit: Limit, at: int) -> Order | None:
        """A limit limits nothing any more: who waits for it does so no more."""
        limit.removed = True
        waiting = list(limit.queue)
        limit.queue.clear()
        served: list[Ticket] = []
        others: list[Limit] = []
        for ticket in waiting:
            if all(each.removed for each, _ in ticket.needs):
                self._grant(ticket, at)
                served.append(ticket)
            else:
                others += [each for each, _ in ticket.needs if each is not limit]
        return self._serve(others, at, served)

    def _refuse_too_much(self, limit: Limit) -> list[Ticket]:
        """There may be less of a limit than before: who never will be served is not to wait."""
        refused = [ticket for ticket in limit.queue if dict(ticket.needs)[limit] > limit.most]
        for ticket in refused:
            ticket.standing = _GONE
            ticket.error = _too_much(limit, dict(ticket.needs)[limit])
            self._unqueue(ticket)
        return refused

    # The queues.

    def _serve(self, limits: Iterable[Limit], at: int, told: list[Ticket] | None = None) -> Order | None:
        """Serve whoever can be now, after something has changed.

        Args:
            limits: Where.
            at: Now.
            told: Tickets that have left the queues, whose owners are to be told in any case.
        """
        served = told or []
        due: list[Ticket] = []
        changed = list(limits)
        for one in served:
            changed += [limit for limit, _ in one.needs]
        while changed:
            limit = changed.pop()
            while (ticket := limit.queue.first) is not None:
                before = ticket.due
                if not self._can_be_served(ticket, at):
                    if ticket.due != before:
                        due.append(ticket)
                    break
                changed += self._unqueue(ticket)
                self._grant(ticket, at)
                served.append(ticket)
        return Serve(served, due) if served or due else None

    def _can_be_served(self, ticket: Ticket, at: int) -> bool:
        """Whether it is a ticket's turn. If it waits for nothing but time, its `due` says until when."""
        ready = at
        for limit, occupy in ticket.needs:
            if limit.removed:
                continue
            free_at = limit.free_at(occupy, at)
            if free_at == NEVER or limit.queue.first is not ticket:
                return False
            ready = max(ready, free_at)
        if ready == at:
            return True
        if not ticket.due or ready < ticket.due:
            ticket.due = ready
        return False

    def _grant(self, ticket: Ticket, at: int) -> None:
        """A ticket has what is on it. It is in no queue any more."""
        ticket.standing = _HELD
        ticket.since = at
        for limit, occupy in ticket.needs:
            limit.take(ticket, occupy, at)

    def _unqueue(self, ticket: Ticket) -> list[Limit]:
        """Take a ticket out of its queues; the limits where somebody waits behind it."""
        behind: list[Limit] = []
        for limit, _ in ticket.needs:
            if limit.removed:
                continue
            limit.queue.remove(ticket)
            if limit.queue.count:
                behind.append(limit)
            else:
                limit.widest = 0
        for each in ticket.around:
            stuck = each.stuck
            each.inside -= 1
            _note_stuck(each, before=stuck)
        return behind

    # Those who wait in vain.

    def _blocks(self, message: Blocks) -> Order | None:
        for ticket in message.tickets:
            stuck = ticket.stuck
            ticket.targets += (message.target,)
            _note_stuck(ticket, before=stuck)
        if message.run is not None:
            self._awaits.add(message.run, message.target)
        refused = self._refuse_in_vain(message)
        return self._serve((), message.at, refused) if refused else None

    def _goes_on(self, message: GoesOn) -> None:
        for ticket in message.tickets:
            stuck = ticket.stuck
            targets = list(ticket.targets)
            targets.remove(message.target)
            ticket.targets = tuple(targets)
            _note_stuck(ticket, before=stuck)
        if message.run is not None:
            self._awaits.remove(message.run, message.target)

    def _refuse_in_vain(self, since: Blocks | None = None) -> list[Ticket]:
        """Have nobody wait in vain, after something has changed for the worse.

        Args:
            since: What that was; then only of those whom it concerns.
        """
        if not (stuck := may_be_stuck(self.limits.values())):
            return []
        refused: list[Ticket] = []
        for ticket, around in in_vain(stuck, self._awaits).items():
            if around and (since is None or self._concerns(since, ticket, around)):
                ticket.standing = _GONE
                ticket.error = _deadlock(ticket, around)
                self._unqueue(ticket)
                refused.append(ticket)
        return refused

    def _concerns(self, blocks: Blocks, ticket: Ticket, around: list[Ticket]) -> bool:
        """Whether somebody waits for what a ticket is asked for by, since they wait."""
        if not set(around).isdisjoint(blocks.tickets):
            return True
        return blocks.run is not None and blocks.run in self._awaits.at_this_moment().waiting_for(ticket.owner)

    handlers: ClassVar = {
        Take: _take,
        GiveBack: _give_back,
        Refuse: _refuse,
        LookAgain: _look_again,
        Blocks: _blocks,
        GoesOn: _goes_on,
        Change: _change,
    }


def _note_stuck(ticket: Ticket, *, before: bool) -> None:
    """A ticket may be stuck now that was not before, or the other way round."""
    if ticket.stuck is not before and ticket.standing is _HELD:
        for limit, occupy in ticket.needs:
            if isinstance(limit, SlotLimit) and ticket in limit.holders:
                limit.stuck += occupy if ticket.stuck else -occupy


def _deadlock(ticket: Ticket, around: list[Ticket]) -> DeadlockError:
    wanted = {limit for limit, _ in ticket.needs}
    holder = next((each for each in around if not wanted.isdisjoint(limit for limit, _ in each.needs)), around[0])
    return DeadlockError(ticket.called, [limit.name for limit, _ in ticket.needs], holder.called)


def _too_much(limit: Limit, occupy: int) -> ConfigurationError:
    return ConfigurationError("occupy", occupy, f"at most {limit.most:,}, which is all that there is of '{limit.name}'")
