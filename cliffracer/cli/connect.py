"""What the commands that talk to running nodes have in common: which server, and what is wrong with that."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import click

from cliffracer.node.settings import Settings
from cliffracer.transport.nats import NatsTransport

__all__ = ["DEFAULT_SERVERS", "connected", "settings_for"]

DEFAULT_SERVERS = ("nats://127.0.0.1:4222",)


def settings_for(nats: str | None) -> Settings:
    """Return the settings of a command: the server that `--nats` names, or the environment, or the usual one.

    Raises:
        click.UsageError: It is "none": there is nobody to talk to.
    """
    settings = Settings.from_environment() if nats is None else Settings.from_environment(nats_url=nats)
    if settings.nats_url is None:
        settings = Settings.from_environment(nats_url=DEFAULT_SERVERS[0])
    if not settings.servers():
        raise click.UsageError("this needs the server that the other node is on: --nats nats://HOST:4222.")
    return settings


@asynccontextmanager
async def connected(settings: Settings) -> AsyncGenerator[NatsTransport, None]:
    """Connect for the length of the block.

    Raises:
        ConnectFailed: There is no server.
    """
    transport = NatsTransport(settings.nats_options())
    await transport.connect(lambda _: None)
    try:
        yield transport
    finally:
        with anyio.CancelScope(shield=True):
            await transport.close()
