"""The environment that peers are measured in: `.venv-peers`, made once, and quiet.

All peers and millrace share it, so that they run on one interpreter and on the same versions of
what they have in common. A stamp in it says from what it was built; another interpreter or other
requirements make it anew. millrace is a step of its own with a stamp of its own: a tree that cannot
be installed costs millrace its figures and leaves the peers theirs.

`quiet` gives the variables a peer runs with. Settings of the user's own do not reach it: a
benchmark must neither talk to somebody's server nor depend on what a shell exports.
"""

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")

# Proxies would also be asked for the local server of a peer.
_DROPPED_PREFIXES = ("PREFECT_", "DASK_", "DBOS_", "MILLRACE_", "OTEL_", "PYTHON")
_DROPPED_SUFFIX = "_PROXY"

_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Its first start makes a database, which a busy machine does not finish in the usual 20 s.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
}


class InstallationError(Exception):
    """Something could not be installed; the message is pip's own."""


def prepare(folder: Path) -> Path:
    """Make the environment with all peers, unless it is there already.

    Args:
        folder: Where the environment is, or is to be.

    Returns:
        The environment's interpreter.

    Raises:
        InstallationError: If the peers cannot be installed.
    """
    python = folder / "bin" / "python"
    stamp = folder / ".peers"
    built_from = _digest(REQUIREMENTS)
    if _read(stamp) != built_from:
        print(f"making {folder.name} (once; it takes a minute or two)", flush=True)
        _call([sys.executable, "-m", "venv", "--clear", str(folder)])
        _call([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)])
        stamp.write_text(built_from)
    return python


def install_millrace(folder: Path, root: Path) -> None:
    """Install millrace from its source tree, unless it is there already.

    The peers' versions are constraints: installing millrace may not change what a peer runs on.

    Args:
        folder: The environment, as `prepare` has made it.
        root: The tree with millrace's pyproject.toml.

    Raises:
        InstallationError: If the tree cannot be installed.
    """
    project = root / "pyproject.toml"
    if not project.exists():
        raise InstallationError("there is no pyproject.toml to install millrace from")
    stamp = folder / ".millrace"
    built_from = _digest(project)
    if _read(stamp) != built_from:
        print(f"installing millrace into {folder.name}", flush=True)
        python = str(folder / "bin" / "python")
        _call(
            [
                *(python, "-m", "pip", "install", "--quiet"),
                *("--constraint", str(REQUIREMENTS), "--editable", str(root)),
            ]
        )
        stamp.write_text(built_from)


def quiet(scratch: Path) -> dict[str, str]:
    """Give the variables a peer runs with.

    Args:
        scratch: A folder for all that the peer writes.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_DROPPED_PREFIXES) and not name.upper().endswith(_DROPPED_SUFFIX)
    }
    return {
        **kept,
        **_SETTINGS,
        "PREFECT_HOME": str(scratch / "prefect"),
        "DASK_TEMPORARY_DIRECTORY": str(scratch / "dask"),
        "TMPDIR": str(scratch),
    }


def _digest(file: Path) -> str:
    text = f"{sys.implementation.name} {platform.python_version()}\n{file.read_text()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _read(stamp: Path) -> str | None:
    return stamp.read_text() if stamp.exists() else None


def _call(command: list[str]) -> None:
    called = subprocess.run(command, capture_output=True, text=True, check=False)
    if called.returncode != 0:
        raise InstallationError(f"{' '.join(command)} failed:\n{called.stderr or called.stdout}")
