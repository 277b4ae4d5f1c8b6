"""Two clients of nats-py that keep what comes out of their parsers: the stock one, and ours.

Neither is connected. What is recorded, is recorded in one order: what each sink and each queue got, what the server
said besides, and what was raised.
"""

import asyncio

from nats.aio.client import Client

from cliffracer.transport.nats.fast import FastClient
from cliffracer.transport.nats.sinks import DirectSink

__all__ = ["Fast", "Stock", "both", "feed", "subscribed"]


class _Recording:
    """Keeps what the parser has to tell; the rest of the client is as it is."""

    def __init__(self):
        super().__init__()
        self.record = []
        self.is_given_up = False
        self._flush_queue = asyncio.Queue()  # as `connect` would make it
        self._error_cb = self._note_error

    async def _note_error(self, error):
        self.record.append(("error", type(error), str(error).partition(", sub: <")[0]))

    async def _process_ping(self):
        self.record.append(("ping",))

    async def _process_pong(self):
        self.record.append(("pong",))

    async def _process_info(self, info, initial_connection=False):
        self.record.append(("info", info))

    async def _process_err(self, message):
        self.record.append(("err", message))
        if "stale connection" in message:
            self.give_up()

    def give_up(self):
        """Give the connection up, as nats-py does."""
        self.is_given_up = True
        self._ps.reset()


class Stock(_Recording, Client):
    """nats-py's client; its sinks are reached by its public way."""

    def forget(self, sid):
        self._remove_sub(sid)


class Fast(_Recording, FastClient):
    """Ours."""


class _Queue(asyncio.Queue):
    """Of a subscription of nats-py's own."""

    def __init__(self, name, record, limit=0):
        super().__init__(limit)
        self._name = name
        self._record = record

    def put_nowait(self, message):
        super().put_nowait(message)
        self._record.append((self._name, message.subject, message.data, message.reply, message.headers))


async def subscribed(client):
    """Give `client` subscriptions of all kinds, numbered from 1; see `nats_frames`."""

    def sink(name, does=None):
        def take(subject, payload, reply, headers):
            client.record.append((name, subject, payload, reply, headers))
            return does and does()

        return DirectSink(take, lambda trouble: client.record.append((name, trouble)))

    def fail():
        raise KeyError("as it does")

    for name, does in (("first", None), ("second", None), ("raising", fail), ("polite", lambda: True)):
        await client.subscribe(name, future=sink(name, does))
    for name, limit, most in (("queue", 0, 0), ("small.queue", 2, 0), ("queue.for.two", 0, 2)):
        made = await client.subscribe(name, max_msgs=most)
        made._pending_queue = _Queue(name, client.record, limit)
    gone = await client.subscribe("gone", future=sink("gone"))
    client.forget(gone._id)
    return client


async def feed(client, *connections):
    """Feed what comes over each connection to the parser of `client`, as its read loop does; return the record."""
    for chunks in connections:
        client.is_given_up = False
        for chunk in chunks:
            try:
                await client._ps.parse(chunk)
            except Exception as error:
                client.record.append(("raised", type(error), str(error)))
                client.give_up()
            if client.is_given_up:
                break  # what is still to come over this connection is not read any more
    return client.record


async def both(*connections):
    """Return the records of the stock client and of ours for the same connections."""
    return [await feed(await subscribed(make()), *connections) for make in (Stock, Fast)]
