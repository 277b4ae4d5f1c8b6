"""What points to an actor, or to any other child, and what it needs of the process it is in.

A ref is typed as the actor it points to, so mypy and pyright check every call. It names the actor; where that runs,
and which incarnation of it, is looked up for each message.
"""

from math import inf
from typing import Any

import anyio
import anyio.lowlevel
from msgspec import Struct

from cliffracer.actor.cell import OPEN, Cell
from cliffracer.actor.handlers import Handler, Kind
from cliffracer.actor.host import Address, Destination, Host, Target
from cliffracer.envelope import Message, correlation_of, current_message
from cliffracer.errors import CallCycle, CallTimeout

__all__ = ["ChildRef", "Ref", "find_address", "label_of"]

_A_MOMENT = 0.01  # seconds, for a cancel scope whose deadline has come to act on it


class ChildRef(Struct, frozen=True):
    """Points to a child that is no actor: a function, or a supervisor. `self.ref(ChildRef, "shop/poll")` makes one.

    Attributes:
        path: Where it stands: the ids from the root down to it, `shop/poll`, or as much of the end of it as no other
            has.
    """

    path: str

    @classmethod
    def ref_on(cls, host: Host, path: str) -> "ChildRef":
        """Return what points to `path`; where that is, is looked up when it is used."""
        del host
        return cls(path)


def find_address(target: Target) -> Address | None:
    """Return the address behind a ref to an actor, or None if `target` is none."""
    if isinstance(target, Ref):
        address: Address = object.__getattribute__(target, "_address")
        return address
    return None


def label_of(target: Target) -> str:
    """Return the name of the actor, or the path of the child, that `target` points to.

    Raises:
        TypeError: It is no ref.
    """
    address = find_address(target)
    if address is not None:
        return address.name
    path = getattr(target, "path", None)
    if isinstance(path, str):
        return path
    raise TypeError(f"this takes a ref and not {target!r}; write ref(Inventory), or ref(ChildRef, 'shop/poll').")


class _HandlerRef:
    """One handler of the actor that a ref points to; calling it sends a message."""

    __slots__ = ("_address", "_arity", "_cell", "_handler", "_host", "_is_cast", "_name", "_to")

    def __init__(self, host: Host, address: Address, handler: Handler) -> None:
        self._host = host
        self._address = address
        self._handler = handler
        self._to = address.name
        self._name = handler.name
        self._is_cast = handler.kind is Kind.CAST
        self._arity = -1 if handler.payload is None else handler.payload.arity
        self._cell: Cell | None = None  # where the last message went

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        by_keyword: dict[str, Any] | None = None
        if kwargs or len(args) != self._arity:
            args, by_keyword = self._handler.bind(args, kwargs)
        current = current_message.get()
        if current is None:
            message = Message(self._to, self._name, args, by_keyword)
        else:
            # It goes on from the one in hand; deadline and chain are a call's business.
            correlation = correlation_of(current)
            message = Message(self._to, self._name, args, by_keyword, correlation=correlation, trace=current.trace)
        if not self._is_cast:
            return await self._call(message, current)
        cell = self._cell
        if cell is None or cell.is_free or cell.state is not OPEN or not cell.queue.offer(message):
            await self._route().cast(message)
        return None

    def _route(self) -> Destination:
        # A cell that takes messages, and has the name, is the right one; anything else is looked up each time.
        cell = self._cell
        if cell is not None and not cell.is_free and cell.state is OPEN:
            return cell
        destination = self._host.route(self._address)
        self._cell = destination if isinstance(destination, Cell) else None
        return destination

    async def _call(self, message: Message, current: Message | None) -> Any:
        host = self._host
        if current is not None and current.to:
            # Whoever waits for the message in hand waits for this call as well.
            message.chain = (*current.chain, current.to) if current.reply_to is not None else (current.to,)
            if self._to in message.chain:
                path = " -> ".join((*message.chain, self._to))
                raise CallCycle(
                    message.target, f"{path} would wait for itself. Cast instead of calling, or pass the answer along."
                )
        timers = host.timers
        now, ambient = timers.clock(), timers.effective_deadline()
        deadline = ambient if current is None else min(ambient, current.deadline)
        if deadline == inf:
            deadline = now + host.call_timeout
        elif deadline <= now:
            await anyio.lowlevel.checkpoint()  # a scope that has run out, or was cancelled, has the say
            raise CallTimeout(message.target, "the time allowed had passed before the call was made; it was not sent")
        message.deadline = deadline
        # Where a cancel scope around the call sees to it, nobody else has to.
        give_up = inf if ambient <= deadline else deadline
        try:
            return await self._route().call(message, give_up)
        except CallTimeout:
            if give_up == inf:
                # The callee saw the time run out a moment before the scope around this call does; that has the say.
                await anyio.sleep(max(deadline - timers.clock(), 0.0) + _A_MOMENT)
            raise

    def __repr__(self) -> str:
        return f"<{self._handler.kind.value} {self._address.name}.{self._handler.name}{self._handler.signature}>"


class Ref:
    """Points to an actor by name; see `Actor.ref`."""

    __slots__ = ("__dict__", "_address", "_class_name", "_host")

    def __init__(self, host: Host, address: Address, class_name: str) -> None:
        object.__setattr__(self, "_host", host)
        object.__setattr__(self, "_address", address)
        object.__setattr__(self, "_class_name", class_name)

    def __getattr__(self, attribute: str) -> Any:
        address: Address = object.__getattribute__(self, "_address")
        class_name: str = object.__getattribute__(self, "_class_name")
        handler = address.handlers.get(attribute)
        if handler is not None and handler.kind in (Kind.CALL, Kind.CAST):
            bound = _HandlerRef(object.__getattribute__(self, "_host"), address, handler)
            self.__dict__[attribute] = bound
            return bound
        if handler is not None and handler.pattern is not None:
            raise AttributeError(
                f"{class_name}.{attribute} hears events, it cannot be called. "
                f"Publish to {handler.pattern.text!r} instead."
            )
        if handler is not None:
            raise AttributeError(f"{class_name}.{attribute} runs by the clock, it cannot be called.")
        reachable = ", ".join(n for n, h in address.handlers.items() if h.kind in (Kind.CALL, Kind.CAST)) or "none"
        raise AttributeError(
            f"{attribute!r} is no handler of {class_name}: an actor's state is its own. "
            f"Add a @call that returns it, or use one of its handlers: {reachable}."
        )

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(
            f"cannot set {attribute!r} on a ref to {self._class_name}: an actor's state is its own. "
            "Add a @cast that sets it."
        )

    def __repr__(self) -> str:
        return f"<Ref to {self._class_name} {self._address.name!r}>"
