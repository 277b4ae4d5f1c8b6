"""Asking everybody who listens to a subject, and waiting until there will be no more answers."""

import secrets
from collections.abc import Callable, Iterable
from math import inf
from typing import TypeVar

import anyio
import click
import msgspec
from msgspec import Struct

from cliffracer.node.micro import Ping
from cliffracer.node.settings import Settings
from cliffracer.transport.contract import Headers, Transport
from cliffracer.transport.nats import without_credentials

__all__ = ["NOBODY", "gather", "read_services", "where_asked"]

NOBODY = 6
"""The exit code if nobody answers."""

_FIRST_ANSWER = 2.0  # seconds until somebody must have answered
_LAST_ANSWER = 0.25  # seconds without an answer after which there will be no more

P = TypeVar("P", bound=Ping)


async def gather(
    transport: Transport, subject: str, *, is_last: Callable[[bytes], bool] = lambda _: False
) -> list[bytes]:
    """Return what everybody answers who is subscribed to `subject`; nothing if nobody does within two seconds.

    Args:
        transport: The way.
        subject: Whom to ask.
        is_last: Tells whether an answer is the one that was waited for, so that no other is.
    """
    send, receive = anyio.create_memory_object_stream[bytes | None](inf)

    def take(_: str, payload: bytes, __: str, headers: Headers | None) -> None:
        nobody = headers is not None and headers.get("Status") == "503"  # the server's own words
        send.send_nowait(None if nobody else payload)

    inbox = f"_INBOX.cliffracer.{secrets.token_hex(8)}"
    subscription = await transport.subscribe(inbox, take)
    answers: list[bytes] = []
    with send, receive:
        await transport.publish(subject, b"", reply=inbox)
        while True:
            with anyio.move_on_after(_LAST_ANSWER if answers else _FIRST_ANSWER) as patience:
                payload = await receive.receive()
                if payload is None:
                    break
                answers.append(payload)
                if is_last(payload):
                    break
            if patience.cancelled_caught:
                break
        await subscription.drain()
    return answers


class _Sender(Struct):
    metadata: dict[str, str] | None = None


def read_services(payloads: Iterable[bytes], answer: type[P], namespace: str) -> list[P]:
    """Return the answers of the services of a namespace, sorted by name and node.

    Others speak the protocol as well: what is not from a node of ours, or from another namespace, is left out. A node
    of ours that cannot be understood is named on standard error.
    """
    read: list[P] = []
    for payload in payloads:
        try:
            metadata = msgspec.json.decode(payload, type=_Sender).metadata or {}
        except (ValueError, RecursionError):
            continue
        if "node" not in metadata or metadata.get("namespace") != namespace:
            continue
        try:
            read.append(msgspec.json.decode(payload, type=answer))
        except (ValueError, RecursionError) as error:
            click.echo(f"node {metadata['node']!r} answers in a form that is unknown here: {error}", err=True)
    return sorted(read, key=lambda one: (one.name, one.metadata["node"]))


def where_asked(settings: Settings) -> str:
    """Return where nobody answered, for a message: the servers and the namespace."""
    servers = ", ".join(without_credentials(server) for server in settings.servers())
    return servers + (f" under the namespace {settings.namespace!r}" if settings.namespace else "")
