"""Fitting: a law is found again in what it says, and the better law of two is taken."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.runtime.benching.fitting import fit, fit_saturation, fit_scalability, least_squares
from millrace.runtime.benching.laws import Saturation, UniversalScalability
from tests.runtime.benching.trials_made import LIMITS


def measured(law: Callable[[float], float], noise: float = 0.0, seed: int = 0) -> list[tuple[float, float]]:
    random = Random(seed)
    return [(float(limit), law(limit) * random.lognormvariate(0, noise)) for limit in LIMITS]


@given(
    rate=st.floats(0.01, 1e5),
    contention=st.one_of(st.just(0.0), st.floats(0.001, 0.9)),
    coherency=st.one_of(st.just(0.0), st.floats(1e-5, 0.1)),
)
@settings(max_examples=30)
def test_the_universal_scalability_law_is_found_again(rate: float, contention: float, coherency: float) -> None:
    law = UniversalScalability(rate, contention, coherency)

    found = fit_scalability(measured(law))

    assert isinstance(found.law, UniversalScalability)
    assert found.error < 1e-3
    assert found.law.rate == pytest.approx(rate, rel=1e-2)
    assert [found.law(limit) for limit in LIMITS] == pytest.approx([law(limit) for limit in LIMITS], rel=1e-2)


@given(rate=st.floats(0.01, 1e5), capacity=st.floats(3, 60), overload=st.one_of(st.just(0.0), st.floats(0.05, 1.0)))
@settings(max_examples=15)
def test_the_law_of_saturation_is_found_again(rate: float, capacity: float, overload: float) -> None:
    found = fit_saturation(measured(Saturation(rate, capacity, overload)))

    assert isinstance(found.law, Saturation)
    assert found.error < 0.005
    assert found.law.capacity == pytest.approx(capacity, rel=0.06)
    assert found.law.rate == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_a_little_noise_moves_the_peak_little(seed: int) -> None:
    law = UniversalScalability(10.0, 0.05, 0.001)

    found = fit(measured(law, noise=0.03, seed=seed)).law

    assert isinstance(found, UniversalScalability)
    assert found.peak == pytest.approx(law.peak, rel=0.2)


@pytest.mark.parametrize("seed", range(5))
def test_a_capacity_is_found_through_noise(seed: int) -> None:
    found = fit(measured(Saturation(10.0, 20.0, 0.1), noise=0.03, seed=seed)).law

    assert isinstance(found, Saturation)
    assert found.capacity == pytest.approx(20.0, rel=0.1)


@pytest.mark.parametrize(
    "law",
    [
        UniversalScalability(10.0, 0.05, 0.001),
        UniversalScalability(10.0, 0.3, 0.0),
        UniversalScalability(10.0, 0.0, 0.0),
        Saturation(10.0, 20.0, 0.0),
        Saturation(10.0, 20.0, 0.3),
    ],
    ids=str,
)
def test_the_law_that_is_true_is_the_one_that_is_taken(law: UniversalScalability | Saturation) -> None:
    found = fit(measured(law))

    assert type(found.law) is type(law)
    assert found.law.freedom == law.freedom


def test_what_gets_better_than_in_proportion_is_taken_for_proportion() -> None:
    """A negative contention would have no meaning."""
    found = fit_scalability([(n, 10 * n**1.1) for n in LIMITS]).law

    assert isinstance(found, UniversalScalability)
    assert (found.contention, found.coherency) == (0.0, 0.0)


def test_one_limit_alone_is_fitted_without_an_error() -> None:
    assert fit([(4.0, 20.0)]).law(4.0) == pytest.approx(20.0)


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10), st.floats(-10, 10)), min_size=4, max_size=12),
    st.integers(0, 1000),
)
@settings(max_examples=30)
def test_least_squares_are_as_small_as_those_of_numpy(rows: list[tuple[float, float, float]], seed: int) -> None:
    random = Random(seed)
    table = np.array(rows)
    wanted = [random.uniform(-10, 10) for _ in rows]
    if np.linalg.matrix_rank(table, tol=1e-3) < 3:
        return  # columns that add nothing are the next test's

    found = least_squares(rows, wanted)

    best = np.linalg.lstsq(table, np.array(wanted), rcond=None)[0]
    assert float(np.sum((table @ np.array(found) - wanted) ** 2)) == pytest.approx(
        float(np.sum((table @ best - wanted) ** 2)), rel=1e-5, abs=1e-7
    )


def test_a_column_that_adds_nothing_gets_nothing() -> None:
    assert least_squares([(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)], [1.0, 2.0, 3.0]) == pytest.approx([1.0, 0.0])
