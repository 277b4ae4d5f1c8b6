"""What other nodes monitor here: it is watched, and when it ends, its asker is told until it has confirmed that."""

from collections.abc import Callable
from functools import partial
from itertools import islice

import anyio

from cliffracer.actor.host import Watched
from cliffracer.actor.nodes import NodeInfo
from cliffracer.codec import encode
from cliffracer.errors import (
    InvalidMessage,
    MailboxFull,
    NoActor,
    NoResponders,
    NotConnected,
    NotPermitted,
    OutboundFull,
    RequestTimeout,
)
from cliffracer.exits import Exit
from cliffracer.node.monitors.words import (
    MONITOR,
    QUESTION,
    End,
    Ended,
    Question,
    Still,
    Watching,
    for_others,
    subject_of,
)
from cliffracer.node.peers import MOST_NODES, Peers
from cliffracer.node.replies import RemoteReply, Replies
from cliffracer.transport.contract import Transport

__all__ = ["Asker", "Theirs"]

_PATIENCE = 2.0  # seconds until a notice is sent again
_PAUSE = 0.5  # seconds before that where it could not be sent at all
_ROUNDS = 5  # without a word, after which nothing is watched for a node any longer
_ENDS_AT_ONCE = 100  # in one message
_MOST_WATCHES = 10_000  # for one node


class _Watch:
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


class Asker:
    """A node that monitors something of ours: what, by its numbers."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.rounds_left = _ROUNDS  # until it counts as forgotten
        self.watched: dict[int, _Watch] = {}
        self.ended: dict[int, End] = {}  # it has not confirmed yet that it knows
        self.is_being_told = False

    def forget(self, number: int) -> None:
        """Watch it no longer, and do not tell of it."""
        watch = self.watched.pop(number, None)
        if watch is not None:
            watch.release()
        self.ended.pop(number, None)

    def numbers(self) -> list[int]:
        """Return what it has asked for, and has not been told."""
        return [*self.watched, *self.ended]


class Theirs:
    """The monitors of all other nodes."""

    def __init__(
        self,
        transport: Transport,
        prefix: str,
        peers: Peers,
        replies: Replies,
        find: Callable[[str], tuple[Watched, int] | None],
    ) -> None:
        """Prepare; see `Monitors`."""
        self._transport = transport
        self._prefix = prefix
        self._peers = peers
        self._replies = replies
        self._find = find
        self.askers: dict[str, Asker] = {}
        """By the ids of their nodes; no more of them than `MOST_NODES`."""
        self._refused = 0
        self.on_end: Callable[[Asker], None] = lambda _: None
        """Told that there is something to tell; unless it is being told something already."""

    def take_question(self, name: str, payload: bytes, reply: str) -> None:
        """Watch the actor `name` for another node, and answer that."""
        answer = RemoteReply(self._replies, reply, f"{name}.{MONITOR}", "json")
        try:
            question = QUESTION.decode(payload)
        except (ValueError, RecursionError) as error:
            answer.fail(InvalidMessage(f"{name}.{MONITOR}", str(error)))
            return
        found = self._find(name)
        asker = self.askers.get(question.id)
        # If so, our answer was lost, or is late.
        known = None if asker is None else asker.watched.get(question.monitor) or asker.ended.get(question.monitor)
        if known is None and found is None:
            answer.fail(NoActor(f"{name}.{MONITOR}", f"no actor {name!r} runs on this node"))
        elif self._peers.heard(NodeInfo(question.id, question.name)):
            if known is None and not self._has_room_for(asker):
                self._refuse(question, answer, name)
                return
            if known is None:
                assert found is not None
                known = self._watch(question, *found)
            answer.answer(Watching(self._peers.me.id, self._peers.me.name, known.incarnation))

    def _has_room_for(self, asker: Asker | None) -> bool:
        if asker is None:
            return len(self.askers) < MOST_NODES
        return len(asker.watched) + len(asker.ended) < _MOST_WATCHES

    def _refuse(self, question: Question, answer: RemoteReply, name: str) -> None:
        self._refused += 1
        problem = f"this node monitors for {MOST_NODES} nodes, and {_MOST_WATCHES} actors for each, and no more"
        by = f"refused to node {question.name!r}, id {question.id}; {self._refused} refused so far"
        self._peers.reject(f"{name}.{MONITOR}", f"{by}: {problem}")
        answer.fail(MailboxFull(f"{name}.{MONITOR}", problem))

    def _watch(self, question: Question, process: Watched, incarnation: int) -> _Watch:
        asker = self.askers.setdefault(question.id, Asker(question.id))
        asker.rounds_left = _ROUNDS
        watch = _Watch(process, incarnation, partial(self._note_end, asker, question.monitor))
        asker.watched[question.monitor] = watch
        return watch

    def _note_end(self, asker: Asker, number: int, reason: Exit, incarnation: int) -> None:
        if asker.watched.pop(number, None) is None:
            return
        asker.ended[number] = End(number, for_others(reason), incarnation)
        if not asker.is_being_told:
            self.on_end(asker)

    async def tell(self, asker: Asker) -> None:
        """Tell a node of all ends that it waits for, until it has confirmed them or is dropped."""
        me, subject = self._peers.me, f"{self._prefix}{subject_of(asker.id)}"
        asker.is_being_told = True
        try:
            while asker.ended and self.askers.get(asker.id) is asker:
                ends = list(islice(asker.ended.values(), _ENDS_AT_ONCE))
                payload = encode(Ended(me.id, me.name, ends), "json")
                try:
                    await self._transport.request(subject, payload, timeout=_PATIENCE)
                except RequestTimeout:
                    continue
                except (NoResponders, NotConnected, OutboundFull):
                    await anyio.sleep(_PAUSE)
                except NotPermitted as error:
                    self._peers.reject(subject, str(error))
                    await anyio.sleep(_PATIENCE)
                else:
                    for end in ends:
                        asker.ended.pop(end.monitor, None)
        finally:
            asker.is_being_told = False

    def take_renewal(self, word: Still) -> list[int]:
        """Forget what another node does not want to hear of any more; return which of its numbers are unknown."""
        asker = self.askers.get(word.id)
        if asker is None:
            return word.monitors
        asker.rounds_left = _ROUNDS
        known, wanted = set(asker.numbers()), set(word.monitors)
        for number in known - wanted:
            if word.after < number <= word.upto:
                asker.forget(number)
        return [number for number in word.monitors if number not in known]

    def forget(self, id: str, number: int) -> None:
        """Watch nothing any longer under a number of the node `id`."""
        asker = self.askers.get(id)
        if asker is not None:
            asker.forget(number)

    def count_round(self) -> None:
        """Drop each node that has not said for some rounds that it still wants to hear of anything."""
        for asker in list(self.askers.values()):
            asker.rounds_left -= 1
            if asker.rounds_left < 0:
                self.drop(asker.id)

    def drop(self, id: str) -> None:
        """Watch nothing any longer for a node."""
        asker = self.askers.pop(id, None)
        if asker is not None:
            for number in asker.numbers():
                asker.forget(number)
