"""Deadlocks: whether somebody who waits for a limit waits for what never comes.

Decides that from what is held, what is waited for, who waits for whom, and which tickets are inside of which that way:
what surrounds a ticket that
waits is not given back before that one was served. It is found out by playing on: whoever has nothing waiting inside
gives back, whoever is next and finds enough is served and gives back, and so on. Who is left then waits in vain.

Source: the safety test of E. W. Dijkstra's banker's algorithm, on what is wanted now and not on what may be wanted.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from millrace.actors.awaits import Awaits, Moment, Waiting
from millrace.actors.tickets import Limit, SlotLimit, Ticket


def wants_what_it_has(ticket: Ticket) -> list[Ticket]:
    """What the code holds that asks for a ticket, if nothing else needs to be known to say that it waits in vain."""
    own = [each for each in ticket.around if each.held]
    for limit, occupy in ticket.needs:
        if own and isinstance(limit, SlotLimit) and not limit.removed:
            held = sum(limit.holders.get(each, 0) for each in own)
            if held and not limit.fits(occupy, held):
                return own
    return []


def may_be_stuck(limits: Iterable[Limit]) -> list[SlotLimit]:
    """The limits where somebody may wait in vain: a quick answer, and where there is none, nobody does.

    It is none if each limit has room for any of those who wait for it beside the tickets that are stuck, because then
    the one who comes up first of all is served sooner or later, and then the next.
    """
    return [
        limit
        for limit in limits
        if isinstance(limit, SlotLimit)
        and limit.stuck
        and limit.queue.count
        and not limit.fits(limit.widest, limit.stuck)
    ]


def _entangled(limits: Iterable[Limit]) -> dict[Limit, deque[Ticket]]:
    """Who waits for some limits, or beside them, or beside these: by limit, in order. All others are served in time."""
    queues: dict[Limit, deque[Ticket]] = {}
    new = dict.fromkeys(limits)
    while new:
        limit, _ = new.popitem()
        queues[limit] = deque(each for each in limit.queue if not each.timed)
        new.update(
            (other, None)
            for each in queues[limit]
            for other, _ in each.needs
            if other not in queues and not other.removed
        )
    return queues


def surrounding(ticket: Ticket, blocked: Iterable[Ticket], moment: Moment) -> list[Ticket]:
    """The tickets that a waiting one is inside of at this moment, the innermost first.

    Args:
        ticket: The ticket.
        blocked: The tickets whose holders wait for something.
        moment: Who waits for whom then.
    """
    waiting = Waiting(set()) if ticket.owner is None else moment.waiting_for(ticket.owner)
    around = [each for each in ticket.around if each.held]
    around += [each for each in ticket.outside if each.held and each.waits]
    around += [each for each in ticket.beside if each.held and any(waiting.holds_up(target) for target in each.targets)]
    around += [
        each for each in blocked if any(target is not None and waiting.holds_up(target) for target in each.targets)
    ]
    return list(dict.fromkeys(around))


def in_vain(limits: Iterable[Limit], who: Awaits) -> dict[Ticket, list[Ticket]]:
    """The tickets that never will be served unless something is given back by who has no reason to.

    Args:
        limits: Those that may be stuck.
        who: Waits for whom.

    Returns:
        Each of them, with those that it is inside of.
    """
    queues = _entangled(limits)
    blocked = [each for limit in queues if isinstance(limit, SlotLimit) for each in limit.holders if each.waits]
    moment = who.at_this_moment()
    around = {each: surrounding(each, blocked, moment) for queue in queues.values() for each in queue}
    inside = Counter(outer for found in around.values() for outer in found)
    held = {limit: _held_by(limit, inside) for limit in queues}
    changed = deque(queues)
    while changed:
        queue = queues[changed.popleft()]
        if not queue or not _can_go(first := queue[0], queues, held):
            continue
        for limit, _ in first.needs:
            if limit in queues:
                queues[limit].popleft()
                changed.append(limit)
        for outer in around.pop(first):
            inside[outer] -= 1
            if not inside[outer]:
                changed += _free(outer, held)
    return around


def _held_by(limit: Limit, tickets: Counter[Ticket]) -> int:
    """How much of a limit is held by some tickets."""
    return sum(limit.holders[each] for each in limit.holders.keys() & tickets) if isinstance(limit, SlotLimit) else 0


def _can_go(ticket: Ticket, queues: dict[Limit, deque[Ticket]], held: dict[Limit, int]) -> bool:
    return all(
        queues[limit][0] is ticket and (not isinstance(limit, SlotLimit) or limit.fits(occupy, held[limit]))
        for limit, occupy in ticket.needs
        if limit in queues
    )


def _free(ticket: Ticket, held: dict[Limit, int]) -> list[Limit]:
    """Give back what a ticket holds; the limits of that."""
    freed = [limit for limit, _ in ticket.needs if isinstance(limit, SlotLimit) and limit in held]
    for limit in freed:
        held[limit] -= limit.holders.get(ticket, 0)
    return list(freed)
