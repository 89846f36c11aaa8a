"""One engine plays: `python tests/differential/peer.py prefect 0 300` plays the scripts of these seeds.

Runs in a process of its own, in an environment that has the engine. Each answer is a line of JSON on stdout, as soon as
it is there: `{"seed": -1, "seen": …}` with what became of parameters, then `{"seed": 7, "seen": …}` for each script and
`{"section": 3, "bullet": 0, "case": …, "gave": …}` for each case of a listed difference. Whatever an engine prints goes
to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Play what the command line says."""
    engine, first, beyond = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    sys.path[0] = str(ROOT)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")  # Prefect leaves coroutines unawaited
    differences = importlib.import_module("tests.differential.differences")
    engines = importlib.import_module("tests.differential.engines")
    player = importlib.import_module("tests.differential.play")
    parameters = importlib.import_module("tests.differential.parameters")
    scripts = importlib.import_module("tests.differential.scripts")

    def answer(given: dict[str, Any]) -> None:
        answers.write(json.dumps(given) + "\n")

    with _server(engine):
        side = engines.Prefect() if engine == "prefect" else engines.Millrace()
        answer({"seed": parameters.PLACE, "seen": parameters.converted(side)})
        for seed in range(first, beyond):
            answer({"seed": seed, "seen": player.play(side, scripts.script(seed))})
        for each in differences.DIFFERENCES:
            place = {"section": each.section, "bullet": each.bullet, "case": each.case.__name__}
            try:
                gave = each.case(side)
            except Exception as error:  # noqa: BLE001  # told as what the case gave, which is wrong in any case
                gave = f"the case raises {error!r}"
            answer({**place, "gave": gave})


def _server(engine: str) -> AbstractContextManager[None]:
    if engine != "prefect":
        return nullcontext()
    harness = importlib.import_module("prefect.testing.utilities").prefect_test_harness
    made: AbstractContextManager[None] = harness(server_startup_timeout=120)
    return made


if __name__ == "__main__":
    main()
