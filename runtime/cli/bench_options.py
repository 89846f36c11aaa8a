"""The words of `millrace bench limits`.

Decides which options there are and what they are by default. Imports nothing that takes time: `--help` reads this too.
"""

from __future__ import annotations

import argparse
from typing import Final

ITEMS: Final = 1000
LIMITS: Final = "1,2,4,8,16,32,64,128"
ROUNDS: Final = 3
SECONDS: Final = 5.0

DESCRIPTION = """\
Run a task under one limit after another, and say which limit is right.

Each limit is given all items at once. Throughput, latency, time in the queue, errors, the lateness of the loop,
threads and memory are measured; the Universal Scalability Law is fitted; and the knee is the smallest limit that
reaches 95 % of the highest throughput. The table goes to stdout, everything else to stderr.
"""

EPILOG = """\
examples:
  millrace bench limits crawl.py:fetch --items 2000 --html limits.html
  millrace bench limits crawl.py:fetch --inputs urls.jsonl --limits 1,2,4,8,16,32 --compare
  millrace bench limits model:server -p capacity=20 --json

An item is its number, and goes to the task's first parameter that -p does not give, if there is one. With --inputs each
line of the file is an item: a JSON object gives parameters by name, anything else is that first parameter.

models (with -p):
  model:fixed       latency=0.05: the same for every item, however many there are
  model:mmc         servers=16 service=0.05 seed=0: a queue before servers, exponential times
  model:saturating  capacity=16 latency=0.05 overload=0.1: shared by all that are in it, and worse beyond that
  model:failing     most=24 latency=0.05: refuses more than that
  model:server      capacity=16 latency=0.02: a real server in a process of its own, on 127.0.0.1

exit codes: 0 measured; 1 no run completed, or the file raised; 2 the command was wrong; 130 interrupted with Ctrl-C,
and what had been measured by then was shown
"""


def add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    bench = commands.add_parser("bench", help="measure which limit is right for a task", allow_abbrev=False)
    subjects = bench.add_subparsers(dest="subject", metavar="subject", title="subjects", required=True)
    limits = subjects.add_parser(
        "limits",
        help="throughput and latency under one limit after another",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    limits.add_argument(
        "target",
        metavar="FILE.py:TASK",
        help="the task, in a file or a module (package.module:TASK), or model:NAME; TASK may be left out if alone",
    )
    limits.add_argument(
        "--items", metavar="N", help=f"how many items a limit is given ({ITEMS}, or the lines of --inputs)"
    )
    limits.add_argument("--inputs", metavar="FILE", help="a file with an item on each line, as JSON")
    limits.add_argument(
        "-p",
        dest="pairs",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a parameter of every call, or of the model; JSON where it is JSON, else a string; can be repeated",
    )
    limits.add_argument("--params", metavar="JSON", help="parameters as one JSON object; those of -p come on top")
    limits.add_argument("--limits", metavar="N,N,…", default=LIMITS, help=f"the limits ({LIMITS})")
    limits.add_argument("--rounds", metavar="N", default=str(ROUNDS), help=f"how often each is measured ({ROUNDS})")
    limits.add_argument(
        "--seconds",
        metavar="S",
        default=str(SECONDS),
        help=f"after so long a limit is given no more items, if it was filled a few times ({SECONDS:g})",
    )
    limits.add_argument(
        "--compare", action="store_true", help="the same under asyncio, anyio, aiometer and threads, in the same rounds"
    )
    limits.add_argument("--no-adaptive", dest="adaptive", action="store_false", help="leave out the adaptive limit")
    limits.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    limits.add_argument("--html", metavar="FILE", help="write a page with charts, which needs no network")
    limits.add_argument("--svg", metavar="FILE", help="write the charts as a picture")
    limits.add_argument("-v", "--verbose", action="count", default=0, help="log more; twice for everything")
    limits.add_argument("-q", "--quiet", action="count", default=0, help="no progress")
