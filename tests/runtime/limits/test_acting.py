"""Who is told that it was served, and by which loop time is kept for it."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import Any

from millrace import Engine, RateLimit, concurrency, rate_limit
from millrace.actors.tickets import Ticket
from millrace.runtime.entering import stand_in
from tests.runtime.worlds import PATIENCE


class Bell:
    """Says whether anybody is there."""

    def __init__(self, *, anybody: bool) -> None:
        self.anybody = anybody
        self.rung = 0

    def served(self, _ticket: Ticket) -> bool:
        self.rung += 1
        return self.anybody


def test_what_nobody_wants_any_more_goes_on_to_the_next_however_many_there_are() -> None:
    engine = Engine(limits={"db": 1})
    limiter = engine.limits.limiter
    limit = engine.limits.find("db")

    def ask(*, anybody: bool) -> tuple[Ticket, Bell]:
        bell = Bell(anybody=anybody)
        ticket = Ticket([(limit, 1)], None, bell)
        limiter.request(ticket)
        return ticket, bell

    first, _ = ask(anybody=True)
    gone: list[Any] = [ask(anybody=False) for _ in range(5_000)]
    last, bell = ask(anybody=True)
    limiter.give_back(first)

    assert all(each.rung == 1 and not ticket.held for ticket, each in gone)
    assert last.held
    assert bell.rung == 1
    limiter.give_back(last)
    engine.close()


def test_time_is_kept_by_a_loop_that_is_there_as_long_as_who_waits() -> None:
    """And not by that of whoever happened to give back what it needed beside."""
    engine = Engine(limits={"db": 1, "api": RateLimit(20, burst=1)})
    served: list[str] = []

    def wait() -> None:
        with stand_in(engine), concurrency(["db", "api"]):
            served.append("thread")

    async def hold(thread: Thread) -> None:
        async with concurrency("db"):
            await rate_limit("api")
            thread.start()
            while not engine.limits["db"].waiters():  # noqa: ASYNC110  # it waits in a thread, and sets no event
                await asyncio.sleep(0)

    with stand_in(engine):
        thread = Thread(target=wait)
        asyncio.run(hold(thread))  # when it gives back, only a token is missing; then its loop is over
        thread.join(PATIENCE)
    assert served == ["thread"]
    engine.close()
