"""Transactions: which state follows which, and what is committed or rolled back in which order.

This module alone decides that. A transaction is a node in a tree. The walks below go over the tree and yield one step
after another; the upper floor performs each and says how it went. What a hook does, how a result is written and what a
lock is, this module does not know; nor does it know threads: who walks in several brings a guard for the tree.

The rules:

- A transaction is settled once, by whoever claims it first. Each of its hooks runs in one walk only, and once.
- Children are settled with their parent: committed first to last and before it, rolled back last to first and after it.
- A hook or a write that fails in a commit rolls its transaction back; a hook that fails in a rollback stops nothing.
- A child that leaves its block rolled back rolls back its parent. A parent whose block goes on may stage again.
- A child that leaves its block after its parent was settled follows it, by itself.
- A *hit* found a record under its key. It has nothing of its own to settle; its children are settled as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, StrEnum, auto
from typing import Any, Final, NamedTuple, Self

from millrace.actors.errors import TransactionError

Hook = Callable[[Any], Any]
"""Called with the transaction; may be async."""


class CommitMode(StrEnum):
    """When a transaction commits."""

    EAGER = "EAGER"
    """At the end of its own block."""
    LAZY = "LAZY"
    """With the transaction around it; the outermost at the end of its block."""
    OFF = "OFF"
    """With the transaction around it, or when it is told to; the outermost is rolled back at the end of its block."""


class TransactionState(StrEnum):
    """How far a transaction has come."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


_S = TransactionState

TRANSITIONS: Final[dict[TransactionState, frozenset[TransactionState]]] = {
    _S.PENDING: frozenset({_S.ACTIVE}),
    _S.ACTIVE: frozenset({_S.STAGED, _S.COMMITTED, _S.ROLLED_BACK}),
    _S.STAGED: frozenset({_S.STAGED, _S.COMMITTED, _S.ROLLED_BACK}),
    _S.COMMITTED: frozenset(),
    _S.ROLLED_BACK: frozenset({_S.STAGED}),  # a child took it along, and its block has found another way
}
"""From a transaction's state to those that may follow."""


class Action(Enum):
    """What a step asks for."""

    COMMIT_HOOK = auto()
    WRITE = auto()
    ROLLBACK_HOOK = auto()
    RELEASE = auto()


class Step(NamedTuple):
    """One thing to be done by whoever drives a walk.

    Args:
        action: What.
        node: The transaction that it belongs to.
        hook: The hook to be called.
    """

    action: Action
    node: Any
    hook: Hook | None = None


class Outcome(NamedTuple):
    """How a step went.

    Args:
        done: It was done without an error.
        interrupted: The walk is to end: nothing more is committed, and what was not is rolled back.
    """

    done: bool
    interrupted: bool = False


Steps = Generator[Step, Outcome]
"""A walk. It yields steps, and is sent how each went."""


class Verdict(Enum):
    """What a transaction is settled with."""

    COMMIT = auto()
    ROLL_BACK = auto()


class TransactionNode:
    """One transaction in its tree. See the module's docstring.

    Args:
        name: What errors call it.
        commit_mode: When it commits; None is LAZY for the outermost, and the mode of the one around it for others.
    """

    def __init__(self, name: str, commit_mode: CommitMode | None = None) -> None:
        self._name = name
        self.commit_mode = commit_mode
        self.state = TransactionState.PENDING
        self.parent: Self | None = None
        self.children: list[Self] = []  # those that have left their blocks, in that order
        self.hit = False
        self.left = False  # its block has ended
        self.locked = False  # something is to be released when it is settled
        self.verdict: Verdict | None = None  # what it is settled with, from the claim on; a hit keeps its state
        self.on_commit_hooks: list[Hook] = []
        self.on_rollback_hooks: list[Hook] = []
        self.guard: AbstractContextManager[Any] = nullcontext()  # of the tree: held, also twice, while that is changed

    @property
    def name(self) -> str:
        """What errors call it."""
        return self._name

    def is_pending(self) -> bool:
        """Whether it has not begun."""
        return self.state is TransactionState.PENDING

    def is_active(self) -> bool:
        """Whether it has begun, and nothing was staged yet."""
        return self.state is TransactionState.ACTIVE

    def is_staged(self) -> bool:
        """Whether something was staged that is not committed yet."""
        return self.state is TransactionState.STAGED

    def is_committed(self) -> bool:
        """Whether it was committed, by itself or by an earlier one with its key."""
        return self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """Whether it was rolled back."""
        return self.state is TransactionState.ROLLED_BACK

    def check_new(self) -> None:
        """Refuse to begin a second time.

        Raises:
            TransactionError: it has begun before.
        """
        if self.state is not TransactionState.PENDING:
            raise self.misused("begin", "A transaction is used once: make another one.")

    def check_inside(self, attempted: str) -> None:
        """Refuse what only the block of the transaction may ask for.

        Raises:
            TransactionError: it has not begun, or has been left.
        """
        if self.state is TransactionState.PENDING:
            raise self.misused(attempted, "Begin it first: use it in a `with` block.")
        if self.left:
            raise self.misused(attempted, "Its block has ended: do so inside.")

    def misused(self, attempted: str, instead: str) -> TransactionError:
        """The error that says so."""
        return TransactionError(f"{attempted} {self.name}", self.state, instead)

    def begun(self, parent: Self | None, guard: AbstractContextManager[Any], *, hit: bool) -> None:
        """The block begins.

        Args:
            parent: The transaction around it.
            guard: What a tree of its own is guarded by, where there is no parent.
            hit: There is a record under its key already, and it stays.
        """
        self.parent = parent
        self.guard = guard if parent is None else parent.guard
        if self.commit_mode is None:
            self.commit_mode = CommitMode.LAZY if parent is None else parent.commit_mode
        self.enter(TransactionState.ACTIVE)
        if hit:
            self.hit = True
            self.enter(TransactionState.COMMITTED)

    def add(self, on_rollback_hooks: Iterable[Hook], on_commit_hooks: Iterable[Hook]) -> bool:
        """Something is staged. Its hooks come after those that are there.

        Returns:
            False for a hit: its record stays as it is, and nothing is to be done for it.

        Raises:
            TransactionError: it is not in its block, or committed.
        """
        with self.guard:
            self.check_inside("stage a value in")
            if self.hit:
                return False
            if self.verdict is Verdict.COMMIT:
                raise self.misused("stage a value in", "Stage before the commit, or in another transaction.")
            self.verdict = None
            self.enter(TransactionState.STAGED)
            self.on_rollback_hooks.extend(on_rollback_hooks)
            self.on_commit_hooks.extend(on_commit_hooks)
            return True

    def enter(self, state: TransactionState) -> None:
        """Change the state."""
        assert state in TRANSITIONS[self.state], f"{state} cannot follow {self.state}"
        self.state = state

    def join(self: Self) -> Verdict | None:
        """Give the responsibility to the parent.

        Returns:
            What the parent was settled with, where it is too late for that.
        """
        with self.guard:
            parent = self.parent
            if parent is None:
                return None
            if self.verdict is None and parent.verdict is not None:
                return parent.verdict
            parent.children.append(self)
            return None

    def claim(self, verdict: Verdict) -> list[Self]:
        """Settle this and all below that is not settled yet. The guard is held.

        Returns:
            The claimed ones, each before what is below it, later children before earlier ones.
        """
        claimed: list[Self] = []
        found = [self]
        while found:
            node = found.pop()
            if node.verdict is None:
                node.verdict = verdict
                claimed.append(node)
                found += node.children
        return claimed

    def release(self) -> list[Step]:
        """The step that releases what it holds; none for whoever asks next. The guard is held."""
        held, self.locked = self.locked, False
        return [Step(Action.RELEASE, self)] if held else []


# The walks.


def commit(node: TransactionNode) -> Steps:
    """Commit what is not settled, from the bottom up.

    Raises:
        TransactionError: it is not in its block, or settled already.
    """
    node.check_inside("commit")
    if node.verdict is not None:
        raise node.misused("commit", "The end of its block commits what is not settled.")
    return _commit(node)


def roll_back(node: TransactionNode) -> Steps:
    """Roll back what is not settled, from the top down; no step where nothing is left to do.

    Raises:
        TransactionError: it is not in its block.
    """
    node.check_inside("roll back")
    return _roll_back(node)


def leave(node: TransactionNode, *, failed: bool) -> Steps:
    """Do what the end of a block asks for.

    Args:
        node: The transaction.
        failed: An exception has ended the block.

    Raises:
        TransactionError: it has not begun, or was left before.
    """
    with node.guard:
        node.check_inside("leave")
        node.left = True
    return _leave(node, failed=failed)


def _leave(node: TransactionNode, *, failed: bool) -> Steps:
    outermost = node.parent is None
    if failed or (outermost and node.commit_mode is CommitMode.OFF):
        yield from _roll_back(node)
    elif outermost or node.commit_mode is CommitMode.EAGER:
        yield from _commit(node)
    late = node.join()
    if late is Verdict.COMMIT:
        yield from _commit(node)
    elif late is Verdict.ROLL_BACK:
        yield from _roll_back(node)
    if node.verdict is not None:  # by then, or in the middle of its block, which kept what it held
        with node.guard:
            releases = node.release()
        yield from _perform(releases)
    while node.parent is not None and node.left and node.is_rolled_back():
        node = node.parent
        yield from _roll_back(node)


def _commit(node: TransactionNode) -> Steps:
    with node.guard:
        claimed = node.claim(Verdict.COMMIT)
    for each in reversed(claimed):
        if (yield from _commit_own(each)):
            yield from _perform(_undo(claimed))
            return


def _commit_own(node: TransactionNode) -> Generator[Step, Outcome, bool]:
    """Commit what is a transaction's own: all below it is settled. Gives whether the walk is to end."""
    if node.hit:
        return False
    for hook in node.on_commit_hooks:
        outcome = yield Step(Action.COMMIT_HOOK, node, hook)
        if not outcome.done or outcome.interrupted:
            break
    else:
        outcome = yield Step(Action.WRITE, node)
        if outcome.done:
            with node.guard:
                node.enter(TransactionState.COMMITTED)
                releases = node.release()
            return (yield from _perform(releases)) or outcome.interrupted
    return outcome.interrupted or (yield from _perform(_undo([node])))


def _roll_back(node: TransactionNode) -> Steps:
    with node.guard:
        steps = _undo(node.claim(Verdict.ROLL_BACK))
    yield from _perform(steps)


def _undo(claimed: Iterable[TransactionNode]) -> list[Step]:
    """Roll back what of the claimed was not committed. The locks are held until the last hook has run."""
    hooks: list[Step] = []
    releases: list[Step] = []
    for node in claimed:
        with node.guard:
            if node.is_committed() or node.is_rolled_back():
                continue
            node.verdict = Verdict.ROLL_BACK
            node.enter(TransactionState.ROLLED_BACK)
            hooks += [Step(Action.ROLLBACK_HOOK, node, hook) for hook in reversed(node.on_rollback_hooks)]
            node.on_rollback_hooks, node.on_commit_hooks = [], []
            if node.left:  # else its block may stage again, under the same lock
                releases += node.release()
    return hooks + releases


def _perform(steps: Iterable[Step]) -> Generator[Step, Outcome, bool]:
    """Have steps done that nothing stops. Gives whether the walk is to end."""
    interrupted = False
    for step in steps:
        outcome = yield step
        interrupted |= outcome.interrupted
    return interrupted
