"""A thread that gives its processor away has waited; one that computes, or is put off by the system, has not."""

from __future__ import annotations

import itertools
import threading

import pytest

from millrace.runtime import idling
from millrace.runtime.idling import Idling


def test_waiting_counts() -> None:
    since = Idling()
    threading.Event().wait(0.002)
    passed, idle = since.seconds()
    assert 0 < idle <= passed


def test_what_the_system_has_taken_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idling, "_given_away", lambda: 7)
    monkeypatch.setattr(idling, "perf_counter", iter([10.0, 15.0]).__next__)
    monkeypatch.setattr(idling, "process_time", iter([1.0, 4.0]).__next__)
    assert Idling().seconds() == (3.0, 0.0)


def test_nor_does_what_others_in_the_process_have_computed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idling, "_given_away", itertools.count().__next__)
    monkeypatch.setattr(idling, "perf_counter", iter([10.0, 15.0]).__next__)
    monkeypatch.setattr(idling, "process_time", iter([1.0, 4.0]).__next__)
    assert Idling().seconds() == (5.0, 2.0)
