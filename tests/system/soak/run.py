"""One run: subscriptions, the sender, and connections that break meanwhile."""

import time
from typing import Literal, NamedTuple

import anyio
import anyio.to_thread

from cliffracer.transport.contract import ConnectionClosed, ConnectionEvent, Headers, Trouble
from cliffracer.transport.nats import NatsOptions, NatsTransport
from tests.system.peers import PATIENCE, peer
from tests.system.servers import Server
from tests.system.soak.messages import SUBSCRIPTIONS, Arrivals

__all__ = ["Report", "problems_of", "run"]

NAME = "soak-receiver"
BREAKS = ("server killed", "connection cut", "closed for good")
TELL_EVERY = 500  # messages
# A break takes away what is under way in both directions, and what is sent before both ends are back.
MOST_GAPS = 4  # for each break

Loop = Literal["asyncio", "uvloop"]


class Report(NamedTuple):
    """What became of the messages.

    Attributes:
        messages: How many were sent.
        breaks: What happened to the connections while messages were on their way.
        seconds: From the first message to the last.
        back: Seconds until all subscriptions were back, after each break.
        missing: Subscriptions that did not come back.
        arrived: What arrived at each subscription, by its subject.
        troubles: What the transport had to report besides.
        answers: Subscriptions that heard the last message, which was sent when all was quiet.
    """

    messages: int
    breaks: list[str]
    seconds: float
    back: list[float]
    missing: set[tuple[str, str]]
    arrived: dict[str, Arrivals]
    troubles: list[str]
    answers: set[str]


class _Receiver:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport = NatsTransport(NatsOptions(servers=(server.url,), name=NAME, connect_timeout=PATIENCE))
        self.arrived = {subject: Arrivals(subject, step) for subject, (_, step) in SUBSCRIPTIONS.items()}
        self.answers: set[str] = set()
        self.troubles: list[str] = []
        self.closed = anyio.Event()
        self.back: list[float] = []
        self.missing: set[tuple[str, str]] = set()

    def on_event(self, event: ConnectionEvent) -> None:
        if isinstance(event, ConnectionClosed):
            self.closed.set()
        elif isinstance(event, Trouble) and any(word in event.error for word in ("lost to a fault", "malformed")):
            self.troubles.append(str(event))

    async def subscribe(self) -> None:
        await self.transport.connect(self.on_event)
        for subject, (queue, _) in SUBSCRIPTIONS.items():
            arrivals = self.arrived[subject]

            def take(
                of: str,
                payload: bytes,
                reply: str,
                headers: Headers | None,
                arrivals: Arrivals = arrivals,
                own: str = subject,
            ) -> bool:
                if payload == b"the end":
                    self.answers.add(own)
                    return False
                wants_turn = arrivals.take(of, payload, reply, headers)
                if own == "soak.>" and arrivals.count % TELL_EVERY == 0 and self.transport.is_connected:
                    self.transport.publish_nowait("soaking.arrived", b"%d" % arrivals.last)
                return wants_turn

            await self.transport.subscribe(subject, take, queue=queue)
        await self.transport.flush()

    async def break_connection(self, how: str) -> None:
        """Break the connection, and wait until all is as before."""
        wanted = {(subject, queue) for subject, (queue, _) in SUBSCRIPTIONS.items()}
        client = self.transport._client
        if how == "server killed":
            self.server.kill()
            await anyio.to_thread.run_sync(self.server.start)
        elif how == "connection cut":
            client._transport._io_writer.transport.abort()  # type: ignore[union-attr]
        else:
            # As nats-py does over most errors that a server sends; such a one may be lost with the connection.
            await client.close()
            with anyio.fail_after(PATIENCE):
                await self.closed.wait()
            self.closed = anyio.Event()
            await self.transport.connect(self.on_event)
        began = time.monotonic()
        missing = wanted
        # The server may not have noticed yet that the earlier connection has gone: this one is to be there, and known.
        while missing and time.monotonic() < began + PATIENCE:
            await anyio.sleep(0.02)
            if self.transport.is_connected:
                missing = wanted - await anyio.to_thread.run_sync(self.server.subscriptions, NAME)
        self.missing |= missing
        self.back.append(time.monotonic() - began)


async def run(server: Server, messages: int, reconnects: int, loop: Loop) -> Report:
    """Send, let connections break in between, and look at what arrives.

    Args:
        server: Described, not started.
        messages: How many.
        reconnects: How often a connection breaks; the ways take turns.
        loop: Of the sender; the receiver runs in the loop of the caller.
    """
    server.start()
    receiver = _Receiver(server)
    await receiver.subscribe()
    everything = receiver.arrived["soak.>"]
    breaks = [BREAKS[number % len(BREAKS)] for number in range(reconnects)]
    held = anyio.Event()
    amid: list[str] = []

    async def break_now_and_then() -> None:
        for number, how in enumerate(breaks, 1):
            # Breaks may have taken so much that this number never comes.
            while everything.last < messages * number // (reconnects + 1) and not held.is_set():
                await anyio.sleep(0.005)
            if not held.is_set():
                amid.append(how)
            await receiver.break_connection(how)

    async with peer("tests.system.soak.sender", server.url, messages, loop) as sender:
        await sender.hear("ready")
        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(break_now_and_then)
            await sender.hear("held", within=3600.0)
            held.set()
        await sender.say("go on")
        await sender.hear("sent")
        seconds = time.monotonic() - began
    await receiver.transport.flush()
    await receiver.transport.publish("soak.plain.end", b"the end")
    await receiver.transport.publish("soak.headers.end", b"the end")
    await receiver.transport.publish("soak.replies.end", b"the end")
    await receiver.transport.flush()
    await receiver.transport.close()
    said, heard = receiver.troubles, receiver.answers
    return Report(
        messages, amid, seconds, receiver.back, receiver.missing, receiver.arrived, said, heard
    )  # fmt: skip


def problems_of(report: Report) -> list[str]:
    """Return what should not be so in `report`, each as a sentence; none if all is well."""
    found = [fault for arrivals in report.arrived.values() for fault in arrivals.faults]
    found += [f"the transport reported: {trouble}" for trouble in report.troubles[:5]]
    found += [f"a subscription did not come back: {subject}" for subject, _ in report.missing]
    found += [f"a subscription is deaf: {subject}" for subject in SUBSCRIPTIONS.keys() - report.answers]
    for subject, arrivals in report.arrived.items():
        if arrivals.gaps > MOST_GAPS * len(report.breaks):
            found.append(f"{subject}: {arrivals.gaps} gaps after {len(report.breaks)} breaks")
        if arrivals.last < report.messages - 3:
            found.append(f"{subject}: the last that came was {arrivals.last} of {report.messages}")
    return found
