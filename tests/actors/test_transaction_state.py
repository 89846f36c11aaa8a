"""What a transaction commits and rolls back, in which order, and that nothing of it is done twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from itertools import product
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from millrace.actors.errors import TransactionError
from millrace.actors.transaction_state import (
    TRANSITIONS,
    Action,
    CommitMode,
    Outcome,
    Step,
    Steps,
    TransactionNode,
    TransactionState,
    Verdict,
    commit,
    leave,
    roll_back,
)
from tests.actors.transaction_trees import Interrupt, Plan, Trouble, expected, plans

S = TransactionState
DONE = Outcome(done=True)
FAILED = Outcome(done=False)


def begin(name: str = "t", parent: TransactionNode | None = None, **options: Any) -> TransactionNode:
    """A transaction whose block has begun."""
    hit = options.pop("hit", False)
    locked = options.pop("locked", False)
    node = TransactionNode(name, **options)
    node.begun(parent, nullcontext(), hit=hit)
    node.locked = locked
    return node


def hook(name: str) -> Callable[[Any], str]:
    """A hook that is known by what it gives."""
    return lambda _: name


def stage(node: TransactionNode) -> None:
    """Stage something, with a hook of each kind."""
    node.add([hook(f"undo {node.name}")], [hook(f"do {node.name}")])


def told(step: Step) -> str:
    """A step in words."""
    if step.hook is None:
        return f"{step.action.name.lower()} {step.node.name}"
    return str(step.hook(None))


def drive(steps: Steps, fails: Iterable[str] = (), stops: Iterable[str] = ()) -> list[str]:
    """Go through a walk; what was to be done, in order."""
    done: list[str] = []
    outcome: Any = None
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration:
            return done
        done.append(told(step))
        outcome = Outcome(told(step) not in {*fails, *stops}, interrupted=told(step) in stops)


def family() -> tuple[TransactionNode, TransactionNode, TransactionNode]:
    """A parent that has staged, and two children that have too, and have left."""
    parent = begin("p")
    children = [begin(name, parent) for name in "ab"]
    for child in children:
        stage(child)
        assert drive(leave(child, failed=False)) == []
    stage(parent)
    return parent, children[0], children[1]


# Order.


def test_children_are_committed_in_order_and_before_their_parent() -> None:
    parent, a, b = family()

    assert drive(leave(parent, failed=False)) == ["do a", "write a", "do b", "write b", "do p", "write p"]
    assert {each.state for each in (parent, a, b)} == {S.COMMITTED}


def test_an_exception_rolls_back_the_last_first() -> None:
    parent, a, b = family()
    parent.add([hook("undo p again")], [])

    assert drive(leave(parent, failed=True)) == ["undo p again", "undo p", "undo b", "undo a"]
    assert {each.state for each in (parent, a, b)} == {S.ROLLED_BACK}


def test_children_are_in_the_order_in_which_they_left() -> None:
    parent = begin("p")
    first, second = begin("a", parent), begin("b", parent)
    drive(leave(second, failed=False))
    drive(leave(first, failed=False))

    assert parent.children == [second, first]


# Modes.


@pytest.mark.parametrize("mode", CommitMode)
def test_a_mode_that_is_not_given_is_the_parents(mode: CommitMode) -> None:
    assert begin(parent=begin(commit_mode=mode)).commit_mode is mode


def test_the_outermost_is_lazy_unless_it_is_told_otherwise() -> None:
    assert begin().commit_mode is CommitMode.LAZY


def test_an_eager_one_commits_by_itself_and_stays_so() -> None:
    parent = begin("p")
    child = begin("a", parent, commit_mode=CommitMode.EAGER)
    stage(child)

    assert drive(leave(child, failed=False)) == ["do a", "write a"]
    assert drive(leave(parent, failed=True)) == []
    assert child.is_committed()
    assert parent.is_rolled_back()


def test_an_outermost_one_that_is_off_is_rolled_back() -> None:
    node = begin("p", commit_mode=CommitMode.OFF)
    stage(node)

    assert drive(leave(node, failed=False)) == ["undo p"]


def test_one_that_is_off_commits_with_the_one_around_it() -> None:
    parent = begin("p")
    child = begin("a", parent, commit_mode=CommitMode.OFF)
    assert drive(leave(child, failed=False)) == []

    assert drive(leave(parent, failed=False)) == ["write a", "write p"]


def test_one_that_is_off_commits_when_it_is_told_to() -> None:
    node = begin("p", commit_mode=CommitMode.OFF)

    assert drive(commit(node)) == ["write p"]
    assert drive(leave(node, failed=False)) == []
    assert node.is_committed()


# What goes wrong.


@pytest.mark.parametrize(
    ("fails", "expected_steps"),
    [
        ("do a", ["do a", "undo a", "do b", "write b", "do p", "write p"]),
        ("write a", ["do a", "write a", "undo a", "do b", "write b", "do p", "write p"]),
    ],
)
def test_a_child_that_cannot_commit_is_rolled_back_alone(fails: str, expected_steps: list[str]) -> None:
    parent, a, b = family()

    assert drive(leave(parent, failed=False), fails=[fails]) == expected_steps
    assert a.is_rolled_back()
    assert b.is_committed()
    assert parent.is_committed()


def test_a_parent_that_cannot_commit_is_rolled_back_and_its_children_stay_committed() -> None:
    parent, a, b = family()

    steps = drive(leave(parent, failed=False), fails=["write p"])

    assert steps[-3:] == ["do p", "write p", "undo p"]
    assert parent.is_rolled_back()
    assert a.is_committed()
    assert b.is_committed()


def test_a_hook_that_fails_in_a_rollback_stops_nothing() -> None:
    parent, *_ = family()

    assert drive(leave(parent, failed=True), fails=["undo p", "undo b"]) == ["undo p", "undo b", "undo a"]


@pytest.mark.parametrize("stops", ["do b", "write b"])
def test_an_interrupted_commit_rolls_back_what_was_not_committed(stops: str) -> None:
    parent, a, b = family()

    steps = drive(leave(parent, failed=False), stops=[stops])

    assert steps[:2] == ["do a", "write a"]
    assert steps[-2:] == ["undo p", "undo b"]
    assert a.is_committed()
    assert b.is_rolled_back()


def test_what_was_written_although_the_walk_is_to_end_is_committed() -> None:
    parent, a, _ = family()
    steps = leave(parent, failed=False)

    assert told(next(steps)) == "do a"
    assert told(steps.send(DONE)) == "write a"
    assert told(steps.send(Outcome(done=True, interrupted=True))) == "undo p"
    assert drive_on(steps) == ["undo b"]
    assert a.is_committed()


def drive_on(steps: Steps) -> list[str]:
    """The rest of a walk whose last step was done."""
    done: list[str] = []
    try:
        while True:
            done.append(told(steps.send(DONE)))
    except StopIteration:
        return done


def test_an_interrupted_rollback_goes_on_to_its_end() -> None:
    parent, *_ = family()

    assert drive(leave(parent, failed=True), stops=["undo p", "undo b"]) == ["undo p", "undo b", "undo a"]


# A child that is rolled back.


def test_a_child_that_leaves_rolled_back_rolls_back_its_parent_and_what_was_done_before() -> None:
    parent, *_ = family()
    child = begin("c", parent)
    stage(child)

    assert drive(leave(child, failed=True)) == ["undo c", "undo p", "undo b", "undo a"]
    assert drive(leave(parent, failed=False)) == []
    assert parent.is_rolled_back()


def test_a_parent_that_found_another_way_stages_again_and_commits_that_alone() -> None:
    parent, a, _ = family()
    drive(leave(begin("c", parent), failed=True))
    parent.add([hook("undo other")], [hook("do other")])

    assert drive(leave(parent, failed=False)) == ["do other", "write p"]
    assert parent.is_committed()
    assert a.is_rolled_back()


def test_what_was_rolled_back_once_is_not_rolled_back_again_with_what_was_staged_after() -> None:
    parent, *_ = family()
    drive(roll_back(parent))
    parent.add([hook("undo other")], [])

    assert drive(leave(parent, failed=True)) == ["undo other"]


def test_a_rollback_goes_up_through_all_that_have_left() -> None:
    root = begin("r")
    middle = begin("m", root)
    slow = begin("s", middle)
    for each in (root, middle, slow):
        stage(each)
    drive(leave(middle, failed=False))

    assert drive(leave(slow, failed=True)) == ["undo s", "undo m", "undo r"]


# Children that come late.


@pytest.mark.parametrize(
    ("failed", "expected_steps", "state"),
    [(False, ["do c", "write c"], S.COMMITTED), (True, ["undo c"], S.ROLLED_BACK)],
)
def test_a_child_that_comes_late_follows_its_parent(
    failed: bool,
    expected_steps: list[str],
    state: TransactionState,
) -> None:
    parent = begin("p")
    child = begin("c", parent)
    stage(child)
    drive(leave(parent, failed=failed))

    assert drive(leave(child, failed=False)) == expected_steps
    assert child.state is state


def test_a_child_that_fails_late_leaves_a_committed_parent_alone() -> None:
    parent = begin("p")
    child = begin("c", parent)
    stage(child)
    drive(leave(parent, failed=False))

    assert drive(leave(child, failed=True)) == ["undo c"]
    assert parent.is_committed()


def test_a_child_that_comes_in_the_middle_of_a_commit_commits_by_itself() -> None:
    parent, *_ = family()
    child = begin("c", parent)
    walk = leave(parent, failed=False)
    next(walk)

    assert drive(leave(child, failed=False)) == ["write c"]
    assert drive_on(walk) == ["write a", "do b", "write b", "do p", "write p"]


def test_a_child_that_comes_in_the_middle_of_a_rollback_is_rolled_back() -> None:
    parent, *_ = family()
    child = begin("c", parent)
    stage(child)
    walk = leave(parent, failed=True)
    next(walk)

    assert drive(leave(child, failed=False)) == ["undo c"]
    assert drive_on(walk) == ["undo b", "undo a"]


# Hits.


def test_a_hit_has_nothing_of_its_own_to_commit_or_to_roll_back() -> None:
    for failed in (False, True):
        node = begin(hit=True)
        assert not node.add([hook("undo")], [hook("do")])
        assert drive(leave(node, failed=failed)) == []
        assert node.is_committed()


def test_the_children_of_a_hit_are_settled_all_the_same() -> None:
    for failed, expected_steps in ((False, ["do c", "write c"]), (True, ["undo c"])):
        node = begin(hit=True)
        child = begin("c", node)
        stage(child)
        assert drive(leave(child, failed=False)) == []
        assert drive(leave(node, failed=failed)) == expected_steps


# What is held.


def test_what_is_held_is_released_after_the_commit() -> None:
    node = begin(locked=True)

    assert drive(leave(node, failed=False)) == ["write t", "release t"]


@pytest.mark.parametrize("trouble", ["write t", "do t"])
def test_what_is_held_is_released_when_the_commit_fails(trouble: str) -> None:
    for how in ("fails", "stops"):
        node = begin(locked=True)
        stage(node)
        steps = drive(leave(node, failed=False), **{how: [trouble]})
        assert steps[-2:] == ["undo t", "release t"]


def test_what_is_held_is_released_when_all_is_rolled_back() -> None:
    parent = begin("p", locked=True)
    child = begin("c", parent, locked=True)
    stage(child)
    stage(parent)
    drive(leave(child, failed=False))

    assert drive(leave(parent, failed=True)) == ["undo p", "undo c", "release p", "release c"]


def test_one_whose_block_may_stage_again_holds_what_it_holds() -> None:
    for again in (False, True):
        node = begin("p", locked=True)
        assert drive(leave(begin("c", node), failed=True)) == []
        if again:
            stage(node)
        assert drive(leave(node, failed=False)) == ["do p", "write p", "release p"][0 if again else 2 :]


# Misuse.


@pytest.mark.parametrize(("before", "after"), list(product(TransactionState, TransactionState)))
def test_a_state_is_followed_by_those_in_the_table_alone(before: TransactionState, after: TransactionState) -> None:
    node = TransactionNode("t")
    node.state = before
    if after in TRANSITIONS[before]:
        node.enter(after)
        assert node.state is after
    else:
        with pytest.raises(AssertionError):
            node.enter(after)
        assert node.state is before


def test_each_state_has_its_predicate() -> None:
    node = TransactionNode("t")
    for state in TransactionState:
        node.state = state
        answers = {each.name: getattr(node, f"is_{each.name.lower()}")() for each in TransactionState}
        assert [name for name, answer in answers.items() if answer] == [state.name]


def test_a_transaction_begins_once() -> None:
    with pytest.raises(TransactionError, match=r"^Cannot begin t: it is ACTIVE\. A transaction is used"):
        begin().check_new()


@pytest.mark.parametrize(
    ("attempt", "attempted"),
    [
        (stage, "stage a value in"),
        (commit, "commit"),
        (roll_back, "roll back"),
        (lambda node: leave(node, failed=False), "leave"),
    ],
)
def test_only_the_block_itself_may_ask(attempt: Callable[[TransactionNode], Any], attempted: str) -> None:
    node = TransactionNode("t")
    with pytest.raises(TransactionError, match=rf"^Cannot {attempted} t: it is PENDING\. Begin it first"):
        attempt(node)
    child = begin("t", begin())
    drive(leave(child, failed=False))
    with pytest.raises(TransactionError, match=rf"^Cannot {attempted} t: it is ACTIVE\. Its block has ended"):
        attempt(child)


def test_a_transaction_is_committed_once() -> None:
    node = begin()
    drive(commit(node))

    with pytest.raises(TransactionError, match=r"^Cannot commit t: it is COMMITTED\. The end of its block"):
        commit(node)
    with pytest.raises(TransactionError, match=r"^Cannot stage a value in t: it is COMMITTED\. Stage before"):
        stage(node)
    assert drive(roll_back(node)) == []
    assert node.is_committed()


# Any tree.


class Tree:
    """Runs a plan with bare nodes."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.nodes: list[TransactionNode] = []

    def run(self, plan: Plan, parent: TransactionNode | None = None) -> None:
        node = begin(plan.name, parent, commit_mode=plan.mode, hit=plan.hit)
        node.plan = plan  # type: ignore[attr-defined]
        self.nodes.append(node)
        try:
            self.body(plan, node)
        except (Trouble, Interrupt):
            self.drive(leave(node, failed=True))
            raise
        self.drive(leave(node, failed=False))

    def body(self, plan: Plan, node: TransactionNode) -> None:
        self.stage(plan, node, "before", plan.before)
        for child in plan.children:
            try:
                self.run(child, node)
            except Trouble:
                if not plan.caught:
                    raise
        if plan.raises:
            raise Trouble(plan.name)
        self.stage(plan, node, "after", plan.after)

    def stage(self, plan: Plan, node: TransactionNode, part: str, count: int | None) -> None:
        if count is not None:
            node.add(map(hook, plan.hooks("rollback", part)), map(hook, plan.hooks("commit", part)))

    def drive(self, steps: Steps) -> None:
        stop: Interrupt | None = None
        outcome: Any = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration:
                break
            self.log.append(told(step))
            try:
                step.node.plan.fate(told(step))
                outcome = DONE
            except Trouble:
                outcome = FAILED
            except Interrupt as interrupt:
                stop = interrupt
                outcome = Outcome(done=False, interrupted=True)
        if stop is not None:
            raise stop


@settings(max_examples=400)
@given(plans())
def test_any_tree_of_transactions_does_as_the_model(plan: Plan) -> None:
    log, states, error = expected(plan)
    tree = Tree()
    raised: type[BaseException] | None = None
    try:
        tree.run(plan)
    except (Trouble, Interrupt) as trouble:
        raised = type(trouble)

    assert tree.log == log
    assert {node.name: node.state for node in tree.nodes} == states
    assert raised is error


class Interleaving:
    """The blocks and walks of one tree, each in a thread of its own, step by step in any order."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.nodes = [begin("0", locked=True)]
        self.walks: list[tuple[Steps, TransactionNode, Any]] = []  # with whose thread goes it, and the last outcome
        self.staged: list[tuple[TransactionNode, int]] = []  # what was staged where; its hooks are known by the number
        self.log: list[str] = []

    def free(self) -> list[TransactionNode]:
        """Those whose threads are in their blocks."""
        busy = [node for _, node, _ in self.walks]
        return [node for node in self.nodes if not node.left and node not in busy]

    def opens(self) -> None:
        hit = self.chance.random() < 0.1
        self.nodes.append(
            begin(
                str(len(self.nodes)),
                self.chance.choice(self.nodes),
                commit_mode=self.chance.choice([None, *CommitMode]),
                hit=hit,
                locked=not hit and self.chance.random() < 0.5,  # what a hit held was released when it was found
            )
        )

    def stages(self, node: TransactionNode) -> None:
        number = len(self.staged)
        if node.verdict is not Verdict.COMMIT and node.add([hook(f"undo {number}")], [hook(f"do {number}")]):
            self.staged.append((node, number))

    def settles(self, node: TransactionNode) -> None:
        """Something that needs a walk."""
        kind = self.chance.choice(["commit", "roll back", "leave", "leave"])
        if kind == "leave":
            self.leaves(node)
        elif kind == "roll back":
            self.walks.append((roll_back(node), node, None))
        elif node.verdict is None:
            self.walks.append((commit(node), node, None))

    def leaves(self, node: TransactionNode) -> None:
        self.walks.append((leave(node, failed=self.chance.random() < 0.3), node, None))

    def goes_on(self) -> None:
        """One step of one walk."""
        steps, node, outcome = self.walks.pop(self.chance.randrange(len(self.walks)))
        try:
            step = steps.send(outcome)
        except StopIteration:
            return
        self.log.append(told(step))
        odds = [DONE] * 6 + [FAILED, Outcome(done=False, interrupted=True), Outcome(done=True, interrupted=True)]
        if step.action is Action.RELEASE:
            odds = [DONE]
        self.walks.append((steps, node, self.chance.choice(odds)))

    def run(self, turns: int) -> None:
        for _ in range(turns):
            free = self.free()
            kind = self.chance.randrange(10)
            if kind < 2 and len(self.nodes) < 12:
                self.opens()
            elif kind < 4 and free:
                self.stages(self.chance.choice(free))
            elif kind == 5 and free:
                self.settles(self.chance.choice(free))
            elif self.walks:
                self.goes_on()
        while self.walks or self.free():
            free = self.free()
            if free and self.chance.random() < 0.3:
                self.leaves(self.chance.choice(free))
            elif self.walks:
                self.goes_on()

    def check(self) -> None:
        assert {node.state for node in self.nodes} <= {S.COMMITTED, S.ROLLED_BACK}
        for node, number in self.staged:
            done, undone = self.log.count(f"do {number}"), self.log.count(f"undo {number}")
            assert (done, undone) in {(1, 0), (0, 1), (1, 1)}, f"{number} of {node.name} in {self.log}"
            assert undone or node.is_committed()
        for node in self.nodes:
            assert self.log.count(f"release {node.name}") <= 1
            assert not node.locked


@settings(max_examples=400)
@given(st.randoms(use_true_random=False), st.integers(5, 120))
def test_whatever_comes_in_between_each_hook_runs_once_and_nothing_is_left(chance: random.Random, turns: int) -> None:
    tree = Interleaving(chance)
    tree.run(turns)
    tree.check()
