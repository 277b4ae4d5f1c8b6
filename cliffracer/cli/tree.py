"""`cliffracer tree`: the supervision trees of running nodes, or one that does not run yet."""

import sys
from collections.abc import Iterator
from math import inf
from typing import Any

import anyio
import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cliffracer.cli.connect import connected, settings_for
from cliffracer.cli.gather import NOBODY, gather, where_asked
from cliffracer.cli.load import load_tree
from cliffracer.errors import TransportError
from cliffracer.node.inspect import TREE_SUBJECT, NodeTree, TreeEntry, planned_tree
from cliffracer.node.node import run_on_asyncio
from cliffracer.node.settings import Settings
from cliffracer.transport.contract import Transport

__all__ = ["tree"]

_WIDE = 240  # characters, where no terminal says how wide it is
_DECODER = msgspec.json.Decoder(NodeTree)


@click.command()
@click.argument("target", required=False)
@click.option("--nats", metavar="URL", help="The NATS server.  [default: CLIFFRACER_NATS_URL or nats://127.0.0.1:4222]")
@click.option("--node", metavar="NAME", help="Only the node of this name.")
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds, for --watch.")
@click.option("--json", "as_json", is_flag=True, help="For machines: one JSON object for each node, a line each.")
@click.option("--shutdown-time", is_flag=True, help="How long stopping may take at worst, and what takes it.")
def tree(
    target: str | None,
    nats: str | None,
    node: str | None,
    *,
    watch: bool,
    interval: float,
    as_json: bool,
    shutdown_time: bool,
) -> None:
    """Show the supervision trees of the nodes that run.

    With TARGET, FILE.py:NAME or MODULE:NAME, show that tree instead; nothing has to run for it.
    """
    if target is not None:
        if watch or node or nats:
            raise click.UsageError("TARGET does not run: leave out --watch, --node and --nats, or TARGET.")
        drain = Settings.from_environment().drain_timeout
        _show([NodeTree("", "", "starting", drain, planned_tree(load_tree(target)))], as_json, shutdown_time)
        return
    settings = settings_for(nats)
    try:
        trees = run_on_asyncio(
            lambda: _ask_and_show(settings, node, interval if watch else None, as_json, shutdown_time)
        )
    except KeyboardInterrupt:
        return  # that is how one leaves --watch
    if not trees:
        whom = f"node {node!r}" if node else "node"
        click.echo(f"no {whom} answers at {where_asked(settings)}. Start one: cliffracer run FILE.py:NAME", err=True)
        sys.exit(NOBODY)


async def _ask_and_show(
    settings: Settings, node: str | None, interval: float | None, as_json: bool, shutdown_time: bool
) -> list[NodeTree]:
    async with connected(settings) as transport:
        trees = await _ask(transport, settings, node)
        if interval is None or not trees:
            _show(trees, as_json, shutdown_time)
            return trees
        if as_json or not sys.stdout.isatty():
            while True:
                _show(trees, as_json, shutdown_time)
                sys.stdout.flush()
                await anyio.sleep(interval)
                trees = await _ask_again(transport, settings, node)
        with Live(_render(trees, shutdown_time), auto_refresh=False, screen=True) as live:
            while True:
                await anyio.sleep(interval)
                trees = await _ask_again(transport, settings, node)
                live.update(_render(trees, shutdown_time), refresh=True)


async def _ask_again(transport: Transport, settings: Settings, node: str | None) -> list[NodeTree]:
    try:
        return await _ask(transport, settings, node)
    except TransportError:
        return []  # the server is away; the connection is made again when it is back


async def _ask(transport: Transport, settings: Settings, node: str | None) -> list[NodeTree]:
    """Ask all nodes, and return the answers, sorted by name."""
    prefix = settings.prefix()

    def is_wanted(payload: bytes) -> bool:
        return node is not None and _DECODER.decode(payload).node == node

    answers = await gather(transport, f"{prefix}{TREE_SUBJECT}", is_last=is_wanted)
    trees = [_DECODER.decode(payload) for payload in answers]
    return sorted((one for one in trees if node in (None, one.node)), key=lambda one: one.node)


def _show(trees: list[NodeTree], as_json: bool, shutdown_time: bool) -> None:
    if as_json:
        for one in trees:
            click.echo(msgspec.json.encode(one).decode())
    elif trees:
        Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE).print(_render(trees, shutdown_time))


def _render(trees: list[NodeTree], shutdown_time: bool) -> RenderableType:
    parts: list[RenderableType] = []
    for one in trees:
        parts += _shutdown_table(one) if shutdown_time else _live_table(one)
    return Group(*parts) if parts else Text("no node answers")


def _live_table(one: NodeTree) -> tuple[Text, Table]:
    planned = one.root.state == "planned"
    title = f"{one.root.id}, not running" if planned else f"node {one.node}, {one.state}"
    table = Table(box=None, pad_edge=False)
    for name in ("", "kind", "restart") if planned else ("", "state", "inc", "crashes", "mailbox", "up", "last crash"):
        table.add_column(name, no_wrap=name != "last crash")
    # Last what the node runs for itself.
    for indent, entry in (*_walk(one.root), *(_walk(one.own) if one.own is not None else ())):
        if planned:
            table.add_row(indent + entry.id, _kind(entry), entry.restart)
        else:
            table.add_row(
                indent + entry.id,
                Text(entry.state, style=_STYLES.get(entry.state, "")),
                str(entry.incarnation or ""),
                _crashes(entry),
                _mailbox(entry),
                _time(entry.uptime),
                _last_crash(entry),
            )
        if entry.omitted:
            table.add_row(f"{' ' * len(indent)}   ... and {entry.omitted} more")
    return Text(title), table


def _shutdown_table(one: NodeTree) -> tuple[Text, Table]:
    worst = one.root.shutdown_seconds()
    unknown = any(_is_unknown(entry) for _, entry in _walk(one.root))
    bound = "at least" if unknown else "at most"
    title = f"stopping {one.root.id} takes {bound} {_limit(worst + one.drain_timeout)}"
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column(bound, justify="right")
    table.add_column("")
    table.add_row("emptying the mailboxes", _limit(one.drain_timeout), "CLIFFRACER_DRAIN_TIMEOUT")
    for indent, entry in _walk(one.root):
        if entry.kind in ("actor", "function"):
            why = f"shutdown={entry.shutdown!r}"
        elif entry.kind == "task supervisor":
            why = f"shutdown={entry.shutdown!r}, for all jobs at once"
        elif entry.shutdown != "infinity":
            why = f"shutdown={entry.shutdown!r}, whatever is below"
        else:
            why = "the sum"
            if _is_unknown(entry):
                why = "not known before it runs"
            elif entry.kind == "dynamic supervisor":
                why = "the longest of those that run, for they stop all at once"
        table.add_row(indent + entry.id, _limit(entry.shutdown_seconds()), why)
    return Text(title), table


def _is_unknown(entry: TreeEntry) -> bool:
    """Tell whether what is in it comes when it runs: a dynamic supervisor, or one that a function makes."""
    return entry.state == "planned" and (
        entry.kind == "dynamic supervisor" or (entry.kind == "supervisor" and entry.strategy is None)
    )


def _walk(entry: TreeEntry, indent: str = "", below: str = "") -> Iterator[tuple[str, TreeEntry]]:
    yield indent, entry
    for child in entry.children:
        last = child is entry.children[-1] and not entry.omitted
        yield from _walk(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))


_STYLES = {"running": "green", "restarting": "bold red", "stopped": "dim", "suspended": "yellow", "stopping": "yellow"}


def _kind(entry: TreeEntry) -> str:
    return f"{entry.kind}, {entry.strategy}" if entry.strategy else entry.kind


def _crashes(entry: TreeEntry) -> Text:
    """What crashed, or for a supervisor how much of its budget is used up: a crash loop shows at a glance."""
    if entry.restarts is not None and entry.max_restarts:
        used = entry.restarts / entry.max_restarts
        style = "bold red" if used >= 1 else "yellow" if used else ""
        return Text(f"{entry.restarts}/{entry.max_restarts} in {entry.max_seconds:g} s", style=style)
    return Text(str(entry.crashes or ""), style="yellow" if entry.crashes else "")


def _mailbox(entry: TreeEntry) -> Text:
    if entry.mailbox_depth is None:
        return Text("")
    dropped = f" -{entry.mailbox_dropped}" if entry.mailbox_dropped else ""
    full = entry.mailbox_capacity is not None and entry.mailbox_depth * 2 > entry.mailbox_capacity
    return Text(f"{entry.mailbox_depth}/{entry.mailbox_capacity}{dropped}", style="bold red" if full or dropped else "")


def _last_crash(entry: TreeEntry) -> str:
    if not entry.last_crash:
        return ""
    return f"{_time(entry.last_crash_ago)} ago: {entry.last_crash} (incident {entry.last_incident})"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _limit(seconds: float) -> Any:
    return "no limit" if seconds == inf else f"{seconds:g} s"
