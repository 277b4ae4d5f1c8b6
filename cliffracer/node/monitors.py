"""Monitors of actors on other nodes: a `Down` arrives once, whatever becomes of the messages that carry it.

Who wants to know asks `[ns.]NAME.$monitor`, a subject that one replica of the actor hears. That one answers where it
runs, and watches it. When it ends, its node tells the asking one, again and again until that has confirmed it. If
the node has gone, `peers` notices; then nothing will come any more, and `NodeLost` is what is told.
"""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Annotated, Any

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus
from msgspec import Meta, Struct

from cliffracer.actor.host import TellDown, Watched
from cliffracer.actor.nodes import NodeDown, NodeInfo, NodeLost, NodeUp
from cliffracer.codec import encode
from cliffracer.errors import (
    CallError,
    InvalidMessage,
    NoActor,
    NoResponders,
    NotConnected,
    NotPermitted,
    OutboundFull,
    RequestTimeout,
)
from cliffracer.exits import Crashed, Exit, LinkLost, NotStarted
from cliffracer.node.peers import NodeId, NodeName, Peers
from cliffracer.node.replies import RemoteReply, Replies
from cliffracer.node.wire import error_of
from cliffracer.transport.contract import Headers, Transport

__all__ = ["MONITOR", "Monitors"]

MONITOR = "$monitor"
"""Stands where a handler's name would; no handler can have it."""

_PATIENCE = 2.0  # seconds until a question, or a notice, is sent again
_PAUSE = 0.5  # seconds before that where it could not be sent at all
_LAST_WORDS = 1.0  # seconds that a node which stops waits for its notices to be confirmed

MonitorId = Annotated[str, Meta(pattern="^[0-9a-f]{1,16}$")]


class _Question(Struct):
    """Who wants to hear of the end of an actor, and under which number."""

    id: NodeId
    name: NodeName
    monitor: MonitorId


class _Watching(Struct):
    """The answer: where it runs, and which incarnation."""

    id: NodeId
    name: NodeName
    incarnation: int


class _Ended(Struct, tag="ended"):
    """It has ended, on the node of this name."""

    monitor: MonitorId
    name: NodeName
    reason: Exit
    incarnation: int


class _Forget(Struct, tag="forget"):
    """Nobody wants to hear of it any more."""

    id: NodeId
    monitor: MonitorId


_QUESTION = msgspec.json.Decoder(_Question)
_WATCHING = msgspec.json.Decoder(_Watching)
_WORDS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Ended | _Forget)


def _subject_of(node_id: str) -> str:
    """Return the subject on which a node hears of ends, and of monitors that are taken away."""
    return f"$CLIFFRACER.monitors.{node_id}"


class _Mine:
    """A monitor of ours."""

    def __init__(self, name: str, tell: TellDown) -> None:
        self.name = name
        self.tell = tell
        self.at: NodeInfo | None = None  # where what it watches runs, once that is known


class _Theirs:
    """A monitor that another node has on something of ours. Meets `Watcher`."""

    def __init__(self, key: tuple[str, str], process: Watched, on_end: Callable[["_Theirs", Exit, int], None]) -> None:
        self.key = key  # the node, and its number for it
        self.process = process
        self._on_end = on_end

    def tell(self, reason: Exit, incarnation: int) -> None:
        """Hear that it has ended."""
        self._on_end(self, reason, incarnation)


class Monitors:
    """Both sides of the monitors between this node and others."""

    def __init__(
        self,
        transport: Transport,
        prefix: str,
        peers: Peers,
        replies: Replies,
        find: Callable[[str], tuple[Watched, int] | None],
    ) -> None:
        """Prepare; nothing is said.

        Args:
            transport: The way to other nodes.
            prefix: The namespace with its dot, or nothing.
            peers: Who is there.
            replies: Where answers go.
            find: Returns what runs here under a name, with the number of its incarnation.
        """
        self._transport = transport
        self._prefix = prefix
        self._peers = peers
        self._replies = replies
        self._find = find
        self._numbers = count(1)
        self._mine: dict[str, _Mine] = {}
        self._theirs: dict[tuple[str, str], _Theirs] = {}
        self._notices: dict[tuple[str, str], _Ended] = {}  # not confirmed yet
        self._tasks: TaskGroup | None = None
        self._sending = anyio.CancelScope()
        self._confirmed = anyio.Event()
        peers.watch(self._node_changed)
        peers.on_forgotten = self._lose

    # The child

    async def open(self) -> None:
        """Listen."""
        await self._transport.subscribe(f"{self._prefix}{_subject_of(self._peers.me.id)}", self._take)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be the child: send what is to be sent until it has arrived. Another incarnation goes on where this ends."""
        async with anyio.create_task_group() as around:
            await around.start(self._send)
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.move_on_after(_LAST_WORDS, shield=True):
                    while self._notices:
                        self._confirmed = anyio.Event()
                        await self._confirmed.wait()
                self._sending.cancel()

    async def _send(self, *, task_status: TaskStatus[None]) -> None:
        # Shielded: when the node stops, the last notices still have to go out.
        with anyio.CancelScope(shield=True) as self._sending:
            async with anyio.create_task_group() as self._tasks:
                for number, mine in self._mine.items():
                    if mine.at is None:
                        self._tasks.start_soon(self._ask, number, mine)
                for key in self._notices:
                    self._tasks.start_soon(self._deliver, key)
                task_status.started()
                await anyio.sleep_forever()
        self._tasks = None

    def _spawn(self, function: Callable[..., Any], *args: object) -> None:
        # While the child does not run, `run` will do it.
        if self._tasks is not None:
            self._tasks.start_soon(function, *args)

    # Ours

    def watch(self, name: str, tell: TellDown) -> Callable[[], None]:
        """Have `tell` called when the actor of this name ends, on another node; return what ends the watch."""
        number = f"{next(self._numbers):x}"
        mine = self._mine[number] = _Mine(name, tell)
        self._spawn(self._ask, number, mine)
        return partial(self._unwatch, number)

    def _unwatch(self, number: str) -> None:
        mine = self._mine.pop(number, None)
        if mine is not None and mine.at is not None:
            self._spawn(self._tell_to_forget, mine.at, number)

    async def _ask(self, number: str, mine: _Mine) -> None:
        """Ask until there is an answer, or nobody wants to know any more."""
        me = self._peers.me
        question = encode(_Question(me.id, me.name, number), "json")
        while self._mine.get(number) is mine and mine.at is None:
            try:
                response = await self._transport.request(
                    f"{self._prefix}{mine.name}.{MONITOR}", question, timeout=_PATIENCE
                )
                if error_of(response, mine.name) is not None:
                    return self._end(number, None, 0, "")
                answer = _WATCHING.decode(response.payload)
            except NoResponders:
                return self._end(number, None, 0, "")
            except (NotPermitted, msgspec.DecodeError, RecursionError) as error:
                self._peers.reject(f"{mine.name}.{MONITOR}", str(error))
                return self._end(number, None, 0, "")
            except RequestTimeout:
                continue
            except (NotConnected, OutboundFull):
                await anyio.sleep(_PAUSE)
                continue
            at = NodeInfo(answer.id, answer.name)
            if self._mine.get(number) is mine:
                mine.at = at
                self._peers.heard(at)  # or nobody would notice that it goes
            else:
                await self._tell_to_forget(at, number)
        return None

    async def _tell_to_forget(self, at: NodeInfo, number: str) -> None:
        try:
            word = encode(_Forget(self._peers.me.id, number), "json")
            await self._transport.publish(f"{self._prefix}{_subject_of(at.id)}", word)
        except (NotConnected, OutboundFull):
            return  # it will tell us of the end, and we shall not listen

    def _end(self, number: str, reason: Exit | NodeLost | None, incarnation: int, node: str) -> None:
        mine = self._mine.pop(number, None)
        if mine is not None:
            mine.tell(reason, incarnation, node)

    def _lose(self, node: NodeInfo) -> None:
        """Tell all who watch something on `node` that it is lost."""
        for number in [number for number, mine in self._mine.items() if mine.at == node]:
            self._end(number, NodeLost(node.name), 0, node.name)

    # Theirs

    def take_question(self, name: str, payload: bytes, reply: str) -> None:
        """Watch the actor `name` for another node, and answer that."""
        answer = RemoteReply(self._replies, reply, f"{name}.{MONITOR}", "json")
        try:
            question = _QUESTION.decode(payload)
        except (ValueError, RecursionError) as error:
            answer.fail(InvalidMessage(f"{name}.{MONITOR}", str(error)))
            return
        found = self._find(name)
        if found is None:
            answer.fail(_no_actor(name))
            return
        process, incarnation = found
        self._peers.heard(NodeInfo(question.id, question.name))
        key = (question.id, question.monitor)
        earlier = self._theirs.pop(key, None)
        if earlier is not None:  # asked again: our answer was lost
            earlier.process.unwatch(earlier)
        theirs = self._theirs[key] = _Theirs(key, process, self._note_end)
        process.watch(theirs)
        answer.answer(_Watching(self._peers.me.id, self._peers.me.name, incarnation))

    def _note_end(self, theirs: _Theirs, reason: Exit, incarnation: int) -> None:
        del self._theirs[theirs.key]
        self._notices[theirs.key] = _Ended(theirs.key[1], self._peers.me.name, _without_text(reason), incarnation)
        self._spawn(self._deliver, theirs.key)

    async def _deliver(self, key: tuple[str, str]) -> None:
        """Tell a node of an end until it has confirmed that, or has gone."""
        subject, payload = f"{self._prefix}{_subject_of(key[0])}", encode(self._notices[key], "json")
        while key in self._notices:
            try:
                await self._transport.request(subject, payload, timeout=_PATIENCE)
            except RequestTimeout:
                continue
            except (NoResponders, NotConnected, NotPermitted, OutboundFull):
                await anyio.sleep(_PAUSE)
            else:
                self._notices.pop(key, None)
                self._confirmed.set()

    def _node_changed(self, change: NodeUp | NodeDown) -> None:
        if isinstance(change, NodeUp):
            return
        self._lose(change.node)
        for key in [key for key in self._theirs if key[0] == change.node.id]:
            theirs = self._theirs.pop(key)
            theirs.process.unwatch(theirs)
        for key in [key for key in self._notices if key[0] == change.node.id]:
            del self._notices[key]
            self._confirmed.set()

    # Hear

    def _take(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> None:
        del headers
        try:
            word = _WORDS.decode(payload)
        except (ValueError, RecursionError) as error:
            self._peers.reject(subject, str(error))
            return
        if isinstance(word, _Forget):
            theirs = self._theirs.pop((word.id, word.monitor), None)
            if theirs is not None:
                theirs.process.unwatch(theirs)
            return
        self._end(word.monitor, word.reason, word.incarnation, word.name)
        if reply:
            self._replies.answer(reply, b"null", subject)


def _no_actor(name: str) -> CallError:
    return NoActor(f"{name}.{MONITOR}", f"no actor {name!r} runs on this node")


def _without_text(reason: Exit) -> Exit:
    """Return `reason` as it may leave the process: the text of an exception stays in the log."""
    if isinstance(reason, Crashed):
        return Crashed("the log of its node says how", reason.incident)
    if isinstance(reason, LinkLost) and reason.reason is not None:
        return LinkLost(reason.who, _without_text(reason.reason))
    if isinstance(reason, NotStarted):
        return NotStarted(reason.child, _without_text(reason.reason))
    return reason
