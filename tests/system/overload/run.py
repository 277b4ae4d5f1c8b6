"""One run: a node, a flood from another process, and calls from a third one meanwhile."""

import time

import anyio
import msgspec
from msgspec import Struct

from cliffracer.transport.nats import NatsOptions, NatsTransport
from tests.system.peers import PATIENCE, Peer, peer

__all__ = ["LOCAL", "Run", "run"]

LOCAL = 200  # casts of a sender on the same node
WARM_UP = 5000  # messages that let the node's memory grow to its size


class Run(Struct):
    """What became of the messages.

    Attributes:
        sent: Casts and events of the flood.
        local: Casts of the sender on the same node; all that was handled of them.
        answered: Calls that got their answer.
        refusals: Seconds that each call waited for its `MailboxFull`.
        other: Calls that ended in any other way.
        handled: Messages of any kind that the actor has handled.
        dropped: Casts and events that were dropped and counted.
        in_nats_py: The most that was ever seen in the queues of nats-py, in messages and bytes.
        memory: Resident bytes of the node's process before the flood, after it, and at most.
    """

    sent: int = 0
    local: int = 0
    answered: int = 0
    refusals: list[float] = []
    other: list[str] = []
    handled: int = 0
    dropped: int = 0
    in_nats_py: int = 0
    memory: tuple[int, int, int] = (0, 0, 0)

    @property
    def unaccounted(self) -> int:
        """Messages that are neither handled nor counted as dropped."""
        return self.sent + LOCAL + self.answered - self.handled - self.dropped

    def __str__(self) -> str:
        waited = sorted(self.refusals) or [0.0]
        before, after, most = (round(size / 2**20) for size in self.memory)
        return (
            f"{self.sent} casts and events: {self.handled} handled and {self.dropped} dropped "
            f"with {LOCAL} local casts ({self.local} handled) and {self.answered} answered calls; "
            f"{self.unaccounted} unaccounted for\n"
            f"{len(waited)} calls refused with MailboxFull, after {waited[len(waited) // 2] * 1000:.1f} ms (median), "
            f"{waited[-1] * 1000:.1f} ms (worst); {len(self.other)} ended otherwise {self.other[:3]}\n"
            f"memory of the node: {before} MiB before, {after} MiB after, {most} MiB at most; "
            f"{self.in_nats_py} in the queues of nats-py"
        )


async def run(url: str, messages: int) -> Run:
    """Flood a mailbox and count.

    Args:
        url: The server.
        messages: Casts and events to send.
    """
    counts = Run()
    client = NatsTransport(NatsOptions(servers=(url,)))
    await client.connect(lambda _: None)
    try:
        async with peer("tests.system.overload.node", url) as node:
            await node.hear("ready")
            await _flood(url, WARM_UP)
            base = await _settled(client)
            before = node.memory()
            async with anyio.create_task_group() as tasks:
                await client.publish("neighbour.send", msgspec.json.encode({"count": LOCAL}))
                tasks.start_soon(_watch, client, node, counts)
                tasks.start_soon(_call, client, counts)
                counts.sent = await _flood(url, messages)
                tasks.cancel_scope.cancel()
            report = await _settled(client)
            counts.handled = report["handled"] - base["handled"]
            counts.dropped = report["dropped"] - base["dropped"]
            counts.local = report["local"]
            counts.memory = (before, node.memory(), node.memory("VmHWM"))
    finally:
        await client.close()
    return counts


async def _flood(url: str, messages: int) -> int:
    async with peer("tests.system.overload.flood", url, messages) as flood:
        sent: int = await flood.hear("sent")
        return sent


async def _report(client: NatsTransport) -> dict[str, int]:
    response = await client.request("observer.report", b"{}", timeout=PATIENCE)
    report: dict[str, int] = msgspec.json.decode(response.payload)
    return report


async def _settled(client: NatsTransport) -> dict[str, int]:
    """Wait until nothing changes any more."""
    last: dict[str, int] = {}
    with anyio.fail_after(PATIENCE):
        while (now := await _report(client)) != last or now["waiting"] or now["senders"]:
            last = now
            await anyio.sleep(0.1)
    return last


async def _watch(client: NatsTransport, node: Peer, counts: Run) -> None:
    while True:
        counts.in_nats_py = max(counts.in_nats_py, (await _report(client))["in_nats_py"])
        await anyio.sleep(0.02)


async def _call(client: NatsTransport, counts: Run) -> None:
    """Call, one call after the other, for as long as the flood lasts; none is left in the middle."""
    while True:
        with anyio.CancelScope(shield=True):
            begin = time.monotonic()
            response = await client.request("slow.ask", b'{"number": 1}', timeout=PATIENCE)
            waited = time.monotonic() - begin
        error = (response.headers or {}).get("Cliffracer-Error")
        if error is None:
            counts.answered += 1
        elif error == "mailbox_full":
            counts.refusals.append(waited)
        else:
            counts.other.append(error)
        await anyio.sleep(0.001)
