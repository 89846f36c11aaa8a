"""Blocks of `concurrency` in every world: one context manager for sync and async bodies."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from millrace import concurrency, rate_limit


class held(AbstractAsyncContextManager[None]):  # noqa: N801  # it stands for `concurrency`
    """`async with` for bodies of both kinds; in a sync one it never suspends."""

    def __init__(self, is_async: bool, *args: Any, **kwargs: Any) -> None:
        self._is_async = is_async
        self._block = concurrency(*args, **kwargs)

    async def __aenter__(self) -> None:
        if self._is_async:
            await self._block.__aenter__()
        else:
            self._block.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_async:
            await self._block.__aexit__(kind, error, trace)
        else:
            self._block.__exit__(kind, error, trace)


async def token(is_async: bool, *args: Any, **kwargs: Any) -> None:
    """`rate_limit` for bodies of both kinds."""
    waiting = rate_limit(*args, **kwargs)
    if is_async:
        await waiting
    else:
        assert waiting is None
