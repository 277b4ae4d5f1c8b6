"""The decorators leave a method's type as it is, and refuse what is no async method. Never run."""

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from cliffracer import Actor, call, cast, event, every


class Shop(Actor):
    @call
    async def place(self, sku: str) -> int:
        return 1

    @call(concurrent=10)
    async def look(self, sku: str) -> int:
        return 1

    @cast
    async def clean(self, room: int) -> None: ...

    @event("orders.{order_id}", to="all")
    async def on_order(self, order_id: int) -> None: ...

    @every(0.5)
    async def tick(self) -> None: ...

    @call  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
    def not_async(self) -> int:
        return 1

    @call(concurrent="many")  # type: ignore[call-overload,untyped-decorator]  # pyright: ignore[reportArgumentType]
    async def many(self) -> int:
        return 1

    @event("orders", to="some")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def on_some(self) -> None: ...

    @event  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def on_any(self) -> None: ...  # type: ignore[misc]

    @every("minute")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def minutely(self) -> None: ...


async def inside(shop: Shop) -> None:
    assert_type(await shop.place("A1"), int)
    assert_type(await shop.look("A1"), int)
    await shop.clean(7)
    await shop.on_order(17)
    await shop.tick()
    place: Callable[[str], Coroutine[Any, Any, int]] = shop.place
    await place("A1")
    await shop.look(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await shop.clean("kitchen")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await shop.on_order("17")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
