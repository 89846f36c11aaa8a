"""Names of runs, made of templates and of functions."""

from __future__ import annotations

import functools
import logging
import random
import uuid
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from millrace import ConfigurationError
from millrace.actors.errors import RunNameError
from millrace.runtime.run_names import RunName
from millrace.runtime.shape import Shape

OPTION = "task_run_name"


def fetch(url: str, when: date | None = None, depth: int = 1) -> None:
    """The function whose runs are named."""


def nothing() -> None:
    """A function without parameters."""


def many(*args: Any, **options: Any) -> None:
    """A function with parameters of all kinds."""


def named(given: object, fn: Callable[..., Any] = fetch, owner: str | None = None) -> RunName:
    made = RunName.of(OPTION, given, Shape(fn), owner=owner)
    assert made is not None
    return made


def name(given: object, **parameters: Any) -> str:
    return named(given).make({"url": "a", "when": None, "depth": 1} | parameters)


def refused(given: object, fn: Callable[..., Any] = fetch) -> str:
    """What the error says that is expected."""
    with pytest.raises(ConfigurationError) as caught:
        RunName.of(OPTION, given, Shape(fn))
    error = caught.value
    assert (error.name, error.value) == (OPTION, given)
    assert str(error) == f"'{OPTION}' takes {error.expected}, not {given!r}."
    return error.expected


def test_nothing_given_is_no_name() -> None:
    assert RunName.of(OPTION, None, Shape(fetch)) is None


# Templates.


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{url}", "example.org"),
        ("fetch-{url}", "fetch-example.org"),
        ("{url}-on-{when:%A}", "example.org-on-Monday"),
        ("{url!r} {url!s} {url!a}", "'example.org' example.org 'example.org'"),
        ("{depth:03}|{depth:>4}|{url!r:>15}", "007|   7|  'example.org'"),
        ("{depth}{depth}{url}", "77example.org"),
        ("{{{url}}} and {{url}}", "{example.org} and {url}"),
        ("{url:}", "example.org"),
    ],
)
def test_a_template_is_filled_in_as_str_format_would(template: str, expected: str) -> None:
    parameters = {"url": "example.org", "when": date(2024, 1, 1), "depth": 7}
    assert named(template).make(parameters) == expected == template.format(**parameters)


def test_a_default_is_a_parameter_like_any_other() -> None:
    shape = Shape(fetch)
    made = RunName.of(OPTION, "{url}-{depth}", shape)
    assert made is not None
    assert made.make(shape.by_name(("a",), {})) == "a-1"


def test_parameters_that_collect_others_are_fields_too() -> None:
    shape = Shape(many)
    made = RunName.of(OPTION, "{args}{options}", shape)
    assert made is not None
    assert made.make(shape.by_name((1, 2), {"a": 3})) == "(1, 2){'a': 3}"


@pytest.mark.parametrize(
    "text", ["{depth}", "{url}", "{url.__class__}", "{0}", "%s", "{{x}}", "$depth", "{", "}", "{depth!r:>9}"]
)
def test_what_a_value_says_is_never_a_template(text: str) -> None:
    assert name("<{url}>", url=text) == f"<{text}>"


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("{url.__class__}", "url.__class__"),
        ("{url.upper}", "url.upper"),
        ("{url[0]}", "url[0]"),
        ("{url.__init__.__globals__[os]}", "url.__init__.__globals__[os]"),
        ("{url.real!r:>3}", "url.real"),
        ("{nope.x}", "nope.x"),
    ],
)
def test_a_field_does_not_reach_into_a_value(template: str, field: str) -> None:
    expected = f"a template whose fields are parameters as they are, unlike '{field}'; a function can look inside"
    assert refused(template) == expected


@pytest.mark.parametrize(
    ("template", "field"), [("{nope}", "nope"), ("{url}-{}", ""), ("{0}", "0"), ("{ url }", " url ")]
)
def test_a_field_that_is_no_parameter_is_refused(template: str, field: str) -> None:
    expected = f"a template whose fields are parameters, unlike '{field}'; 'fetch' has 'url', 'when', 'depth'"
    assert refused(template) == expected


@pytest.mark.parametrize(("template", "expected"), [("nightly", "nightly"), ("{{url}}", "{url}"), ("100%", "100%")])
def test_a_template_without_fields_is_the_name_of_every_run(template: str, expected: str) -> None:
    assert name(template, url="x") == expected


def test_an_empty_template_is_refused() -> None:
    assert refused("") == "a template that is not empty"


def test_where_there_are_no_parameters_the_error_says_what_to_do() -> None:
    hint = "'nothing' has no parameters, so a function is to give the name"
    assert refused("{url}", nothing) == f"a template whose fields are parameters, unlike 'url'; {hint}"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{url", "expected '}' before end of string"),
        ("{", "Single '{' encountered in format string"),
        ("url}", "Single '}' encountered in format string"),
        ("{url!}", "unmatched '{' in format spec"),
        ("{url!rr}", "expected ':' after conversion specifier"),
    ],
)
def test_braces_that_do_not_match_are_refused(template: str, problem: str) -> None:
    assert refused(template).startswith("a template whose braces are closed, or doubled where they mean themselves (")
    assert template in ("{url!}", "{url!rr}") or refused(template).endswith(f"({problem})")  # Pythons differ on these


def test_fields_are_not_nested() -> None:
    assert refused("{url:{depth}}") == "a template whose fields are not nested, unlike 'url:{depth}'"


def test_a_conversion_that_there_is_not_is_refused() -> None:
    assert refused("{url!q}") == "a template with the conversions !r, !s and !a, unlike 'url!q'"


@pytest.mark.parametrize("given", [3, b"{url}", ["{url}"], object()])
def test_what_is_neither_a_template_nor_a_function_is_refused(given: object) -> None:
    assert refused(given) == "a template, as in 'fetch-{url}', or a function that gives a name"


# Functions.


class Namer:
    """An object that is called, with and without parameters."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def __call__(self, parameters: dict[str, Any]) -> str:
        self.seen.append(parameters)
        return "by an object"

    def bare(self) -> str:
        return "by a method"


def from_parameters(parameters: dict[str, Any], prefix: str = "of") -> str:
    return f"{prefix}-{parameters['url']}"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: "plain", "plain"),
        (lambda parameters: f"of-{parameters['url']}", "of-a"),
        (lambda parameters=None: str(parameters), "{'url': 'a', 'when': None, 'depth': 1}"),
        (lambda *, parameters: f"of-{parameters['url']}", "of-a"),
        (lambda prefix="default": prefix, "default"),
        (lambda **options: f"got {options}", "got {}"),
        (lambda *parameters: f"got {parameters}", "got ()"),
        (from_parameters, "of-a"),
        (functools.partial(from_parameters, prefix="from"), "from-a"),
        (Namer(), "by an object"),
        (Namer().bare, "by a method"),
    ],
    ids=("none", "one", "optional", "by-name", "default", "any-named", "any", "named", "partial", "object", "method"),
)
def test_a_function_gives_the_name_with_the_parameters_if_it_takes_them(function: Any, expected: str) -> None:
    assert name(function) == expected


@pytest.mark.parametrize(
    "function",
    [
        lambda url: url,
        lambda parameters, more: parameters,
        lambda parameters, /: parameters,
        lambda *, key: key,
    ],
    ids=("another", "one-more", "by-position", "by-name"),
)
def test_a_function_that_takes_anything_else_is_refused(function: Any) -> None:
    assert refused(function) == "a function without arguments, or with one named 'parameters'"


class AsyncNamer:
    """An object that is called and awaited."""

    async def __call__(self) -> str:
        return "never"


async def later() -> str:
    return "never"


@pytest.mark.parametrize(
    "function", [later, AsyncNamer(), functools.partial(later)], ids=("function", "object", "partial")
)
def test_an_async_function_is_refused(function: Any) -> None:
    assert refused(function) == "a function that is not async"


def test_a_function_whose_arguments_nobody_can_read_is_refused() -> None:
    assert refused(iter) == "a function whose arguments can be read"


def test_a_function_gets_a_copy_of_the_parameters() -> None:
    def greedy(parameters: dict[str, Any]) -> str:
        parameters.clear()
        return "took all"

    parameters = {"url": "a"}
    assert named(greedy).make(parameters) == "took all"
    assert parameters == {"url": "a"}


def test_a_function_is_asked_anew_for_every_run() -> None:
    numbers = iter(range(3))
    made = named(lambda: f"run {next(numbers)}")
    assert [made.make({}) for _ in range(3)] == ["run 0", "run 1", "run 2"]


# What comes of it.


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (lambda: 3, "an object of type int"),
        (lambda: None, "an object of type NoneType"),
        (lambda: b"bytes", "an object of type bytes"),
        (uuid.uuid4, "an object of type UUID"),
        (lambda: later(), "an object of type coroutine"),  # noqa: PLW0108  # hides that it is async
        (lambda: "", "''"),
        ("{url}", "''"),
    ],
    ids=("int", "none", "bytes", "uuid", "coroutine", "empty", "template"),
)
def test_a_name_that_is_no_text_is_an_error_that_names_the_task(given: Any, found: str) -> None:
    with pytest.raises(RunNameError) as caught:
        named(given, owner="crawler").make({"url": ""})
    assert str(caught.value) == (
        f"Could not name a run of 'crawler' with its 'task_run_name': it gave {found} where a string that is not"
        " empty was expected."
    )


class Sulky:
    """A value that cannot be written."""

    def __format__(self, _spec: str) -> str:
        raise LookupError("not today")

    def __repr__(self) -> str:
        raise ValueError("nor tomorrow")


@pytest.mark.parametrize(
    ("given", "value", "reason"),
    [
        ("{url}", Sulky(), "LookupError: not today"),
        ("{url!r}", Sulky(), "ValueError: nor tomorrow"),
        ("{url:d}", "a", "ValueError: Unknown format code 'd' for object of type 'str'"),
        ("{url:%A}", None, "TypeError: unsupported format string passed to NoneType.__format__"),
        (lambda: 1 / 0, None, "ZeroDivisionError: division by zero"),
        (lambda parameters: parameters["nope"], None, "KeyError: 'nope'"),
    ],
    ids=("format", "repr", "format-code", "no-format", "function", "parameters"),
)
def test_what_is_raised_on_the_way_is_told_with_the_task_and_kept_as_the_cause(
    given: Any, value: object, reason: str
) -> None:
    with pytest.raises(RunNameError) as caught:
        named(given, owner="crawler").make({"url": value})
    assert str(caught.value) == f"Could not name a run of 'crawler' with its 'task_run_name': it raised {reason}."
    assert type(caught.value.__cause__).__name__ == reason.partition(":")[0]


def test_an_error_names_the_function_where_nothing_else_has_a_name() -> None:
    with pytest.raises(RunNameError, match="Could not name a run of 'fetch' with its 'task_run_name'"):
        named(lambda: 3).make({})


def test_an_interrupt_passes() -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        named(interrupted).make({})


class Shouting(str):
    """Text that says something else when it is asked."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def test_the_name_is_plain_text_whatever_kind_of_text_was_given() -> None:
    made = name(lambda: Shouting("quiet"))
    assert made == "quiet"
    assert type(made) is str


# Log forging.


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\nERROR forged", "a\\nERROR forged"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("tab\there", "tab\\there"),
        ("null\x00", "null\\x00"),
        ("\x7f\x85\x9b", "\\x7f\\x85\\x9b"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("\ud800", "\\ud800"),
    ],
)
@pytest.mark.parametrize("how", ["template", "value", "function"])
def test_what_would_forge_a_line_of_a_log_is_escaped(how: str, text: str, escaped: str) -> None:
    given = {"template": f"{text}{{url}}", "value": "{url}", "function": lambda: text}[how]
    assert name(given, url=text if how == "value" else "").removesuffix("-") == escaped


@pytest.mark.parametrize("text", ["straße", "水　路", "👩‍🔬 lab", "a\N{NO-BREAK SPACE}b", "C:\\new", "🏁"])
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert name("{url}", url=text) == text


def test_whatever_the_text_a_name_is_one_line_that_can_be_written() -> None:
    seeded = random.Random(20)
    for _ in range(2_000):
        text = "".join(chr(seeded.choice((seeded.randrange(256), seeded.randrange(0x11_0000)))) for _ in range(8))
        made = name("{url}", url=text)
        assert len(made.splitlines()) == 1
        assert made.encode()
        record = logging.LogRecord("millrace", logging.INFO, __file__, 1, "%s", (made,), None)
        assert "\n" not in logging.Formatter("%(message)s").format(record)


def test_the_name_it_was_given_can_be_read_back() -> None:
    made = named("{url}", owner="crawler")
    assert (made.option, made.given, made.owner) == (OPTION, "{url}", "crawler")
