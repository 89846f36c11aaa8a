"""Flows as methods: bound to what they are accessed through, as functions are."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, assert_type, cast

import pytest

from millrace import (
    AsyncFlow,
    Engine,
    Flow,
    FlowRunContext,
    ParameterBindError,
    ParameterTypeError,
    ReservedArgumentError,
    flow,
    run,
)
from millrace.runtime.shape import Shape
from tests.runtime.worlds import World


def parameters() -> dict[str, Any]:
    context = FlowRunContext.get()
    assert context is not None
    return context.parameters


def service(world: World) -> Any:
    """An instance of a class whose methods are flows, each put into it in another way."""

    def plain(self: Any, size: int, *more: int) -> Any:
        return self, size, more, parameters()

    def of_class(cls: Any, size: int) -> Any:
        return cls, size, parameters()

    def of_nothing(size: int) -> Any:
        return size, parameters()

    def anything(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    class Service:
        method = world.flow(plain)
        above_class = flow(classmethod(_kind(world, of_class)))
        above_static = flow(staticmethod(_kind(world, of_nothing)))
        below_class: Any = classmethod(world.flow(of_class))
        below_static = staticmethod(world.flow(of_nothing))
        all_arguments = world.flow(anything)

    return Service()


def _kind(world: World, fn: Any) -> Any:
    """The function that flows of this world are made of."""
    return world.flow(fn).fn


def test_a_method_gets_its_instance_and_no_call_has_to_give_it(world: World) -> None:
    made = service(world)
    given, size, more, recorded = world.run(made.method, "3", "4")
    assert given is made
    assert (size, more) == (3, (4,))
    assert recorded == {"size": 3, "more": (4,)}


def test_through_the_class_the_instance_is_an_argument(world: World) -> None:
    made = service(world)
    given, size, _, recorded = world.run(type(made).method, made, "3")
    assert given is recorded["self"] is made
    assert size == 3


def test_class_methods_get_the_class_whichever_decorator_is_above(world: World) -> None:
    made = service(world)
    kind: Any = type(made)

    class Derived(kind):  # type: ignore[misc]  # pyright: ignore[reportUntypedBaseClass]
        pass

    for through, expected in ((made, kind), (kind, kind), (Derived(), Derived)):
        assert world.run(through.above_class, "3") == (expected, 3, {"size": 3})
        called = through.below_class  # from Python 3.13 on a bound method of the class around the flow
        result = called("3") if not world.async_flows else run(_awaiting(called), "3")
        assert result[:2] == (expected, 3)


def _awaiting(called: Any) -> Any:
    @flow
    async def outer(size: str) -> Any:
        return await called(size)

    return outer


def test_static_methods_get_nothing_whichever_decorator_is_above(world: World) -> None:
    made = service(world)
    for through in (made, type(made)):
        assert world.run(through.above_static, "3") == (3, {"size": 3})
        assert world.run(through.below_static, "3") == (3, {"size": 3})


def test_a_method_with_nothing_but_arguments_gets_its_instance_among_them(world: World) -> None:
    made = service(world)
    assert world.run(made.all_arguments, 1, a=2) == ((made, 1), {"a": 2})


def test_what_is_no_method_as_a_function_is_none_as_a_flow() -> None:
    class Service:
        step: Any = flow(name="sum")(partial(pow, 3))

    made = Service()
    assert made.step is Service.step
    assert made.step(2) == 9


def test_a_bound_flow_is_not_bound_again() -> None:
    class Inner:
        @flow
        def method(self, size: int) -> Any:
            return self, size

    inner = Inner()

    class Outer:
        method = inner.method

    assert cast("Any", Outer()).method("3") == (inner, 3)


def test_methods_are_found_through_super(world: World) -> None:
    made = service(world)

    class Derived(type(made)):  # type: ignore[misc]
        def through_super(self) -> Any:
            return super().method

    derived = Derived()
    assert world.run(derived.through_super(), 1)[0] is derived


def test_flows_bound_to_one_object_are_equal(world: World) -> None:
    made, other = service(world), service(world)
    same = type(made)()
    assert made.method == made.method
    assert hash(made.method) == hash(made.method)
    assert made.method is not made.method
    assert len({made.method, made.method, same.method, type(made).method}) == 3
    assert made.method != same.method
    assert made.method != other.method
    assert made.method != type(made).method
    assert made.method != made.method.fn
    assert type(made).method == type(made).method


def test_a_wrong_call_of_a_method_shows_its_signature_without_the_instance(world: World) -> None:
    made = service(world)
    with pytest.raises(ParameterBindError, match=r"Its signature is plain\(size: 'int', \*more: 'int'\)"):
        made.method()
    with pytest.raises(ParameterTypeError, match="size: 'x' is not a whole number"):
        world.run(made.method, "x")
    assert list(inspect.signature(made.method).parameters) == ["size", "more"]


def test_options_of_a_method_may_be_changed_before_and_after_it_is_bound(world: World) -> None:
    made = service(world)
    bound = made.method.with_options(name="bound", validate_parameters=False)
    assert bound.name == "bound"
    assert world.run(bound, "3")[:2] == (made, "3")

    class Derived(type(made)):  # type: ignore[misc]
        method = type(made).method.with_options(name="derived")
        above_class = type(made).__dict__["above_class"].with_options(name="of class")
        above_static = type(made).__dict__["above_static"].with_options(name="of nothing")

    derived = Derived()
    assert derived.method.name == "derived"
    assert world.run(derived.method, "3")[:2] == (derived, 3)
    assert derived.above_class.name == "of class"
    assert world.run(derived.above_class, "3")[0] is Derived
    assert derived.above_static.name == "of nothing"
    assert world.run(derived.above_static, "3")[0] == 3


def test_a_method_can_be_a_subflow_and_be_started_in_the_background(world: World) -> None:
    made = service(world)

    async def body() -> Any:
        return (await world.call(made.method, "3"))[:2]

    assert world.body(body) == (made, 3)
    engine = Engine()
    assert engine.start(made.method, "3").result()[:2] == (made, 3)
    engine.close()
    assert run(made.method, "4")[:2] == (made, 4)


def test_what_is_known_of_a_method_is_shared_by_its_copies(world: World) -> None:
    made = service(world)
    assert made.method.plan is type(made).method.plan
    assert made.method.shape is type(made)().method.shape


def test_reserved_names_are_refused_in_class_methods_too() -> None:
    def wrong(cls: Any, wait_for: Any) -> None:
        pass

    with pytest.raises(ReservedArgumentError):
        flow(classmethod(wrong))


def test_a_method_without_a_parameter_for_its_instance_fails_when_it_is_called() -> None:
    class Service:
        @flow
        def method() -> None:
            pass

    with pytest.raises(TypeError, match="takes 0 positional arguments but 1 was given"):
        cast("Any", Service()).method()


def test_the_shape_of_a_method_lacks_the_first_parameter() -> None:
    shape = Shape(lambda self, a, /, b=2, *args, c, **kwargs: None).of_method()
    assert shape.names == ("a", "b", "args", "c", "kwargs")
    assert shape.by_name((1,), {"c": 3}) == {"a": 1, "b": 2, "args": (), "c": 3, "kwargs": {}}
    with pytest.raises(ParameterBindError):
        shape.check((), {})


class Typed:
    """What type checkers have to see."""

    @flow
    def plain(self, size: int) -> str:
        return str(size)

    @flow
    @classmethod
    def made(cls, size: int) -> Typed:
        return cls()

    @flow
    @staticmethod
    async def loose(size: int) -> bytes:
        return b"x" * size

    @flow(name="later")
    async def later(self, size: int, *, unit: str = "m") -> float:
        return size * len(unit)


def test_type_checkers_know_the_types_of_methods() -> None:
    made = Typed()
    assert_type(made.plain(1), str)
    bound: Flow[[int], str] = made.plain
    assert_type(Typed.plain(made, 1), str)
    assert_type(made.made(1), Typed)
    assert_type(run(made.plain, 1), str)
    assert_type(run(made.later, 1, unit="m"), float)
    assert isinstance(bound, Flow)
    assert isinstance(made.later, AsyncFlow)
    with pytest.raises(ParameterTypeError):
        made.plain("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(ParameterBindError):
        made.plain()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
