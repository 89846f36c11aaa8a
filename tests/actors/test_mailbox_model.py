"""The mailbox against a model of it: two lines, a turn that somebody else may have, and room for so many.

The model is what the docstring of the mailbox says: whoever finds the actor idle has the message handled; while another
thread has the turn, messages wait; control goes ahead of data, each in its order; and what finds no room is refused.
What is told while a message is being handled is told to a busy actor.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from millrace.actors import mailbox
from millrace.actors.errors import MailboxFull
from tests.actors.runs import Call, Doer, UrgentCall

ROOM = 4

Plan = tuple[bool, tuple[bool, ...]]
"""A message: whether it is control, and which ones its handling tells."""


class Model:
    """Who waits, and what was handled."""

    def __init__(self) -> None:
        self.control: list[tuple[int, Plan]] = []
        self.data: list[tuple[int, Plan]] = []
        self.handled: list[int] = []
        self.refused = 0
        self.numbers = 0
        self.busy = False  # another thread has the turn

    def tell(self, plan: Plan) -> bool:
        """Somebody tells a message; whether it was taken."""
        self.numbers += 1
        if self.busy and not plan[0] and len(self.data) >= ROOM:
            self.refused += 1
            return False
        (self.control if plan[0] else self.data).append((self.numbers, plan))
        if not self.busy:
            self.work_off()
        return True

    def work_off(self) -> None:
        """Handle what waits, and what is told meanwhile."""
        while self.control or self.data:
            number, (_, more) = (self.control or self.data).pop(0)
            self.handled.append(number)
            for control in more:
                self.numbers += 1
                (self.control if control else self.data).append((self.numbers, (control, ())))


class Post(RuleBasedStateMachine):
    """What is done to both of them."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.actor = Doer()
        self.handled: list[int] = []
        self.numbers = 0
        self.patches: list[Any] = [patch.object(mailbox, "BOUND", ROOM), patch.object(mailbox, "PATIENCE_SECONDS", 0.0)]
        for each in self.patches:
            each.start()

    def message(self, plan: Plan) -> Any:
        self.numbers += 1
        number, (control, more) = self.numbers, plan

        def handle() -> None:
            self.handled.append(number)
            for each in more:
                self.actor.tell(self.message((each, ())))

        return UrgentCall(handle) if control else Call(handle)

    @rule(plan=st.tuples(st.booleans(), st.sampled_from([(), (), (True,), (True, True)])))
    def tell(self, plan: Plan) -> None:
        if self.model.tell(plan):
            self.actor.tell(self.message(plan))
        else:
            with pytest.raises(MailboxFull):
                self.actor.tell(self.message(plan))

    @precondition(lambda self: not self.model.busy)
    @rule()
    def another_thread_has_the_turn(self) -> None:
        assert self.actor._take_turn()
        self.model.busy = True

    @precondition(lambda self: self.model.busy)
    @rule()
    def it_gives_the_turn_back(self) -> None:
        self.model.busy = False
        self.actor._turn = None
        if self.actor._queue is not None:
            self.actor._drain(self.actor._queue)
        self.model.work_off()

    @invariant()
    def both_have_handled_the_same_in_the_same_order(self) -> None:
        assert self.handled == self.model.handled

    @invariant()
    def every_message_is_handled_waiting_or_refused(self) -> None:
        assert self.actor.waiting == len(self.model.control) + len(self.model.data)
        assert self.actor.refused == self.model.refused
        assert self.numbers == self.actor.handled + self.actor.waiting + self.actor.refused

    def teardown(self) -> None:
        """Nothing waits when nobody is busy."""
        for each in self.patches:
            each.stop()
        if self.model.busy:
            self.it_gives_the_turn_back()
        assert self.actor.waiting == 0


TestPost = Post.TestCase
TestPost.settings = settings(max_examples=100, stateful_step_count=30)
