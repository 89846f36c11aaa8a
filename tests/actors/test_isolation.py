"""Isolation levels are values that read as what they are called."""

from __future__ import annotations

from millrace.actors.isolation import IsolationLevel


def test_a_level_is_its_own_name() -> None:
    assert {str(level) for level in IsolationLevel} == {"READ_COMMITTED", "SERIALIZABLE"}
    assert IsolationLevel("SERIALIZABLE") is IsolationLevel.SERIALIZABLE
