"""What the class line of an actor may say, and how a child is treated when it ends."""

from math import inf, isfinite
from typing import Any, Literal

import msgspec
from msgspec import Struct

from cliffracer.actor.mailbox import Mailbox
from cliffracer.codec import Wire
from cliffracer.errors import DefinitionError, snake_case
from cliffracer.names import ADDRESS_RULE, is_address

__all__ = ["ActorOptions", "Backoff", "Restart", "ShutdownTime", "is_seconds", "options_of"]

Restart = Literal["permanent", "transient", "temporary"]
ShutdownTime = float | Literal["infinity", "brutal_kill"]


class Backoff(Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait before a child is started again.

    The wait is `initial` seconds after the first crash or failed start, `factor` times as long after each further
    one, never longer than `maximum`. An incarnation that ran for `maximum` seconds or more begins anew with
    `initial`. Meanwhile the child is `restarting`.

    Attributes:
        initial: Seconds, above zero.
        maximum: Seconds, `initial` or more.
        factor: 1 or more.
        jitter: The part of each wait that is left to chance, from 0 to 1: with 0.2, a wait of 10 s takes 8 s to 10 s.
            So the nodes of a fleet do not all come back in the same moment.
    """

    initial: float = 1.0
    maximum: float = 60.0
    factor: float = 2.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A value is out of range.
        """
        for field in ("initial", "maximum", "factor", "jitter"):
            if not is_seconds(getattr(self, field)):
                raise ValueError(f"Backoff({field}=...) takes a number, not {getattr(self, field)!r}")
        if self.initial <= 0:
            raise ValueError(f"Backoff(initial=...) takes seconds above zero, not {self.initial!r}")
        if self.maximum < self.initial:
            raise ValueError(f"Backoff(maximum=...) takes {self.initial!r} s (initial) or more, not {self.maximum!r}")
        if self.factor < 1:
            raise ValueError(f"Backoff(factor=...) takes 1 or more, not {self.factor!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"Backoff(jitter=...) takes a number from 0 to 1, not {self.jitter!r}")

    def seconds(self, failures: int, chance: float) -> float:
        """Return how long to wait.

        Args:
            failures: How many failures in a row there were before this one.
            chance: From 0 up to 1; what `jitter` is multiplied with.
        """
        wait = self.initial
        for _ in range(failures):
            wait *= self.factor
            if wait >= self.maximum:
                break
        return min(wait, self.maximum) * (1 - self.jitter * chance)


class ActorOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the class line of an actor may say: `class Orders(Actor, restart="transient", shutdown=10.0)`.

    Attributes:
        name: Its address; the class name in snake case by default.
        restart: "permanent": always restarted. "transient": unless it ended cleanly. "temporary": never.
        shutdown: Seconds it may take to stop before it is cancelled, "infinity", or "brutal_kill" to cancel it at once.
        start_timeout: Seconds that `__init__` and `on_start` may take, or None for no limit.
        significant: Whether its own end counts for the `auto_shutdown` of its supervisor.
        backoff: How long to wait before a restart; None for not at all, as in OTP.
        mailbox: How much its mailbox holds, and what happens when it is full.
        wire: The form in which refs send to it: "json", which `nats sub` can read, or "msgpack".
    """

    name: str
    restart: Restart = "permanent"
    shutdown: ShutdownTime = 5.0
    start_timeout: float | None = None
    significant: bool = False
    backoff: Backoff | None = None
    mailbox: Mailbox = Mailbox()
    wire: Wire = "json"


def options_of(cls: type, inherited: ActorOptions, options: dict[str, Any], where: str) -> ActorOptions:
    """Return the options of a new actor class.

    Args:
        cls: The class.
        inherited: Those of the class above. The name is each class's own.
        options: What its class line says.
        where: Its source line, for errors.

    Raises:
        DefinitionError: An option is unknown, or its value is wrong.
    """
    known = {field: getattr(inherited, field) for field in ActorOptions.__struct_fields__}
    if unknown := sorted(set(options) - set(known)):
        raise DefinitionError(
            where, f"class {cls.__name__}: unknown option {unknown[0]!r}.", f"use one of {', '.join(sorted(known))}."
        )
    chosen = {**known, "name": snake_case(cls.__name__).strip("_"), **options}
    if not is_address(chosen["name"]):
        raise DefinitionError(
            where,
            f"class {cls.__name__}: {chosen['name']!r} is no actor name.",
            f"write class {cls.__name__}(Actor, name='...'): {ADDRESS_RULE}",
        )
    try:
        converted = msgspec.convert(chosen, ActorOptions)
    except msgspec.ValidationError as error:
        raise DefinitionError(where, f"class {cls.__name__}: {error}.", _OPTIONS_HELP) from None
    timeout, shutdown = converted.start_timeout, converted.shutdown
    if timeout is not None and not 0 < timeout < inf:
        raise DefinitionError(where, f"class {cls.__name__}: start_timeout={timeout!r}.", _OPTIONS_HELP)
    if isinstance(shutdown, float) and not 0 <= shutdown < inf:
        raise DefinitionError(where, f"class {cls.__name__}: shutdown={shutdown!r}.", _OPTIONS_HELP)
    if converted.significant and converted.restart == "permanent":
        raise DefinitionError(
            where,
            f"class {cls.__name__}: significant=True, and restart='permanent': it never ends, for it is restarted.",
            "write restart='transient' or restart='temporary'.",
        )
    return converted


_OPTIONS_HELP = (
    "restart is 'permanent', 'transient' or 'temporary'; shutdown is seconds, 'infinity' or 'brutal_kill'; "
    "start_timeout is seconds above zero or None; significant is True or False; backoff is a Backoff(...) or None; "
    "mailbox is a Mailbox(...); wire is 'json' or 'msgpack'."
)


def is_seconds(value: object) -> bool:
    """Tell whether `value` is a finite number, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
