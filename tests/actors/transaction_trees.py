"""Trees of transactions with outcomes laid down in advance, and a model of what should come of each.

The model is written as a recursion over the tree, without walks, steps, claims or guards. What runs a tree for real
writes down the same events on the way, so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import hypothesis.strategies as st

from millrace.actors.transaction_state import CommitMode, TransactionState

S = TransactionState


class Trouble(Exception):
    """Raised by a block."""


class Interrupt(BaseException):
    """Raised by a hook, in order to stop everything."""


@attrs.frozen
class Plan:
    """What happens in the block of one transaction, and to what it stages.

    Args:
        name: Where it stands in its tree.
        mode: Its commit mode.
        hit: There is a record under its key already.
        before: How many hooks of each kind it stages before its children, and whether it stages at all then.
        children: The transactions in its block.
        caught: It goes on after a child that raises.
        raises: Its block raises, before anything more is staged.
        after: How many hooks of each kind it stages at the end.
        bad: Hooks that raise, and "write" if writing fails.
        stops: Hooks that interrupt.
    """

    name: str
    mode: CommitMode | None = None
    hit: bool = False
    before: int | None = None
    children: tuple[Plan, ...] = ()
    caught: bool = False
    raises: bool = False
    after: int | None = 1
    bad: frozenset[str] = frozenset()
    stops: frozenset[str] = frozenset()

    def hooks(self, kind: str, part: str) -> list[str]:
        """The names of the hooks of one kind that are staged at one of the two places."""
        count = self.before if part == "before" else self.after
        return [f"{kind} {self.name} {part} {number}" for number in range(count or 0)]

    def here_and_below(self) -> Iterator[Plan]:
        """All the plans of the tree."""
        yield self
        for child in self.children:
            yield from child.here_and_below()

    def fate(self, event: str) -> None:
        """Raise what is laid down for a hook or a write.

        Raises:
            Trouble: it is bad.
            Interrupt: it stops everything.
        """
        if event in self.bad:
            raise Trouble(event)
        if event in self.stops:
            raise Interrupt(event)


@st.composite
def plans(draw: Any, depth: int = 4, name: str = "t") -> Plan:
    """Any tree, as deep as that."""
    number = draw(st.integers(0, 3)) if depth > 1 else 0
    children = tuple(draw(plans(depth=depth - 1, name=f"{name}.{at}")) for at in range(number))
    before, after = (draw(st.sampled_from([None, 0, 1, 2])) for _ in range(2))
    plan = Plan(
        name=name,
        mode=draw(st.sampled_from([None, None, *CommitMode])),
        hit=draw(st.sampled_from([False, False, False, True])),
        before=before,
        children=children,
        caught=draw(st.booleans()),
        raises=draw(st.sampled_from([False, False, True])),
        after=after,
    )
    hooks = [each for kind in ("commit", "rollback") for part in ("before", "after") for each in plan.hooks(kind, part)]
    odd = st.sampled_from([None, None, None, None, "bad", "bad", "stops"])
    fates = {each: draw(odd) for each in [*hooks, f"write {name}"]}
    return attrs.evolve(
        plan,
        bad=frozenset(each for each, fate in fates.items() if fate == "bad"),
        stops=frozenset(each for each, fate in fates.items() if fate == "stops"),
    )


class Model:
    """A transaction as it should be. `log` takes what happens, in order."""

    def __init__(self, plan: Plan, parent: Model | None, log: list[str]) -> None:
        self.plan = plan
        self.parent = parent
        self.log = log
        self.mode: CommitMode = plan.mode or (parent.mode if parent else CommitMode.LAZY)
        self.state = S.COMMITTED if plan.hit else S.ACTIVE
        self.settled = False
        self.children: list[Model] = []
        self.commits: list[str] = []
        self.undoes: list[str] = []
        self.all: list[Model] = parent.all if parent else []
        self.all.append(self)

    def happens(self, event: str) -> BaseException | None:
        self.log.append(event)
        try:
            self.plan.fate(event)
        except (Trouble, Interrupt) as error:
            return error
        return None

    def stage(self, part: str) -> None:
        count = self.plan.before if part == "before" else self.plan.after
        if count is None or self.plan.hit:
            return
        self.state, self.settled = S.STAGED, False
        self.commits += self.plan.hooks("commit", part)
        self.undoes += self.plan.hooks("rollback", part)

    def run(self) -> None:
        """Go through the block, and settle what its end settles. Raises what goes on up."""
        error: BaseException | None = None
        try:
            self.body()
        except (Trouble, Interrupt) as raised:
            error = raised
        stop: BaseException | None = None
        if error is not None or (self.parent is None and self.mode is CommitMode.OFF):
            stop = self.roll_back()
        elif self.parent is None or self.mode is CommitMode.EAGER:
            stop = self.commit()
        if self.parent is not None:
            if self.parent.settled and not self.settled:  # in its block a parent can only have been rolled back
                stop = self.roll_back() or stop
            self.parent.children.append(self)
            if self.state is S.ROLLED_BACK:
                stop = self.parent.roll_back() or stop
        if stop or error:
            raise stop or error or AssertionError

    def body(self) -> None:
        self.stage("before")
        for plan in self.plan.children:
            try:
                Model(plan, self, self.log).run()
            except Trouble:
                if not self.plan.caught:
                    raise
        if self.plan.raises:
            raise Trouble(self.plan.name)
        self.stage("after")

    def commit(self) -> BaseException | None:
        """Commit; what interrupted it, after the rest was rolled back."""
        stop = self.commit_all()
        if stop:
            stop = self.roll_back(again=True) or stop
        return stop

    def commit_all(self) -> BaseException | None:
        if self.settled:
            return None
        self.settled = True
        for child in self.children:
            if stop := child.commit_all():
                return stop
        if self.plan.hit:
            return None
        for event in [*self.commits, f"write {self.plan.name}"]:
            error = self.happens(event)
            if isinstance(error, Interrupt):
                return error
            if error:
                return self.undo_own()
        self.state = S.COMMITTED
        return None

    def undo_own(self) -> BaseException | None:
        self.state = S.ROLLED_BACK
        errors = [self.happens(event) for event in reversed(self.undoes)]
        self.undoes, self.commits = [], []
        return next((each for each in errors if isinstance(each, Interrupt)), None)

    def roll_back(self, *, again: bool = False) -> BaseException | None:
        """Roll back what is left; what was interrupted on the way, after all is done."""
        if self.settled and not again:
            return None
        self.settled = True
        stops = [self.undo_own()] if self.state in {S.ACTIVE, S.STAGED} else []
        stops += [child.roll_back(again=again) for child in reversed(self.children)]
        return next((each for each in stops if each), None)


def expected(plan: Plan) -> tuple[list[str], dict[str, TransactionState], type[BaseException] | None]:
    """What should happen, in order; what state each transaction should be in; and what should be raised."""
    root = Model(plan, None, [])
    error: type[BaseException] | None = None
    try:
        root.run()
    except (Trouble, Interrupt) as raised:
        error = type(raised)
    return root.log, {each.plan.name: each.state for each in root.all}, error
