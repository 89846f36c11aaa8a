"""The mailbox: one message at a time, in the right order, none lost, and never too many."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self, cast

import pytest

from millrace.actors import mailbox
from millrace.actors.errors import MailboxFull
from millrace.actors.mailbox import BOUND, Mailbox
from tests.actors.runs import Call, Doer, UrgentCall

PATIENCE = 20.0  # seconds; what takes longer hangs


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Threads:
    """Threads that start together; an error in one of them is an error of the test."""

    def __init__(self, *bodies: Callable[[], None]) -> None:
        self._start = threading.Barrier(len(bodies))
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(body,), daemon=True) for body in bodies]

    def _run(self, body: Callable[[], None]) -> None:
        self._start.wait(PATIENCE)
        try:
            body()
        except BaseException as error:  # noqa: BLE001  # raised again by `join`
            self._errors.append(error)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "a thread hangs"
        if self._errors:
            raise self._errors[0]


def say(log: list[str], text: str) -> Callable[[], None]:
    return lambda: log.append(text)


class Held:
    """An actor whose turn another thread has, until it is let go."""

    def __init__(self, actor: Doer) -> None:
        self._go = threading.Event()
        taken = threading.Event()

        def hold() -> None:
            taken.set()
            assert self._go.wait(PATIENCE)

        self._threads = Threads(lambda: actor.tell(Call(hold)))
        self._taken = taken

    def let_go(self) -> None:
        self._go.set()

    def __enter__(self) -> Self:
        self._threads.__enter__()
        assert self._taken.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._threads.__exit__()


def doer_that(gives_back: Callable[[Doer, int, Callable[[], None]], None]) -> Doer:
    """An actor whose turn is given back in this way, which gets how often that has been, and what really does it."""
    actor, slot = Doer(), vars(Mailbox)["_turn"]
    times = 0

    def set_(held: Doer, value: object) -> None:
        nonlocal times
        times += 1
        gives_back(held, times, lambda: slot.__set__(held, value))

    actor.__class__ = type("Doer", (Doer,), {"_turn": property(slot.__get__, set_, slot.__delete__)})
    return actor


# One thread.


def test_a_message_is_handled_at_once_and_its_instruction_handed_to_who_asked() -> None:
    actor = Doer()

    assert cast("Any", actor.ask(Call(lambda: "saw"))) == "saw"
    assert actor.ask(Call(lambda: None)) is None
    assert actor.performed == []
    assert actor.handled == 2


def test_who_tells_has_the_instruction_performed() -> None:
    actor = Doer()

    actor.tell(Call(lambda: "saw"))
    actor.tell(Call(lambda: None))

    assert actor.performed == ["saw"]


def test_an_actor_that_is_never_contended_has_no_queue() -> None:
    actor = Doer()

    actor.tell(Call(lambda: "saw"))

    assert actor._queue is None
    assert (actor.waiting, actor.refused, actor.dead_letters) == (0, 0, 0)


def test_a_message_told_by_the_actor_itself_is_handled_after_the_one_in_hand() -> None:
    actor, log = Doer(), list[str]()

    def outer() -> None:
        log.append("outer begins")
        actor.tell(Call(say(log, "inner")))
        log.append("outer ends")

    actor.tell(Call(outer))

    assert log == ["outer begins", "outer ends", "inner"]
    assert actor.handled == 2


def test_control_messages_are_handled_before_data_that_waits_and_both_in_their_order() -> None:
    actor, log = Doer(), list[str]()

    def outer() -> None:
        actor.tell(Call(say(log, "data 1")))
        actor.tell(UrgentCall(say(log, "control 1")))
        actor.tell(Call(say(log, "data 2")))
        actor.tell(UrgentCall(say(log, "control 2")))

    actor.tell(Call(outer))

    assert log == ["control 1", "control 2", "data 1", "data 2"]


def test_a_control_message_overtakes_data_while_that_is_being_handled() -> None:
    actor, log = Doer(), list[str]()

    def first() -> None:
        log.append("data 1")
        actor.tell(UrgentCall(say(log, "control")))

    def outer() -> None:
        actor.tell(Call(first))
        actor.tell(Call(say(log, "data 2")))

    actor.tell(Call(outer))

    assert log == ["data 1", "control", "data 2"]


def test_instructions_are_performed_outside_of_the_turn() -> None:
    actor, taken = Doer(), list[bool]()

    def instruct() -> Callable[[], None]:
        return lambda: taken.append(not hasattr(actor, "_turn"))

    def outer() -> Callable[[], None]:
        actor.tell(Call(instruct))
        actor.tell(UrgentCall(instruct))
        return instruct()

    actor.tell(Call(outer))

    assert taken == [False, False, False]


def test_of_what_was_told_every_message_is_handled_waiting_refused_or_in_hand() -> None:
    actor, counts = Doer(), list[tuple[int, int, int]]()

    def look() -> None:
        counts.append((actor.handled, actor.waiting, actor.refused))

    def outer() -> None:
        look()  # told 1, and that one is in hand
        actor.tell(Call(lambda: None))
        actor.tell(UrgentCall(lambda: None))
        look()  # told 3

    actor.tell(Call(outer))
    look()

    assert counts == [(0, 0, 0), (0, 2, 0), (3, 0, 0)]


# Errors.


def test_a_message_whose_handling_raises_gives_the_turn_back() -> None:
    actor = Doer()

    def fail() -> None:
        raise ValueError("knot")

    with pytest.raises(ValueError, match=r"^knot$"):
        actor.ask(Call(fail))

    assert cast("Any", actor.ask(Call(lambda: "saw"))) == "saw"
    assert (actor.handled, actor.waiting) == (2, 0)


def test_messages_left_while_the_handling_of_another_raises_are_handled() -> None:
    """Found by the invariant: they waited for whoever spoke to the actor next, which may be nobody."""
    actor, log = Doer(), list[str]()

    def fail() -> None:
        actor.tell(Call(say(log, "left")))
        raise ValueError("knot")

    with pytest.raises(ValueError, match=r"^knot$"):
        actor.tell(Call(fail))

    assert log == ["left"]
    assert (actor.handled, actor.waiting) == (2, 0)


def test_an_error_takes_neither_the_messages_nor_the_instructions_around_it_along() -> None:
    """Found by the invariant: a SETTLE was lost with an error in the message behind it."""
    actor = Doer()

    def fail() -> None:
        raise ValueError("knot")

    def outer() -> None:
        actor.tell(Call(lambda: "first"))
        actor.tell(Call(fail))
        actor.tell(Call(lambda: fail))  # raises when it is performed
        actor.tell(Call(lambda: "last"))

    with pytest.raises(ValueError, match=r"^knot$"):
        actor.tell(Call(outer))

    assert actor.performed == ["first", "last"]
    assert (actor.handled, actor.waiting) == (5, 0)


# Several threads.


def test_a_message_left_between_the_handling_and_the_release_is_handled() -> None:
    """The moment in which it could be lost, produced on purpose."""
    log: list[str] = []

    def give_back(actor: Doer, times: int, really: Callable[[], None]) -> None:
        if times == 1:
            actor.tell(Call(say(log, "left")))
            assert log == []
        really()

    actor = doer_that(give_back)

    actor.tell(Call(lambda: None))

    assert log == ["left"]


def test_a_message_left_just_before_the_turn_is_given_back_a_second_time_is_handled() -> None:
    """The same while messages that waited are handled."""
    log: list[str] = []

    def give_back(actor: Doer, times: int, really: Callable[[], None]) -> None:
        if times <= 5:
            actor.tell(Call(say(log, f"left {times}")))
        really()

    actor = doer_that(give_back)

    actor.tell(Call(lambda: None))

    assert log == ["left 1", "left 2", "left 3", "left 4", "left 5"]
    assert (actor.handled, actor.waiting) == (6, 0)


def test_a_message_overtakes_none_that_was_left_before_it_although_the_turn_is_free() -> None:
    """The moment after the release, when whoever had the turn has not looked at the queue yet."""
    log: list[str] = []

    def give_back(actor: Doer, times: int, really: Callable[[], None]) -> None:
        if times == 1:
            actor.tell(Call(say(log, "first")))
        really()
        if times == 1:
            actor.tell(Call(say(log, "second")))

    actor = doer_that(give_back)

    actor.tell(Call(lambda: None))

    assert log == ["first", "second"]


def test_two_senders_that_find_no_queue_leave_their_messages_in_the_same_one(monkeypatch: pytest.MonkeyPatch) -> None:
    actor, log = Doer(), list[str]()

    class TooLate:
        """What guards the making of a queue; another sender makes one while the first waits for it."""

        entered = False

        def __enter__(self) -> None:
            if not self.entered:
                self.entered = True
                actor.tell(Call(say(log, "the other's")))

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(mailbox, "_rarely", TooLate())

    actor.tell(Call(lambda: actor.tell(Call(say(log, "the first's")))))

    assert log == ["the other's", "the first's"]


@pytest.mark.usefixtures("restless")
def test_messages_of_twenty_senders_are_handled_one_at_a_time_and_in_each_senders_order() -> None:
    actor = Doer()
    heard: list[tuple[int, int]] = []
    inside = 0
    overlaps = 0

    def hear(sender: int, number: int) -> Callable[[], Any]:
        def handle() -> tuple[int, int]:
            nonlocal inside, overlaps
            inside += 1
            overlaps += inside != 1
            heard.append((sender, number))
            overlaps += inside != 1
            inside -= 1
            return sender, number

        return handle

    def send(sender: int) -> Callable[[], None]:
        def body() -> None:
            for number in range(200):
                actor.tell(Call(hear(sender, number)))

        return body

    with Threads(*(send(sender) for sender in range(20))):
        pass

    assert overlaps == 0
    for sender in range(20):
        assert [number for each, number in heard if each == sender] == list(range(200)), f"sender {sender}"
    assert sorted(actor.performed) == sorted(heard)
    assert (actor.handled, actor.waiting, actor.refused) == (4000, 0, 0)


@pytest.mark.usefixtures("restless")
def test_no_message_is_lost_however_threads_meet_at_an_actor() -> None:
    """Fresh actors, so that also the moment is met in which two threads give one its queue."""
    actors = [Doer() for _ in range(10_000)]

    def send() -> None:
        for actor in actors:
            actor.tell(Call(lambda: "data"))
            actor.tell(UrgentCall(lambda: "control"))

    with Threads(*[send] * 4):
        pass

    lost = [index for index, actor in enumerate(actors) if (actor.handled, actor.waiting) != (8, 0)]
    assert lost == []
    assert all(len(actor.performed) == 8 for actor in actors)


def test_a_control_message_for_a_busy_actor_is_handled_next_however_much_data_waits() -> None:
    actor, log = Doer(), list[str]()

    with Held(actor):
        for number in range(BOUND):
            actor.tell(Call(say(log, f"data {number}")))
        actor.tell(UrgentCall(say(log, "control")))
        assert actor.waiting == BOUND + 1

    assert log == ["control", *(f"data {number}" for number in range(BOUND))]


def test_what_follows_from_a_message_left_is_performed_by_the_thread_that_had_the_turn() -> None:
    actor, by = Doer(), list[int]()

    with Held(actor):
        assert actor.ask(Call(lambda: lambda: by.append(threading.get_ident()))) is None
        assert by == []

    assert len(by) == 1
    assert by != [threading.get_ident()]


# The bound.


def test_a_mailbox_that_stays_full_refuses_data_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "PATIENCE_SECONDS", 0.01)
    actor, log = Doer(), list[str]()

    with Held(actor):
        for number in range(BOUND):
            actor.tell(Call(say(log, str(number))))
        with pytest.raises(
            MailboxFull,
            match=r"^The mailbox of a Doer is full: 1,024 messages wait already\. Send again later\.$",
        ):
            actor.tell(Call(say(log, "one too many")))
        actor.tell(UrgentCall(say(log, "control")))

        told, in_hand = BOUND + 3, 1
        assert told == actor.handled + actor.waiting + actor.refused + in_hand
        assert (actor.waiting, actor.refused) == (BOUND + 1, 1)

    assert log == ["control", *(str(number) for number in range(BOUND))]
    assert (actor.handled, actor.waiting, actor.refused) == (BOUND + 2, 0, 1)


def test_every_refusal_is_counted(monkeypatch: pytest.MonkeyPatch, restless: None) -> None:
    monkeypatch.setattr(mailbox, "PATIENCE_SECONDS", 0.0)
    actor = Doer()

    def send() -> None:
        for _ in range(50):
            with pytest.raises(MailboxFull):
                actor.tell(Call(lambda: None))

    with Held(actor):
        for _ in range(BOUND):
            actor.tell(Call(lambda: None))
        with Threads(*[send] * 4):
            pass

        assert actor.refused == 200
        assert actor.waiting == BOUND


def test_a_sender_that_finds_the_mailbox_full_waits_and_goes_on_after_the_messages_before_its_own() -> None:
    actor, log = Doer(), list[str]()

    with Held(actor) as held:
        for number in range(BOUND):
            actor.tell(Call(say(log, str(number))))
        with Threads(lambda: actor.tell(Call(say(log, "last")))):
            assert log == []
            held.let_go()

    assert log == [*(str(number) for number in range(BOUND)), "last"]
    assert actor.refused == 0


@pytest.mark.usefixtures("restless")
def test_the_queue_never_grows_beyond_its_bound_by_more_than_the_senders() -> None:
    actor, longest = Doer(), 0

    def look() -> None:
        nonlocal longest
        longest = max(longest, actor.waiting)

    def send() -> None:
        for _ in range(1000):
            actor.tell(Call(look))

    with Held(actor) as held, Threads(*[send] * 4):
        held.let_go()

    assert actor.handled == 4001
    assert longest <= BOUND + 4


@pytest.mark.usefixtures("restless")
def test_each_of_many_that_wait_for_the_turn_of_a_full_mailbox_has_it_in_the_end() -> None:
    actor, log = Doer(), list[int]()
    come = threading.Semaphore(0)

    class Bells(list[Any]):
        def append(self, bell: Any) -> None:
            super().append(bell)
            come.release()

    def send(number: int) -> Callable[[], None]:
        return lambda: actor.tell(Call(lambda: log.append(number)))

    with Held(actor) as held:
        for _ in range(BOUND):
            actor.tell(Call(lambda: None))
        queue = actor._queue
        assert queue is not None
        queue.bells = Bells()
        with Threads(*(send(number) for number in range(8))):
            assert all(come.acquire(timeout=PATIENCE) for _ in range(8))
            held.let_go()

    assert sorted(log) == list(range(8))
    assert (actor.waiting, actor.refused, queue.bells) == (0, 0, [])


def test_a_turn_that_is_given_back_just_before_somebody_waits_for_it_is_seen() -> None:
    """The moment between the two, produced on purpose."""
    actor, log = Doer(), list[str]()

    class Bells(list[Any]):
        """Those who wait; as soon as one has come whoever has the turn gives it back, and rings for nobody."""

        def append(self, bell: Any) -> None:
            super().append(bell)
            actor._turn = None

    assert actor._take_turn()
    for _ in range(BOUND):
        actor.tell(Call(lambda: None))
    queue = actor._queue
    assert queue is not None
    queue.bells = Bells()
    actor.tell(Call(say(log, "last")))

    assert log == ["last"]
    assert queue.bells == []


def test_who_is_rung_for_too_late_passes_that_on(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Doer()
    monkeypatch.setattr(mailbox, "PATIENCE_SECONDS", 0.0)
    rung: list[str] = []

    class Bells(list[Any]):
        """Those who wait; the first is rung for in the moment in which it gives up."""

        def remove(self, bell: Any) -> None:
            super().remove(bell)
            raise ValueError("it has been rung")

    class Other:
        def release(self) -> None:
            rung.append("the other")

    with Held(actor):
        for _ in range(BOUND):
            actor.tell(Call(lambda: None))
        queue = actor._queue
        assert queue is not None
        queue.bells = Bells([Other()])
        with pytest.raises(MailboxFull):
            actor.tell(Call(lambda: None))
        assert rung == ["the other"]
