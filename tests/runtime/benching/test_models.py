"""Models: each service is what its law says, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from millrace.actors.errors import ConfigurationError
from millrace.runtime.benching.laws import Saturation
from millrace.runtime.benching.models import MODELS, Model, Overloaded, make_model, parameters_of
from tests.virtual_loop import run_virtually


def seconds_for(model: Model, items: int, at_once: int) -> float:
    """How long a model takes for items, so many at once."""

    async def measured() -> float:
        gate = asyncio.Semaphore(at_once)

        async def one(item: int) -> None:
            async with gate:
                await model(item)

        async with model, asyncio.TaskGroup() as group:
            for item in range(items):
                group.create_task(one(item))
        return asyncio.get_running_loop().time()

    return run_virtually(measured())


@pytest.mark.parametrize("at_once", [1, 10, 500])
def test_fixed_takes_the_same_for_every_item(at_once: int) -> None:
    assert seconds_for(make_model("fixed", {"latency": 0.2}), 500, at_once) == pytest.approx(0.2 * 500 / at_once)


@pytest.mark.parametrize(("at_once", "busy"), [(1, 1), (4, 4), (64, 4)])
def test_no_more_are_served_at_once_than_there_are_servers(at_once: int, busy: int) -> None:
    model = make_model("mmc", {"servers": 4, "service": 0.1, "seed": 3})

    assert seconds_for(model, 2000, at_once) == pytest.approx(2000 * 0.1 / busy, rel=0.08)


def test_a_seed_says_all_about_the_times() -> None:
    def drawn(seed: int) -> float:
        return seconds_for(make_model("mmc", {"seed": seed}), 50, 50)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize("at_once", [1, 8, 16, 32, 64])
def test_saturating_follows_its_law(at_once: int) -> None:
    model = make_model("saturating", {"capacity": 16, "latency": 0.1, "overload": 0.25})
    law = Saturation(10.0, 16.0, 0.25)

    # The first ones come to an empty service; what they are quicker for does not count after many.
    assert 64_00 / seconds_for(model, 64_00, at_once) == pytest.approx(law(at_once), rel=0.03)


def test_failing_refuses_what_is_too_much() -> None:
    model = make_model("failing", {"most": 2, "latency": 0.1})

    async def three() -> list[Any]:
        return await asyncio.gather(*(model(item) for item in range(3)), return_exceptions=True)

    first, second, third = run_virtually(three())

    assert (first, second) == (0, 1)
    assert isinstance(third, Overloaded)
    assert str(third) == "2 are in it, and more it does not take"


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_made_with_nothing_said(name: str) -> None:
    made = make_model(name, {})

    assert parameters_of(name) == {key: getattr(made, key) for key in parameters_of(name)}


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("nope", {}, "'model' takes one of fixed, mmc, saturating, failing, server, not 'nope'."),
        ("fixed", {"size": 1}, "'model:fixed' takes one of its parameters: latency, not 'size'."),
        ("fixed", {"sleep": 1}, "'model:fixed' takes one of its parameters: latency, not 'sleep'."),
        ("fixed", {"latency": 0}, "'latency' takes a number above 0, not 0."),
        ("fixed", {"latency": "soon"}, "'latency' takes a number above 0, not 'soon'."),
        ("mmc", {"servers": 1.5}, "'servers' takes a whole number, 1 or more, not 1.5."),
        ("mmc", {"seed": "x"}, "'seed' takes a whole number, not 'x'."),
        ("saturating", {"overload": -1}, "'overload' takes a number, 0 or more, not -1."),
        ("failing", {"most": True}, "'most' takes a whole number, 1 or more, not True."),
        ("server", {"capacity": 0}, "'capacity' takes a whole number, 1 or more, not 0."),
        ("server", {"latency": -1}, "'latency' takes a number above 0, not -1."),
    ],
)
def test_what_a_model_cannot_be_is_told(name: str, parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_model(name, parameters)

    assert str(caught.value) == told
