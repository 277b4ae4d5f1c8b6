"""The other nodes: who is there, who has joined, who has gone. No server is needed for it but the broker.

A node says "hello" when it starts, and when it is connected again; the others answer that they are here. From then on
each says so five times in `node_timeout` seconds. Who stops in order says "bye"; who is silent for `node_timeout`
counts as gone. A node that is alone says nothing.

    [ns.]$CLIFFRACER.nodes      to all: hello, here, bye
    [ns.]$CLIFFRACER.nodes.ID   to one: here
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import anyio
import msgspec
from anyio.abc import TaskStatus
from msgspec import Meta, Struct

from cliffracer.actor.nodes import NodeDown, NodeInfo, NodeUp
from cliffracer.actor.timers import Clock
from cliffracer.codec import encode
from cliffracer.errors import NotConnected, OutboundFull
from cliffracer.observe.logs import Logger, Throttle, shortened
from cliffracer.transport.contract import Headers, Transport

__all__ = ["NodeId", "NodeName", "Peers"]

_SUBJECT = "$CLIFFRACER.nodes"
_BEATS = 5  # in the time after which a silent node counts as gone

NodeId = Annotated[str, Meta(pattern="^[0-9a-zA-Z_-]{1,64}$")]
NodeName = Annotated[str, Meta(min_length=1, max_length=256)]


class _Hello(Struct, tag="hello"):
    """I have just come, or come back: who is there?"""

    id: NodeId
    name: NodeName


class _Here(Struct, tag="here", omit_defaults=True):
    """I am here.

    `met` is whether I have only just heard of you: if you know me already, I had taken you for gone.
    """

    id: NodeId
    name: NodeName
    met: bool = False


class _Bye(Struct, tag="bye"):
    """I go."""

    id: NodeId
    name: NodeName


_Word = _Hello | _Here | _Bye
_WORDS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Word)


def _subject_of(node_id: str) -> str:
    """Return the subject of what is for one node alone."""
    return f"{_SUBJECT}.{node_id}"


class Peers:
    """What one node knows of the others."""

    def __init__(
        self, transport: Transport, prefix: str, me: NodeInfo, timeout: float, clock: Clock, log: Logger
    ) -> None:
        """Prepare; nothing is said.

        Args:
            transport: The way to the others.
            prefix: The namespace with its dot, or nothing.
            me: This node.
            timeout: Seconds of silence after which another one counts as gone.
            clock: The node's.
            log: Hears who joins and who goes.
        """
        self.me = me
        self._transport = transport
        self._prefix = prefix
        self._timeout = timeout
        self._clock = clock
        self._log = log
        self._nodes: dict[str, NodeInfo] = {}  # the others, by id
        self._heard: dict[str, float] = {}  # when they were last heard of
        self._company = anyio.Event()  # we are not alone any more
        self._watches: dict[object, Callable[[NodeUp | NodeDown], None]] = {}
        self._rejections = Throttle(1.0, clock)
        self.on_forgotten: Callable[[NodeInfo], None] | None = None
        """Told that another node had taken this one for gone, and so has forgotten what it was asked to watch."""

    def nodes(self) -> tuple[NodeInfo, ...]:
        """Return the others, in the order in which they were met."""
        return tuple(self._nodes.values())

    def watch(self, tell: Callable[[NodeUp | NodeDown], None]) -> Callable[[], None]:
        """Have `tell` called for each node that joins or goes; return what ends that."""
        key = object()
        self._watches[key] = tell

        def end() -> None:
            self._watches.pop(key, None)

        return end

    # The child

    async def open(self) -> None:
        """Listen."""
        for subject in (_SUBJECT, _subject_of(self.me.id)):
            await self._transport.subscribe(f"{self._prefix}{subject}", self._take)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be the child: say that this node is there, and notice who is not."""
        self._say(_Hello(self.me.id, self.me.name))
        task_status.started()
        beat = self._timeout / _BEATS
        try:
            while True:
                if not self._nodes:
                    self._company = anyio.Event()
                    await self._company.wait()
                before = self._clock()
                await anyio.sleep(beat)
                if self._clock() - before > 2 * beat:
                    self._forgive()  # it is we who were away: the loop was blocked
                elif self._transport.is_connected:
                    self._say(_Here(self.me.id, self.me.name))
                    self._look_around()
        finally:
            self._say(_Bye(self.me.id, self.me.name))

    def connection_changed(self, is_there: bool) -> None:
        """Hear that the connection is lost, or back. While it is lost, nobody's silence means anything."""
        if is_there:
            self._forgive()
            self._say(_Hello(self.me.id, self.me.name))

    def _say(self, word: _Word, to: str = _SUBJECT) -> None:
        try:
            self._transport.publish_nowait(f"{self._prefix}{to}", encode(word, "json"))
        except (NotConnected, OutboundFull):
            return  # the next beat says as much; after a lost connection, another hello

    def _forgive(self) -> None:
        self._heard = dict.fromkeys(self._nodes, self._clock())

    def _look_around(self) -> None:
        silent_since = self._clock() - self._timeout
        for id in [id for id, heard in self._heard.items() if heard < silent_since]:
            self._remove(id, "silent")

    # Hear

    def _take(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> None:
        del reply, headers
        try:
            word = _WORDS.decode(payload)
        except (ValueError, RecursionError) as error:
            self.reject(subject, str(error))
            return
        self.take(word)

    def reject(self, subject: str, problem: str) -> None:
        """Log, at most once a second, a word that is none."""
        if self._rejections.ready():
            self._log.warning("message_rejected", actor="$node", subject=subject, problem=shortened(problem))

    def take(self, word: _Word) -> None:
        """Hear a word of another node."""
        node = NodeInfo(word.id, word.name)
        if node.id == self.me.id:
            return
        if isinstance(word, _Bye):
            if node.id in self._nodes:
                self._remove(node.id, "left")
            return
        is_new = self.heard(node)
        if isinstance(word, _Hello):
            self._say(_Here(self.me.id, self.me.name, met=is_new), _subject_of(node.id))
        elif word.met and not is_new and self.on_forgotten is not None:
            self.on_forgotten(node)

    def heard(self, node: NodeInfo) -> bool:
        """Note that `node` is there; return whether it was unknown."""
        is_new = node.id not in self._nodes
        self._heard[node.id] = self._clock()
        if is_new:
            self._nodes[node.id] = node
            self._company.set()
            self._log.info("node_joined", peer=node.name, id=node.id)
            self._tell(NodeUp(node))
        return is_new

    def _remove(self, id: str, reason: Literal["left", "silent"]) -> None:
        node = self._nodes.pop(id)
        del self._heard[id]
        tell = self._log.info if reason == "left" else self._log.warning
        tell("node_left", peer=node.name, id=id, reason=reason)
        self._tell(NodeDown(node, reason))

    def _tell(self, change: NodeUp | NodeDown) -> None:
        for tell in list(self._watches.values()):
            tell(change)
