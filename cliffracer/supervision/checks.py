"""What is checked of a tree before anything starts. Each error says what is wrong, and what to write instead."""

import inspect
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, get_args

from cliffracer.actor.actor import Actor
from cliffracer.actor.handlers import Kind
from cliffracer.actor.options import Restart, is_seconds
from cliffracer.errors import SpecError
from cliffracer.names import ADDRESS_RULE, NAME_RULE, is_address, is_name

__all__ = [
    "CHILD_HELP",
    "check_address",
    "check_arguments",
    "check_child_options",
    "check_distinct",
    "check_id",
    "check_key",
    "check_limits",
    "not_a_child",
]

CHILD_HELP = "write child(YourActor, arguments...), child(an_async_function, arguments...), or a Supervisor(...)."


def not_a_child(start: Any) -> str:
    """Return why `start` is nothing that `child(...)` takes."""
    if inspect.iscoroutine(start):
        start.close()
        return f"child() got the coroutine {start.__name__!r}: it is running once, and could not be restarted."
    if isinstance(start, Actor):
        name = type(start).__name__
        return (
            f"child() got an object of {name}: each incarnation needs a fresh one. Pass the class: child({name}, ...)."
        )
    return f"child() takes an actor class, an async function or a Supervisor, and not {start!r}."


def check_arguments(label: str, start: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Check that `start` can be called with these arguments."""
    # Only classes are remembered: a function may hold on to anything.
    signature = _signature_of(start) if isinstance(start, type) else inspect.signature(start)
    if inspect.iscoroutinefunction(start) and "task_status" in signature.parameters:
        if "task_status" in kwargs:
            raise SpecError(f"child({label}, ...): task_status={kwargs['task_status']!r}.", "leave it out.")
        kwargs = {**kwargs, "task_status": None}  # the supervisor fills that in
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        if options := _OPTIONS.intersection(kwargs).difference(signature.parameters):
            wanted = ", ".join(f"{name}={kwargs[name]!r}" for name in sorted(options))
            raise SpecError(f"child({label}, ...): {error}.", f"write child({label}, ...).replace({wanted}).") from None
        raise SpecError(
            f"child({label}, ...): {error}.",
            f"pass what it is started with: {label}{signature.replace(return_annotation=inspect.Signature.empty)}.",
        ) from None


@lru_cache(1024)
def _signature_of(start: Any) -> inspect.Signature:
    return inspect.signature(start)


def check_id(id: Any, label: str) -> None:
    """Check an id."""
    if not is_name(id):
        raise SpecError(f"{label} {id!r}: that is no id.", NAME_RULE)


def check_address(name: Any, label: str) -> None:
    """Check the name of an actor, or of a pool."""
    if not is_address(name):
        raise SpecError(f"{label} {name!r}: that is no name.", ADDRESS_RULE)


def check_limits(label: str, max_restarts: Any, max_seconds: Any) -> None:
    """Check a restart window."""
    if type(max_restarts) is not int or max_restarts < 0:
        raise SpecError(f"{label}: max_restarts={max_restarts!r}.", "use a whole number, 0 or more.")
    if not (is_seconds(max_seconds) and max_seconds > 0):
        raise SpecError(f"{label}: max_seconds={max_seconds!r}.", "use a number of seconds above zero.")


# What a child spec can be told, and what it is started with cannot.
_OPTIONS = frozenset(
    ("id", "name", "restart", "shutdown", "start_timeout", "significant", "backoff", "budget", "mailbox")
)
_RESTARTS = frozenset(get_args(Restart))


def check_child_options(label: str, restart: Any, shutdown: Any, start_timeout: Any, *, significant: Any) -> None:
    """Check what a child's spec says of its start and its end."""
    if not isinstance(restart, str) or restart not in _RESTARTS:
        raise SpecError(f"{label}: restart={restart!r}.", "use 'permanent', 'transient' or 'temporary'.")
    if not _is_shutdown(shutdown):
        raise SpecError(f"{label}: shutdown={shutdown!r}.", "use seconds (0 or more), 'infinity' or 'brutal_kill'.")
    if start_timeout is not None and not (is_seconds(start_timeout) and start_timeout > 0):
        raise SpecError(f"{label}: start_timeout={start_timeout!r}.", "use seconds above zero, or None for no limit.")
    if type(significant) is not bool:
        raise SpecError(f"{label}: significant={significant!r}.", "use True or False.")
    if significant and restart == "permanent":
        raise SpecError(
            f"{label}: significant=True, and restart='permanent': it never ends, for it is restarted.",
            "write .replace(restart='transient', significant=True).",
        )


def _is_shutdown(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("infinity", "brutal_kill")
    return is_seconds(value) and value >= 0


def check_distinct(label: str, names: Iterable[str | None], option: str, problem: str) -> None:
    """Check that no two of `names` are the same."""
    seen: set[str | None] = set()
    for name in names:
        if name in seen:
            raise SpecError(
                f"{label}: {problem} {name!r}.", f"give one of them another: child(...).replace({option}='...')."
            )
        seen.add(name)


def check_key(label: str, actor: type[Actor], key: Any) -> None:
    """Check that every handler that gets messages has the parameter `key`."""
    if key is None:
        return
    for handler in actor.__handlers__.values():
        if handler.kind is not Kind.EVERY and key not in handler.signature.parameters:
            raise SpecError(
                f"{label}: key={key!r}, and {actor.__name__}.{handler.name}{handler.signature} has no such parameter.",
                f"give it the parameter {key!r}, or move the handler into an actor outside the pool.",
            )
