"""Actor: the class users write, its hooks and its options."""

import inspect
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, ClassVar, Protocol, TypeVar, cast, overload

from msgspec import Struct

from cliffracer.actor.handlers import MARK, HandlerTable
from cliffracer.actor.host import HasPath, Host, NodeControl
from cliffracer.actor.links import Bonds, Down
from cliffracer.actor.mailbox import MessageQueue
from cliffracer.actor.nodes import NodeDown, NodeUp
from cliffracer.actor.options import ActorOptions, options_of
from cliffracer.actor.publications import Publications, build_publications
from cliffracer.actor.ref import Ref
from cliffracer.actor.table import build_table
from cliffracer.codec import Wire
from cliffracer.envelope import Stop
from cliffracer.errors import CallError, DefinitionError, NotRunning, Refusal
from cliffracer.exits import Exit, Normal
from cliffracer.names import ADDRESS_RULE, is_address
from cliffracer.observe.logs import Logger

__all__ = ["Actor", "ActorStart", "Referable", "Standing", "address_of", "ref_to"]

A = TypeVar("A", bound="Actor")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
_DONE = Normal()


class _Address(Struct, frozen=True):
    """Meets `cliffracer.actor.ref.Address`."""

    name: str
    module: str
    handlers: HandlerTable
    wire: Wire
    prefer_local: bool | None


class Standing:
    """Where an actor stands: its name, which incarnation it is, and the node around it.

    Attributes:
        name: The actor's.
        incarnation: Which one it is.
        host: The node.
        last_word: The reason that the actor gave when it last called `stop`.
    """

    __slots__ = ("_bonds", "_is_over", "_log", "_queue", "host", "incarnation", "last_word", "name")

    def __init__(self, name: str, incarnation: int, host: Host, queue: MessageQueue) -> None:
        self.name = name
        self.incarnation = incarnation
        self.host = host
        self.last_word: Exit | None = None
        self._queue = queue
        self._is_over = False
        # Ten thousand idle actors have neither, unless they used it.
        self._log: Logger | None = None
        self._bonds: Bonds | None = None

    @property
    def log(self) -> Logger:
        """The actor's logger."""
        if self._log is None:
            self._log = self.host.log.bind(actor=self.name, incarnation=self.incarnation)
        return self._log

    @property
    def bonds(self) -> Bonds:
        """The actor's links and monitors."""
        if self._bonds is None:
            self._bonds = Bonds(self.name, self.host, self._queue.put_signal)
            if self._is_over:
                self._bonds.release()
        return self._bonds

    def stop(self, reason: Exit) -> None:
        """End after the message in hand; a call in `on_stop` changes the reason."""
        if self._is_over:
            return  # called by something that outlived the actor; the next incarnation is none of its business
        self.last_word = reason
        self._queue.put_signal(Stop(reason, ordered=False))

    def take_last_word(self) -> Exit | None:
        """Return the reason that was given last, and forget it."""
        word, self.last_word = self.last_word, None
        return word

    def release(self) -> None:
        """Let go of links and monitors: the actor has ended."""
        self._is_over = True
        if self._bonds is not None:
            self._bonds.release()


class Referable(Protocol[R_co]):
    """A class that `ref` takes besides actor classes: it makes the object itself. `ChildRef`, `SupervisorRef`."""

    @classmethod
    def ref_on(cls, host: Host, path: str) -> R_co:
        """Return what points to `path` on `host`."""
        ...


class Actor:
    """A service with a mailbox, a state of its own, and one message in hand at a time.

    Write handlers with `@call`, `@cast`, `@event` and `@every`. Each incarnation is a fresh object: `__init__` runs
    again after a crash, and nothing of the old object is kept.

    Attributes:
        answers: Exceptions that are answers rather than crashes. A `Refusal` reaches the caller as it is, a
            `CallError` as `Upstream`, any other class as a `Refusal` that carries its name and no text of it.
        publishes: What it publishes, subject by subject: `{"orders.{order_id}.cancelled": OrderCancelled}`. `publish`
            is held to it, a subclass adds to it, and the schema of the tree shows it. Without it, anything goes.
    """

    answers: ClassVar[tuple[type[Exception], ...]] = (Refusal, CallError)
    publishes: ClassVar[Mapping[str, Any]] = {}
    __options__: ClassVar[ActorOptions] = ActorOptions(name="actor")
    __handlers__: ClassVar[HandlerTable] = {}
    __publications__: ClassVar[Publications] = Publications()

    def __init_subclass__(cls, **options: Any) -> None:
        """Check the options and the handlers of a new actor class.

        Raises:
            DefinitionError: Something about the class is wrong; the message shows the line and the fix.
        """
        super().__init_subclass__()
        frame = _frame_of(cls)
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        cls.__options__ = options_of(cls, cls.__options__, options, where)
        _check_overrides(cls, where)
        cls.__handlers__ = build_table(cls, cls.__handlers__, _RESERVED, frame.f_locals)
        cls.__publications__ = build_publications(cls, where)

    async def on_start(self) -> None:
        """Open what this incarnation needs. The next child starts when it returns.

        If it raises, the start has failed.
        """

    async def on_stop(self, reason: Exit) -> None:
        """Close what `on_start` opened. Runs after a crash, too.

        Not if the actor is killed, nor if `on_start` failed. It has the actor's `shutdown` time; then it is cancelled.
        """

    async def on_down(self, down: Down) -> None:
        """Hear that something this actor monitors has ended. Runs between two messages, ahead of those that wait."""

    async def on_node_change(self, change: NodeUp | NodeDown) -> None:
        """Hear that a node has joined, or has gone; `monitor_nodes` asks for it. Runs between two messages."""

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

    @overload
    def ref(self, target: type[A], name: str | None = None, *, prefer_local: bool | None = None) -> A: ...
    @overload
    def ref(self, target: type[Referable[R]], name: str) -> R: ...
    def ref(self, target: Any, name: str | None = None, *, prefer_local: bool | None = None) -> Any:
        """Return a ref to an actor: typed as the actor, and calling a handler of it sends a message.

        Args:
            target: Its class; or `SupervisorRef`, `TaskSupervisorRef` or `ChildRef` for what is no actor.
            name: Its name, if it is not the one of the class. For what is no actor its path, `shop/sessions`, or
                as much of the end of it as no other has, `sessions`.
            prefer_local: Whether a replica in this process gets the message without the broker. False shares all
                messages among the replicas of all nodes; None leaves it to the node's setting.
        """
        return ref_to(_standing(self).host, target, name, prefer_local=prefer_local)

    @property
    def node(self) -> NodeControl:
        """What can be done to what runs on this node: stop, suspend, resume, get_state. And the other nodes."""
        return _standing(self).host.control

    def monitor(self, target: "Actor | HasPath") -> None:
        """Ask to be told when `target` ends: `on_down` runs once.

        It is about the incarnation that runs now, so a restarted target is to be monitored again. An actor that does
        not run on this node is looked for on the others; of several replicas one is monitored. If that node dies,
        `on_down` runs with the reason `NodeLost`. If nothing runs there, it runs soon, with the reason `NoActor`.
        Functions, supervisors and single members of a pool are found on this node only.

        Raises:
            TypeError: `target` is no ref.
            ValueError: It is this actor; or a path is the end of several.
        """
        _standing(self).bonds.monitor(target)

    def demonitor(self, target: "Actor | HasPath") -> None:
        """Ask no more; a `Down` that waits to be heard is dropped, too."""
        _standing(self).bonds.demonitor(target)

    def monitor_nodes(self) -> None:
        """Ask to be told of every node that joins or goes: `on_node_change` runs each time, from now on.

        `self.node.nodes()` returns those that are there already.
        """
        _standing(self).bonds.monitor_nodes()

    def demonitor_nodes(self) -> None:
        """Ask no more; a change that waits to be heard is dropped, too."""
        _standing(self).bonds.demonitor_nodes()

    def link(self, target: "Actor | HasPath") -> None:
        """Fall together: if one of the two ends other than normally, so does the other, with the reason `LinkLost`.

        It is about the incarnations that run now, so `on_start` is the place for it. If nothing runs there, on this
        node, this actor falls at once. A supervisor never falls for a link; who is linked to it does.

        Raises:
            TypeError: `target` is no ref.
            ValueError: It is this actor; or a path is the end of several.
        """
        _standing(self).bonds.link(target)

    def unlink(self, target: "Actor | HasPath") -> None:
        """Fall together no more."""
        _standing(self).bonds.unlink(target)

    async def publish(self, subject: str, value: Any) -> None:
        """Publish `value` to `subject`; every `@event` that listens there hears it, on all nodes.

        Raises:
            ValueError: `subject` is no subject, or none of those that the class declares in `publishes`.
            TypeError: `value` cannot be encoded, or is not of the type that the class declares for this subject.
            MessageTooLarge: It is larger than the broker takes.
            Disconnected: The broker is away; nothing was published.
        """
        host = _standing(self).host
        self.__publications__.check(type(self).__name__, subject, value)
        await host.publish(subject, value)

    def stop(self, reason: Exit = _DONE) -> None:
        """End this actor, after the message in hand. A permanent one is restarted all the same.

        Args:
            reason: Why. Called in `on_stop`, it replaces the reason for which the actor was told to stop.
        """
        _standing(self).stop(reason)


_RESERVED = frozenset(name for name in dir(Actor) if not name.startswith("__"))


_HOOKS = {
    "on_start": "async def on_start(self) -> None",
    "on_stop": "async def on_stop(self, reason: Exit) -> None",
    "on_down": "async def on_down(self, down: Down) -> None",
    "on_node_change": "async def on_node_change(self, change: NodeUp | NodeDown) -> None",
}


def _check_overrides(cls: type[Actor], where: str) -> None:
    """Refuse class bodies that take away what `Actor` gives, and hooks that could not be awaited."""
    for name in sorted(_RESERVED.intersection(vars(cls)) - {"answers", "publishes"}):
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


def ref_to(host: Host, target: Any, name: str | None, *, prefer_local: bool | None) -> Any:
    """Return a ref on `host`, typed as the actor it points to, or what `target` makes of the name.

    Raises:
        TypeError: `target` is no class of which there are refs.
        ValueError: `name` is no name.
    """
    if isinstance(target, type) and issubclass(target, Actor):
        if name is not None and not is_address(name):
            raise ValueError(f"{name!r} is no actor name: {ADDRESS_RULE}")
        return Ref(host, address_of(target, name, prefer_local=prefer_local), target.__name__)
    ref_on = getattr(cast("object", target), "ref_on", None)
    if ref_on is None:
        raise TypeError(
            f"ref() takes an actor class and not {target!r}; write ref(Inventory) or ref(Inventory, 'its_name')."
        )
    if name is None:
        raise ValueError(f"ref({target.__name__}) needs a path; write ref({target.__name__}, 'shop/sessions').")
    return ref_on(host, name)


def address_of(actor: type[Actor], name: str | None = None, *, prefer_local: bool | None = None) -> _Address:
    """Return the address of `actor`, under its own name or another."""
    options = actor.__options__
    return _Address(name or options.name, actor.__module__, actor.__handlers__, options.wire, prefer_local)


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
