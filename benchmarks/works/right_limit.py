"""The right limit for a real server, as `millrace bench limits` finds it."""

from __future__ import annotations

from millrace.runtime.benching.load import Load
from millrace.runtime.benching.loopback import ModelServer
from millrace.runtime.benching.measuring import measure
from millrace.runtime.benching.plan import Plan, Step
from millrace.runtime.benching.report import Setting, make_report
from millrace.runtime.benching.trials import Trial
from millrace.runtime.benching.works import work_of_model
from millrace.runtime.loops import run_in_new_loop

LIMITS = (1, 2, 4, 8, 16, 32, 64, 128)
ITEMS = 1_000
SECONDS = 1.0


class _Silent:
    """Is told how far it is, and says nothing."""

    def began(self, step: Step, load: Load) -> None:
        """A trial begins."""

    def ended(self, trial: Trial) -> None:
        """A trial has ended."""


def knee_of_a_server(capacity: int, latency: float, rounds: int) -> dict[str, float]:
    """The knee of a server of known capacity, how far it is off, and what an adaptive limit makes of that server."""
    work = work_of_model("server", ModelServer(capacity, latency), ITEMS)
    plan = Plan(LIMITS, rounds=rounds, seconds=SECONDS)
    trials: list[Trial] = []
    run_in_new_loop(lambda: measure(work, plan, trials, _Silent()))
    report = make_report(Setting("model:server", "", ITEMS, ""), plan, trials)
    knee = report.finding.knee
    if knee is None or report.adaptive is None:
        raise RuntimeError(report.finding.sentence)
    return {
        "knee": knee,
        "off_percent": abs(knee / capacity - 1) * 100,
        "adaptive": report.adaptive.choice.median,
    }
