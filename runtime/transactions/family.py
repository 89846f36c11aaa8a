"""Families: what the transactions of one tree share, which is a guard and the locks of their keys.

Decides that nobody waits for what only the end of their own tree will release. Between trees, a key belongs to one tree
at a time. Within a tree, blocks with one key take turns: a block inside another has its turn together with that, and
what one block has staged the next one finds, as its hit. Who is woken next, the lock managers say.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

from millrace.actors import ambient
from millrace.actors.errors import BlockingCallOnLoop
from millrace.runtime.effects import BLOCKING, Effects
from millrace.runtime.results import LockManager, MemoryLockManager

if TYPE_CHECKING:
    from millrace.runtime.transactions.transaction import Transaction


class KeyLock:
    """The lock of one key, as a tree has it. Touched under the guard of the tree.

    Args:
        manager: Whose lock it is.
        key: The key.
        holder: Who has it already in the name of the tree; None for nobody.
    """

    def __init__(self, manager: LockManager, key: str, holder: str | None) -> None:
        self.manager = manager
        self.key = key
        self.holder = holder or str(ambient.new_id())
        self.members = 0  # transactions that share it; the last one gives it back
        self.staged: Transaction | None = None  # the last that ended with something staged; by now it may be settled

    @property
    def in_memory(self) -> bool:
        """Whether giving it back takes no time."""
        return isinstance(self.manager, MemoryLockManager)


class Family:
    """What the transactions of one tree share. See the module's docstring."""

    def __init__(self) -> None:
        # A collection may close a coroutine of this very tree while the guard is held, and that rolls back: so it is
        # one that the same thread may take twice.
        self.guard = RLock()
        self._locks: dict[tuple[int, str], KeyLock] = {}  # by manager, which the lock keeps alive, and key
        self._turns_of_keys: MemoryLockManager | None = None  # made with the first lock: most trees take none

    @property
    def _turns(self) -> MemoryLockManager:
        with self.guard:
            turns = self._turns_of_keys = self._turns_of_keys or MemoryLockManager()
        return turns

    async def take(self, member: Transaction, around: Transaction | None, manager: LockManager, fx: Effects) -> None:
        """Take the lock of a member's key, and its turn with it.

        Args:
            member: The transaction, which has a key.
            around: The one around it.
            manager: The lock manager of its store.
            fx: How it waits.

        Raises:
            BlockingCallOnLoop: it would have to wait, on the thread of a running loop.

        Cancellation: it has neither.
        """
        assert member.key is not None
        place = id(manager), member.key
        inside = False
        while around is not None and not inside:
            inside = around.lock is not None and not around.left and self._locks.get(place) is around.lock
            around = around.parent
        if not inside:
            await _acquire(self._turns, f"{place}", str(id(member)), fx)
        try:
            member.lock = await self._share(place, manager, member.holder, fx)
        except BaseException:
            if not inside:
                self._turns.release_lock(f"{place}", str(id(member)))
            raise
        member.turn = None if inside else f"{place}"

    async def _share(self, place: tuple[int, str], manager: LockManager, holder: str | None, fx: Effects) -> KeyLock:
        with self.guard:
            lock = self._locks.get(place)
            if lock is not None:
                lock.members += 1
                return lock
        lock = KeyLock(manager, place[1], holder)
        await _acquire(manager, lock.key, lock.holder, fx)
        with self.guard:
            lock.members = 1
            self._locks[place] = lock
        return lock

    async def give_back(self, member: Transaction, fx: Effects) -> None:
        """A member does not need the lock of its key any more."""
        with self.guard:
            lock, member.lock = member.lock, None
            if lock is None:
                return
            lock.members -= 1
            if lock.members:
                return
            del self._locks[id(lock.manager), lock.key]
        if lock.in_memory:
            lock.manager.release_lock(lock.key, lock.holder)
        else:
            await fx.io(lock.manager.release_lock, lock.key, lock.holder)

    def end_turn(self, member: Transaction) -> None:
        """The block of a member has ended: the next one finds what it has staged."""
        with self.guard:
            if member.lock is not None and member.is_staged():
                member.lock.staged = member
        turn, member.turn = member.turn, None
        if turn is not None:
            self._turns.release_lock(turn, str(id(member)))


async def _acquire(manager: LockManager, key: str, holder: str, fx: Effects) -> None:
    if fx is not BLOCKING:
        await manager.aacquire_lock(key, holder)
        return
    try:
        manager.acquire_lock(key, holder)
    except BlockingCallOnLoop:
        raise BlockingCallOnLoop(
            "with transaction(...), whose key is locked,", "async with atransaction(...)"
        ) from None
