"""The shortest way through: a flow, a task, a map."""

import pytest

from millrace import flow, task


@task
async def double(x: int) -> int:
    return 2 * x


@flow
async def doubles(n: int) -> list[int]:
    return await double.map(range(n))


@pytest.mark.anyio
async def test_a_map_gives_its_results_in_order() -> None:
    assert await doubles(100) == [2 * x for x in range(100)]
