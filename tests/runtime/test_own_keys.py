"""Own keys: a flow run asks no storage for what only it can have put there, and finds all that it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millrace import DEFAULT, INPUTS, RUN_ID, TASK_SOURCE, CachePolicy, Engine, LocalStorage, MissingResult, run_task
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.own_keys import MOST, OwnKeys
from tests.loose import flow, task
from tests.runtime.worlds import WORLDS, World

each_world = pytest.mark.parametrize("world", WORLDS, ids=str)


class Asked(LocalStorage):
    """A storage that counts what it is asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.found: list[bool] = []  # for each reading, whether there was something

    def read(self, key: str) -> bytes:
        try:
            blob = super().read(key)
        except MissingResult:
            self.found.append(False)
            raise
        self.found.append(True)
        return blob


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


@each_world
@pytest.mark.parametrize("policy", [None, DEFAULT, RUN_ID + INPUTS], ids=["none", "default", "run id and inputs"])
def test_a_storage_is_asked_for_nothing_but_what_the_run_has_kept(
    world: World, asked: Asked, policy: CachePolicy | None
) -> None:
    bodies: list[int] = []

    def double(x: int) -> int:
        bodies.append(x)
        return 2 * x

    kept = world.task(double, result_storage=asked, cache_policy=policy)

    async def body() -> list[Any]:
        return [await world.call(kept, x) for x in (1, 2, 1, 3, 2)]

    assert world.run(world.flow(body)) == [2, 4, 2, 6, 4]
    assert bodies == [1, 2, 3]
    assert asked.found == [True, True]


@pytest.mark.parametrize("policy", [INPUTS, TASK_SOURCE + INPUTS], ids=["inputs", "source and inputs"])
def test_a_key_that_is_not_the_runs_own_is_looked_for(asked: Asked, policy: CachePolicy) -> None:
    @task(result_storage=asked, cache_policy=policy)
    def double(x: int) -> int:
        return 2 * x

    @flow
    def body() -> list[int]:
        return [double(x) for x in (1, 2, 1)]

    assert body() == [2, 4, 2]
    assert asked.found == [False, False, True]
    assert body() == [2, 4, 2]
    assert asked.found[3:] == [True, True, True]


def test_a_storage_key_of_the_tasks_own_is_looked_for(asked: Asked) -> None:
    @task(result_storage=asked, result_storage_key="one", cache_policy=DEFAULT)
    def one() -> int:
        return 1

    @flow
    def body() -> int:
        return int(one())

    assert [body(), body()] == [1, 1]
    assert asked.found == [False, True]


def test_another_task_with_the_same_key_finds_what_was_kept(asked: Asked) -> None:
    """The key is made of the run and the inputs, and says nothing of the task."""
    policy = RUN_ID + INPUTS

    @task(result_storage=asked, cache_policy=policy)
    def first(x: int) -> str:
        return f"first {x}"

    @task(result_storage=asked, cache_policy=policy)
    def second(x: int) -> str:
        return f"second {x}"

    @flow
    def body() -> list[str]:
        return [first(1), second(1), second(2)]

    assert body() == ["first 1", "first 1", "second 2"]


def test_a_flow_that_is_tried_again_finds_what_its_first_attempt_has_kept(asked: Asked) -> None:
    bodies: list[int] = []

    @task(result_storage=asked, cache_policy=DEFAULT)
    def double(x: int) -> int:
        bodies.append(x)
        return 2 * x

    @task
    def calls(x: int) -> int:  # what the flow itself has called is known to its next attempt without any storage
        return int(double(x))

    attempts: list[int] = []

    @flow(retries=1)
    def body() -> int:
        attempts.append(1)
        value = calls.submit(1).result()
        value += double(1)
        if len(attempts) == 1:
            raise ValueError
        return int(value)

    assert body() == 4
    assert bodies == [1]


def test_a_result_that_is_made_anew_is_found_afterwards(asked: Asked) -> None:
    bodies: list[int] = []

    @task(result_storage=asked, cache_policy=DEFAULT)
    def count() -> int:
        bodies.append(1)
        return len(bodies)

    anew = count.with_options(refresh_cache=True)

    @flow
    def body() -> list[int]:
        return [anew(), count(), anew(), count()]

    assert body() == [1, 1, 2, 2]


def test_outside_of_flows_a_storage_is_asked(asked: Asked) -> None:
    """Whoever starts a task by itself may choose the id of its run, and so what lies under its key."""

    @task(result_storage=asked, cache_policy=DEFAULT)
    def double(x: int) -> int:
        return 2 * x

    assert run_task(double, parameters={"x": 1}) == 2
    assert asked.found == [False]


def test_of_a_run_that_another_process_has_made_nothing_is_known() -> None:
    @flow
    def body() -> None: ...

    with Engine() as engine:
        made_here = FlowRun(engine, body, {})
        assert made_here.own_keys() is made_here.own_keys() is not None
        assert FlowRun(engine, body, {}, number=made_here.id).own_keys() is None
        assert engine.root.own_keys() is None


def test_keys_are_remembered_up_to_a_number() -> None:
    own = OwnKeys()

    for at in range(MOST):
        own.use(str(at))
    own.use("0")
    assert own.unused("another")
    assert not own.unused("0")

    own.use("another")
    answers: list[Any] = [own.unused(key) for key in ("another", "0", "and another")]
    own.use("and another")
    assert answers == [False, False, False]
