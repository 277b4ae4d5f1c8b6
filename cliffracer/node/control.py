"""What can be done to what runs on this node. Meets `NodeControl`."""

from collections.abc import Callable
from typing import Any, Protocol

from cliffracer.actor.cell import Cell
from cliffracer.actor.dead_letters import DeadLetter
from cliffracer.actor.host import Host, Target
from cliffracer.actor.nodes import NodeInfo
from cliffracer.actor.ref import find_address, label_of
from cliffracer.actor.waiters import EventWaiter, Reply
from cliffracer.envelope import Inspect, Resume, Suspend, current_message
from cliffracer.errors import NoActor, Stopping, WouldWaitForItself
from cliffracer.exits import Exit, Killed, Normal
from cliffracer.node.peers import Peers
from cliffracer.supervision.process import Process, asking_process

__all__ = ["Control"]

_NORMAL = Normal()


class ControlHost(Host, Protocol):
    """What this needs of the node."""

    def find_process(self, target: Target) -> Process | None:
        """Return the incarnation that runs there, or None."""
        ...

    def find_process_of(self, name: str) -> Process | None:
        """Return the incarnation of the actor of this name, or None."""
        ...

    def is_root(self, path: str) -> bool:
        """Tell whether the root supervisor is at `path`."""
        ...

    @property
    def peers(self) -> Peers:
        """The other nodes."""
        ...


class Control:
    """Orders to actors, functions and supervisors of this node."""

    def __init__(self, host: ControlHost, name: str) -> None:
        self._host = host
        self.name = name

    async def stop(self, target: Target, reason: Exit = _NORMAL) -> None:
        """End what runs there for `reason`, after the message in hand, and wait until it is gone.

        A supervisor stops its children first. With `Killed()` it is cancelled at once. What its supervisor does then,
        the spec says: a permanent child is restarted.

        Raises:
            NoActor: Nothing runs there, on this node.
            WouldWaitForItself: Whoever asks is what is to end, or within it; there is `self.stop()` for that.
        """
        process = self._running(target)
        asking = self._asking()
        if asking is not None and f"{asking.record.path}/".startswith(f"{process.record.path}/"):
            raise WouldWaitForItself(f"{asking.record.path!r} would wait for its own end; call self.stop() instead.")
        if isinstance(reason, Killed):
            process.kill()
        else:
            process.request_stop(reason, ordered=False)
        await process.wait_ended()

    async def suspend(self, actor: Target) -> None:
        """Let `actor` take no more messages, after the one in hand; they wait. It can be stopped all the same.

        The next incarnation takes messages again, and so does every actor when the node drains.

        Raises:
            NoActor: No such actor runs on this node.
        """
        self._cell(actor).queue.put_signal(Suspend())

    async def resume(self, actor: Target) -> None:
        """Let a suspended `actor` take messages again.

        Raises:
            NoActor: No such actor runs on this node.
        """
        self._cell(actor).queue.put_signal(Resume())

    async def get_state(self, actor: Target) -> dict[str, Any]:
        """Return a copy of the attributes of `actor`, in plain types, as it is between two messages.

        For tests and operators: an actor's state is its own. What is of no plain type is shown as its `repr`.

        Raises:
            NoActor: No such actor runs on this node.
            Stopping: It ended before it came to that.
            WouldWaitForItself: It is the actor that asks.
        """
        cell, process = self._cell(actor), self._running(actor)
        if process is self._asking():
            raise WouldWaitForItself(f"{label_of(actor)!r} would wait for its own answer; it is `vars(self)`.")
        reply = Reply(EventWaiter())
        ended = _Ended(reply, label_of(actor))
        process.watch(ended)
        cell.queue.put_signal(Inspect(reply))
        try:
            state: dict[str, Any] = await reply.wait()
        finally:
            process.unwatch(ended)
        return state

    def nodes(self) -> tuple[NodeInfo, ...]:
        """Return the other nodes of this namespace that are there, in the order in which they were met."""
        return self._host.peers.nodes()

    def on_dead_letter(self, subscriber: Callable[[DeadLetter], None]) -> Callable[[], None]:
        """Have `subscriber` called with each cast and event that is dropped on this node.

        It is called where the message is dropped, a hundred thousand times a second if it has to be: it must neither
        wait nor work. If it raises, that is logged, and it is called again for the next one.

        Returns:
            What ends that. An actor that subscribes calls it in `on_stop`.
        """
        return self._host.dead_letters.subscribe(subscriber)

    def _running(self, target: Target) -> Process:
        process = self._host.find_process(target)
        if process is None:
            label = label_of(target)
            if find_address(target) is None and "/" not in label and self._host.is_root(label):
                raise NoActor(label, "the root supervisor ends with its node: leave the block, or send SIGTERM")
            raise NoActor(label, "nothing of that name runs on this node")
        return process

    def _asking(self) -> Process | None:
        current = current_message.get()
        if current is not None and current.to:
            return self._host.find_process_of(current.to)
        return asking_process.get()

    def _cell(self, actor: Target) -> Cell:
        if find_address(actor) is None:
            raise TypeError(f"{actor!r} is no actor; write ref(Inventory).")
        cell = self._running(actor).inner
        if not isinstance(cell, Cell):
            label = label_of(actor)
            raise TypeError(f"{label!r} is a pool; name one of its members: ref(YourActor, '{label}-0').")
        return cell


class _Ended:
    """Lets a question fail whose actor has ended. Meets `Watcher`."""

    def __init__(self, reply: Reply, name: str) -> None:
        self._reply = reply
        self._name = name

    def tell(self, reason: Exit, incarnation: int) -> None:
        """Hear that it ended."""
        del incarnation
        self._reply.fail(Stopping(self._name, f"it ended before it could answer: {reason}"))
