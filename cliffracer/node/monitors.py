"""Monitors of actors on other nodes: a `Down` arrives once, whatever becomes of the messages that carry it.

Who wants to know gives its monitor a number, and asks `[ns.]NAME.$monitor`, a subject that one replica of the actor
hears. That one answers where it runs, and watches it. From then on

- when it ends, its node tells the asking one, again and again until that has confirmed it;
- once in `node_timeout` seconds the asking node says what it still monitors there. What it leaves out is watched no
  longer, and what is not known there any more is lost: `NodeLost`. So neither side keeps what the other one has
  forgotten, and no single message has to arrive;
- if its node has gone, `peers` notices, and nothing will come any more: `NodeLost`.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice
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
from cliffracer.exits import Crashed, Exit, LinkLost, NotStarted, Shutdown
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
_ROUNDS = 5  # without a word, after which nothing is watched for a node any longer
_ENDS_AT_ONCE = 100  # in one message
_NUMBERS_AT_ONCE = 5000
_MAX_TEXT = 256  # characters
_MAX_DEPTH = 8

Number = Annotated[int, Meta(ge=0, lt=2**53)]


class _Question(Struct):
    """Who wants to hear of the end of an actor, and under which number."""

    id: NodeId
    name: NodeName
    monitor: Number


class _Watching(Struct):
    """The answer: where it runs, and which incarnation."""

    id: NodeId
    name: NodeName
    incarnation: int


class _End(Struct):
    monitor: Number
    reason: Exit
    incarnation: int


class _Ended(Struct, tag="ended"):
    """These have ended, on this node. The answer, whatever it is, confirms that."""

    id: NodeId
    name: NodeName
    ends: list[_End]


class _Forget(Struct, tag="forget"):
    """I do not want to hear of it any more."""

    id: NodeId
    monitor: Number


class _Still(Struct, tag="still"):
    """Of all my numbers above `after` and up to `upto`, these are what I may monitor at yours.

    The answer is a list of those that are not known there.
    """

    id: NodeId
    after: Number
    upto: Number
    monitors: list[Number]


_QUESTION = msgspec.json.Decoder(_Question)
_WATCHING = msgspec.json.Decoder(_Watching)
_NUMBERS = msgspec.json.Decoder(list[Number])
_WORDS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Ended | _Forget | _Still)
_CANNOT_SEND = (NoResponders, NotConnected, OutboundFull)


def _subject_of(node_id: str) -> str:
    """Return the subject on which a node hears what concerns monitors."""
    return f"$CLIFFRACER.monitors.{node_id}"


class _Mine:
    """A monitor of ours."""

    def __init__(self, name: str, tell: TellDown) -> None:
        self.name = name
        self.tell = tell
        self.at: NodeInfo | None = None  # where what it watches runs, once that is known


class _Theirs:
    """A monitor that another node has on something of ours. Meets `Watcher`."""

    def __init__(self, process: Watched, incarnation: int, on_end: Callable[[Exit, int], None]) -> None:
        self.incarnation = incarnation
        self._process = process
        self._on_end = on_end
        process.watch(self)

    def tell(self, reason: Exit, incarnation: int) -> None:
        """Hear that it has ended."""
        self._on_end(reason, incarnation)

    def release(self) -> None:
        """Do not want to hear of it any more."""
        self._process.unwatch(self)


class _Asker:
    """A node that monitors something of ours: what, by its numbers."""

    def __init__(self) -> None:
        self.rounds_left = _ROUNDS  # until it counts as forgotten
        self.watched: dict[int, _Theirs] = {}
        self.ended: dict[int, _End] = {}  # it has not confirmed yet that it knows
        self.is_being_told = False

    def forget(self, number: int) -> None:
        """Watch it no longer, and do not tell of it."""
        theirs = self.watched.pop(number, None)
        if theirs is not None:
            theirs.release()
        self.ended.pop(number, None)

    def numbers(self) -> list[int]:
        """Return what it has asked for, and has not been told."""
        return [*self.watched, *self.ended]


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
        self._newest = 0  # of the numbers that were given
        self._mine: dict[int, _Mine] = {}
        self._askers: dict[str, _Asker] = {}
        self._tasks: TaskGroup | None = None
        peers.watch(self._node_changed)

    # The child

    async def open(self) -> None:
        """Listen."""
        await self._transport.subscribe(f"{self._prefix}{_subject_of(self._peers.me.id)}", self._take)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be the child: send what is to be sent until it has arrived. Another incarnation goes on where this ends."""
        try:
            await self._work(task_status)
        except anyio.get_cancelled_exc_class():
            # The node stops. What has ended with it the others shall hear, and why.
            with anyio.move_on_after(_LAST_WORDS, shield=True):
                async with anyio.create_task_group() as tasks:
                    for id, asker in self._askers.items():
                        tasks.start_soon(self._tell, id, asker)
            raise

    async def _work(self, task_status: TaskStatus[None]) -> None:
        try:
            async with anyio.create_task_group() as self._tasks:
                for number, mine in self._mine.items():
                    if mine.at is None:
                        self._tasks.start_soon(self._ask, number, mine)
                for id, asker in self._askers.items():
                    self._tasks.start_soon(self._tell, id, asker)
                task_status.started()
                while True:
                    await anyio.sleep(self._peers.timeout)
                    if self._transport.is_connected:
                        self._renew_all(self._tasks)
                        self._drop_the_forgetful()
        finally:
            self._tasks = None

    def _spawn(self, function: Callable[..., Any], *args: object) -> None:
        # While the child does not run, `run` will do it.
        if self._tasks is not None:
            self._tasks.start_soon(function, *args)

    # Ours

    def watch(self, name: str, tell: TellDown) -> Callable[[], None]:
        """Have `tell` called when the actor of this name ends, on another node; return what ends the watch."""
        self._newest += 1
        mine = self._mine[self._newest] = _Mine(name, tell)
        self._spawn(self._ask, self._newest, mine)
        return partial(self._unwatch, self._newest)

    def _unwatch(self, number: int) -> None:
        mine = self._mine.pop(number, None)
        if mine is not None and mine.at is not None:
            self._spawn(self._tell_to_forget, mine.at, number)

    async def _ask(self, number: int, mine: _Mine) -> None:
        """Ask until there is an answer, or nobody wants to know any more."""
        me = self._peers.me
        question = encode(_Question(me.id, me.name, number), "json")
        subject = f"{self._prefix}{mine.name}.{MONITOR}"
        while self._mine.get(number) is mine:
            try:
                response = await self._transport.request(subject, question, timeout=_PATIENCE)
                answer = None if error_of(response, mine.name) is not None else _WATCHING.decode(response.payload)
            except RequestTimeout:
                continue
            except (NotConnected, OutboundFull):
                await anyio.sleep(_PAUSE)
                continue
            except NoResponders:
                answer = None
            except (NotPermitted, ValueError, RecursionError) as error:
                self._peers.reject(subject, str(error))
                answer = None
            if answer is None:
                self._end(number, None, 0, "")
            else:
                await self._settle(number, mine, NodeInfo(answer.id, answer.name))
            return

    async def _settle(self, number: int, mine: _Mine, at: NodeInfo) -> None:
        """Note where it is watched."""
        if self._mine.get(number) is not mine:
            await self._tell_to_forget(at, number)
        elif self._peers.heard(at):  # from now on it is noticed if that node goes
            mine.at = at
        else:
            self._end(number, NodeLost(at.name), 0, at.name)

    async def _tell_to_forget(self, at: NodeInfo, number: int) -> None:
        try:
            word = encode(_Forget(self._peers.me.id, number), "json")
            await self._transport.publish(f"{self._prefix}{_subject_of(at.id)}", word)
        except (NotConnected, OutboundFull):
            return  # it is left out when we say what we still monitor

    def _end(self, number: int, reason: Exit | NodeLost | None, incarnation: int, node: str) -> None:
        mine = self._mine.pop(number, None)
        if mine is not None:
            mine.tell(reason, incarnation, node)

    def _renew_all(self, tasks: TaskGroup) -> None:
        """Say to each node what we still monitor there."""
        places: dict[str, set[int]] = {}
        somewhere: list[int] = []  # asked for, and perhaps watched already, we do not know where
        for number, mine in self._mine.items():
            if mine.at is None:
                somewhere.append(number)
            else:
                places.setdefault(mine.at.id, set()).add(number)
        for id, numbers in places.items():
            tasks.start_soon(self._renew, id, numbers, sorted([*numbers, *somewhere]), self._newest)

    async def _renew(self, id: str, settled: set[int], numbers: list[int], newest: int) -> None:
        after = 0
        for start in range(0, len(numbers), _NUMBERS_AT_ONCE):
            part = numbers[start : start + _NUMBERS_AT_ONCE]
            upto = newest if start + _NUMBERS_AT_ONCE >= len(numbers) else part[-1]
            word = encode(_Still(self._peers.me.id, after, upto, part), "json")
            try:
                response = await self._transport.request(
                    f"{self._prefix}{_subject_of(id)}", word, timeout=self._peers.timeout
                )
                unknown = _NUMBERS.decode(response.payload)
            except (*_CANNOT_SEND, RequestTimeout):
                return  # there is another round; and if that node has gone, `peers` notices
            except (NotPermitted, ValueError, RecursionError) as error:
                self._peers.reject(_subject_of(id), str(error))
                return
            # What has only been settled meanwhile it could not know.
            self._lose(settled.intersection(unknown))
            after = upto

    def _lose(self, numbers: "set[int] | list[int]") -> None:
        for number in numbers:
            mine = self._mine.get(number)
            if mine is not None and mine.at is not None:
                self._end(number, NodeLost(mine.at.name), 0, mine.at.name)

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
        asker = self._askers.get(question.id)
        known = None if asker is None else asker.watched.get(question.monitor) or asker.ended.get(question.monitor)
        if known is None and found is None:
            answer.fail(_no_actor(name))
        elif self._peers.heard(NodeInfo(question.id, question.name)):
            if known is None:
                assert found is not None
                known = self._watch_for(question, *found)
            answer.answer(_Watching(self._peers.me.id, self._peers.me.name, known.incarnation))

    def _watch_for(self, question: _Question, process: Watched, incarnation: int) -> _Theirs:
        asker = self._askers.setdefault(question.id, _Asker())
        asker.rounds_left = _ROUNDS
        on_end = partial(self._note_end, question.id, asker, question.monitor)
        theirs = asker.watched[question.monitor] = _Theirs(process, incarnation, on_end)
        return theirs

    def _note_end(self, id: str, asker: _Asker, number: int, reason: Exit, incarnation: int) -> None:
        if asker.watched.pop(number, None) is None:
            return
        asker.ended[number] = _End(number, _for_others(reason), incarnation)
        if self._tasks is not None and not asker.is_being_told:
            asker.is_being_told = True
            self._tasks.start_soon(self._tell, id, asker)

    async def _tell(self, id: str, asker: _Asker) -> None:
        """Tell a node of all ends that it waits for, until it has confirmed them or has gone."""
        me, subject = self._peers.me, f"{self._prefix}{_subject_of(id)}"
        asker.is_being_told = True
        try:
            while asker.ended and self._askers.get(id) is asker:
                ends = list(islice(asker.ended.values(), _ENDS_AT_ONCE))
                try:
                    await self._transport.request(
                        subject, encode(_Ended(me.id, me.name, ends), "json"), timeout=_PATIENCE
                    )
                except RequestTimeout:
                    continue
                except _CANNOT_SEND:
                    await anyio.sleep(_PAUSE)
                    continue
                except NotPermitted as error:
                    self._peers.reject(subject, str(error))
                    await anyio.sleep(_PATIENCE)
                    continue
                for end in ends:
                    asker.ended.pop(end.monitor, None)
        finally:
            asker.is_being_told = False

    def _drop_the_forgetful(self) -> None:
        """Watch nothing any longer for a node that has not said for some rounds that it wants that."""
        for id, asker in list(self._askers.items()):
            asker.rounds_left -= 1
            if asker.rounds_left < 0:
                self._drop(id)

    def _drop(self, id: str) -> None:
        asker = self._askers.pop(id, None)
        if asker is not None:
            for number in asker.numbers():
                asker.forget(number)

    def _node_changed(self, change: NodeUp | NodeDown) -> None:
        if isinstance(change, NodeUp):
            return
        self._lose([n for n, mine in self._mine.items() if mine.at is not None and mine.at.id == change.node.id])
        if change.reason == "left":
            self._drop(change.node.id)  # who is only silent may come back, and find its monitors as they were

    # Hear

    def _take(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> None:
        del headers
        try:
            word = _WORDS.decode(payload)
        except (ValueError, RecursionError) as error:
            self._peers.reject(subject, str(error))
            return
        answer: list[int] = []
        match word:
            case _Ended():
                self._take_ends(word)
            case _Forget():
                if (asker := self._askers.get(word.id)) is not None:
                    asker.forget(word.monitor)
            case _:
                answer = self._take_renewal(word)
        if reply:
            self._replies.answer(reply, encode(answer, "json"), subject)

    def _take_ends(self, word: _Ended) -> None:
        for end in word.ends:
            mine = self._mine.get(end.monitor)
            # Two replicas may watch for one number, if the answer of the first came too late. The second one counts.
            if mine is not None and (mine.at is None or mine.at.id == word.id):
                self._end(end.monitor, end.reason, end.incarnation, word.name)

    def _take_renewal(self, word: _Still) -> list[int]:
        """Forget what another node does not want to hear of any more; return which of its numbers are unknown."""
        asker = self._askers.get(word.id)
        if asker is None:
            return word.monitors
        asker.rounds_left = _ROUNDS
        known, wanted = set(asker.numbers()), set(word.monitors)
        for number in known - wanted:
            if word.after < number <= word.upto:
                asker.forget(number)
        return [number for number in word.monitors if number not in known]


def _no_actor(name: str) -> CallError:
    return NoActor(f"{name}.{MONITOR}", f"no actor {name!r} runs on this node")


def _for_others(reason: Exit, depth: int = 0) -> Exit:
    """Return `reason` as it may leave the process: not too large, and the text of an exception stays in the log."""
    if isinstance(reason, Crashed):
        return Crashed("the log of its node says how", reason.incident)
    if isinstance(reason, Shutdown):
        return Shutdown(reason.detail[:_MAX_TEXT])
    if isinstance(reason, LinkLost | NotStarted) and reason.reason is not None:
        inner = _for_others(reason.reason, depth + 1)
        if depth >= _MAX_DEPTH:
            return inner  # the first and the last of a long chain are told
        if isinstance(reason, LinkLost):
            return LinkLost(reason.who[:_MAX_TEXT], inner)
        return NotStarted(reason.child[:_MAX_TEXT], inner)
    return reason
