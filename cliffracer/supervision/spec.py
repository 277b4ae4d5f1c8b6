"""Child specs and supervisor specs, and their checks.

A tree is data: it can be printed, compared and checked without starting anything.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Literal, ParamSpec, TypeAlias, get_args, overload

import msgspec
from msgspec import Struct

from cliffracer.actor.actor import Actor, ActorStart, Restart, ShutdownTime
from cliffracer.actor.mailbox import Mailbox
from cliffracer.errors import SpecError, snake_case
from cliffracer.names import NAME_RULE, is_name

__all__ = ["ChildSpec", "FunctionStart", "Start", "Strategy", "Supervisor", "child", "worst_stop_time"]

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
P = ParamSpec("P")


class FunctionStart(Struct, frozen=True):
    """How to run an `async def` function as a child: a worker without a mailbox."""

    function: Callable[..., Coroutine[Any, Any, Any]]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}


class ChildSpec(Struct, frozen=True, kw_only=True):
    """One child of a supervisor: what it is, and what happens when it ends. Made by `child(...)`.

    Attributes:
        id: Its name among its siblings; the actor's name by default.
        start: What is started.
        restart: "permanent": always restarted. "transient": unless it ended cleanly. "temporary": never.
        shutdown: Seconds it may take to stop before it is cancelled, "infinity", or "brutal_kill" to cancel it at once.
        start_timeout: Seconds that a start may take, or None for no limit.
        name: The address of an actor; None for other children.
        mailbox: The mailbox of an actor; None for other children.
    """

    id: str
    start: "Start"
    restart: Restart = "permanent"
    shutdown: ShutdownTime = 5.0
    start_timeout: float | None = None
    name: str | None = None
    mailbox: Mailbox | None = None

    def replace(self, **changes: Any) -> "ChildSpec":
        """Return this spec with other options: `child(Orders).replace(restart="transient")`.

        A new `name` is the new `id` too, unless that is given.

        Raises:
            SpecError: An option is unknown, or its value is wrong.
        """
        options = [field for field in self.__struct_fields__ if field != "start"]
        if unknown := sorted(set(changes) - set(options)):
            raise SpecError(f"child {self.id!r}: unknown option {unknown[0]!r}.", f"use one of {', '.join(options)}.")
        if "name" in changes and "id" not in changes:
            changes["id"] = changes["name"]
        return _checked(msgspec.structs.replace(self, **changes))


@dataclass(frozen=True, init=False)
class Supervisor:
    """A supervision tree, or a part of one: children in start order, and what to do when one ends.

    Attributes:
        id: Its name among its siblings.
        children: In start order; they are stopped in reverse.
        strategy: "one_for_one": the child that ended is restarted. "one_for_all": all are. "rest_for_one": it and
            those after it.
        max_restarts: So many restarts are allowed within `max_seconds`; one more ends the supervisor.
        max_seconds: The window, in seconds.
    """

    id: str
    children: tuple[ChildSpec, ...]
    strategy: Strategy
    max_restarts: int
    max_seconds: float

    def __init__(
        self,
        id: str,
        *children: "ChildSpec | Supervisor",
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
    ) -> None:
        """Check and describe a tree; nothing is started.

        Args:
            id: Its name among its siblings.
            children: Made by `child(...)`, or supervisors.
            strategy: Who is restarted with a child that ended.
            max_restarts: Restarts allowed within `max_seconds`.
            max_seconds: The window, in seconds.

        Raises:
            SpecError: Something is wrong; the message says what and what to write instead.
        """
        specs = tuple(_child_of(id, item) for item in children)
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "children", specs)
        object.__setattr__(self, "strategy", strategy)
        object.__setattr__(self, "max_restarts", max_restarts)
        object.__setattr__(self, "max_seconds", max_seconds)
        _check_supervisor(self)

    def __repr__(self) -> str:
        children = "".join(f", {spec!r}" for spec in self.children)
        return (
            f"Supervisor({self.id!r}{children}, strategy={self.strategy!r}, "
            f"max_restarts={self.max_restarts}, max_seconds={self.max_seconds})"
        )

    def actors(self) -> Iterator[ChildSpec]:
        """Yield the specs of all actors in the tree, in start order."""
        for spec in self.children:
            if isinstance(spec.start, Supervisor):
                yield from spec.start.actors()
            elif spec.name is not None:
                yield spec


Start: TypeAlias = ActorStart | FunctionStart | Supervisor


@overload
def child(start: Supervisor, /) -> ChildSpec: ...
@overload
def child(start: Callable[P, Actor], /, *args: P.args, **kwargs: P.kwargs) -> ChildSpec: ...
@overload
def child(start: Callable[P, Coroutine[Any, Any, Any]], /, *args: P.args, **kwargs: P.kwargs) -> ChildSpec: ...
def child(start: object, /, *args: Any, **kwargs: Any) -> ChildSpec:
    """Describe a child: an actor class, an `async def` function, or a supervisor, with the arguments for it.

    `child(Inventory, {"A1": 10})` makes `Inventory({"A1": 10})` at each start. mypy and pyright check the
    arguments. Options come from the class line and can be changed with `.replace(...)`.

    Raises:
        SpecError: It is none of these, or the arguments do not fit.
    """
    if isinstance(start, Supervisor):
        if args or kwargs:
            raise SpecError(
                f"child(Supervisor({start.id!r}, ...)) takes no further arguments.",
                "use .replace(...) for its options.",
            )
        # OTP: a supervisor gets all the time it needs to stop its own children.
        return ChildSpec(id=start.id, start=start, shutdown="infinity")
    if isinstance(start, type) and issubclass(start, Actor):
        if start is Actor:
            raise SpecError("child(Actor): Actor itself has no handlers.", "write a subclass, and child(YourActor).")
        _check_arguments(start.__name__, start, args, kwargs)
        options = start.__options__
        return _checked(
            ChildSpec(
                id=options.name,
                start=ActorStart(start, args, kwargs),
                restart=options.restart,
                shutdown=options.shutdown,
                start_timeout=options.start_timeout,
                name=options.name,
                mailbox=options.mailbox,
            )
        )
    if not isinstance(start, type) and inspect.iscoroutinefunction(start):
        label = str(getattr(start, "__name__", "function"))
        _check_arguments(label, start, args, kwargs)
        return _checked(ChildSpec(id=snake_case(label).strip("_"), start=FunctionStart(start, args, kwargs)))
    raise SpecError(_not_a_child(start), _CHILD_HELP)


_CHILD_HELP = "write child(YourActor, arguments...), child(an_async_function, arguments...), or a Supervisor(...)."


def _not_a_child(start: Any) -> str:
    if inspect.iscoroutine(start):
        start.close()
        return f"child() got the coroutine {start.__name__!r}: it is running once, and could not be restarted."
    if isinstance(start, Actor):
        name = type(start).__name__
        return (
            f"child() got an object of {name}: each incarnation needs a fresh one. Pass the class: child({name}, ...)."
        )
    return f"child() takes an actor class, an async function or a Supervisor, and not {start!r}."


def _check_arguments(label: str, start: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    signature = inspect.signature(start)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise SpecError(
            f"child({label}, ...): {error}.",
            f"pass what it is started with: {label}{signature.replace(return_annotation=inspect.Signature.empty)}.",
        ) from None


def _child_of(supervisor: str, item: Any) -> ChildSpec:
    if isinstance(item, ChildSpec):
        return _checked(item)
    if isinstance(item, Supervisor):
        return child(item)
    label = f"Supervisor({supervisor!r})"
    if inspect.iscoroutine(item):
        raise SpecError(f"{label}: {_not_a_child(item)}", _CHILD_HELP)
    if isinstance(item, type) and issubclass(item, Actor):
        raise SpecError(f"{label}: {item.__name__} is a class.", f"write child({item.__name__}, ...).")
    raise SpecError(f"{label}: {item!r} is no child.", _CHILD_HELP)


def _checked(spec: ChildSpec) -> ChildSpec:
    label = f"child {spec.id!r}"
    if not isinstance(spec.start, ActorStart | FunctionStart | Supervisor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise SpecError(f"{label}: start={spec.start!r}.", _CHILD_HELP)
    if not is_name(spec.id):
        raise SpecError(f"{label}: that is no id.", NAME_RULE)
    if spec.restart not in get_args(Restart):
        raise SpecError(f"{label}: restart={spec.restart!r}.", "use 'permanent', 'transient' or 'temporary'.")
    if not _is_shutdown(spec.shutdown):
        raise SpecError(
            f"{label}: shutdown={spec.shutdown!r}.", "use seconds (0 or more), 'infinity' or 'brutal_kill'."
        )
    if spec.start_timeout is not None and not (_is_seconds(spec.start_timeout) and spec.start_timeout > 0):
        raise SpecError(
            f"{label}: start_timeout={spec.start_timeout!r}.", "use seconds above zero, or None for no limit."
        )
    if isinstance(spec.start, ActorStart):
        if not is_name(spec.name):
            raise SpecError(f"{label}: name={spec.name!r}.", NAME_RULE)
        if not isinstance(spec.mailbox, Mailbox):
            raise SpecError(f"{label}: mailbox={spec.mailbox!r}.", "write mailbox=Mailbox(256).")
    elif spec.name is not None or spec.mailbox is not None:
        raise SpecError(f"{label}: only actors have a name and a mailbox.", "use id= to tell it from its siblings.")
    return spec


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_shutdown(value: object) -> bool:
    return value in ("infinity", "brutal_kill") if isinstance(value, str) else _is_seconds(value) and value >= 0  # type: ignore[operator]


def _check_supervisor(tree: Supervisor) -> None:
    label = f"Supervisor({tree.id!r})"
    if not is_name(tree.id):
        raise SpecError(f"{label}: that is no id.", NAME_RULE)
    if tree.strategy not in get_args(Strategy):
        raise SpecError(
            f"{label}: strategy={tree.strategy!r}.", f"use one of {', '.join(map(repr, get_args(Strategy)))}."
        )
    if type(tree.max_restarts) is not int or tree.max_restarts < 0:
        raise SpecError(f"{label}: max_restarts={tree.max_restarts!r}.", "use a whole number, 0 or more.")
    if not (_is_seconds(tree.max_seconds) and tree.max_seconds > 0):
        raise SpecError(f"{label}: max_seconds={tree.max_seconds!r}.", "use a number of seconds above zero.")
    seen: set[str] = set()
    for spec in tree.children:
        if spec.id in seen:
            raise SpecError(f"{label}: two children have the id {spec.id!r}.", _DISTINCT.format("id"))
        seen.add(spec.id)
    names: set[str] = set()
    for spec in tree.actors():
        if spec.name in names:
            raise SpecError(f"{label}: two actors have the name {spec.name!r}.", _DISTINCT.format("name"))
        names.add(str(spec.name))


_DISTINCT = "give one of them another: child(...).replace({}='...')."


def worst_stop_time(tree: Supervisor) -> float:
    """Return the seconds that stopping the tree may take at worst: the sum over its children, for they stop one by one.

    Compare it with the grace period of the container. Infinite if an actor or function may take for ever.
    """
    total = 0.0
    for spec in tree.children:
        if isinstance(spec.start, Supervisor) and spec.shutdown == "infinity":
            total += worst_stop_time(spec.start)
        elif isinstance(spec.shutdown, str):
            total += inf if spec.shutdown == "infinity" else 0.0
        else:
            total += spec.shutdown
    return total
