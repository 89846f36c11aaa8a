"""Deadlocks: whether somebody who waits for a limit waits for what never comes.

Decides that from what is held, what is waited for, and which tickets surround which: what surrounds a ticket that waits
is not given back before that one was served. It is found out by playing on: whoever has nothing waiting inside gives
back, whoever is next and finds enough is served and gives back, and so on. Who is left then waits in vain.

Source: the safety test of E. W. Dijkstra's banker's algorithm, on what is wanted now and not on what may be wanted.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from millrace.actors.tickets import Limit, SlotLimit, Ticket


def may_be_stuck(limits: Iterable[Limit]) -> bool:
    """Whether it is worth while to look: a quick answer, and where it is no, nobody waits in vain.

    It is no if each limit has room for any of those who wait for it beside the tickets that are stuck, because then the
    one who has waited longest is served sooner or later, and then the next.
    """
    for limit in limits:
        if isinstance(limit, SlotLimit) and limit.stuck and limit.queue and not limit.fits(limit.widest, limit.stuck):
            return True
    return False


def waits_in_vain(ticket: Ticket, limits: Iterable[Limit]) -> bool:
    """Whether a ticket that waits never will be served, unless something is given back by who has no reason to.

    Args:
        ticket: The ticket.
        limits: All that there are.
    """
    queues = {limit: deque(limit.queue) for limit in limits}
    waiting = dict.fromkeys(each for queue in queues.values() for each in queue)
    inside = Counter(around for each in waiting for around in each.around if around.held)
    held = {limit: _held_by(limit, inside) for limit in queues}
    changed = deque(queues)
    while changed:
        queue = queues[changed.popleft()]
        if not queue or not _can_go(first := queue[0], queues, held):
            continue
        if first is ticket:
            return False
        changed += _go(first, queues, held, inside)
    return True


def _held_by(limit: Limit, tickets: Counter[Ticket]) -> int:
    """How much of a limit is held by some tickets."""
    return sum(limit.holders[each] for each in limit.holders.keys() & tickets) if isinstance(limit, SlotLimit) else 0


def _can_go(ticket: Ticket, queues: dict[Limit, deque[Ticket]], held: dict[Limit, int]) -> bool:
    return all(
        queues[limit][0] is ticket and (not isinstance(limit, SlotLimit) or limit.fits(occupy, held[limit]))
        for limit, occupy in ticket.needs
        if limit in queues
    )


def _go(
    ticket: Ticket, queues: dict[Limit, deque[Ticket]], held: dict[Limit, int], inside: Counter[Ticket]
) -> list[Limit]:
    """A ticket is served and given back, and what has nothing else inside is, too; the limits where that matters."""
    changed = [limit for limit, _ in ticket.needs if limit in queues]
    for limit in changed:
        queues[limit].popleft()
    for around in ticket.around:
        if around not in inside:
            continue
        inside[around] -= 1
        if not inside[around]:
            del inside[around]
            for limit, _ in around.needs:
                if isinstance(limit, SlotLimit) and limit in held:
                    held[limit] -= limit.holders.get(around, 0)
                    changed.append(limit)
    return changed
