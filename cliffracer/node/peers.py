"""The other nodes: who is there, who has joined, who has gone. No server is needed for it but the broker.

A node says "hello" when it starts, and when it is connected again; the others answer that they are here. From then on
each says so five times in `node_timeout` seconds. Who stops in order says "bye"; who is silent for `node_timeout`
counts as gone, until it is heard again. None of these words has to arrive: the next one says as much. A node that is
alone says hello again, but less and less often.

A node hears its own words, too. While they do not come back, the broker is frozen, or the way to it is: then nobody's
silence means anything. And because anybody may say words here who may publish at all, what they can cause is bounded.

    [ns.]$CLIFFRACER.nodes      to all: hello, here, bye
    [ns.]$CLIFFRACER.nodes.ID   to one: here
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Annotated, Any, Literal

import anyio
import msgspec
from anyio.abc import TaskStatus
from msgspec import Meta, Struct

from cliffracer.actor.nodes import NodeDown, NodeInfo, NodeUp
from cliffracer.actor.timers import Clock
from cliffracer.codec import encode
from cliffracer.errors import NotConnected, OutboundFull
from cliffracer.node.bucket import Bucket
from cliffracer.observe.logs import Logger, Throttle, shortened
from cliffracer.transport.contract import Headers, Transport

__all__ = ["MOST_NODES", "NodeId", "NodeName", "Peers"]

MOST_NODES = 1000
"""How many others a node knows at once. Long before that, the beats of all of them are too much for a broker."""

_SUBJECT = "$CLIFFRACER.nodes"
_BEATS = 5  # in the time after which a silent node counts as gone
_FAREWELLS_KEPT = 1024  # ids
_ECHOES = 2  # words that may come after the bye of their node; who says more has not left, whoever said bye
_LINES_AT_ONCE = 100  # about those who join and go; then one in a second

NodeId = Annotated[str, Meta(pattern="^[0-9a-zA-Z_-]{1,64}$")]
NodeName = Annotated[str, Meta(min_length=1, max_length=256)]


class _Hello(Struct, tag="hello"):
    """I have just come, or come back: who is there?"""

    id: NodeId
    name: NodeName


class _Here(Struct, tag="here"):
    """I am here."""

    id: NodeId
    name: NodeName


class _Bye(Struct, tag="bye"):
    """I go."""

    id: NodeId
    name: NodeName


_Word = _Hello | _Here | _Bye
_WORDS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Word)


def _subject_of(node_id: str) -> str:
    """Return the subject of what is for one node alone."""
    return f"{_SUBJECT}.{node_id}"


class _Line(Enum):
    """What becomes of our words."""

    HEARD = auto()  # the last one has come back to us
    OPEN = auto()  # it has not yet, or could not even be sent
    FROZEN = auto()  # it has not for a whole beat
    CUT = auto()  # there is no connection


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
        self.timeout = timeout
        self._transport = transport
        self._prefix = prefix
        self._clock = clock
        self._log = log
        self._nodes: dict[str, NodeInfo] = {}  # the others, by id
        self._heard: dict[str, float] = {}  # when they were last heard of
        self._farewells: dict[str, int] = {}  # by id, the last one last: words that came after the bye
        self._line = _Line.HEARD
        self._company = anyio.Event()  # we are not alone any more
        self._watches: dict[object, Callable[[NodeUp | NodeDown], None]] = {}
        self._rejections = Throttle(1.0, clock)
        self._arrivals = Bucket(MOST_NODES, MOST_NODES / timeout, clock)
        self._lines = Bucket(_LINES_AT_ONCE, 1.0, clock)
        self._refused = 0
        self._refusals = Throttle(1.0, clock)

    @property
    def can_judge(self) -> bool:
        """Whether the silence of others means anything: what is said reaches the broker, and comes back."""
        return self._line in (_Line.HEARD, _Line.OPEN)

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
        try:
            await self._keep_talking(self.timeout / _BEATS)
        except anyio.get_cancelled_exc_class():
            # Not after a crash: then the node goes on, and so do the monitors that others have here.
            self._say(_Bye(self.me.id, self.me.name))
            raise

    async def _keep_talking(self, beat: float) -> None:
        while True:
            await self._wait_for_company(beat)
            before = self._clock()
            await anyio.sleep(beat)
            if self._line is _Line.OPEN:
                self._line = _Line.FROZEN
            self._say(_Here(self.me.id, self.me.name))
            if self._clock() - before > 2 * beat:
                self._forgive()  # it is we who were away: the loop was blocked
            elif self.can_judge:
                self._look_around()

    async def _wait_for_company(self, pause: float) -> None:
        # Two that start at once in a cluster may miss each other's hello, and a cluster may be in two for a while.
        while not self._nodes:
            self._company = anyio.Event()
            with anyio.move_on_after(pause) as patience:
                await self._company.wait()
            if patience.cancelled_caught:
                self._say(_Hello(self.me.id, self.me.name))
                pause *= 2

    def connection_changed(self, is_there: bool) -> None:
        """Hear that the connection is lost, or back."""
        self._line = _Line.HEARD if is_there else _Line.CUT
        if is_there:
            # The others may have lost theirs as well, and be longer about it.
            self._forgive(grace=self.timeout)
            self._say(_Hello(self.me.id, self.me.name))

    def _say(self, word: _Word, to: str = _SUBJECT) -> None:
        if to == _SUBJECT and self._line is _Line.HEARD:
            self._line = _Line.OPEN
        try:
            self._transport.publish_nowait(f"{self._prefix}{to}", encode(word, "json"))
        except (NotConnected, OutboundFull):
            return  # the next beat says as much; after a lost connection, another hello

    def _hear_ourselves(self) -> None:
        if self._line is _Line.FROZEN:
            self._forgive()
        if self._line is not _Line.CUT:
            self._line = _Line.HEARD

    def _forgive(self, grace: float = 0.0) -> None:
        from_now = self._clock() + grace
        self._heard = {id: max(heard, from_now) for id, heard in self._heard.items()}

    def _look_around(self) -> None:
        silent_since = self._clock() - self.timeout
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
        """Hear a word of another node, or one of our own."""
        node = NodeInfo(word.id, word.name)
        if node.id == self.me.id:
            self._hear_ourselves()
        elif isinstance(word, _Bye):
            self._note_farewell(node.id)
        elif not self._is_echo(node.id) and self.heard(node) and isinstance(word, _Hello):
            self._say(_Here(self.me.id, self.me.name), _subject_of(node.id))

    def heard(self, node: NodeInfo) -> bool:
        """Note that `node` is there; return False if it has left, or if there is no room for it.

        Then what came is to be ignored. If it is there, it comes again.
        """
        if node.id == self.me.id:
            return True
        if node.id in self._farewells or not (node.id in self._nodes or self._may_join(node)):
            return False
        self._heard[node.id] = self._clock()
        if node.id not in self._nodes:
            self._nodes[node.id] = node
            self._company.set()
            if self._lines.take():
                self._log.info("node_joined", peer=node.name, id=node.id, known=len(self._nodes))
            self._tell(NodeUp(node))
        return True

    def _may_join(self, node: NodeInfo) -> bool:
        # Also who comes and goes at once takes up room for a while: each one is a signal to each actor that watches.
        if len(self._nodes) < MOST_NODES and self._arrivals.take():
            return True
        self._refused += 1
        if self._refusals.ready():
            self._log.warning("node_refused", peer=node.name, id=node.id, limit=MOST_NODES, total=self._refused)
        return False

    def _note_farewell(self, id: str) -> None:
        self._farewells[id] = 0
        if len(self._farewells) > _FAREWELLS_KEPT:
            del self._farewells[next(iter(self._farewells))]
        if id in self._nodes:
            self._remove(id, "left")

    def _is_echo(self, id: str) -> bool:
        """Tell whether a word was said before the bye of its node, and is only late."""
        if id not in self._farewells:
            return False
        self._farewells[id] += 1
        if self._farewells[id] <= _ECHOES:
            return True
        del self._farewells[id]  # it goes on talking: somebody else said bye in its name
        return False

    def _remove(self, id: str, reason: Literal["left", "silent"]) -> None:
        node = self._nodes.pop(id)
        del self._heard[id]
        if self._lines.take():
            tell = self._log.info if reason == "left" else self._log.warning
            tell("node_left", peer=node.name, id=id, reason=reason, known=len(self._nodes))
        self._tell(NodeDown(node, reason))

    def _tell(self, change: NodeUp | NodeDown) -> None:
        for tell in list(self._watches.values()):
            tell(change)
