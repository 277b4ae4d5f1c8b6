"""`child(...)` and `pool(...)`: how the children of a tree are written."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast, overload

from cliffracer.actor.actor import Actor, ActorStart
from cliffracer.actor.ref import ChildRef
from cliffracer.errors import SpecError, snake_case
from cliffracer.supervision.checks import CHILD_HELP, check_arguments, check_key, not_a_child
from cliffracer.supervision.spec import (
    ChildSpec,
    DynamicSupervisor,
    FunctionStart,
    PoolStart,
    Supervisor,
    TaskSupervisor,
    Tree,
    TreeStart,
    as_child,
)

__all__ = ["child", "pool"]

P = ParamSpec("P")
A = TypeVar("A", bound=Actor)


@overload
def child(start: Tree, /) -> ChildSpec[ChildRef]: ...
@overload
def child(start: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> ChildSpec[A]: ...
@overload
def child(
    start: Callable[P, Coroutine[Any, Any, Any]] | Callable[P, Tree], /, *args: P.args, **kwargs: P.kwargs
) -> ChildSpec[ChildRef]: ...
def child(start: object, /, *args: Any, **kwargs: Any) -> ChildSpec[Any]:
    """Describe a child: an actor class, an `async def` function, or a supervisor, with the arguments for it.

    `child(Inventory, {"A1": 10})` makes `Inventory({"A1": 10})` at each start. mypy and pyright check the
    arguments. Options come from the class line and can be changed with `.replace(...)`.

    A plain function must return a supervisor; it is called anew for each start. An `async def` function with a
    parameter `task_status` has started when it calls `task_status.started()`, as in anyio; any other, at once.

    Raises:
        SpecError: It is none of these, or the arguments do not fit.
    """
    if isinstance(start, Supervisor | DynamicSupervisor | TaskSupervisor):
        if args or kwargs:
            raise SpecError(
                f"child({type(start).__name__}({start.id!r}, ...)) takes no further arguments.",
                "use .replace(...) for its options.",
            )
        return as_child("child()", start)
    if isinstance(start, type) and issubclass(start, Actor):
        return _actor_child(start, args, kwargs)
    if not isinstance(start, type) and (label := str(getattr(start, "__name__", "function"))).isidentifier():
        id = snake_case(label).strip("_")
        if inspect.iscoroutinefunction(start):
            check_arguments(label, start, args, kwargs)
            return ChildSpec(id=id, start=FunctionStart(start, args, kwargs))
        if inspect.isroutine(start):
            check_arguments(label, start, args, kwargs)
            return ChildSpec(id=id, start=TreeStart(start, args, kwargs), shutdown="infinity")
    raise SpecError(not_a_child(start), CHILD_HELP)


def _actor_child(actor: type[Actor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> ChildSpec[Any]:
    if actor is Actor:
        raise SpecError("child(Actor): Actor itself has no handlers.", "write a subclass, and child(YourActor).")
    check_arguments(actor.__name__, actor, args, kwargs)
    options = actor.__options__
    return ChildSpec(
        id=options.name,
        start=ActorStart(actor, args, kwargs),
        restart=options.restart,
        shutdown=options.shutdown,
        start_timeout=options.start_timeout,
        significant=options.significant,
        backoff=options.backoff,
        name=options.name,
        mailbox=options.mailbox,
    )


def pool(
    actor: type[A] | ChildSpec[A],
    *,
    size: int,
    key: str | None = None,
    max_restarts: int = 3,
    max_seconds: float = 5.0,
) -> ChildSpec[A]:
    """Describe several actors of one class behind one name: Elixir's PartitionSupervisor.

    With a `key`, all messages with the same value of that parameter go to the same member, in order, and others are
    handled beside them. Without, each message goes to the member with the least to do.

    Args:
        actor: The class, or `child(TheClass, arguments...)`.
        size: How many there are.
        key: The parameter that decides; every handler must have it, but `@every`, which runs in each member.
        max_restarts: Restarts of members allowed within `max_seconds`.
        max_seconds: The window, in seconds.

    Raises:
        SpecError: A value is wrong, or a handler lacks the key.
    """
    one = actor if isinstance(actor, ChildSpec) else child(cast("Callable[[], A]", actor))
    label = f"pool({one.id!r})"
    if not isinstance(one.start, ActorStart) or one.name is None:
        raise SpecError(f"{label}: only actors can be pooled.", "write pool(YourActor, size=4).")
    if one.significant:
        raise SpecError(f"{label}: significant=True: a pool is permanent, so it never ends.", "leave it out.")
    if type(size) is not int or size < 1:
        raise SpecError(f"{label}: size={size!r}.", "use a whole number, 1 or more.")
    check_key(label, one.start.actor, key)
    name = one.name
    members = (one.replace(name=f"{name}-{number}") for number in range(size))
    group = Supervisor(name, *members, max_restarts=max_restarts, max_seconds=max_seconds)
    return ChildSpec(
        id=one.id, start=PoolStart(group, key), restart="permanent", shutdown="infinity", name=name, mailbox=None
    )
