"""Measuring: the real engine under the real limit, and others beside it, in virtual time."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import attrs
import pytest

from millrace import task
from millrace.runtime.base_task import BaseTask
from millrace.runtime.benching.contenders import RIVALS
from millrace.runtime.benching.knee import Verdict
from millrace.runtime.benching.load import Load
from millrace.runtime.benching.measuring import WARM_UP, measure
from millrace.runtime.benching.models import make_model
from millrace.runtime.benching.plan import Plan, Step
from millrace.runtime.benching.report import Report, make_report
from millrace.runtime.benching.trials import MILLRACE, Trial
from millrace.runtime.benching.works import Work, work_of_model, work_of_task
from tests.runtime.benching.trials_made import SETTING
from tests.runtime.worlds import PATIENCE
from tests.virtual_loop import now, run_virtually

LIMITS = (1, 2, 4, 8, 16, 32, 64)
ASYNC_RIVALS = ("asyncio.Semaphore", "anyio.CapacityLimiter", "aiometer")


class Watch:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.trials: list[Trial] = []

    def began(self, step: Step, load: Load) -> None:
        self.steps.append(step)
        assert load.samples == []

    def ended(self, trial: Trial) -> None:
        self.trials.append(trial)


def measured(work: Work, plan: Plan) -> list[Trial]:
    """The trials of a plan: measured in virtual time, unless threads do the work, which wait for nobody."""
    trials: list[Trial] = []
    watch = Watch()
    if work.task.is_async:
        run_virtually(measure(work, plan, trials, watch, now=now))
    else:
        asyncio.run(measure(work, plan, trials, watch))
    assert watch.trials == trials
    assert [(step.contender, step.round) for step in watch.steps] == [(each.contender, each.round) for each in trials]
    return trials


def reported(model: str, parameters: dict[str, Any], *, items: int = 400, **planned: Any) -> Report:
    """The report on a model."""
    plan = attrs.evolve(Plan(LIMITS, rounds=1, seconds=4.0, adaptive=False), **planned)
    return make_report(SETTING, plan, measured(work_of_model(model, make_model(model, parameters), items), plan))


class Counted:
    """Counts how many are in flight, and ever were."""

    def __init__(self) -> None:
        self.calls = 0
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self.calls += 1
            self._now += 1
            self.most = max(self.most, self._now)

    def leave(self) -> None:
        with self._lock:
            self._now -= 1


def counted_task(seen: Counted, *, is_async: bool) -> BaseTask[..., Any]:
    if is_async:

        @task
        async def body(item: int) -> int:
            seen.enter()
            await asyncio.sleep(0.01 * (1 + item % 3))
            seen.leave()
            return item

        return body

    @task
    def sync_body(item: int) -> int:
        seen.enter()
        threading.Event().wait(0.0005)  # long enough for others to come in, if they may
        seen.leave()
        return item

    return sync_body


# What is found.


@pytest.mark.parametrize("capacity", [10, 20])
def test_the_knee_of_a_service_that_saturates_is_its_capacity(capacity: int) -> None:
    found = reported("saturating", {"capacity": capacity, "latency": 0.05, "overload": 0.2}).finding

    assert found.verdict is Verdict.FOUND
    assert found.knee == pytest.approx(capacity, rel=0.2)


def test_the_knee_of_a_queue_before_servers_is_their_number() -> None:
    found = reported("mmc", {"servers": 12, "service": 0.05}, items=800).finding

    assert found.verdict is Verdict.FOUND
    assert found.knee == pytest.approx(12, rel=0.2)


def test_a_service_that_never_saturates_has_no_knee() -> None:
    assert reported("fixed", {}).finding.verdict is Verdict.RISING


def test_a_service_that_refuses_too_many_is_given_the_last_limit_that_it_takes() -> None:
    found = reported("failing", {"most": 20, "latency": 0.05}, items=300)

    assert (found.finding.verdict, found.finding.limit) == (Verdict.FAILING, 16)
    assert [point.errors > 0 for point in found.points] == [limit > 20 for limit in LIMITS]


def test_latency_queueing_and_throughput_are_those_of_the_service() -> None:
    (point,) = reported("fixed", {"latency": 0.05}, limits=(4,), items=100).points

    assert point.throughput.median == pytest.approx(80)
    assert point.latency is not None
    assert [point.latency.p50, point.latency.p99] == pytest.approx([0.05, 0.05])
    assert point.queueing is not None
    assert point.queueing.p50 == pytest.approx(0.6)  # in the middle of 25 fillings
    assert (point.runs, point.errors) == (100, 0)
    assert point.lag == pytest.approx(0.0, abs=1e-6)
    assert point.threads >= 1
    assert point.memory_bytes > 1_000_000


def test_the_limit_that_finds_itself_is_shown_with_its_way() -> None:
    found = reported(
        "saturating", {"capacity": 8, "latency": 0.05, "overload": 0.3}, items=1500, limits=(2, 64), adaptive=True
    )

    assert found.adaptive is not None
    assert 1 < found.adaptive.choice.median < 64
    assert found.timelines[-1].label == "the adaptive limit"
    assert found.timelines[-1].limits[0] == (0.0, 4)
    assert len(found.timelines[-1].limits) > 2


def test_the_same_is_measured_every_time() -> None:
    def once() -> list[tuple[int, float]]:
        return [(point.limit, point.throughput.median) for point in reported("mmc", {"seed": 5}, items=200).points]

    assert once() == once()


# What a trial is.


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("contender", [MILLRACE, *RIVALS])
def test_no_contender_lets_more_in_than_its_limit(contender: str, is_async: bool) -> None:
    seen = Counted()
    plan = Plan(
        limits=(5,), rounds=1, seconds=1e6, adaptive=False, rivals=() if contender == MILLRACE else (contender,)
    )

    trials = measured(work_of_task("it", counted_task(seen, is_async=is_async), {}, 60), plan)

    assert [(trial.contender, len(trial.samples)) for trial in trials] == [
        (name, 60) for name in dict.fromkeys((MILLRACE, contender))
    ]
    assert all(sample.ok and sample.started <= sample.ended for trial in trials for sample in trial.samples)
    assert seen.calls == WARM_UP + 60 * len(trials)
    assert seen.most <= 5
    if is_async:  # of threads it is up to the machine how many are inside at once
        assert seen.most == 5


def test_threads_of_trials_before_are_not_those_of_a_trial() -> None:
    left_over = threading.Barrier(9)
    others = [threading.Thread(target=left_over.wait, args=(PATIENCE,)) for _ in range(8)]
    for each in others:
        each.start()
    plan = Plan(limits=(2,), rounds=2, seconds=1e6, adaptive=False, rivals=("anyio.CapacityLimiter",))
    seen = Counted()

    asynchronous = measured(work_of_task("it", counted_task(seen, is_async=True), {}, 20), plan)
    synchronous = measured(work_of_task("it", counted_task(seen, is_async=False), {}, 20), plan)
    left_over.wait(PATIENCE)

    assert {trial.vitals.threads for trial in asynchronous} == {1}
    # anyio keeps its threads for as long as its loop goes on: the same ones do its work in the next round.
    assert all(2 <= trial.vitals.threads <= 3 for trial in synchronous if trial.contender != MILLRACE)
    for each in others:
        each.join(PATIENCE)


def test_the_limit_that_finds_itself_stays_near_what_a_service_takes_that_refuses_the_rest_at_once() -> None:
    found = reported("failing", {"most": 24, "latency": 0.05}, items=1_000, adaptive=True)

    assert found.adaptive is not None
    assert 12 <= found.adaptive.choice.median <= 48


def test_a_trial_whose_time_is_over_begins_no_more_once_its_limit_was_filled_a_few_times() -> None:
    work = work_of_model("fixed", make_model("fixed", {"latency": 1.0}), 1000)
    plan = Plan(limits=(2,), rounds=1, seconds=3.0, rivals=ASYNC_RIVALS, adaptive=False)

    ended = {trial.contender: len(trial.samples) for trial in measured(work, plan)}

    assert ended.keys() == {MILLRACE, *ASYNC_RIVALS}
    assert all(8 <= size <= 12 for size in ended.values()), ended


def test_the_retries_of_a_task_are_part_of_its_runs() -> None:
    attempts: Counter[int] = Counter()

    @task(retries=1, retry_delay_seconds=2.0)
    async def at_the_second_time(item: int) -> None:
        attempts[item] += 1
        if attempts[item] == 1:
            raise ConnectionError(item)

    (trial,) = measured(work_of_task("it", at_the_second_time, {}, 40), Plan((2,), rounds=1, adaptive=False))

    assert all(sample.ok for sample in trial.samples)
    assert {round((sample.ended - sample.started) / 1e9) for sample in trial.samples} == {0, 2}


def test_what_a_task_keeps_in_a_cache_is_not_taken_from_there() -> None:
    calls: list[int] = []

    @task(cache_key_fn=lambda _context, _parameters: "always the same")
    async def remembered(item: int) -> int:
        calls.append(item)
        return item

    measured(work_of_task("it", remembered, {}, 30), Plan((2,), rounds=2, adaptive=False))

    assert len(calls) == WARM_UP + 60


def test_work_that_always_fails_ends_with_the_first_trial() -> None:
    @task
    async def never(_item: int) -> None:
        raise ValueError("no such thing")

    trials = measured(work_of_task("it", never, {}, 50), Plan(LIMITS))

    assert [(trial.limit, len(trial.samples), trial.first_error) for trial in trials] == [
        (1, 50, "ValueError: no such thing")
    ]
    report = make_report(SETTING, Plan(LIMITS), trials)
    assert (report.finding.verdict, report.complete) == (Verdict.FAILED, False)


def test_an_interruption_keeps_the_trials_that_have_ended_and_cancels_what_runs() -> None:
    stopped: list[int] = []

    @task
    async def slow(item: int) -> None:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            stopped.append(item)
            raise

    trials: list[Trial] = []

    async def interrupted() -> None:
        plan = Plan((1, 4), rounds=1, seconds=1e6, adaptive=False)
        measuring = asyncio.ensure_future(measure(work_of_task("it", slow, {}, 12), plan, trials, Watch(), now=now))
        await asyncio.sleep(WARM_UP + 12 + 1.5)  # ten of the warm-up, twelve one after another, then four at once
        measuring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await measuring

    run_virtually(interrupted())

    assert [(trial.limit, len(trial.samples)) for trial in trials] == [(1, 12)]
    assert stopped == [7, 6, 5, 4] or sorted(stopped) == [4, 5, 6, 7]


def test_what_is_opened_for_the_work_is_closed_after_it() -> None:
    told: list[str] = []

    class Opened:
        async def __aenter__(self) -> None:
            told.append("opened")

        async def __aexit__(self, *_: object) -> None:
            told.append("closed")

        async def __call__(self, item: int) -> None:
            told.append("called")

    measured(work_of_model("it", Opened(), 3), Plan((1,), rounds=1, adaptive=False))

    assert (told[0], told[-1], Counter(told)["opened"], len(told)) == ("opened", "closed", 1, 8)


def test_others_are_measured_under_the_same_limits() -> None:
    found = reported("mmc", {"servers": 4}, items=200, limits=(2, 8), rivals=ASYNC_RIVALS)

    assert tuple(found.rivals) == ASYNC_RIVALS
    assert all([point.limit for point in points] == [2, 8] for points in found.rivals.values())
    rates = [[point.throughput.median for point in points] for points in (found.points, *found.rivals.values())]
    assert all(each == pytest.approx(rates[0], rel=0.05) for each in rates)
