"""The limits of one engine: which there are, and who has or wants what of them.

Decides which limits a task run needs: those that are named as its tags are. Everything about who is served is decided
by the limiter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs

from millrace.actors.errors import CancelledRun, ConfigurationError, LimitNotFound
from millrace.actors.limiter_messages import Change, Refuse
from millrace.actors.tickets import Amount, Limit, SlotLimit, Standing, Ticket, TokenLimit
from millrace.runtime.limits.acting import ActingLimiter
from millrace.runtime.limits.amounts import checked_amount, checked_name
from millrace.runtime.limits.attempts import AttemptSlots
from millrace.runtime.limits.entrusting import Entrusting
from millrace.runtime.limits.maps import RationedMap
from millrace.runtime.limits.suspicions import Suspicions
from millrace.runtime.one_line import engine_logger
from millrace.runtime.waiting import ThreadWaiter

if TYPE_CHECKING:
    from millrace.actors.token_bucket import RateLimit
    from millrace.runtime.engine import Engine
    from millrace.runtime.lanes import Lane
    from millrace.runtime.task_site import TaskSite

_logger = engine_logger("limits")

Needs = tuple[tuple[Limit, int], ...]


@attrs.frozen
class Claim:
    """What somebody has of a limit, or waits for.

    Args:
        name: Of the run; None for code outside of any.
        run_id: Its id, likewise.
        occupy: How much.
    """

    name: str | None
    run_id: UUID | None
    occupy: int


class NamedLimit:
    """One limit of an engine, as it is at the moment.

    Args:
        limits: All of them.
        name: Its name.
    """

    __slots__ = ("_limits", "name")

    def __init__(self, limits: Limits, name: str) -> None:
        self._limits = limits
        self.name = name

    @property
    def limit(self) -> int:
        """How many at once; of a `RateLimit`, how many tokens its bucket holds."""
        found = self._limits.find(self.name)
        return found.size if isinstance(found, SlotLimit) else found.most

    @property
    def held(self) -> int:
        """How many slots are held. More than `limit` where that has become less since."""
        found = self._limits.find(self.name)
        return found.held if isinstance(found, SlotLimit) else 0

    @property
    def free(self) -> int:
        """How many slots, or tokens, are there at the moment."""
        found = self._limits.find(self.name)
        if isinstance(found, SlotLimit):
            return max(0, found.size - found.held)
        assert isinstance(found, TokenLimit)  # there is no other kind
        return found.bucket.there(self._limits.now())

    def holders(self) -> list[Claim]:
        """Who holds slots. Nobody holds what was taken of a `RateLimit`."""
        found = self._limits.find(self.name)
        return [_claim(*each) for each in tuple(found.holders.items())] if isinstance(found, SlotLimit) else []

    def waiters(self) -> list[Claim]:
        """Who waits, in the order in which they will be served."""
        found = self._limits.find(self.name)
        return [_claim(ticket, _wanted(ticket, found)) for ticket in found.queue]

    def resize(self, limit: Amount) -> None:
        """Have another amount of it. See `Limits.resize`."""
        self._limits.resize(self.name, limit)

    def __repr__(self) -> str:
        return f"<NamedLimit {self.name!r} {self.limit}>"


def _claim(ticket: Ticket, occupy: int) -> Claim:
    owner: Any = ticket.owner
    return Claim(None, None, occupy) if owner is None else Claim(owner.name, owner.uuid, occupy)


def _wanted(ticket: Ticket, limit: Limit) -> int:
    return next(occupy for each, occupy in ticket.needs if each is limit)


class Limits(Mapping[str, NamedLimit]):
    """The limits of one engine, by name. From any thread.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.now = engine.now
        self.limiter = ActingLimiter(engine.now, engine.timers)
        self.suspicions = Suspicions(self.limiter)
        self.attempts = AttemptSlots(self.limiter, self._of_tags, self.suspicions.add)
        self.entrusting = Entrusting(self.limiter, self._of_tags)
        self._lock = Lock()
        self._by_tags: dict[frozenset[str], Needs] = {}  # what runs with such tags need; emptied when a limit is made
        self._warned: set[str] = set()  # names of limits that somebody wanted and that there are not
        self._blocked: dict[int, list[Ticket]] = {}  # by id of the run: what sync bodies wait for

    # Which there are.

    def create(self, name: str, limit: Amount) -> NamedLimit:
        """Make a limit. It holds for what is started from now on; for what goes on already, it is no limit.

        Args:
            name: Its name; tasks with a tag of that name need it.
            limit: How many at once; or a `RateLimit`; or an `AdaptiveLimit`.

        Raises:
            ConfigurationError: there is one of that name, or an argument cannot be used.
        """
        self._change(name, checked_amount(name, limit), exists=False)
        return NamedLimit(self, name)

    def resize(self, name: str, limit: Amount) -> None:
        """Have another amount of a limit from now on.

        Nobody loses what they hold. Where there is less than that now, others wait until enough was given back; and
        whoever waits for more than there is at all now gets an error.

        Args:
            name: Its name.
            limit: Of the same kind as before: how many at once, or `AdaptiveLimit`; or `RateLimit`.

        Raises:
            LimitNotFound: there is none of that name.
            ConfigurationError: it is no amount, or of another kind.
        """
        self._change(name, checked_amount(name, limit), exists=True)

    def remove(self, name: str) -> None:
        """Have no such limit any more. Whoever waits for it goes on, unless it waits for others too.

        Raises:
            LimitNotFound: there is none of that name.
        """
        self._change(name, None, exists=True)

    def _change(self, name: str, amount: Amount | None, *, exists: bool) -> None:
        name = checked_name(name)
        errors: list[Exception] = []
        settled = ThreadWaiter()

        def done(error: Exception | None) -> None:
            if error is not None:
                errors.append(error)
            else:
                with self._lock:
                    self._by_tags = {}
                    self._engine.rationing.tags = frozenset(self.limiter.limits)
            settled.notify()

        self.limiter.tell(Change(name, amount, self.now(), exists=exists, done=done))
        settled.wait()  # at once, unless another thread has the limiter's turn for a moment
        if errors:
            raise errors[0]
        if not exists:
            for scope in (self._engine.root, *self._engine.flow_runs()):
                scope.ration(frozenset({name}))

    def find(self, name: str) -> Limit:
        """A limit, as the limiter knows it.

        Raises:
            LimitNotFound: there is none of that name.
        """
        limit = self.limiter.limits.get(name)
        if limit is None:
            raise LimitNotFound([name], self.limiter.limits)
        return limit

    def __getitem__(self, name: str) -> NamedLimit:
        self.find(name)
        return NamedLimit(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.limiter.limits

    def __iter__(self) -> Iterator[str]:
        return iter(self.limiter.limits)

    def __len__(self) -> int:
        return len(self.limiter.limits)

    def __repr__(self) -> str:
        return f"<Limits {', '.join(self) or 'none'}>"

    # What is needed of them.

    def _of_tags(self, tags: frozenset[str]) -> Needs:
        """What runs with such tags need: one of each limit that is named as one of them."""
        needs = self._by_tags.get(tags)
        if needs is None:
            limits = self.limiter.limits
            by_tags = self._by_tags
            needs = by_tags[tags] = tuple((limits[tag], 1) for tag in sorted(tags & limits.keys()))
        return needs

    def in_front_of(self, lane: Lane, site: TaskSite, rate: RateLimit | None, parent: int | None) -> Lane:
        """The lane for a map or a stream, in front of the one that executes its runs.

        Args:
            lane: That one.
            site: The task.
            rate: How often attempts of its runs may begin; None for no rate of its own.
            parent: The id of the task run that makes it.
        """
        return RationedMap(lane, None if rate is None else TokenLimit(f"the rate of {site.name}", rate), parent)

    def needs(self, names: Iterable[str], occupy: int, *, strict: bool, rates_only: bool) -> Needs:
        """What code needs that names limits itself.

        Args:
            names: Their names.
            occupy: How much of each.
            strict: It is an error if there is no such limit, and not only a warning.
            rates_only: A limit on how many at once is an error.

        Raises:
            LimitNotFound: one is not there, and `strict` is set.
            ConfigurationError: there never is so much of one; or it limits how many at once, and not how often.
        """
        limits = self.limiter.limits
        missing = [name for name in names if name not in limits]
        if missing and strict:
            raise LimitNotFound(missing, limits)
        for name in missing:
            self._warn(name)
        needs = tuple((limits[name], occupy) for name in names if name in limits)
        for limit, _ in needs:
            if rates_only and isinstance(limit, SlotLimit):
                expected = f"the name of a RateLimit; '{limit.name}' is how many at once, for concurrency(...)"
                raise ConfigurationError("names", limit.name, expected)
            if occupy > limit.most:
                expected = f"at most {limit.most:,}, which is all that there is of '{limit.name}'"
                raise ConfigurationError("occupy", occupy, expected)
        return needs

    def _warn(self, name: str) -> None:
        with self._lock:
            known = name in self._warned
            self._warned.add(name)
        if not known:
            _logger.warning(
                "There is no limit '%s': nothing waits for it. Limits: %s.", name, ", ".join(self) or "none"
            )

    # Bodies that wait in a thread.

    def block(self, run_id: int, ticket: Ticket) -> None:
        """A sync body is about to wait for a ticket."""
        with self._lock:
            self._blocked.setdefault(run_id, []).append(ticket)

    def unblock(self, run_id: int, ticket: Ticket) -> None:
        """It does not wait for it any more."""
        with self._lock:
            tickets = self._blocked[run_id]
            tickets.remove(ticket)
            if not tickets:
                del self._blocked[run_id]

    def stop_waiting(self, run_id: int) -> None:
        """A run is to stop: wake its body where that waits for something in a thread."""
        with self._lock:
            tickets = tuple(self._blocked.get(run_id, ()))
        for ticket in tickets:
            error = CancelledRun(f"{ticket.called} was to stop while it waited for a limit.")
            self.limiter.tell(Refuse(ticket, error, self.now()))

    # For whoever moves a virtual clock.

    def waiting(self) -> dict[int, bool]:
        """The runs that wait for a limit, by id; each with whether it waits for a time with that."""
        limits = self.limiter.limits.values()
        waiting = dict.fromkeys(ticket for limit in limits for ticket in limit.queue)
        waiting.update((each, None) for each in self.attempts.waiting() if each.standing is Standing.WAITS)
        due = any(ticket.due for ticket in waiting)  # the others wait for those that are
        owned: list[tuple[Any, bool]] = [(each.owner, due or each.timed) for each in waiting]
        return {owner.id: timed for owner, timed in owned if owner is not None}
