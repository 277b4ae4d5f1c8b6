"""`cliffracer run`: a tree, and a NATS server with it unless you have one."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import click
import msgspec

from cliffracer.actor.handlers import Kind
from cliffracer.cli.call import DEFAULT_SERVERS
from cliffracer.cli.load import load_tree
from cliffracer.errors import CliffracerError
from cliffracer.node.node import Node, run_on_asyncio
from cliffracer.node.settings import Settings
from cliffracer.supervision.spec import Supervisor
from cliffracer.transport.server import run_server

__all__ = ["run"]


@click.command()
@click.argument("target")
@click.option("--nats", metavar="URL", help="Use the NATS server that runs there; 'none' stays in this process.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the server that is started here.  [default: 4222]")
def run(target: str, nats: str | None, port: int | None) -> None:
    """Run the tree TARGET, FILE.py:NAME or MODULE:NAME, until Ctrl-C.

    Without --nats and CLIFFRACER_NATS_URL, a nats-server is started on 127.0.0.1 and stopped with the tree.
    """
    settings = Settings.from_environment() if nats is None else Settings.from_environment(nats_url=nats)
    embedded = settings.nats_url is None
    if port is not None and not embedded:
        raise click.UsageError("--port is for the server that is started here; leave it out with --nats.")
    tree = load_tree(target)
    sys.exit(run_on_asyncio(lambda: _serve(tree, settings, port or 4222 if embedded else None)))


async def _serve(tree: Supervisor, settings: Settings, port: int | None) -> int:
    """Run the tree; return the exit code. With a port, a server is started there."""
    async with _server(settings, port) as chosen:
        node = Node(tree, settings=chosen)
        _greet(tree, chosen)
        try:
            await node.serve()
        except CliffracerError as error:
            node.exit_failed(error)
    return 0


@asynccontextmanager
async def _server(settings: Settings, port: int | None) -> AsyncGenerator[Settings, None]:
    if port is None:
        yield settings
        return
    async with run_server(port) as url:
        yield msgspec.structs.replace(settings, nats_url=url)


def _greet(tree: Supervisor, settings: Settings) -> None:
    """Say in a few lines what runs, where, and what to type next."""
    names = [str(spec.name) for spec in tree.actors()]
    broker = ", ".join(settings.servers()) or "in this process, no server"
    click.echo(f"cliffracer: tree {tree.id!r}, {len(names)} actors: {', '.join(names)}", err=True)
    click.echo(f"  broker: {broker}", err=True)
    if settings.servers() and (example := _example_call(tree)):
        elsewhere = "" if settings.servers() == DEFAULT_SERVERS else f" --nats {settings.servers()[0]}"
        click.echo(f"  try, in another terminal: {example}{elsewhere}", err=True)
    click.echo("  Ctrl-C stops it in order", err=True)


def _example_call(tree: Supervisor) -> str | None:
    """Return a command that calls a handler of the tree, preferably one with parameters."""
    calls = [
        (spec.name, handler)
        for spec in tree.actors()
        for handler in getattr(spec.start, "actor").__handlers__.values()  # noqa: B009 - actors() yields actors only
        if handler.kind is Kind.CALL
    ]
    if not calls:
        return None
    name, handler = max(calls, key=lambda item: len(item[1].signature.parameters))
    values = " ".join(f"{parameter}=..." for parameter in handler.signature.parameters)
    return f"cliffracer call {name}.{handler.name} {values}".rstrip()
