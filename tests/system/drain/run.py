"""One run: two replicas, a load from a process of its own, and one replica that stops in the middle."""

import signal
from collections import Counter
from typing import Literal

import anyio
import msgspec
from msgspec import Struct

from tests.system.peers import Peer, peer

__all__ = ["How", "Run", "run"]

How = Literal["block", "signal"]


class Run(Struct, frozen=True):
    """What became of each call and each event.

    Attributes:
        sent: Calls.
        answered: Of these, with the right answer.
        refused: With an error, at once.
        refusals: What those errors were.
        unanswered: With nothing, or with a wrong answer.
        handled_twice: Handled more than once.
        events: Events sent.
        heard: Of these, heard at least once.
        heard_twice: Heard more than once.
        share: Calls that the replica which stopped has handled.
    """

    sent: int
    answered: int
    refused: int
    refusals: dict[str, int]
    unanswered: int
    handled_twice: int
    events: int
    heard: int
    heard_twice: int
    share: int

    @property
    def lost(self) -> int:
        """Events that nobody heard."""
        return self.events - self.heard

    @property
    def is_clean(self) -> bool:
        """Whether all was answered and heard, and each replica had its share."""
        whole = self.answered == self.sent and not (self.lost or self.handled_twice or self.heard_twice)
        return whole and 0 < self.share < self.sent

    def __str__(self) -> str:
        refused = f"{self.refused} refused {self.refusals}" if self.refused else "0 refused"
        twice = f", {self.handled_twice} + {self.heard_twice} twice" if self.handled_twice or self.heard_twice else ""
        return (
            f"calls: {self.sent} sent, {self.answered} answered, {refused}, {self.unanswered} unanswered; "
            f"events: {self.events} sent, {self.heard} heard, {self.lost} lost{twice}; "
            f"the replica that stopped handled {self.share} calls"
        )


async def run(url: str, *, calls: int, handler_ms: float, how: How, leave_at: int) -> Run:
    """Let one of two replicas stop under load, and count.

    Args:
        url: The server.
        calls: Calls to send, at least.
        handler_ms: Milliseconds that a handler takes.
        how: "block": the replica leaves the block of its node; "signal": its process gets SIGTERM.
        leave_at: After how many calls.
    """
    replica = ("tests.system.drain.node", url, handler_ms, how)
    async with peer(*replica) as leaves, peer(*replica) as stays:
        for one in (leaves, stays):
            await one.hear("ready")
        async with peer("tests.system.drain.load", url, calls, leave_at) as load:
            await load.hear("now")
            gone = await _stop(leaves, how)
            await load.say("gone")
            sent = await load.hear("sent", within=600.0)
        stayed = await _stop(stays, how)
    called = Counter(gone["called"] + stayed["called"])
    heard = Counter(gone["heard"] + stayed["heard"])
    ends = sent["ends"]
    return Run(
        sent=sum(ends.values()),
        answered=ends.get("answered", 0),
        refused=ends.get("refused", 0),
        refusals=sent["refusals"],
        unanswered=ends.get("unanswered", 0) + ends.get("answered wrongly", 0),
        handled_twice=sum(times > 1 for times in called.values()),
        events=sent["events"],
        heard=len(heard),
        heard_twice=sum(times > 1 for times in heard.values()),
        share=len(gone["called"]),
    )


async def _stop(replica: Peer, how: How) -> dict[str, list[int]]:
    if how == "signal":
        replica.process.send_signal(signal.SIGTERM)
    else:
        await replica.say("leave")
    file = anyio.Path(await replica.hear("handled"))
    handled: dict[str, list[int]] = msgspec.json.decode(await file.read_bytes())
    await file.unlink()
    if code := await replica.end(None):
        raise RuntimeError(f"the replica ended with {code}; its log is above")
    return handled
