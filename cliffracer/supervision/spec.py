"""Child specs and supervisor specs.

A tree is data: it can be printed, compared and checked without starting anything. The checks are in `checks.py`.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, Generic, Literal, Never, ParamSpec, TypeAlias, TypeVar, cast, get_args

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from cliffracer.actor.actor import Actor, ActorStart
from cliffracer.actor.mailbox import Mailbox
from cliffracer.actor.options import Backoff, Restart, ShutdownTime
from cliffracer.errors import SpecError
from cliffracer.supervision.checks import (
    CHILD_HELP,
    check_address,
    check_child_options,
    check_distinct,
    check_id,
    check_limits,
    not_a_child,
)

__all__ = [
    "AutoShutdown",
    "Budget",
    "ChildSpec",
    "DynamicSupervisor",
    "FunctionStart",
    "PoolStart",
    "Start",
    "Strategy",
    "Supervisor",
    "TaskSupervisor",
    "Tree",
    "TreeStart",
    "actors_at",
    "as_child",
    "check_fits",
    "names_in",
    "paths_at",
    "pools_at",
    "without_arguments",
]

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]
P = ParamSpec("P")
A = TypeVar("A", bound=Actor)
R = TypeVar("R")


class FunctionStart(Struct, frozen=True):
    """How to run an `async def` function as a child: a worker without a mailbox."""

    function: Callable[..., Coroutine[Any, Any, Any]]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}


class TreeStart(Struct, frozen=True):
    """How to make a supervisor anew for each start: the counterpart of `init/1` in OTP."""

    function: Callable[..., "Tree"]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}


class PoolStart(Struct, frozen=True):
    """Several actors of one class behind one name.

    Attributes:
        members: The supervisor of the actors, `inventory-0` and so on.
        key: The parameter that decides which of them gets a message; None for whichever is next.
    """

    members: "Supervisor"
    key: str | None


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """How many restarts a dynamic child may use up before its supervisor gives up on it, and on it alone.

    Restarts of a child with a budget of its own do not count for the supervisor.

    Attributes:
        max_restarts: So many restarts are allowed within `max_seconds`; one more, and the child is dropped.
        max_seconds: The window, in seconds.
    """

    max_restarts: int
    max_seconds: float

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SpecError: A value is out of range.
        """
        check_limits("Budget", self.max_restarts, self.max_seconds)


class ChildSpec(Struct, Generic[R], frozen=True, kw_only=True):
    """One child of a supervisor: what it is, and what happens when it ends. Made by `child(...)` or `pool(...)`.

    `R` is what points to it once it runs: a ref, typed as the actor, or a `ChildRef`.

    Attributes:
        id: Its name among its siblings; the actor's name by default.
        start: What is started.
        restart: "permanent": always restarted. "transient": unless it ended cleanly. "temporary": never.
        shutdown: Seconds it may take to stop before it is cancelled, "infinity", or "brutal_kill" to cancel it at once.
        start_timeout: Seconds that a start may take, or None for no limit.
        significant: Whether its own end counts for the `auto_shutdown` of its supervisor.
        backoff: How long to wait before a restart; None for not at all, as in OTP.
        budget: Only under a `DynamicSupervisor`: how many restarts this child may use up.
        name: The address of an actor; None for other children.
        mailbox: The mailbox of an actor; None for other children.
    """

    id: str
    start: "Start"
    restart: Restart = "permanent"
    shutdown: ShutdownTime = 5.0
    start_timeout: float | None = None
    significant: bool = False
    backoff: Backoff | None = None
    budget: Budget | None = None
    name: str | None = None
    mailbox: Mailbox | None = None

    def __post_init__(self) -> None:
        """Check that the options make sense.

        Raises:
            SpecError: They do not.
        """
        if not isinstance(self.start, _STARTS):
            raise SpecError(f"child {self.id!r}: start={self.start!r}.", CHILD_HELP)
        if isinstance(self.start, ActorStart | PoolStart):
            check_address(self.name, f"child {self.id!r}: name")
        check_id(self.id, "child")
        check_child_options(
            f"child {self.id!r}", self.restart, self.shutdown, self.start_timeout, significant=self.significant
        )
        for field, kind in (("backoff", Backoff), ("budget", Budget)):
            value = getattr(self, field)
            if value is not None and not isinstance(value, kind):
                raise SpecError(
                    f"child {self.id!r}: {field}={value!r}.", f"write {field}={kind.__name__}(...), or None."
                )
        if isinstance(self.start, ActorStart):
            if not isinstance(self.mailbox, Mailbox):
                raise SpecError(f"child {self.id!r}: mailbox={self.mailbox!r}.", "write mailbox=Mailbox(256).")
        elif isinstance(self.start, PoolStart):
            if self.name != self.start.members.id or self.mailbox is not None:
                raise SpecError(
                    f"child {self.id!r}: the members of a pool have its name and mailbox.",
                    "write pool(child(YourActor).replace(name=..., mailbox=...), size=4).",
                )
        elif self.name is not None or self.mailbox is not None:
            raise SpecError(
                f"child {self.id!r}: only actors have a name and a mailbox.", "use id= to tell it from its siblings."
            )

    @property
    def is_supervisor(self) -> bool:
        """Whether it is a supervisor, rather than a worker."""
        return not isinstance(self.start, ActorStart | FunctionStart)

    def replace(self, **changes: Any) -> "ChildSpec[R]":
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
        return replace(self, **changes)


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
        auto_shutdown: "never". "any_significant": the supervisor ends with the first significant child that ends and
            is not restarted. "all_significant": with the last one.
    """

    id: str
    children: tuple[ChildSpec[Any], ...]
    strategy: Strategy
    max_restarts: int
    max_seconds: float
    auto_shutdown: AutoShutdown

    def __init__(
        self,
        id: str,
        *children: "ChildSpec[Any] | Tree",
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
    ) -> None:
        """Check and describe a tree; nothing is started.

        Args:
            id: Its name among its siblings.
            children: Made by `child(...)` or `pool(...)`, or supervisors.
            strategy: Who is restarted with a child that ended.
            max_restarts: Restarts allowed within `max_seconds`.
            max_seconds: The window, in seconds.
            auto_shutdown: Whether the end of significant children ends the supervisor.

        Raises:
            SpecError: Something is wrong; the message says what and what to write instead.
        """
        label = f"Supervisor({id!r})"
        _fill(self, id, max_restarts, max_seconds, auto_shutdown)
        if strategy not in get_args(Strategy):
            raise SpecError(
                f"{label}: strategy={strategy!r}.", f"use one of {', '.join(map(repr, get_args(Strategy)))}."
            )
        specs = tuple(as_child(label, item) for item in children)
        object.__setattr__(self, "children", specs)
        object.__setattr__(self, "strategy", strategy)
        for spec in specs:
            check_fits(spec, self)
        check_distinct(label, (spec.id for spec in specs), "id", "two children have the id")
        names = (name for spec in specs for name in names_in(spec))
        check_distinct(label, names, "name", "two actors have the name")

    def __repr__(self) -> str:
        children = "".join(f", {spec!r}" for spec in self.children)
        auto_shutdown = "" if self.auto_shutdown == "never" else f", auto_shutdown={self.auto_shutdown!r}"
        return (
            f"Supervisor({self.id!r}{children}, strategy={self.strategy!r}, "
            f"max_restarts={self.max_restarts}, max_seconds={self.max_seconds}{auto_shutdown})"
        )

    def actors(self) -> Iterator[ChildSpec[Any]]:
        """Yield the specs of all actors in the tree, in start order."""
        for spec in self.children:
            for _, actor in actors_at(spec, spec.id):
                yield actor


@dataclass(frozen=True, init=False)
class DynamicSupervisor:
    """A supervisor without children at first: they are started while it runs, and forgotten when they have ended.

    OTP's `simple_one_for_one`, with a spec of its own for each child, as in Elixir. They are stopped all at once.

    Attributes:
        id: Its name among its siblings.
        max_children: How many there may be, those that wait for a restart included; None for no limit.
        max_restarts: So many restarts are allowed within `max_seconds`; one more ends the supervisor.
        max_seconds: The window, in seconds.
        auto_shutdown: As of a `Supervisor`.
    """

    id: str
    max_children: int | None
    max_restarts: int
    max_seconds: float
    auto_shutdown: AutoShutdown

    def __init__(
        self,
        id: str,
        *children: Never,
        max_children: int | None = None,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
    ) -> None:
        """Check and describe a supervisor; see the class for the arguments.

        Raises:
            SpecError: A value is wrong.
        """
        if children:
            raise SpecError(
                f"DynamicSupervisor({id!r}, ...) has no children at first.",
                f"start them while it runs: self.ref(SupervisorRef, {id!r}).start_child(...), or write a Supervisor.",
            )
        _fill(self, id, max_restarts, max_seconds, auto_shutdown)
        _fill_max_children(self, max_children)


@dataclass(frozen=True, init=False)
class TaskSupervisor:
    """A supervisor of short-lived work: `start_soon` runs an async function in it, and its result can be waited for.

    Attributes:
        id: Its name among its siblings.
        max_children: How many jobs may run at once; None for no limit.
        shutdown: Seconds a job may take to stop once it is cancelled, "infinity", or "brutal_kill".
    """

    id: str
    max_children: int | None
    shutdown: ShutdownTime

    def __init__(self, id: str, *, max_children: int | None = None, shutdown: ShutdownTime = 5.0) -> None:
        """Check and describe a supervisor; see the class for the arguments.

        Raises:
            SpecError: A value is wrong.
        """
        _fill(self, id, 0, 1.0, "never")
        _fill_max_children(self, max_children)
        object.__setattr__(self, "shutdown", shutdown)
        check_child_options(f"TaskSupervisor({id!r})", "temporary", shutdown, None, significant=False)


def _fill(tree: "Tree", id: str, max_restarts: int, max_seconds: float, auto_shutdown: AutoShutdown) -> None:
    label = f"{type(tree).__name__}({id!r})"
    check_id(id, label)
    check_limits(label, max_restarts, max_seconds)
    if auto_shutdown not in get_args(AutoShutdown):
        raise SpecError(
            f"{label}: auto_shutdown={auto_shutdown!r}.", f"use one of {', '.join(map(repr, get_args(AutoShutdown)))}."
        )
    values = {"id": id, "max_restarts": max_restarts, "max_seconds": max_seconds, "auto_shutdown": auto_shutdown}
    for field, value in values.items():
        if field in tree.__dataclass_fields__:
            object.__setattr__(tree, field, value)


def _fill_max_children(tree: "DynamicSupervisor | TaskSupervisor", max_children: int | None) -> None:
    if max_children is not None and (type(max_children) is not int or max_children < 1):
        raise SpecError(
            f"{type(tree).__name__}({tree.id!r}): max_children={max_children!r}.",
            "use a whole number, 1 or more, or None for no limit.",
        )
    object.__setattr__(tree, "max_children", max_children)


Tree: TypeAlias = Supervisor | DynamicSupervisor | TaskSupervisor
Start: TypeAlias = ActorStart | FunctionStart | Supervisor | DynamicSupervisor | TaskSupervisor | TreeStart | PoolStart


_STARTS = get_args(Start)


def as_child(label: str, item: Any) -> ChildSpec[Any]:
    """Return the child spec that `item` is, or stands for.

    Raises:
        SpecError: It is no child.
    """
    if isinstance(item, ChildSpec):
        return cast("Any", item)  # type: ignore[no-any-return]
    if isinstance(item, Supervisor | DynamicSupervisor | TaskSupervisor):
        # OTP: a supervisor gets all the time it needs to stop its own children.
        return ChildSpec(id=item.id, start=item, shutdown="infinity")
    if inspect.iscoroutine(item):
        raise SpecError(f"{label}: {not_a_child(item)}", CHILD_HELP)
    if isinstance(item, list | tuple):
        raise SpecError(f"{label}: the children are in a list.", "write Supervisor(id, *children).")
    if isinstance(item, type) and issubclass(item, Actor):
        raise SpecError(f"{label}: {item.__name__} is a class.", f"write child({item.__name__}, ...).")
    raise SpecError(f"{label}: {item!r} is no child.", CHILD_HELP)


def actors_at(spec: ChildSpec[Any], path: str) -> Iterator[tuple[str, ChildSpec[Any]]]:
    """Yield the path and the spec of each actor in `spec`, which stands at `path`, that is known before it starts."""
    tree = spec.start.members if isinstance(spec.start, PoolStart) else spec.start
    if isinstance(tree, ActorStart):
        yield path, spec
    elif isinstance(tree, Supervisor):
        for inner in tree.children:
            yield from actors_at(inner, f"{path}/{inner.id}")


def paths_at(spec: ChildSpec[Any], path: str) -> Iterator[str]:
    """Yield `path`, and the paths of all in `spec`, which stands there, that are known before it starts."""
    yield path
    tree = spec.start.members if isinstance(spec.start, PoolStart) else spec.start
    if isinstance(tree, Supervisor):
        for inner in tree.children:
            yield from paths_at(inner, f"{path}/{inner.id}")


def pools_at(spec: ChildSpec[Any], path: str) -> Iterator[tuple[str, ChildSpec[Any]]]:
    """Yield the path and the spec of each pool in `spec`, which stands at `path`, that is known before it starts."""
    if isinstance(spec.start, PoolStart):
        yield path, spec
    elif isinstance(spec.start, Supervisor):
        for inner in spec.start.children:
            yield from pools_at(inner, f"{path}/{inner.id}")


def names_in(spec: ChildSpec[Any]) -> Iterator[str]:
    """Yield the names that `spec` takes: of its actors, and of its pools."""
    if spec.name is not None:
        yield spec.name
    tree = spec.start.members if isinstance(spec.start, PoolStart) else spec.start
    if isinstance(tree, Supervisor):
        for inner in tree.children:
            yield from names_in(inner)


def without_arguments(spec: ChildSpec[R]) -> ChildSpec[R]:
    """Return `spec` without what the child is started with."""
    start = spec.start
    if not isinstance(start, ActorStart | FunctionStart | TreeStart):
        return spec
    if isinstance(start, FunctionStart | TreeStart):
        # A partial holds arguments, too.
        start = replace(start, function=getattr(start.function, "func", start.function))
    bare = copy(spec)  # not `replace`, which would check once more what has been checked
    force_setattr(bare, "start", replace(start, args=(), kwargs=_NO_KWARGS))
    return bare


_NO_KWARGS: dict[str, Any] = {}  # one for all of the ten thousand children that may come


def check_fits(spec: ChildSpec[Any], tree: Tree) -> None:
    """Check that `spec` can be a child of `tree`.

    Raises:
        SpecError: It cannot.
    """
    label = f"child {spec.id!r} of {type(tree).__name__}({tree.id!r})"
    if isinstance(tree, TaskSupervisor):
        raise SpecError(f"{label}: a task supervisor runs jobs.", "use start_soon(), or a DynamicSupervisor.")
    if spec.significant and tree.auto_shutdown == "never":
        raise SpecError(
            f"{label}: significant=True, and auto_shutdown='never': its end would mean nothing.",
            f"write {type(tree).__name__}({tree.id!r}, ..., auto_shutdown='any_significant'), or drop significant.",
        )
    if spec.budget is not None and not isinstance(tree, DynamicSupervisor):
        raise SpecError(
            f"{label}: a budget of its own is for the children of a DynamicSupervisor.",
            "put the child under a supervisor of its own, with max_restarts and max_seconds.",
        )
