"""Yields: what a generator task has yielded, on record, and how that is given again.

Decides how much of it is kept: all, or nothing where a value cannot be serialized or all of them together are larger
than one result may be; so a generator without an end costs no more memory than its values do one by one. Bytes are made
of a value when it is yielded, since whoever gets it may change it. What was exhausted is given again without its body.
What was closed before is given again as far as it came; whoever asks for more has the body begun anew, and what it
yields again is passed over.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from millrace.actors.errors import SerializationError
from millrace.actors.states import StateType
from millrace.actors.telling import told_of
from millrace.runtime.futures import take
from millrace.runtime.results.refusals import shown_type

if TYPE_CHECKING:
    from millrace.runtime.results.serializers import Serializer
    from millrace.runtime.runs import TaskRun

TAG: Final = "yields:"
"""Before the tag of the serializer of each value, in a record of what was yielded."""

_WIDTH: Final = 4
_EXHAUSTED: Final = b"\1"
_LEFT: Final = b"\0"


@attrs.frozen(eq=False)
class Yielded:
    """What a generator task has yielded in another process, or in an earlier attempt of its flow.

    Args:
        values: In their order.
        returned: What its body has returned.
        exhausted: The body has come to its end; else it was closed before.
        last: So many of the values are those of its last attempt.
    """

    values: list[Any]
    returned: Any
    exhausted: bool
    last: int


class Yields:
    """What one run of a generator task yields, as it comes.

    Args:
        serializer: Makes bytes of it.
        limit: So many bytes may be kept.
        recalled: What is on record of it already.
    """

    __slots__ = ("_blobs", "_last", "_left", "exhausted", "missing", "returned", "serializer")

    def __init__(self, serializer: Serializer, limit: int, recalled: Yielded | None = None) -> None:
        self.serializer = serializer
        self._blobs: list[bytes] = []
        self._left = limit
        self._last = 0
        self.exhausted = False  # as of the present attempt
        self.returned: Any = None  # as of the end
        self.missing = ""  # why it is not kept
        if recalled is not None:
            for value in recalled.values:
                self.add(value)
            self._last, self.exhausted, self.returned = recalled.last, recalled.exhausted, recalled.returned

    def begin(self) -> None:
        """An attempt begins, which yields from the start."""
        self._last = 0
        self.exhausted = False

    def add(self, value: Any) -> None:
        """The body has yielded something."""
        self._last += 1
        if self.missing:
            return
        blob, self.missing = _blob_of(value, self.serializer)
        self._left -= len(blob) + _WIDTH
        if self._left < 0 and not self.missing:
            self.missing = f"{len(self._blobs) + 1:,} or more values, which are too large to be recorded together"
        if self.missing:
            self._blobs = []
        else:
            self._blobs.append(blob)

    def written(self) -> tuple[str, bytes | None, str]:
        """What stands on record of it: a tag, the bytes, and why there are none."""
        returned, missing = (b"", self.missing) if self.missing else _blob_of(self.returned, self.serializer)
        if missing:
            return "", None, f"what a generator yielded: {missing}"
        head = (_EXHAUSTED if self.exhausted else _LEFT) + self._last.to_bytes(_WIDTH, "big")
        frames = b"".join(len(blob).to_bytes(_WIDTH, "big") + blob for blob in (returned, *self._blobs))
        return TAG + self.serializer.tag, head + frames, ""


def yielded_from(blob: bytes, serializer: Serializer) -> Yielded:
    """What stands on record.

    Raises:
        SerializationError: it cannot be read.
    """
    exhausted, last, at = blob[:1] == _EXHAUSTED, int.from_bytes(blob[1 : 1 + _WIDTH], "big"), 1 + _WIDTH
    found: list[Any] = []
    while at < len(blob):
        start = at + _WIDTH
        at = start + int.from_bytes(blob[at:start], "big")
        if at > len(blob):
            raise SerializationError("read what a generator yielded", "the record is cut off")
        found.append(serializer.loads(blob[start:at]))
    if not found:
        raise SerializationError("read what a generator yielded", "the record is empty")
    return Yielded(found[1:], found[0], exhausted, last)


def was_left(tag: str, blob: bytes | None) -> bool:
    """Whether a record is of a generator that was closed before it was exhausted."""
    return blob is not None and tag.startswith(TAG) and blob[:1] == _LEFT


class Iterated(Protocol):
    """The call of a generator task, as `iterating` has it."""

    run: TaskRun
    value: Any

    async def advance(self, sent: Any, thrown: BaseException | None, /) -> bool:
        """See `stepping.Steps`."""
        ...

    async def close(self) -> None:
        """See `stepping.Steps`."""
        ...

    def result(self) -> Any:
        """See `stepping.Steps`."""
        ...

    def rest(self) -> None:
        """Wait to be asked for the first attempt, where others may come to end the run."""
        ...

    async def end(self) -> None:
        """Wait for the end of the run, which nothing here leads to."""
        ...


class Recalled:
    """The call of a generator task of which something is on record. See `stepping.Steps`.

    Args:
        inner: The call, which has not begun.
        yielded: What is on record.
    """

    __slots__ = ("_asked", "_inner", "_left", "_yielded", "value")

    def __init__(self, inner: Iterated, yielded: Yielded) -> None:
        self._inner = inner
        self._yielded = yielded
        self._left: deque[Any] | None = deque(yielded.values)  # None: the body goes on by itself
        self._asked: list[tuple[Any, BaseException | None]] = []  # what was sent and thrown, for the body to hear again
        self.value: Any = None
        if not yielded.exhausted:
            inner.rest()

    async def advance(self, sent: Any, thrown: BaseException | None) -> bool:
        """Go on to the next value; whether there is one.

        Cancellation: as for the call itself.
        """
        inner = self._inner
        if self._left is not None:
            if not self._yielded.exhausted:
                self._asked.append((sent, thrown))
            elif not inner.run.ended:
                await inner.end()
            if inner.run.ended and not self._given:
                return False
            if self._left:
                self.value = self._left.popleft()
                inner.run.remember(self.value)
                return True
            if self._yielded.exhausted:
                return False
            self._left = None
            if not await self._pass_over():
                return False
        elif not await inner.advance(sent, thrown):
            return False
        self.value = inner.value
        return True

    @property
    def _given(self) -> bool:
        """Whether the run has come to what is on record, and to nothing else."""
        return self._yielded.exhausted and self._inner.run.type is StateType.COMPLETED

    async def _pass_over(self) -> bool:
        """Have the body yield again what it had yielded, and go on to the next value."""
        asked, self._asked = self._asked, []
        last = self._yielded.last
        heard = [(None, None), *asked[len(asked) - last :]] if last else [(None, None)]
        for sent, thrown in heard:
            if not await self._inner.advance(sent, thrown):
                return False
        return True

    async def close(self) -> None:
        """Nobody asks for more.

        Cancellation: reaches the body at its await, where it has begun.
        """
        if not self._given:
            await self._inner.close()

    def result(self) -> Any:
        """What the body has returned; what has ended the run otherwise is raised."""
        if self._given:
            return self._yielded.returned
        return take(self._inner.run, raise_on_failure=True) if self._yielded.exhausted else self._inner.result()


def _blob_of(value: Any, serializer: Serializer) -> tuple[bytes, str]:
    """The bytes of a value; and why it has none."""
    try:
        return serializer.dumps(value), ""
    except Exception as error:  # noqa: BLE001  # values and serializers bring code of their own
        reason = error.reason if isinstance(error, SerializationError) else told_of(error)
        return b"", f"a value of type '{shown_type(value)}', which cannot be serialized ({reason})"
