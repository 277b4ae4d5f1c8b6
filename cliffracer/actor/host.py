"""What actors and refs need of the process they are in, and of one another."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from cliffracer.actor.dead_letters import DeadLetter, DeadLetters
from cliffracer.actor.handlers import HandlerTable
from cliffracer.actor.nodes import NodeDown, NodeInfo, NodeLost, NodeUp
from cliffracer.actor.timers import Timers
from cliffracer.codec import Wire
from cliffracer.envelope import Message
from cliffracer.exits import Exit
from cliffracer.observe.logs import Logger

__all__ = ["Address", "Destination", "HasPath", "Host", "NodeControl", "Target", "TellDown", "Watched", "Watcher"]

TellDown: TypeAlias = Callable[[Exit | NodeLost | None, int, str], None]
"""Hears, once, that an actor of another node has ended: why (None if it did not run), its incarnation, its node."""

Target: TypeAlias = Any
"""A ref, typed as its actor; a `ChildRef`; or a `SupervisorRef`."""


class HasPath(Protocol):
    """What points to something by its place in the tree."""

    @property
    def path(self) -> str:
        """The ids from the root down to it, joined by `/`."""
        ...


class Address(Protocol):
    """What a ref knows of the actor it points to."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def module(self) -> str:
        """The name of the module in which its class is defined."""
        ...

    @property
    def handlers(self) -> HandlerTable:
        """Its class's handlers."""
        ...

    @property
    def wire(self) -> Wire:
        """The form of its payloads."""
        ...

    @property
    def prefer_local(self) -> bool | None:
        """Whether to prefer a replica in this process; None leaves it to the node."""
        ...


class Destination(Protocol):
    """Where a message can be sent: a cell in this process, or an address elsewhere."""

    async def call(self, message: Message, give_up: float) -> Any:
        """Send `message` and wait for its answer.

        Args:
            message: The message; `reply_to` is still open and is filled in here.
            give_up: When to stop waiting, in seconds of the node's clock. Infinite where a cancel scope of the
                caller sees to that.

        Raises:
            CallError: There is no answer.
            Refusal: The handler says no.
        """
        ...

    async def cast(self, message: Message) -> None:
        """Send `message`; return when it is queued, here or with the broker.

        Raises:
            CallError: It could not be queued.
        """
        ...


class Watcher(Protocol):
    """Hears, once, that a process has ended."""

    def tell(self, reason: Exit, incarnation: int) -> None:
        """Hear that it ended."""
        ...


class Watched(Protocol):
    """One incarnation of anything that a supervisor runs."""

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` when this ends."""
        ...

    def unwatch(self, watcher: Watcher) -> None:
        """Do not tell it; harmless if it is not there."""
        ...

    def fall(self, reason: Exit) -> None:
        """End for `reason`, if it runs, and if it is no supervisor: those stand whatever they are linked to."""
        ...


class NodeControl(Protocol):
    """What can be done to what runs on this node; `Actor.node` and `Node` both offer it."""

    @property
    def name(self) -> str:
        """How the node is called in logs."""
        ...

    async def stop(self, target: Target, reason: Exit = ...) -> None:
        """End an actor, a function or a supervisor, and wait until it is gone."""
        ...

    async def suspend(self, actor: Target) -> None:
        """Let an actor take no more messages."""
        ...

    async def resume(self, actor: Target) -> None:
        """Let it take messages again."""
        ...

    async def get_state(self, actor: Target) -> Mapping[str, Any]:
        """Return a copy of an actor's state."""
        ...

    def nodes(self) -> tuple[NodeInfo, ...]:
        """Return the other nodes of this namespace that are there."""
        ...

    def on_dead_letter(self, subscriber: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Have `subscriber` called with each message that is dropped on this node; return what ends that."""
        ...


class Host(Protocol):
    """What actors and refs need of the node they are in."""

    @property
    def log(self) -> Logger:
        """The node's logger."""
        ...

    @property
    def timers(self) -> Timers:
        """The node's timers and, in them, its clock."""
        ...

    @property
    def call_timeout(self) -> float:
        """Seconds that a call may take where nothing else limits it."""
        ...

    @property
    def dead_letters(self) -> DeadLetters:
        """What was dropped here."""
        ...

    @property
    def draining(self) -> bool:
        """Whether the node is emptying its mailboxes: then nothing ticks any more."""
        ...

    @property
    def control(self) -> NodeControl:
        """What can be done to what runs here."""
        ...

    def route(self, address: Address) -> Destination:
        """Return where a message for `address` goes at this moment."""
        ...

    def find_process(self, target: Target) -> Watched | None:
        """Return the incarnation that runs there, or None.

        Raises:
            TypeError: `target` points to nothing that could run.
        """
        ...

    def place_of(self, target: Target) -> str:
        """Return a key for what `target` points to: the same for each ref to it.

        Raises:
            TypeError: `target` points to nothing that could run.
        """
        ...

    def find_process_of(self, name: str) -> Watched | None:
        """Return the incarnation of the actor of this name that runs here, or None."""
        ...

    def watch_elsewhere(self, name: str, tell: TellDown) -> Callable[[], None]:
        """Have `tell` called when the actor of this name ends, on another node; return what ends the watch."""
        ...

    def watch_nodes(self, tell: Callable[[NodeUp | NodeDown], None]) -> Callable[[], None]:
        """Have `tell` called for each node that joins or goes; return what ends the watch."""
        ...

    async def publish(self, subject: str, value: Any) -> None:
        """Publish an event."""
        ...
