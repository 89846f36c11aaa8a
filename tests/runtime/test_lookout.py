"""The lookout looks while there is somebody to look after, and at no other time."""

from __future__ import annotations

import threading

import pytest

from millrace.runtime.lookout import Lookout
from tests.runtime.results.patience import await_true

WAIT = 20.0


class Watched:
    """Those that are looked after, and what came of it."""

    def __init__(self, idle_seconds: float = WAIT) -> None:
        self.counts: dict[str, int] = {}
        self.get_on = True
        self.looks = 0
        self.stuck: list[str] = []
        self.lookout: Lookout[str] = Lookout("lookout", self._look, self.stuck.append, idle_seconds)

    def _look(self) -> dict[str, int]:
        self.looks += 1
        if self.get_on:
            self.counts.update({who: count + 1 for who, count in self.counts.items()})
        return dict(self.counts)

    def add(self, who: str) -> None:
        self.counts[who] = 0
        self.lookout.watch()

    @staticmethod
    def is_there() -> bool:
        return any(each.name == "lookout" for each in threading.enumerate())


def test_there_is_none_before_there_is_somebody_to_look_after() -> None:
    watched = Watched()
    assert not watched.is_there()
    watched.lookout.close(wait=True)


def test_who_does_not_get_on_is_told_of() -> None:
    watched = Watched()
    watched.get_on = False
    watched.add("a")
    await_true(lambda: "a" in watched.stuck)
    watched.lookout.close(wait=True)
    assert set(watched.stuck) == {"a"}


def test_who_gets_on_is_not() -> None:
    watched = Watched()
    watched.add("a")
    await_true(lambda: watched.looks >= 8)
    watched.lookout.close(wait=True)
    assert watched.stuck == []


def test_nobody_looks_when_there_is_nobody_to_look_after_and_somebody_does_when_there_is_again() -> None:
    watched = Watched()
    for who in ("a", "b"):
        watched.add(who)
        await_true(lambda: watched.looks >= 3)
        watched.counts.clear()
        await_true(lambda: watched.lookout._asleep)
        looked = watched.looks
        threading.Event().wait(0.05)
        assert watched.looks <= looked + 1  # the one between lying down and falling asleep
        watched.looks = 0
    watched.lookout.close(wait=True)


def test_with_nobody_to_look_after_for_long_it_ends_and_comes_back() -> None:
    watched = Watched(idle_seconds=0.01)
    for who in ("a", "b"):
        watched.add(who)
        await_true(watched.is_there)
        watched.counts.clear()
        await_true(lambda: not watched.is_there())
        assert watched.stuck == []
    watched.lookout.close(wait=True)


@pytest.mark.parametrize("looks", [True, False])
def test_it_ends_when_it_is_closed_whatever_it_is_about(looks: bool) -> None:
    watched = Watched()
    watched.add("a")
    await_true(lambda: watched.looks >= 3)
    if not looks:
        watched.counts.clear()
        await_true(lambda: watched.lookout._asleep)

    watched.lookout.close(wait=False)

    await_true(lambda: not watched.is_there())
    assert watched.stuck == []


def test_where_no_thread_can_be_started_that_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    watched = Watched()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fails)
        watched.add("a")
    assert not watched.is_there()

    watched.lookout.watch()

    assert watched.is_there()
    watched.lookout.close(wait=True)


def test_after_it_was_closed_nobody_is_looked_after() -> None:
    watched = Watched()
    watched.lookout.close(wait=True)
    watched.add("a")
    assert not watched.is_there()
