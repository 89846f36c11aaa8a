"""Settings: what the environment says, read when somebody asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from millrace import AdaptiveLimit, ConfigurationError, Engine, RateLimit
from millrace.actors.policies import RetryPolicy
from millrace.actors.telling import shown
from millrace.runtime import settings
from millrace.runtime.settings import SETTINGS, Setting
from tests.runtime.worlds import PATIENCE

SECONDS = "a number of seconds from 0 to 1,000,000,000, or several with commas between them"
WHOLE = "a whole number, 0 or more"

NAMES = {
    "MILLRACE_DEFAULT_RESULT_STORAGE",
    "MILLRACE_FLOW_DEFAULT_RETRIES",
    "MILLRACE_FLOW_DEFAULT_RETRY_DELAY_SECONDS",
    "MILLRACE_LIMITS",
    "MILLRACE_LOCAL_STORAGE_PATH",
    "MILLRACE_LOGGING_LOG_PRINTS",
    "MILLRACE_MONITOR",
    "MILLRACE_RESULTS_DEFAULT_SERIALIZER",
    "MILLRACE_RESULTS_PERSIST_BY_DEFAULT",
    "MILLRACE_STORE",
    "MILLRACE_STORE_RESULT_LIMIT",
    "MILLRACE_STORE_KEY",
    "MILLRACE_TASKS_DISABLE_CACHING",
    "MILLRACE_TASKS_REFRESH_CACHE",
    "MILLRACE_TASK_DEFAULT_RETRIES",
    "MILLRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS",
    "MILLRACE_THREADS",
}
LIMITS = "limits with commas between them, as in 'http=20, api=100/60, gpu=adaptive:4'"
BY_NAME = {setting.name: setting for setting in SETTINGS}


@pytest.fixture(autouse=True)
def _none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_every_setting_that_there_is_is_listed_once() -> None:
    declared = [each for each in vars(settings).values() if isinstance(each, Setting)]
    assert {each.name for each in declared} == NAMES
    assert sorted(each.name for each in SETTINGS) == sorted(NAMES)


def test_what_holds_where_nothing_is_set() -> None:
    assert {each.name.removeprefix("MILLRACE_"): each.read() for each in SETTINGS} == {
        "DEFAULT_RESULT_STORAGE": None,
        "FLOW_DEFAULT_RETRIES": 0,
        "FLOW_DEFAULT_RETRY_DELAY_SECONDS": None,
        "LIMITS": {},
        "LOCAL_STORAGE_PATH": "~/.millrace/storage",
        "LOGGING_LOG_PRINTS": False,
        "MONITOR": None,
        "RESULTS_DEFAULT_SERIALIZER": "pickle",
        "RESULTS_PERSIST_BY_DEFAULT": False,
        "STORE": None,
        "STORE_KEY": None,
        "STORE_RESULT_LIMIT": 2 * 1024 * 1024,
        "TASKS_DISABLE_CACHING": False,
        "TASKS_REFRESH_CACHE": False,
        "TASK_DEFAULT_RETRIES": 0,
        "TASK_DEFAULT_RETRY_DELAY_SECONDS": None,
        "THREADS": None,
    }


@pytest.mark.parametrize("empty", ["", "  "])
@pytest.mark.parametrize("name", sorted(NAMES))
def test_one_that_is_empty_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, name: str, empty: str) -> None:
    monkeypatch.setenv(name, empty)
    assert BY_NAME[name].read() == BY_NAME[name].default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("TASK_DEFAULT_RETRIES", "3", 3),
        ("TASK_DEFAULT_RETRIES", " 0 ", 0),
        ("FLOW_DEFAULT_RETRIES", "12", 12),
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS", "1.5", 1.5),
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS", "1, 5,30", (1.0, 5.0, 30.0)),
        ("FLOW_DEFAULT_RETRY_DELAY_SECONDS", "0,2", (0.0, 2.0)),
        ("RESULTS_PERSIST_BY_DEFAULT", "true", True),
        ("RESULTS_DEFAULT_SERIALIZER", " compressed/json ", "compressed/json"),
        ("LOCAL_STORAGE_PATH", "/var/results", "/var/results"),
        ("DEFAULT_RESULT_STORAGE", "s3://bucket/results", "s3://bucket/results"),
        ("TASKS_REFRESH_CACHE", "on", True),
        ("TASKS_DISABLE_CACHING", "No", False),
        ("LOGGING_LOG_PRINTS", "1", True),
        ("THREADS", "4", 4),
        ("LIMITS", "http=20", {"http": 20}),
        ("LIMITS", " db = 3 , a=b=1", {"db": 3, "a=b": 1}),
        ("LIMITS", "api=100/60", {"api": RateLimit(100, per_seconds=60)}),
        ("LIMITS", "gpu=adaptive,tpu=adaptive:8", {"gpu": AdaptiveLimit(), "tpu": AdaptiveLimit(initial=8)}),
    ],
)
def test_what_a_text_means(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    monkeypatch.setenv(f"MILLRACE_{name}", text)
    found = BY_NAME[f"MILLRACE_{name}"].read()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["1", "true", "True", "T", "yes", "Y", "ON"])
def test_many_words_mean_true(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MILLRACE_TASKS_REFRESH_CACHE", text)
    assert settings.TASKS_REFRESH_CACHE.read() is True


@pytest.mark.parametrize("text", ["0", "false", "False", "F", "no", "N", "OFF"])
def test_many_words_mean_false(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MILLRACE_TASKS_REFRESH_CACHE", text)
    assert settings.TASKS_REFRESH_CACHE.read() is False


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TASK_DEFAULT_RETRIES", "-1", WHOLE),
        ("TASK_DEFAULT_RETRIES", "1.5", WHOLE),
        ("FLOW_DEFAULT_RETRIES", "many", WHOLE),
        ("FLOW_DEFAULT_RETRIES", "9" * 5_000, WHOLE),
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS", "-1", SECONDS),
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS", "nan", SECONDS),
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS", "1,,5", SECONDS),
        ("FLOW_DEFAULT_RETRY_DELAY_SECONDS", "1;5", SECONDS),
        ("FLOW_DEFAULT_RETRY_DELAY_SECONDS", "inf", SECONDS),
        ("RESULTS_PERSIST_BY_DEFAULT", "maybe", "true or false"),
        ("TASKS_REFRESH_CACHE", "2", "true or false"),
        ("TASKS_DISABLE_CACHING", "yes please", "true or false"),
        ("LOGGING_LOG_PRINTS", "truth", "true or false"),
        ("LIMITS", "http", LIMITS),
        ("LIMITS", "=3", LIMITS),
        ("LIMITS", "http=0", LIMITS),
        ("LIMITS", "http=1.5", LIMITS),
        ("LIMITS", "http=1,http=2", LIMITS),
        ("LIMITS", "http=1,,api=2", LIMITS),
        ("LIMITS", "api=3/0", LIMITS),
        ("LIMITS", "api=3/nan", LIMITS),
        ("LIMITS", "gpu=adaptive:", LIMITS),
        ("LIMITS", "gpu=adaptive:0", LIMITS),
        ("THREADS", "0", "a whole number, 1 or more"),
        ("THREADS", "a few", "a whole number, 1 or more"),
    ],
)
def test_a_wrong_one_is_named_with_what_it_was_given_and_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: str
) -> None:
    monkeypatch.setenv(f"MILLRACE_{name}", text)
    with pytest.raises(ConfigurationError) as caught:
        BY_NAME[f"MILLRACE_{name}"].read()
    assert str(caught.value) == f"'MILLRACE_{name}' takes {expected}, not {shown(text)}."
    assert caught.value.__cause__ is None


def test_a_change_of_the_environment_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings.TASK_DEFAULT_RETRIES.read
    found = [read()]
    for text in ("1", "2", "1"):
        monkeypatch.setenv("MILLRACE_TASK_DEFAULT_RETRIES", text)
        found.append(read())
    monkeypatch.delenv("MILLRACE_TASK_DEFAULT_RETRIES")
    assert [*found, read()] == [0, 1, 2, 1, 0]


def test_a_text_is_parsed_once_as_long_as_it_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def parse(text: str) -> str:
        parsed.append(text)
        return text

    setting = Setting("MILLRACE_TEST", parse, "anything", "")
    for text in ("a", "a", "b", "b", "a"):
        monkeypatch.setenv("MILLRACE_TEST", text)
        assert setting.read() == text
    assert parsed == ["a", "b", "a"]


def test_a_wrong_one_is_wrong_each_time_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "3")
    assert settings.THREADS.read() == 3
    monkeypatch.setenv("MILLRACE_THREADS", "none")
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            settings.THREADS.read()


@pytest.mark.parametrize("text", ["5", "1,5,30", None])
def test_delays_are_what_a_policy_of_retries_takes(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    if text is not None:
        monkeypatch.setenv("MILLRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS", text)
    policy = RetryPolicy.of(3, settings.TASK_DEFAULT_RETRY_DELAY_SECONDS.read())
    expected = {"5": (5.0,), "1,5,30": (1.0, 5.0, 30.0), None: ()}
    assert policy.delays == expected[text]


def test_the_folder_for_results_follows_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for home in (tmp_path / "one", tmp_path / "two"):
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("USERPROFILE", str(home))
        assert settings.local_storage_path() == home / ".millrace" / "storage"
    monkeypatch.setenv("MILLRACE_LOCAL_STORAGE_PATH", "~/results")
    assert settings.local_storage_path() == tmp_path / "two" / "results"
    assert not list(tmp_path.iterdir())  # nothing is made before something is kept there


def test_a_home_that_nobody_has_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_LOCAL_STORAGE_PATH", "~nobody-of-that-name/results")
    with pytest.raises(ConfigurationError, match=r"^'MILLRACE_LOCAL_STORAGE_PATH' takes a folder; without '~' here"):
        settings.local_storage_path()


def test_an_engine_has_as_many_threads_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def limit(**options: Any) -> int:
        return Engine(**options).stats().threads.limit

    assert limit() == min(32, (os.cpu_count() or 1) + 4)
    monkeypatch.setenv("MILLRACE_THREADS", "3")
    assert limit() == 3
    assert limit(threads=2) == 2
    monkeypatch.setenv("MILLRACE_THREADS", "0")
    with pytest.raises(ConfigurationError, match=r"^'MILLRACE_THREADS' takes a whole number, 1 or more, not '0'\.$"):
        Engine()
    assert limit(threads=2) == 2  # what the code says comes first, and the setting is not even looked at


@pytest.mark.parametrize("given", [True, 0, 2.5, "a", [1]])
def test_a_whole_number_of_an_option_is_checked_like_one_of_the_environment(given: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^'threads' takes a whole number, 1 or more, not "):
        settings.whole_number("threads", given, 1)


def test_nothing_is_read_when_millrace_is_imported() -> None:
    wrong = {**os.environ, **dict.fromkeys(NAMES, "?")}
    command = [sys.executable, "-c", "import millrace"]
    done = subprocess.run(command, env=wrong, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
