"""Line items: what stands in the line of a writer, beside plain records.

Decides nothing. Values: a record whose result is yet to become bytes, and what is to be done when all that stands
before it is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from millrace.actors.errors import StoreError
from millrace.actors.events import Event
from millrace.runtime.results.serializers import Serializer
from millrace.runtime.stores.records import Entered, Record


@attrs.define(eq=False)
class Unencoded:
    """A record of a state that holds something, as it stands in line.

    Args:
        record: The record, without that.
        data: What the state holds.
        serializer: What makes bytes of it.
        task: What to call the task or flow, in a warning.
    """

    record: Entered
    data: Any
    serializer: Serializer
    task: str


@attrs.define(eq=False)
class Receipt:
    """What is to be done when all that stands before it in the line is committed.

    Args:
        done: Called with the subject, and with None, or with why that never will be.
        subject: What it is about.
    """

    done: Callable[[Any, StoreError | None], None]
    subject: Any = None


@attrs.define(eq=False)
class Errand:
    """What is to be done by whoever writes when all that stands before it in the line is committed.

    Args:
        call: Does it; what it raises is its caller's affair.
        failed: Called in its place after the store has failed.
    """

    call: Callable[[], None]
    failed: Callable[[StoreError], None]


Publication = tuple[Callable[[Event], None], Event]
"""An event that is told to a listener."""

LineItem = Record | Unencoded | Receipt | Errand | Publication
"""What stands in the line."""
