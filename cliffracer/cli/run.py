"""`cliffracer run`: a tree, and a NATS server with it unless you have one."""

import click
import msgspec

from cliffracer.actor.handlers import Handler, Kind
from cliffracer.cli.connect import DEFAULT_SERVERS
from cliffracer.cli.load import load_tree
from cliffracer.node.node import Node
from cliffracer.node.settings import Settings
from cliffracer.supervision.spec import Supervisor
from cliffracer.transport.contract import Transport
from cliffracer.transport.nats import without_credentials
from cliffracer.transport.server import EmbeddedNatsTransport

__all__ = ["run"]

_PORT = 4222


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
    transport: Transport | None = None
    if embedded:
        transport = EmbeddedNatsTransport(port or _PORT, settings.nats_options())
        settings = msgspec.structs.replace(settings, nats_url=transport.url)
    _greet(tree, settings)
    Node(tree, settings=settings, transport=transport).run()


def _greet(tree: Supervisor, settings: Settings) -> None:
    """Say in a few lines what runs, where, and what to type next."""
    names = [str(spec.name) for spec in tree.actors()]
    click.echo(f"cliffracer: tree {tree.id!r}, {len(names)} actors: {', '.join(names)}", err=True)
    servers = [without_credentials(server) for server in settings.servers()]
    click.echo(f"  broker: {', '.join(servers) or 'in this process, no server'}", err=True)
    if servers and (example := _example_call(tree)):
        elsewhere = "" if tuple(servers) == DEFAULT_SERVERS else f" --nats {servers[0]}"
        click.echo(f"  try, in another terminal: {example}{elsewhere}", err=True)
    click.echo("  Ctrl-C stops it in order", err=True)


def _example_call(tree: Supervisor) -> str | None:
    """Return a command that calls a handler of the tree, preferably one that can be pasted as it stands."""
    calls = [
        (spec.name, handler)
        for spec in tree.actors()
        for handler in getattr(spec.start, "actor").__handlers__.values()  # noqa: B009 - actors() yields actors only
        if handler.kind is Kind.CALL
    ]
    if not calls:
        return None
    name, handler = min(calls, key=lambda item: len(_required(item[1])))
    values = " ".join(f"{parameter}=..." for parameter in _required(handler))
    return f"cliffracer call {name}.{handler.name} {values}".rstrip()


def _required(handler: Handler) -> list[str]:
    return [name for name, p in handler.signature.parameters.items() if p.default is p.empty]
