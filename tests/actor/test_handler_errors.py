"""What is wrong with a handler is an error of the import, with its line and what to write instead."""

import inspect
import linecache
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct

from cliffracer import Actor, DefinitionError, call, cast, event, every

if TYPE_CHECKING:
    from decimal import Decimal as Money


class Plain:
    """Nothing that a message could hold."""


class Dangling(Struct):
    next: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


def parameter_without_annotation():
    @call
    async def reserve(self, sku) -> int: ...

    return reserve


def call_without_return():
    @call
    async def reserve(self, sku: str): ...

    return reserve


def plain_method():
    @call
    def reserve(self, sku: str) -> int: ...

    return reserve


def plain_tick():
    @every(1.0)
    def reserve(self) -> None: ...

    return reserve


def star_args():
    @call
    async def reserve(self, *skus: str) -> int: ...

    return reserve


def star_kwargs():
    @cast
    async def reserve(self, **skus: str) -> None: ...

    return reserve


def cast_that_returns():
    @cast
    async def reserve(self, sku: str) -> int: ...

    return reserve


def unsupported_union():
    @call
    async def reserve(self, skus: list[str] | set[str]) -> int: ...

    return reserve


def unsupported_result():
    @call
    async def reserve(self, sku: str) -> list[str] | set[str]: ...

    return reserve


def class_that_no_message_can_hold():
    @call
    async def reserve(self, sku: Plain) -> int: ...

    return reserve


def type_only_for_checkers():
    @call
    async def reserve(self, price: "Money") -> int: ...

    return reserve


def name_inside_a_module():
    @call
    async def reserve(self, reader: "inspect.NoSuchThing") -> int: ...

    return reserve


def annotation_that_is_no_expression():
    @call
    async def reserve(self, sku: "list[") -> int: ...  # noqa: F722

    return reserve


def struct_with_a_dangling_field():
    @call
    async def reserve(self, sku: Dangling) -> int: ...

    return reserve


def static_method():
    @call
    @staticmethod
    async def reserve(sku: str) -> int: ...

    return reserve


def concurrent(value):
    def define():
        @call(concurrent=value)
        async def reserve(self) -> int: ...

        return reserve

    return define


def ticking(seconds):
    def define():
        @every(seconds)
        async def reserve(self) -> None: ...

        return reserve

    return define


def tick_with_a_parameter():
    @every(1.0)
    async def reserve(self, sku: str) -> None: ...

    return reserve


def listening(subject, **options):
    def define():
        @event(subject, **options)
        async def reserve(self, sku: str) -> None: ...

        return reserve

    return define


def two_payloads():
    @event("orders.{order_id}")
    async def reserve(self, order_id: str, sku: str, qty: int) -> None: ...

    return reserve


def unsupported_field():
    @event("orders.{order_id}")
    async def reserve(self, order_id: list[str] | set[str]) -> None: ...

    return reserve


def unsupported_event():
    @event("orders")
    async def reserve(self, order: list[str] | set[str]) -> None: ...

    return reserve


WRONG = [
    (parameter_without_annotation, "the parameter 'sku' has no annotation", "write 'sku: str'"),
    (call_without_return, "does not say what it returns", "write 'async def reserve(self, ...) -> int:'"),
    (plain_method, "is no coroutine function", "write 'async def reserve(self, ...)'"),
    (plain_tick, "is no coroutine function", "write 'async def reserve(self, ...)'"),
    (star_args, "takes '*skus'", "name each parameter"),
    (star_kwargs, "skus'", "name each parameter"),
    (cast_that_returns, "nobody gets what it returns", "make it a @call, or annotate '-> None'"),
    (unsupported_union, "not supported", "annotate with what msgspec can decode"),
    (unsupported_result, "not supported", "annotate with what msgspec can decode"),
    (class_that_no_message_can_hold, "Plain", "annotate with what msgspec can decode"),
    (type_only_for_checkers, "name 'Money' is not defined", "outside 'if TYPE_CHECKING:'"),
    (name_inside_a_module, "NoSuchThing", "import or define the type"),
    (annotation_that_is_no_expression, "list[", ""),
    (struct_with_a_dangling_field, "Nowhere", ""),
    (static_method, "Shop.reserve", ""),
    (concurrent(0), "concurrent=0", "concurrent=True, or how many may run at once"),
    (concurrent(-1), "concurrent=-1", "concurrent=True"),
    (concurrent(1.5), "concurrent=1.5", "concurrent=True"),
    (concurrent("many"), "concurrent='many'", "concurrent=True"),
    (ticking(0), "every(0)", "@every(60.0)"),
    (ticking(-1.0), "every(-1.0)", "@every(60.0)"),
    (ticking(float("inf")), "every(inf)", "@every(60.0)"),
    (ticking(float("nan")), "every(nan)", "@every(60.0)"),
    (ticking(True), "every(True)", "@every(60.0)"),
    (ticking("60"), "every('60')", "@every(60.0)"),
    (tick_with_a_parameter, "takes parameters, and a tick brings none", "'async def reserve(self) -> None:'"),
    (listening("orders."), "'orders.' is no subject: it has an empty token", "@event('orders.{order_id}.cancelled')"),
    (listening(""), "'' is no subject: it is empty", "@event('orders.{order_id}.cancelled')"),
    (listening("or ders"), "is no subject", "@event('orders.{order_id}.cancelled')"),
    (listening("orders.x{sku}"), "a field is a whole token", "@event('orders.{order_id}.cancelled')"),
    (listening("{sku}.{sku}"), "stands in it twice", "@event('orders.{order_id}.cancelled')"),
    (listening("orders", to="some"), "to='some'", "to='one' (one replica hears it) or to='all'"),
    (listening("orders.{id}"), "the field 'id', and the handler no parameter of that name", "(self, id: str, ...)"),
    (two_payloads, "sku, qty cannot all be the payload", "a Struct holds several values"),
    (unsupported_field, "not supported", "annotate with what msgspec can decode"),
    (unsupported_event, "not supported", "annotate with what msgspec can decode"),
]


@pytest.mark.parametrize(
    ("define", "problem", "fix"), [pytest.param(*row, id=f"{row[0].__name__}-{row[1][:20]}") for row in WRONG]
)
def test_wrong_handler_is_refused_when_the_class_is_made(define, problem, fix):
    method = define()
    with pytest.raises(DefinitionError) as caught:
        type("Shop", (Actor,), {"reserve": method})
    error = caught.value
    assert isinstance(error, TypeError)
    assert error.problem.startswith("Shop.reserve")
    assert problem in error.problem
    assert fix in error.fix
    assert error.fix
    assert str(error) == f"{error.where}\n  {error.problem}\n  Fix: {error.fix}"


def test_error_shows_the_line_where_the_handler_begins():
    with pytest.raises(DefinitionError) as caught:

        class Shop(Actor):
            @call
            async def fine(self) -> int: ...

            @call(concurrent=2)
            async def reserve(self, sku) -> int: ...

    path, _, line = caught.value.where.rpartition(":")
    assert path == __file__
    assert linecache.getline(path, int(line)).strip() == "@call(concurrent=2)"


RESERVED = [
    *("name", "incarnation", "log", "ref", "node", "publish", "stop", "answers", "publishes"),
    *("monitor", "demonitor", "monitor_nodes", "demonitor_nodes", "link", "unlink"),
    *("on_start", "on_stop", "on_down", "on_node_change"),
]


@pytest.mark.parametrize("name", [*RESERVED, "_private", "__call__"])
def test_name_that_an_actor_needs_itself_cannot_be_that_of_a_handler(name):
    async def method(self) -> None: ...

    with pytest.raises(DefinitionError) as caught:
        type("Shop", (Actor,), {name: call(method)})
    assert caught.value.problem == f"Shop.{name}: the name {name!r} is reserved."
    assert "without a leading underscore" in caught.value.fix


def test_nothing_of_the_actor_class_itself_can_be_overridden_by_a_handler():
    own = {name for name in vars(Actor) if not name.startswith("_")}
    assert own == set(RESERVED)


def test_name_of_a_handler_is_one_token_of_a_subject():
    async def method(self) -> None: ...

    with pytest.raises(DefinitionError, match="one token of a subject"):
        type("Shop", (Actor,), {"größe": call(method)})


def test_two_event_handlers_for_one_subject_are_refused_whatever_their_fields_are_called():
    with pytest.raises(DefinitionError) as caught:

        class Shop(Actor):
            @event("orders.{a}.cancelled")
            async def first(self, a: str) -> None: ...

            @event("orders.{b}.cancelled")
            async def second(self, b: str) -> None: ...

    assert caught.value.problem == "Shop.first and Shop.second both listen to 'orders.*.cancelled'."
    assert "let one handler do both things" in caught.value.fix
    path, _, line = caught.value.where.rpartition(":")
    assert path == __file__
    assert "orders.{b}" in linecache.getline(path, int(line))


def test_overlapping_subjects_are_two_different_things():
    class Shop(Actor):
        @event("orders.{id}.cancelled")
        async def first(self, id: str) -> None: ...

        @event("orders.>")
        async def second(self, anything: Any) -> None: ...

    assert sorted(Shop.__handlers__) == ["first", "second"]


@pytest.mark.parametrize("decorator", [event, every])
def test_decorator_that_lost_its_parentheses_does_not_make_a_handler_that_nobody_reaches(decorator):
    with pytest.raises(DefinitionError, match=r"@event\('|@every\("):

        class Shop(Actor):
            @decorator
            async def reserve(self) -> None: ...


def test_method_with_two_decorators_is_refused():
    with pytest.raises(DefinitionError, match="'report' has two decorators"):

        class Shop(Actor):
            @every(5.0)
            @call
            async def report(self) -> None: ...
