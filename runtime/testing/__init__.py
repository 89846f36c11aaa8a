"""Testing: what tests of flows and tasks need. With pytest, its fixtures `millrace_engine` and `millrace_clock`.

Does not import pytest; `plugin` does, and is imported by it.
"""

from millrace.runtime.testing.assertions import assert_completed, assert_failed, assert_states
from millrace.runtime.testing.clock import VirtualClock
from millrace.runtime.testing.engine import Fault, SeenRun, VirtualEngine

__all__ = (
    "Fault",
    "SeenRun",
    "VirtualClock",
    "VirtualEngine",
    "assert_completed",
    "assert_failed",
    "assert_states",
)
