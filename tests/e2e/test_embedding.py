"""What `docs/embedding.md` says about services and tests: its blocks do not only run, they do what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.programs import ROOT, python

PAGE = ROOT / "docs" / "embedding.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def block_with(text: str) -> str:
    """The one block that has something in it."""
    (found,) = [block for block in BLOCKS if text in block]
    return str(found)


@pytest.mark.anyio
async def test_the_application_starts_flows_runs_them_and_cancels_them() -> None:
    module: dict[str, Any] = {"__name__": "application"}
    exec(compile(block_with("FastAPI("), PAGE, "exec"), module)  # noqa: S102  # the code of our own page
    app, engine = module["app"], module["engine"]

    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client,
    ):
        urls = ["/", "/about"]
        started = (await client.post("/crawl", json=urls)).json()
        assert [str(run.uuid) for run in engine.flow_runs()] == [started]
        assert (await client.delete(f"/crawl/{started}")).json().startswith("Cancelled(")
        assert (await client.post("/crawl-now", json=urls)).json() == 2
        assert (await client.post("/crawl-from-a-thread", json=urls)).json() == 2

    assert engine.closed


def test_the_tests_pass(tmp_path: Path) -> None:
    (tmp_path / "test_crawl.py").write_text(block_with("def test_crawl_retries"), encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n", encoding="utf-8"
    )
    plugins = ("-p", "no:millrace", "-p", "millrace.runtime.testing.plugin", "-p", "anyio", "-p", "no:cacheprovider")

    done = python("-m", "pytest", "-q", "-W", "error", *plugins, cwd=tmp_path)

    assert "2 passed" in done.out, done.out
