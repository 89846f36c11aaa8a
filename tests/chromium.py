"""A real browser: Debian's chromium, found or installed, without a network and without a window."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

INSTALL_SECONDS = 300
"""What a test that may have to install it needs beside its own time."""

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever a page asks the network for is not there
    "--hide-scrollbars",
    "--enable-logging=stderr",
)


def chromium() -> str:
    """The browser's programme. Where there is none it is installed; where that cannot be, the test fails."""
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            subprocess.run(
                ["apt-get", "-qq", *command], env=environment, capture_output=True, timeout=INSTALL_SECONDS, check=False
            )
        found = _found()
    if found is None:
        pytest.fail("The page is looked at in a browser: apt-get install chromium", pytrace=False)
    return found


def _found() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def look_at(programme: str, url: str, profile: Path, *flags: str) -> tuple[str, str]:
    """Open a page and give what it has become, and what its console was told."""
    done = subprocess.run(
        [programme, *_FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
