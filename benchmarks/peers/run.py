"""Measures millrace beside other engines: `python benchmarks/peers/run.py`, or `make bench-peers`.

Every peer does the same work, tasks that do nothing, in a process of its own and in the environment
that `environment` makes. Peers and millrace take turns, round by round, so that whatever else the
machine does falls on all of them; `results` says what the rounds come to.

The exit code is 1 where a peer or one of its works has failed, and the table says why: a figure
that is missing is never taken for one that is good.
"""

import argparse
import datetime as dt
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from environment import InstallationError, install_millrace, prepare, quiet
from results import Document, summarise, table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENT = ROOT / ".venv-peers"
PEERS = ("prefect", "dask", "dbos")
ROUNDS = 3
DEADLINE_S = 600  # for one peer in one round; Prefect takes longest, one to two minutes
TAIL = 40  # lines of what a peer that failed wrote to stderr


def main() -> int:
    """Measure, print the table, write the JSON file."""
    arguments = _parse()
    try:
        python = prepare(ENVIRONMENT)
    except InstallationError as error:
        print(f"the peers cannot be installed: {error}", file=sys.stderr)
        return 1
    not_installed = None
    try:
        install_millrace(ENVIRONMENT, ROOT)
    except InstallationError as error:
        print(f"millrace cannot be installed: {error}", file=sys.stderr)
        not_installed = "it cannot be installed; pip's reason is above"

    machine = _describe_machine(python)
    started = dt.datetime.now(dt.UTC)
    count = 1 if arguments.quick else ROUNDS
    rounds: list[dict[str, Document]] = []
    for number in range(1, count + 1):
        documents: dict[str, Document] = {}
        for peer in ("millrace", *arguments.peers):
            print(f"round {number} of {count}: {peer}", end=" ", flush=True)
            if peer == "millrace" and not_installed is not None:
                documents[peer] = {"rows": [], "error": not_installed}
            else:
                documents[peer] = _measure(peer, python)
        rounds.append(documents)

    summary = summarise(rounds)
    print(f"\n{table(summary)}")
    for failure in summary["failures"]:
        print(failure, file=sys.stderr)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "schema": "millrace-peers/1",
        "started": started.isoformat(timespec="seconds"),
        "rounds": count,
        "machine": machine,
        **summary,
    }
    arguments.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    print(f"\nwritten: {arguments.json}")
    return 1 if summary["failures"] else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure millrace beside other engines.")
    parser.add_argument("--quick", action="store_true", help="one round in place of three")
    parser.add_argument(
        "--peers",
        type=_peers,
        default=PEERS,
        metavar="NAMES",
        help=f"which peers, separated by commas (default: {','.join(PEERS)})",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=ROOT / "benchmarks" / "results" / "peers.json",
        metavar="FILE",
        help="where the figures go (default: benchmarks/results/peers.json)",
    )
    return parser.parse_args()


def _peers(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in PEERS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PEERS)}")
    return names


def _measure(peer: str, python: Path) -> Document:
    """Run one peer once and give its document, which says so where it has failed."""
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as scratch,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+", errors="replace") as stderr,
    ):
        code = _run([str(python), str(HERE / f"{peer}_peer.py")], Path(scratch), stdout, stderr)
        stdout.seek(0)
        stderr.seek(0)
        printed, complaints = stdout.read(), stderr.read().splitlines()

    document: Document
    try:
        document = json.loads(printed)
    except ValueError:
        document = {"rows": []}
    if code is None:
        document["error"] = f"not done after {DEADLINE_S} s"
    elif code != 0 or not document["rows"]:
        last = next((line for line in reversed(complaints) if line.strip()), f"exit code {code}")
        document.setdefault("error", last.strip())

    took = f"{time.monotonic() - started:.0f} s"
    if "error" in document or any("error" in row for row in document["rows"]):
        print(f"failed after {took}", flush=True)
        print("\n".join(complaints[-TAIL:]), file=sys.stderr)
    else:
        print(took, flush=True)
    return document


def _run(command: list[str], scratch: Path, stdout: IO[str], stderr: IO[str]) -> int | None:
    """Run a command to its end, or to the deadline: then all that it started ends with it."""
    process = subprocess.Popen(
        command,
        cwd=scratch,
        env=quiet(scratch),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,  # a group of its own, with the servers and workers it starts
    )
    try:
        return process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _describe_machine(python: Path) -> Document:
    """Say what the figures were taken on, without saying whose it is."""
    version = subprocess.run(
        [str(python), "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "kernel": platform.release(),
        "python": version.stdout.strip(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
