"""A secret shows itself nowhere, and is written nowhere, whatever is done with what holds it."""

from __future__ import annotations

import base64
import copy
import functools
import json
import logging
import pickle
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attrs
import cloudpickle  # type: ignore[import-untyped]
import pytest

from millrace import (
    INPUTS,
    ConfigurationError,
    Engine,
    JSONSerializer,
    LocalStorage,
    MemoryStorage,
    MillraceError,
    ParameterTypeError,
    ResultStore,
    Secret,
    SecretMissing,
    transaction,
)
from millrace.runtime.caching.hashing import hash_value
from tests.loose import flow, task
from tests.runtime.worlds import World

SENTINEL = 'sk/SENTINEL+"9917" ü'


def forms(text: str) -> Iterator[str]:
    """The text, and what it becomes on ways that texts are sent."""
    yield text
    yield repr(text)[1:-1]
    yield json.dumps(text)[1:-1]
    yield urllib.parse.quote(text)
    yield urllib.parse.quote_plus(text)
    for cut in range(3):  # wherever in a longer one it stands
        code = base64.b64encode(b" " * cut + text.encode()).decode().rstrip("=")
        yield code[4:-4]


def shows(text: str) -> bool:
    """Whether the secret can be read in a text."""
    return any(form in text for form in forms(SENTINEL))


def test_the_forms_are_found_where_they_are() -> None:
    assert all(
        map(shows, [f"a{SENTINEL}", json.dumps([SENTINEL]), base64.b64encode(f"token={SENTINEL}".encode()).decode()])
    )
    assert not shows("nothing of it")


@dataclass
class Login:
    """Holds a secret."""

    name: str
    token: Secret[str]


@attrs.define
class Account:
    """Likewise."""

    token: Secret[str]


TEXTS: dict[str, Callable[[Secret[str]], str]] = {
    "repr": repr,
    "str": str,
    "format": format,
    "f-string": lambda secret: f"{secret!s:>40} {secret!r} {secret!a} {secret:x<30}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031  # users write it
    "list": lambda secret: str([secret]),
    "dict": lambda secret: str({"token": secret}),
    "dataclass": lambda secret: str(Login("me", secret)),
    "attrs": lambda secret: str(Account(secret)),
    "exception": lambda secret: str(ValueError(secret)),
    "attributes": lambda secret: str(dir(secret)),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("made", ["given", "from the environment"])
def test_no_text_shows_it(monkeypatch: pytest.MonkeyPatch, text: Callable[[Secret[str]], str], made: str) -> None:
    monkeypatch.setenv("TOKEN", SENTINEL)
    secret = Secret(SENTINEL) if made == "given" else Secret.from_env("TOKEN")

    assert secret.get() == SENTINEL
    assert not shows(text(secret))


WRITERS: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {protocol}": functools.partial(pickle.dumps, protocol=protocol) for protocol in range(6)},
    "cloudpickle": cloudpickle.dumps,
    "pickle in a list": lambda value: pickle.dumps([value]),
    "pickle in an object": lambda value: pickle.dumps(Login("me", value)),
    "JSON": JSONSerializer().dumps,
    "JSON of an object": lambda value: JSONSerializer([Login]).dumps(Login("me", value)),
    "a store": lambda value: ResultStore(MemoryStorage()).write("key", value),
    "a hash": hash_value,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_nothing_writes_it(write: Callable[[Any], Any]) -> None:
    with pytest.raises(MillraceError) as refused:
        write(Secret(SENTINEL))

    assert not shows(str(refused.value))
    assert "secret" in str(refused.value).lower()


def test_json_of_the_standard_library_refuses_it() -> None:
    with pytest.raises(TypeError):
        json.dumps({"token": Secret(SENTINEL)})


def test_one_in_the_environment_is_written_as_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SENTINEL)
    secret = Secret.from_env("TOKEN")

    blob = pickle.dumps(secret)

    assert not shows(blob.decode("latin-1"))
    assert pickle.loads(blob) == secret
    assert hash_value(secret) == hash_value(Secret.from_env("TOKEN")) != hash_value(Secret.from_env("OTHER"))
    assert repr(secret) == "Secret.from_env('TOKEN')"


def test_one_in_the_environment_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret.from_env("TOKEN")
    monkeypatch.delenv("TOKEN", raising=False)
    with pytest.raises(SecretMissing, match="'TOKEN'"):
        secret.get()

    monkeypatch.setenv("TOKEN", "later")
    assert secret.get() == "later"


@pytest.mark.parametrize("name", ["", "A=B", "A\n", 3, None])
def test_what_names_no_variable_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError):
        Secret.from_env(name)


def test_copies_are_the_same_object() -> None:
    secret = Secret(SENTINEL)
    assert copy.copy(secret) is copy.deepcopy(secret) is copy.deepcopy([secret])[0] is secret


def test_secrets_are_equal_by_what_they_are() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a"), Secret("b"), Secret.from_env("a")}) == 3
    assert Secret(1) == Secret(1) != Secret("1")
    assert Secret("a") != "a"
    assert Secret.from_env("A") == Secret.from_env("A") != Secret("")


@pytest.mark.parametrize("annotation", [Secret, Secret[str], Secret[str] | None, int | Secret[str] | None], ids=str)
def test_a_parameter_that_should_have_been_one_is_not_shown(annotation: Any) -> None:
    def login(token: Any) -> str:
        return type(token).__name__

    login.__annotations__ = {"token": annotation}
    made = flow(login)

    assert made(Secret(SENTINEL)) == "Secret"
    with pytest.raises(ParameterTypeError) as refused:
        made(SENTINEL)
    assert not shows(str(refused.value))
    assert "token: what is given is no Secret" in str(refused.value)


def test_no_sink_of_the_engine_shows_one(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Names, states, events, logs, errors, results, caches, transactions and the store."""
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []
    storage = LocalStorage(tmp_path / "results")

    def look(called: Any, run: Any, state: Any) -> None:
        seen.extend([called, run, state, run.name, state.message, state.data])
        raise ValueError(f"a hook was given {run} and {state}")

    options: dict[str, Any] = {"on_running": [look], "on_completion": [look], "on_failure": [look]}

    @world.task(task_run_name="login-{login}", cache_policy=INPUTS, result_storage=storage, log_prints=True, **options)
    def use(login: Login) -> Login:
        print("logging in with", login)  # noqa: T201  # which goes to the log
        return login  # it cannot be kept, and is not

    @world.task(retries=1, **options)
    def refuse(login: Any) -> None:
        raise ValueError("refused", login)

    @world.flow(flow_run_name="flow-{token}", **options)
    async def main(token: Secret[str], retries: int = 1) -> Any:
        with transaction(key=str(token)):
            await world.call(use, Login("me", token))
            futures = use.map([Login("you", token), Login("them", token)])
            await world.ended(futures)
        state = await world.call(refuse, {"login": Login("me", token)}, return_state=True)
        seen.extend([futures, *futures, futures[0].state, state, state.message])
        return state

    engine = Engine(store=f"sqlite:///{tmp_path / 'runs.db'}")
    engine.subscribe(lambda event: seen.extend([event, event.run_name, event.state.message]))
    state = world.run(main, Secret(SENTINEL), engine=engine, return_state=True)
    wrong = world.run(main, Secret(SENTINEL), "many", engine=engine, return_state=True)
    engine.close()

    assert (state.name, wrong.name) == ("Failed", "Failed")
    seen.extend([state, state.explain(), wrong, wrong.message, engine.stats(), use.cache_explain])
    assert len(caplog.records) > 10
    assert not any(shows(f"{each} {each!r}") for each in seen)
    assert not any(shows(f"{record.getMessage()} {record.exc_text} {record.__dict__}") for record in caplog.records)
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert any(each.name == "runs.db" for each in files)
    assert not any(shows(each.read_bytes().decode("latin-1")) or shows(each.name) for each in files)


def test_a_sentinel_that_is_no_secret_is_found_in_the_store(tmp_path: Path) -> None:
    """The search can fail: what is given as a plain text is recorded."""
    engine = Engine(store=f"sqlite:///{tmp_path / 'runs.db'}")

    @flow
    def main(token: str) -> int:
        return len(token)

    from millrace.runtime.entering import ENTERED  # noqa: PLC0415

    reset = ENTERED.set(engine)
    main(SENTINEL)
    ENTERED.reset(reset)
    engine.close()

    assert any(shows(each.read_bytes().decode("utf-8", "replace")) for each in tmp_path.rglob("*") if each.is_file())


def test_a_task_that_is_given_one_is_not_cached_by_it() -> None:
    called: list[int] = []

    @task(cache_policy=INPUTS - "token", result_storage=MemoryStorage())
    def load(token: Secret[str], page: int) -> int:
        called.append(page)
        return page

    assert [load(Secret(SENTINEL), 1), load(Secret("another"), 1)] == [1, 1]
    assert called == [1]
