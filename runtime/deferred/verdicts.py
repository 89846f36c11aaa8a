"""Verdicts: what all queues decide in the same way about runs that have no worker."""

from __future__ import annotations

from millrace.actors.states import StateType
from millrace.runtime.deferred.port import Job, Step
from millrace.runtime.stores.port import OWNER_DIED
from millrace.runtime.stores.verdicts import MOST_DEATHS

__all__ = ("MOST_DEATHS", "cancelled", "given_back", "put_off", "released", "taken")


def put_off(job: Job) -> Step:
    """The first state of a run."""
    return Step(StateType.SCHEDULED, "Scheduled", None, job.at, "delayed")


def taken(worker: str, at: int) -> Step:
    """The state of a run that a worker has taken.

    Args:
        worker: Says who that is.
        at: When.
    """
    return Step(StateType.PENDING, "Pending", f"It was taken by {worker}.", at, "taken")


def cancelled(reason: str, at: int) -> Step:
    """The end of a run that was cancelled while no worker had it.

    Args:
        reason: Why.
        at: When.
    """
    return Step(StateType.CANCELLED, "Cancelled", reason, at, "cancelled")


def given_back(worker: str, cancel: str | None, at: int) -> tuple[Step, bool]:
    """What becomes of a run that its worker gives back; and whether that is its end.

    Args:
        worker: Says who that was.
        cancel: Why it was to be cancelled; None where it was not.
        at: When.
    """
    if cancel is not None:
        return cancelled(cancel, at), True
    return Step(StateType.SCHEDULED, "Scheduled", f"It was given back by {worker}.", at, "given back"), False


def released(worker: str, cancel: str | None, lost: int, at: int) -> tuple[Step, bool]:
    """What becomes of a run whose worker is over; and whether that is its end.

    Args:
        worker: Says who that was.
        cancel: Why it was to be cancelled; None where it was not.
        lost: How many workers have ended while they had it, with this one.
        at: When that was found.
    """
    if cancel is not None:
        return cancelled(cancel, at), True
    if lost >= MOST_DEATHS:
        message = f"It is given up: {lost} workers have ended while they had it; the last was {worker}."
        return Step(StateType.CRASHED, "Crashed", message, at, OWNER_DIED), True
    return Step(StateType.SCHEDULED, "Scheduled", f"Its worker, {worker}, is over.", at, OWNER_DIED), False
