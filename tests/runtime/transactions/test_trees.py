"""Any tree of transactions, with blocks and hooks of both kinds, against the model of the lower floor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from millrace.actors.transaction_state import TransactionState
from millrace.runtime.results import MemoryStorage, ResultStore
from millrace.runtime.transactions import Transaction, atransaction, transaction
from tests.actors.transaction_trees import Interrupt, Plan, Trouble, expected, plans

SILENT = logging.getLogger("tests.silent")
SILENT.disabled = True

Ran = tuple[list[str], dict[str, TransactionState], type[BaseException] | None]


class Fateful(MemoryStorage):
    """Writes down what is written, and fails where that is laid down."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def write(self, key: str, blob: bytes) -> None:
        self.run.happens(f"write {key}")
        super().write(key, blob)


class Run:
    """One plan, run for real.

    Args:
        plan: The plan.
        async_hooks: Whether hooks with an odd number are async.
    """

    def __init__(self, plan: Plan, *, async_hooks: bool) -> None:
        self.plan = plan
        self.log: list[str] = []
        self.made: list[Transaction] = []
        self.plans = {each.name: each for each in plan.here_and_below()}
        self.async_hooks = async_hooks
        self.store = ResultStore(Fateful(self))
        for each in self.plans.values():
            if each.hit:
                found = self.store.with_options(storage=MemoryStorage())
                found.write(each.name, "found")
                MemoryStorage.write(self.store.storage, each.name, found.storage.read(each.name))  # type: ignore[arg-type]

    def happens(self, event: str) -> None:
        self.log.append(event)
        self.plans[event.split()[1]].fate(event)

    def options(self, plan: Plan) -> dict[str, Any]:
        return {"key": plan.name, "store": self.store, "commit_mode": plan.mode, "logger": SILENT}

    def hook(self, name: str) -> Callable[[Transaction], Any]:
        def sync_hook(_: Transaction) -> None:
            self.happens(name)

        async def async_hook(_: Transaction) -> None:
            await asyncio.sleep(0)
            self.happens(name)

        return async_hook if self.async_hooks and name.endswith("1") else sync_hook

    def stage(self, plan: Plan, made: Transaction, part: str, count: int | None) -> None:
        if count is not None:
            hooks = [[self.hook(each) for each in plan.hooks(kind, part)] for kind in ("rollback", "commit")]
            made.stage(part, *hooks)

    def block(self, plan: Plan) -> None:
        with transaction(**self.options(plan)) as made:
            self.made.append(made)
            self.stage(plan, made, "before", plan.before)
            for child in plan.children:
                try:
                    self.block(child)
                except Trouble:
                    if not plan.caught:
                        raise
            if plan.raises:
                raise Trouble(plan.name)
            self.stage(plan, made, "after", plan.after)

    async def ablock(self, plan: Plan, mixed: bool) -> None:
        async with atransaction(**self.options(plan)) as made:
            self.made.append(made)
            self.stage(plan, made, "before", plan.before)
            for number, child in enumerate(plan.children):
                try:
                    if mixed and number % 2:
                        self.block(child)
                    else:
                        await self.ablock(child, mixed)
                except Trouble:
                    if not plan.caught:
                        raise
            if plan.raises:
                raise Trouble(plan.name)
            self.stage(plan, made, "after", plan.after)

    def came_to(self, error: BaseException | None) -> Ran:
        return self.log, {str(each.key): each.state for each in self.made}, None if error is None else type(error)


def run_blocking(run: Run) -> Ran:
    try:
        run.block(run.plan)
    except (Trouble, Interrupt) as error:
        return run.came_to(error)
    return run.came_to(None)


async def run_on_loop(run: Run, *, mixed: bool = False) -> Ran:
    try:
        await run.ablock(run.plan, mixed)
    except (Trouble, Interrupt) as error:
        return run.came_to(error)
    return run.came_to(None)


@settings(max_examples=200)
@given(plans())
def test_blocks_in_a_thread_do_as_the_model(plan: Plan) -> None:
    assert run_blocking(Run(plan, async_hooks=False)) == expected(plan)


@settings(max_examples=40)
@given(plans())
def test_blocks_in_a_thread_see_async_hooks_through(plan: Plan) -> None:
    assert run_blocking(Run(plan, async_hooks=True)) == expected(plan)


@pytest.mark.anyio
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans())
async def test_blocks_on_a_loop_do_as_the_model(plan: Plan) -> None:
    assert await run_on_loop(Run(plan, async_hooks=True)) == expected(plan)


@pytest.mark.anyio
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans())
async def test_blocks_of_both_kinds_in_each_other_do_as_the_model(plan: Plan) -> None:
    assert await run_on_loop(Run(plan, async_hooks=True), mixed=True) == expected(plan)
