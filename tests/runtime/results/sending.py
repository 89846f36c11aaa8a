"""Sending a value to another process, without one."""

from __future__ import annotations

import pickle
from typing import TypeVar

T = TypeVar("T")


def sent(value: T) -> T:
    """The value as it arrives."""
    arrived: T = pickle.loads(pickle.dumps(value))
    return arrived
