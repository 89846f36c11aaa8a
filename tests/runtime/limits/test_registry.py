"""The limits of an engine: how they are made, from code and from the environment, changed, removed and looked at."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from millrace import AdaptiveLimit, ConfigurationError, Engine, LimitNotFound, RateLimit, concurrency
from millrace.runtime.entering import stand_in
from tests.runtime.worlds import PATIENCE


def test_limits_of_all_kinds_are_made_with_the_engine() -> None:
    engine = Engine(
        limits={"http": 20, "gpu": AdaptiveLimit(initial=4), "api": RateLimit(100, per_seconds=60, burst=10)}
    )

    assert {name: limit.limit for name, limit in engine.limits.items()} == {"http": 20, "gpu": 4, "api": 10}
    assert {name: limit.free for name, limit in engine.limits.items()} == {"http": 20, "gpu": 4, "api": 10}
    assert len(engine.limits) == 3
    assert "http" in engine.limits
    assert "db" not in engine.limits
    assert repr(engine.limits) == "<Limits http, gpu, api>"
    engine.close()


def test_limits_of_the_environment_are_every_engines_and_code_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_LIMITS", "http=20, db=3")
    engines = Engine(), Engine(limits={"db": 5, "gpu": 1})

    assert [{name: limit.limit for name, limit in each.limits.items()} for each in engines] == [
        {"http": 20, "db": 3},
        {"http": 20, "db": 5, "gpu": 1},
    ]
    for each in engines:
        each.close()
    monkeypatch.setenv("MILLRACE_LIMITS", "http=many")
    with pytest.raises(ConfigurationError, match="'MILLRACE_LIMITS' takes limits with commas between them"):
        Engine()


def test_limits_of_one_name_in_two_engines_have_nothing_in_common() -> None:
    one, other = engines = Engine(limits={"db": 1}), Engine(limits={"db": 1})

    with stand_in(one), concurrency("db"):
        with stand_in(other), concurrency("db", timeout_seconds=0):
            assert [each.limits["db"].held for each in engines] == [1, 1]
        other.limits.resize("db", 5)
        assert [each.limits["db"].limit for each in engines] == [1, 5]
        assert [each.limits["db"].held for each in engines] == [1, 0]
    for each in engines:
        each.close()


def test_limits_are_made_changed_and_removed_while_the_engine_runs() -> None:
    engine = Engine()
    assert list(engine.limits) == []
    made = engine.limits.create("db", 3)
    assert (made.name, made.limit) == ("db", 3)
    engine.limits.resize("db", 5)
    made.resize(AdaptiveLimit(initial=7))
    assert made.limit == 7
    engine.limits.remove("db")
    assert "db" not in engine.limits
    for look in (lambda: made.limit, lambda: engine.limits["db"], lambda: engine.limits.resize("db", 1)):
        with pytest.raises(LimitNotFound, match=r"There is no limit 'db'\. Limits of this engine: none\."):
            look()
    with pytest.raises(LimitNotFound):
        engine.limits.remove("db")
    engine.close()


@pytest.mark.parametrize("amount", [0, -1, 1.5, True, None, "3", float("nan"), object])
def test_what_is_no_amount_is_refused_by_name(amount: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"limits\['db'\].* takes how many at once, as a whole number, 1 or more"
    ):
        Engine(limits={"db": amount})
    engine = Engine(limits={"db": 2})
    with pytest.raises(ConfigurationError):
        engine.limits.create("gpu", amount)
    with pytest.raises(ConfigurationError):
        engine.limits.resize("db", amount)
    assert engine.limits["db"].limit == 2
    engine.close()


@pytest.mark.parametrize("name", ["", None, 3, b"db", ["db"]], ids=repr)
def test_what_is_no_name_is_refused(name: Any) -> None:
    engine = Engine(limits={"db": 1})
    limits = engine.limits
    for call in (lambda: limits.create(name, 1), lambda: limits.resize(name, 1), lambda: limits.remove(name)):
        with pytest.raises(ConfigurationError, match="'name' takes the name of a limit"):
            call()
    assert list(limits) == ["db"]
    engine.close()


def test_a_limit_is_made_once_and_keeps_its_kind() -> None:
    engine = Engine(limits={"db": 1, "api": RateLimit(1)})
    with pytest.raises(ConfigurationError, match="the name of a limit that does not exist yet, not 'db'"):
        engine.limits.create("db", 2)
    with pytest.raises(ConfigurationError, match="of the same kind"):
        engine.limits.resize("db", RateLimit(1))
    with pytest.raises(ConfigurationError, match="of the same kind"):
        engine.limits.resize("api", 1)
    engine.limits.resize("api", RateLimit(5))
    assert engine.limits["api"].limit == 5
    engine.close()


def test_a_program_without_limits_does_not_import_what_they_need() -> None:
    code = (
        "import sys, millrace\n"
        "@millrace.task(tags=['db'])\n"
        "def load(): return 1\n"
        "@millrace.flow\n"
        "def work(): return load()\n"
        "assert work() == 1\n"
        "print([name for name in sys.modules if 'runtime.limits' in name or name.endswith('actors.limiter')])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
