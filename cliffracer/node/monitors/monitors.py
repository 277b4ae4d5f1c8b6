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
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from cliffracer.actor.host import TellDown, Watched
from cliffracer.actor.nodes import NodeDown, NodeInfo, NodeLost, NodeUp
from cliffracer.codec import encode
from cliffracer.errors import MailboxFull, NoResponders, NotConnected, NotPermitted, OutboundFull, RequestTimeout
from cliffracer.exits import Exit
from cliffracer.node.monitors.theirs import Asker, Theirs
from cliffracer.node.monitors.words import (
    MONITOR,
    NUMBERS,
    WATCHING,
    WORDS,
    Ended,
    Forget,
    Question,
    Still,
    subject_of,
)
from cliffracer.node.peers import Peers
from cliffracer.node.replies import Replies
from cliffracer.node.wire import error_of
from cliffracer.transport.contract import Headers, Transport

__all__ = ["Monitors"]

_PATIENCE = 2.0  # seconds until a question is sent again
_PAUSE = 0.5  # seconds before that where it could not be sent at all
_ANSWERS = 10  # that it does not run there, until we believe it: another replica may run, or the next incarnation soon
_SOON = 0.05  # seconds between these
_LAST_WORDS = 1.0  # seconds that a node which stops waits for its notices to be confirmed
_NUMBERS_AT_ONCE = 5000


class _Mine:
    """A monitor of ours."""

    def __init__(self, name: str, tell: TellDown) -> None:
        self.name = name
        self.tell = tell
        self.at: NodeInfo | None = None  # where what it watches runs, once that is known
        self.incarnation = 0


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
        self.theirs = Theirs(transport, prefix, peers, replies, find)
        self.theirs.on_end = self._begin_telling
        self._newest = 0  # of the numbers that were given
        self._mine: dict[int, _Mine] = {}
        self._tasks: TaskGroup | None = None
        peers.watch(self._node_changed)

    # The child

    async def open(self) -> None:
        """Listen."""
        await self._transport.subscribe(f"{self._prefix}{subject_of(self._peers.me.id)}", self._take)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be the child: send what is to be sent until it has arrived. Another incarnation goes on where this ends."""
        try:
            await self._work(task_status)
        except anyio.get_cancelled_exc_class():
            # The node stops. What has ended with it the others shall hear, and why.
            with anyio.move_on_after(_LAST_WORDS, shield=True):
                async with anyio.create_task_group() as tasks:
                    for asker in self.theirs.askers.values():
                        tasks.start_soon(self.theirs.tell, asker)
            raise

    async def _work(self, task_status: TaskStatus[None]) -> None:
        try:
            async with anyio.create_task_group() as self._tasks:
                for number, mine in self._mine.items():
                    if mine.at is None:
                        self._tasks.start_soon(self._ask, number, mine)
                for asker in self.theirs.askers.values():
                    self._tasks.start_soon(self.theirs.tell, asker)
                task_status.started()
                while True:
                    await anyio.sleep(self._peers.timeout)
                    if self._transport.is_connected:
                        self._renew_all(self._tasks)
                    if self._peers.can_judge:
                        self.theirs.count_round()
        finally:
            self._tasks = None

    def _begin_telling(self, asker: Asker) -> None:
        if self._tasks is not None:
            asker.is_being_told = True
            self._tasks.start_soon(self.theirs.tell, asker)

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
        question = encode(Question(me.id, me.name, number), "json")
        subject = f"{self._prefix}{mine.name}.{MONITOR}"
        times_not_here = 0
        while self._mine.get(number) is mine:
            try:
                response = await self._transport.request(subject, question, timeout=_PATIENCE)
                error = error_of(response, mine.name)
                answer = None if error is not None else WATCHING.decode(response.payload)
            except RequestTimeout:
                continue
            except (NotConnected, OutboundFull):
                await anyio.sleep(_PAUSE)
                continue
            except NoResponders:
                break
            except (NotPermitted, ValueError, RecursionError) as problem:
                self._peers.reject(subject, str(problem))
                break
            if answer is not None:
                await self._settle(number, mine, NodeInfo(answer.id, answer.name), answer.incarnation)
                return
            if isinstance(error, MailboxFull):
                self._peers.reject(subject, str(error))
                await anyio.sleep(_PATIENCE)
                continue
            times_not_here += 1
            if times_not_here == _ANSWERS:
                break
            await anyio.sleep(_SOON)
        self._end(number, None, 0, "")

    async def _settle(self, number: int, mine: _Mine, at: NodeInfo, incarnation: int) -> None:
        """Note where it is watched."""
        if self._mine.get(number) is not mine:
            await self._tell_to_forget(at, number)
        elif self._peers.heard(at):  # from now on it is noticed if that node goes
            mine.at, mine.incarnation = at, incarnation
        else:
            self._end(number, NodeLost(at.name), incarnation, at.name)

    async def _tell_to_forget(self, at: NodeInfo, number: int) -> None:
        try:
            word = encode(Forget(self._peers.me.id, number), "json")
            await self._transport.publish(f"{self._prefix}{subject_of(at.id)}", word)
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
            word = encode(Still(self._peers.me.id, after, upto, part), "json")
            try:
                response = await self._transport.request(
                    f"{self._prefix}{subject_of(id)}", word, timeout=self._peers.timeout
                )
                unknown = NUMBERS.decode(response.payload)
            except (RequestTimeout, NoResponders, NotConnected, OutboundFull):
                return  # there is another round; and if that node has gone, `peers` notices
            except (NotPermitted, ValueError, RecursionError) as error:
                self._peers.reject(subject_of(id), str(error))
                return
            # What has only been settled meanwhile it could not know.
            self._lose(settled.intersection(unknown))
            after = upto

    def _lose(self, numbers: "set[int] | list[int]") -> None:
        for number in numbers:
            mine = self._mine.get(number)
            if mine is not None and mine.at is not None:
                self._end(number, NodeLost(mine.at.name), mine.incarnation, mine.at.name)

    def _node_changed(self, change: NodeUp | NodeDown) -> None:
        if isinstance(change, NodeUp):
            return
        self._lose([n for n, mine in self._mine.items() if mine.at is not None and mine.at.id == change.node.id])
        if change.reason == "left":
            self.theirs.drop(change.node.id)  # who is only silent may come back, and find its monitors as they were

    # Hear

    def _take(self, subject: str, payload: bytes, reply: str, headers: Headers | None) -> None:
        del headers
        try:
            word = WORDS.decode(payload)
        except (ValueError, RecursionError) as error:
            self._peers.reject(subject, str(error))
            return
        answer: list[int] = []
        match word:
            case Ended():
                self._take_ends(word)
            case Forget():
                self.theirs.forget(word.id, word.monitor)
            case _:
                answer = self.theirs.take_renewal(word)
        if reply:
            self._replies.answer(reply, encode(answer, "json"), subject)

    def _take_ends(self, word: Ended) -> None:
        for end in word.ends:
            mine = self._mine.get(end.monitor)
            # Two replicas may watch for one number, if the answer of the first came too late. The second one counts.
            if mine is not None and (mine.at is None or mine.at.id == word.id):
                self._end(end.monitor, end.reason, end.incarnation, word.name)
