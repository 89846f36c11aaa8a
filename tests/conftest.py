"""What holds for all tests: examples are drawn alike in every run, and none is measured by the clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("gate", deadline=None, derandomize=True)
settings.load_profile("gate")
