"""Attempts: how a run of a task comes by the slots that its tags' limits ask for.

Decides that a run that has to wait is in state AwaitingConcurrencySlot, and holds neither a thread nor an asyncio task
meanwhile: it leaves its lane, and is put in line again when it is served. What it was served belongs to the attempt
that begins then, and until one has begun, to whoever ends the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import BlockingCallOnLoop
from millrace.actors.messages import Queued, Watch
from millrace.actors.tickets import Limit, Standing, Ticket
from millrace.runtime.here_lanes import HeldUp
from millrace.runtime.holding import HOLDING, around, loop_of, place_here, served_on
from millrace.runtime.limits.maps import RationedMap
from millrace.runtime.priorities import priority_on

_SETTLED: Final = (Standing.HELD, Standing.GONE)

if TYPE_CHECKING:
    from millrace.runtime.limits.acting import ActingLimiter
    from millrace.runtime.runs import TaskRun


class AttemptSlots:
    """The tickets of an engine's task runs. From any thread.

    Args:
        limiter: The engine's.
        needs: What runs with such tags need.
        suspect: Is told of a ticket that waits.
    """

    def __init__(
        self,
        limiter: ActingLimiter,
        needs: Callable[[frozenset[str]], tuple[tuple[Limit, int], ...]],
        suspect: Callable[[Ticket], None],
    ) -> None:
        self.limiter = limiter
        self._needs = needs
        self._suspect = suspect
        # By id of the run: asked for, and not taken over by an attempt yet. Whoever takes one out gives it back.
        self._lined_up: dict[int, Ticket] = {}
        self._maps: dict[Ticket, RationedMap] = {}  # those of them that wait, and that belong to maps

    def claim(self, run: TaskRun) -> Ticket | None:
        """What an attempt needs that is about to begin, in its context.

        Returns:
            The ticket, which is to be given back after the attempt; or None, and the run is put in line again when it
            was served.

        Raises:
            DeadlockError: it would wait for what is given back only after its end.
            BlockingCallOnLoop: it would have to wait on the thread of a loop.
        """
        ticket = self._lined_up.pop(run.id, None)
        if ticket is None:
            priority = priority_on(run.lane)
            own, outside, beside = around(run, place_here())
            ticket = Ticket(self._needs_of(run), run, self, own, outside, priority=priority, beside=beside)
            if not self._request(run, ticket):
                return None
        elif not (ticket.held or ticket.error):
            if not run.granted:  # it was woken by something else
                self._lined_up[run.id] = ticket
                return None
            self.limiter.give_back(ticket)  # it was made to run although it has no slots
            self._relieve(ticket)
        if ticket.error is not None:
            raise ticket.error
        if ticket.needs:
            ticket.place = place_here()
            HOLDING.set((ticket, *HOLDING.get()))
        return ticket

    def keep(self, run: TaskRun, ticket: Ticket) -> None:
        """Whether the run is admitted is said on another thread: keep the ticket for the attempt that follows then."""
        self._lined_up[run.id] = ticket
        run.tell(Watch(self))  # it may have ended instead

    def give_back(self, ticket: Ticket, *, failed: bool | None) -> None:
        """An attempt is over, or does not begin after all. A second time, nothing happens.

        Args:
            ticket: What it has claimed.
            failed: As for the limiter.
        """
        self.limiter.give_back(ticket, failed=failed)

    def waiting(self) -> list[Ticket]:
        """The tickets that no attempt has taken over yet."""
        return list(self._lined_up.values())

    def _needs_of(self, run: TaskRun) -> tuple[tuple[Limit, int], ...]:
        needs = () if run.task.original is not None else self._needs(run.tags)  # those of an entrusted one are taken
        lane = run.lane
        return (*needs, (lane.rate, 1)) if isinstance(lane, RationedMap) and lane.rate is not None else needs

    def _request(self, run: TaskRun, ticket: Ticket) -> bool:
        """Ask for a ticket; whether that is settled. If not, the run is put in line when it is."""
        if not ticket.needs:
            return self.limiter.request(ticket)
        attempts = run.run_count
        if any(limit.comes_with_time for limit, _ in ticket.needs):
            ticket.lane = run.scope.lane_for_timer_of(run)
        self._lined_up[run.id] = ticket  # first: it may be served, and the run begin elsewhere, before the next line
        if self.limiter.request(ticket):
            self._lined_up.pop(run.id, None)
            return True
        if run.granted:
            self._lined_up.pop(run.id, None)
            self.limiter.give_back(ticket)  # as above
            return True
        names = ", ".join(f"'{limit.name}'" for limit, _ in ticket.needs)
        if isinstance(run.lane, HeldUp) and run.lane.loop is not None and self._lined_up.pop(run.id, None) is not None:
            self.limiter.give_back(ticket)
            name = run.task.name
            call = f"{name}(...), which has to wait for {names},"
            raise BlockingCallOnLoop(call, f"await {name}.submit(...)")
        if ticket.beside or ticket.outside:
            self._suspect(ticket)
        if isinstance(run.lane, RationedMap):
            self._maps[ticket] = run.lane
            run.lane.waits()
            if ticket.standing in _SETTLED:
                self._relieve(ticket)  # by another thread, before the map knew of it
        run.tell(Watch(self))
        run.tell(Queued(names, run.node.now(), attempts))
        return False

    def _relieve(self, ticket: Ticket) -> None:
        """A ticket does not wait any more: its map goes on, if it was the last of that."""
        waited = self._maps.pop(ticket, None)
        if waited is not None:
            waited.goes_on()

    # As the bell of those tickets.

    def served(self, ticket: Ticket) -> bool:
        """Put the run in line. If it has ended, that is told to `notify`."""
        run: Any = ticket.owner
        served_on(loop_of(run), ticket)
        run.lane.dispatch(run)
        self._relieve(ticket)
        return True

    # As a watcher of those runs.

    def notify(self, run: TaskRun) -> None:
        """The run has ended: no attempt of it takes over what it was served, or waits for."""
        ticket = self._lined_up.pop(run.id, None)
        if ticket is not None:
            self.limiter.give_back(ticket)
            self._relieve(ticket)
