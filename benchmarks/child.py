"""The process that one work runs in: `python -m benchmarks.child REQUEST`.

The request and the answer are JSON. The answer goes to stdout and nothing else does.
"""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import redirect_stdout

from benchmarks.works import probes


def main() -> None:
    """Run the work that the request names, and print its figures."""
    request = json.loads(sys.argv[1])
    module, _, name = request["function"].partition(".")
    work = getattr(importlib.import_module(f"benchmarks.works.{module}"), name)
    instrument = None
    if request["instrument"] is not None:
        # Only then: what it imports would be there before the work asks for it.
        instrument = importlib.import_module("benchmarks.instruments").make(request["instrument"])
        probes.look_with(instrument)
    with redirect_stdout(sys.stderr):
        figures = work(**request["arguments"])
    report = None if instrument is None else instrument.report()
    json.dump({"figures": figures, "report": report}, sys.stdout)


if __name__ == "__main__":
    main()
