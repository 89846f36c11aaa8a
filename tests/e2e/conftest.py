"""Async tests here run on asyncio alone: what is looked at is what is said, not how loops differ."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The event loop."""
    return "asyncio"
