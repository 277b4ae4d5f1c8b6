"""Actor: the class users write, its hooks and its options."""

import inspect
import sys
from collections.abc import Callable
from math import inf
from types import FrameType
from typing import Any, ClassVar, Literal, TypeVar, cast

import msgspec
from msgspec import Struct

from cliffracer.actor.handlers import MARK, HandlerTable
from cliffracer.actor.mailbox import Mailbox
from cliffracer.actor.ref import Host, Ref
from cliffracer.actor.table import build_table
from cliffracer.codec import Wire
from cliffracer.errors import CallError, DefinitionError, NotRunning, Refusal, snake_case
from cliffracer.exits import Exit, Normal
from cliffracer.names import NAME_RULE, is_name
from cliffracer.observe.logs import Logger

__all__ = ["Actor", "ActorOptions", "ActorStart", "Restart", "ShutdownTime", "Standing", "address_of"]

Restart = Literal["permanent", "transient", "temporary"]
ShutdownTime = float | Literal["infinity", "brutal_kill"]
A = TypeVar("A", bound="Actor")


class ActorOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the class line of an actor may say: `class Orders(Actor, restart="transient", shutdown=10.0)`.

    Attributes:
        name: Its address; the class name in snake case by default.
        restart: "permanent": always restarted. "transient": unless it ended cleanly. "temporary": never.
        shutdown: Seconds it may take to stop before it is cancelled, "infinity", or "brutal_kill" to cancel it at once.
        start_timeout: Seconds that `__init__` and `on_start` may take, or None for no limit.
        mailbox: How much its mailbox holds, and what happens when it is full.
        wire: The form in which refs send to it: "json", which `nats sub` can read, or "msgpack".
    """

    name: str
    restart: Restart = "permanent"
    shutdown: ShutdownTime = 5.0
    start_timeout: float | None = None
    mailbox: Mailbox = Mailbox()
    wire: Wire = "json"


class _Address(Struct, frozen=True):
    """Meets `cliffracer.actor.ref.Address`."""

    name: str
    handlers: HandlerTable
    wire: Wire
    prefer_local: bool | None


class Standing(Struct, frozen=True):
    """Where an actor stands: its name, which incarnation it is, and the node around it."""

    name: str
    incarnation: int
    host: Host
    log: Logger
    stop: Callable[[Exit], None]


class Actor:
    """A service with a mailbox, a state of its own, and one message in hand at a time.

    Write handlers with `@call`, `@cast`, `@event` and `@every`. Each incarnation is a fresh object: `__init__` runs
    again after a crash, and nothing of the old object is kept.

    Attributes:
        answers: Exceptions that are answers rather than crashes. A `Refusal` reaches the caller as it is, a
            `CallError` as `Upstream`, any other class as a `Refusal` that carries its name and no text of it.
    """

    answers: ClassVar[tuple[type[Exception], ...]] = (Refusal, CallError)
    __options__: ClassVar[ActorOptions] = ActorOptions(name="actor")
    __handlers__: ClassVar[HandlerTable] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Check the options and the handlers of a new actor class.

        Raises:
            DefinitionError: Something about the class is wrong; the message shows the line and the fix.
        """
        super().__init_subclass__()
        frame = _frame_of(cls)
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        cls.__options__ = _options_of(cls, options, where)
        _check_overrides(cls, where)
        cls.__handlers__ = build_table(cls, cls.__handlers__, _RESERVED, frame.f_locals)

    async def on_start(self) -> None:
        """Open what this incarnation needs. The next child starts when it returns.

        If it raises, the start has failed.
        """

    async def on_stop(self, reason: Exit) -> None:
        """Close what `on_start` opened. Runs after a crash, too.

        Not if the actor is killed, nor if `on_start` failed.
        """

    @property
    def name(self) -> str:
        """The actor's address."""
        return _standing(self).name

    @property
    def incarnation(self) -> int:
        """How often the actor has been started, this time included."""
        return _standing(self).incarnation

    @property
    def log(self) -> Logger:
        """A structlog logger that carries node, actor, incarnation and correlation id."""
        return _standing(self).log

    def ref(self, actor: type[A], name: str | None = None, *, prefer_local: bool | None = None) -> A:
        """Return a ref to an actor: typed as the actor, and calling a handler of it sends a message.

        Args:
            actor: Its class.
            name: Its name, if it is not the one of the class.
            prefer_local: Whether a replica in this process gets the message without the broker. False shares all
                messages among the replicas of all nodes; None leaves it to the node's setting.
        """
        return ref_to(_standing(self).host, actor, name, prefer_local=prefer_local)

    async def publish(self, subject: str, value: Any) -> None:
        """Publish `value` to `subject`; every `@event` that listens there hears it, on all nodes.

        Raises:
            ValueError: `subject` is no subject.
            TypeError: `value` cannot be encoded.
            MessageTooLarge: It is larger than the broker takes.
            Disconnected: The broker is away; nothing was published.
        """
        await _standing(self).host.publish(subject, value)

    def stop(self) -> None:
        """End this actor normally, after the message in hand. A permanent one is restarted all the same."""
        _standing(self).stop(Normal())


_RESERVED = frozenset(name for name in dir(Actor) if not name.startswith("__"))


_HOOKS = {"on_start": "async def on_start(self) -> None", "on_stop": "async def on_stop(self, reason: Exit) -> None"}


def _check_overrides(cls: type[Actor], where: str) -> None:
    """Refuse class bodies that take away what `Actor` gives, and hooks that could not be awaited."""
    for name in sorted(_RESERVED.intersection(vars(cls)) - {"answers"}):
        value = vars(cls)[name]
        if hasattr(value, MARK):
            continue  # a handler with a reserved name: told with its own line
        if name not in _HOOKS:
            raise DefinitionError(where, f"{cls.__name__}.{name} hides Actor.{name}.", "give it another name.")
        wanted = len(inspect.signature(getattr(Actor, name)).parameters)
        if not inspect.iscoroutinefunction(value) or len(inspect.signature(value).parameters) != wanted:
            raise DefinitionError(
                where, f"{cls.__name__}.{name} cannot be awaited so.", f"write '{_HOOKS[name]}: ...'."
            )
    if "answers" in vars(cls) and not hasattr(vars(cls)["answers"], MARK):
        _check_answers(cls, where, vars(cls)["answers"])


def _check_answers(cls: type[Actor], where: str, answers: object) -> None:
    classes = cast("tuple[object, ...]", answers) if isinstance(answers, tuple) else (None,)
    if not all(isinstance(one, type) and issubclass(one, Exception) for one in classes):
        raise DefinitionError(
            where, f"{cls.__name__}.answers is {answers!r}.", "use a tuple of exception classes: (Refusal, CallError)."
        )


def _frame_of(cls: type) -> FrameType:
    """Return the frame in which the class statement stands; it has its line, and the types defined beside it."""
    caller = sys._getframe(2)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    frame: FrameType | None = caller
    while frame is not None and frame.f_globals.get("__name__") != cls.__module__:
        frame = frame.f_back  # a metaclass stands between
    return frame or caller


def _standing(actor: Actor) -> Standing:
    standing = actor.__dict__.get("_standing")
    if isinstance(standing, Standing):
        return standing
    raise NotRunning(
        f"this {type(actor).__name__} is a plain object, it is not running. "
        f"Put child({type(actor).__name__}, ...) into a Supervisor and run it in a Node."
    )


def ref_to(host: Host, actor: type[A], name: str | None, *, prefer_local: bool | None) -> A:
    """Return a ref on `host`, typed as the actor it points to.

    Raises:
        TypeError: `actor` is no actor class.
        ValueError: `name` is no name.
    """
    if not (isinstance(actor, type) and issubclass(actor, Actor)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"ref() takes an actor class and not {actor!r}; write ref(Inventory) or ref(Inventory, 'its_name')."
        )
    if name is not None and not is_name(name):
        raise ValueError(f"{name!r} is no actor name: {NAME_RULE}")
    return cast("A", Ref(host, address_of(actor, name, prefer_local=prefer_local), actor.__name__))


def address_of(actor: type[Actor], name: str | None = None, *, prefer_local: bool | None = None) -> _Address:
    """Return the address of `actor`, under its own name or another."""
    options = actor.__options__
    return _Address(name or options.name, actor.__handlers__, options.wire, prefer_local)


class ActorStart(Struct, frozen=True):
    """How to make one incarnation of an actor: its class and the arguments of the constructor."""

    actor: type[Actor]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}

    def make(self, standing: Standing) -> Actor:
        """Return a fresh object; it knows where it stands before its `__init__` runs, so `self.ref` works there."""
        actor = self.actor.__new__(self.actor)
        actor.__dict__["_standing"] = standing
        actor.__init__(*self.args, **self.kwargs)  # type: ignore[misc]
        return actor


def _options_of(cls: type[Actor], options: dict[str, Any], where: str) -> ActorOptions:
    inherited = cls.__options__
    # The name is the class's own; the other options are inherited.
    known = {field: getattr(inherited, field) for field in ActorOptions.__struct_fields__}
    if unknown := sorted(set(options) - set(known)):
        raise DefinitionError(
            where, f"class {cls.__name__}: unknown option {unknown[0]!r}.", f"use one of {', '.join(sorted(known))}."
        )
    chosen = {**known, "name": snake_case(cls.__name__).strip("_"), **options}
    if not is_name(chosen["name"]):
        raise DefinitionError(
            where,
            f"class {cls.__name__}: {chosen['name']!r} is no actor name.",
            f"write class {cls.__name__}(Actor, name='...'): {NAME_RULE}",
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
    return converted


_OPTIONS_HELP = (
    "restart is 'permanent', 'transient' or 'temporary'; shutdown is seconds, 'infinity' or 'brutal_kill'; "
    "start_timeout is seconds above zero or None; mailbox is a Mailbox(...); wire is 'json' or 'msgpack'."
)
