"""`cliffracer services` and `cliffracer describe`: what the nodes of a namespace offer, and what it has done so far."""

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cliffracer.cli.connect import connected, settings_for
from cliffracer.cli.gather import NOBODY, gather, read_services, where_asked
from cliffracer.cli.signatures import signature_of, types_of
from cliffracer.names import ADDRESS_RULE, is_address
from cliffracer.node.micro import SERVICES_SUBJECT, EndpointData, Information, Statistics
from cliffracer.node.node import run_on_asyncio
from cliffracer.node.settings import Settings

__all__ = ["describe", "services"]

_WIDE = 240  # characters, where no terminal says how wide it is
_NANOSECONDS = 1_000_000_000


@click.command()
@click.option("--nats", metavar="URL", help="The NATS server.  [default: CLIFFRACER_NATS_URL or nats://127.0.0.1:4222]")
@click.option("--json", "as_json", is_flag=True, help="For machines: one JSON object for each instance, a line each.")
def services(nats: str | None, *, as_json: bool) -> None:
    """List the actors and pools, with what they have done.

    Actors below dynamic supervisors are not listed; they answer to their name: cliffracer describe NAME
    """
    settings = settings_for(nats)
    found = run_on_asyncio(lambda: _ask_all(settings))
    if not found:
        click.echo(f"no service answers at {where_asked(settings)}. Start one: cliffracer run FILE.py:NAME", err=True)
        sys.exit(NOBODY)
    if as_json:
        _write_lines(found)
    else:
        _console().print(_services_table(found))


@click.command()
@click.argument("name", metavar="ACTOR")
@click.option("--nats", metavar="URL", help="The NATS server.  [default: CLIFFRACER_NATS_URL or nats://127.0.0.1:4222]")
@click.option("--json", "as_json", is_flag=True, help="For machines: one JSON object for each instance, a line each.")
def describe(name: str, nats: str | None, *, as_json: bool) -> None:
    """Show the handlers of an actor or a pool, and what each instance has done.

    With --json, the JSON Schemas of what each handler takes and answers, too.
    """
    if not is_address(name):
        raise click.UsageError(f"{name!r} is no actor's name; {ADDRESS_RULE}")
    settings = settings_for(nats)
    found = run_on_asyncio(lambda: _ask_one(settings, name))
    if not found:
        click.echo(
            f"no actor {name!r} answers at {where_asked(settings)}. See what there is: cliffracer services", err=True
        )
        sys.exit(NOBODY)
    if as_json:
        _write_lines({"information": information, "statistics": statistics} for information, statistics in found)
    else:
        _print_descriptions(found)


async def _ask_all(settings: Settings) -> list[Statistics]:
    async with connected(settings) as transport:
        answers = await gather(transport, f"{SERVICES_SUBJECT}.STATS")
    return read_services(answers, Statistics, settings.namespace)


async def _ask_one(settings: Settings, name: str) -> list[tuple[Information, Statistics]]:
    """Return what each instance says of itself; one that starts or ends in between is left out."""
    async with connected(settings) as transport:
        offers = await gather(transport, f"{SERVICES_SUBJECT}.INFO.{name}")
        counts = await gather(transport, f"{SERVICES_SUBJECT}.STATS.{name}") if offers else []
    by_id = {one.id: one for one in read_services(counts, Statistics, settings.namespace)}
    return [
        (information, by_id[information.id])
        for information in read_services(offers, Information, settings.namespace)
        if information.id in by_id
    ]


def _write_lines(values: Iterable[object]) -> None:
    for value in values:
        click.echo(msgspec.json.encode(value).decode())


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


# services


def _services_table(found: list[Statistics]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("service", "version", "handlers", "requests", "errors", "mailbox", "nodes"):
        table.add_column(title, no_wrap=title != "nodes", justify="right" if title in _NUMBERS else "left")
    for name, group in groupby(found, key=lambda one: one.name):
        instances = list(group)
        endpoints = [endpoint for one in instances for endpoint in one.endpoints]
        errors = sum(endpoint.num_errors for endpoint in endpoints)
        table.add_row(
            name,
            ", ".join(dict.fromkeys(one.version for one in instances)),
            str(len({endpoint.name for endpoint in endpoints})),
            str(sum(endpoint.num_requests for endpoint in endpoints)),
            Text(str(errors), style="yellow" if errors else ""),
            _mailbox([one.endpoints[0].data for one in instances if one.endpoints]),
            ", ".join(one.metadata["node"] for one in instances),
        )
    return table


_NUMBERS = ("handlers", "requests", "errors")


def _mailbox(data: Sequence[EndpointData]) -> Text:
    if not data:
        return Text("")  # nothing can be sent to it
    depth, capacity = sum(one.mailbox_depth for one in data), sum(one.mailbox_capacity for one in data)
    dropped = sum(one.dropped for one in data)
    full = depth * 2 > capacity
    return Text(
        f"{depth}/{capacity}" + (f" -{dropped}" if dropped else ""), style="bold red" if full or dropped else ""
    )


# describe


def _print_descriptions(found: list[tuple[Information, Statistics]]) -> None:
    """Show the interface once for all instances that have the same: while a new version comes, there are two."""
    console = _console()
    interfaces: dict[str, list[tuple[Information, Statistics]]] = {}
    for information, statistics in found:
        offer = msgspec.json.encode((information.version, information.description, information.endpoints)).decode()
        interfaces.setdefault(offer, []).append((information, statistics))
    for instances in interfaces.values():
        information, _ = instances[0]
        console.print(_title(information), markup=False)
        console.print(_interface_table(information))
        for name, text in _named_types(information).items():
            console.print(f"{name} = {text}", markup=False)
        for _, statistics in instances:
            console.print()
            console.print(_instance_title(statistics), markup=False)
            console.print(_statistics_table(statistics))


def _title(information: Information) -> str:
    head = f"{information.name} {information.version}, {information.metadata.get('kind', 'service')}"
    return f"{head}: {information.description}" if information.description else head


def _interface_table(information: Information) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("handler", "kind", "subject", "queue group"):
        table.add_column(title, no_wrap=title != "handler")
    for endpoint in information.endpoints:
        facts = endpoint.metadata
        table.add_row(
            Text(signature_of(endpoint.name, facts)),
            facts.get("kind", ""),
            Text(facts.get("pattern", endpoint.subject)),
            endpoint.queue_group or "none: each instance hears it",
        )
    return table


def _named_types(information: Information) -> dict[str, str]:
    types: dict[str, str] = {}
    for endpoint in information.endpoints:
        types.update(types_of(endpoint.metadata))
    return types


def _instance_title(statistics: Statistics) -> str:
    head = (
        f"node {statistics.metadata['node']}, instance {statistics.id}, since {statistics.started:%Y-%m-%d %H:%M:%SZ}"
    )
    if not statistics.endpoints:
        return head
    data = statistics.endpoints[0].data
    return (
        f"{head}\nmailbox {_mailbox([data])}, {data.in_hand} in hand, {data.expired} expired, "
        f"{data.rejected} rejected, {data.turned_away} turned away, {data.restarts} restarts"
    )


def _statistics_table(statistics: Statistics) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("handler", "requests", "errors", "average", "last error"):
        table.add_column(title, no_wrap=title != "last error", justify="right" if title in _COUNTS else "left")
    for endpoint in statistics.endpoints:
        table.add_row(
            endpoint.name,
            str(endpoint.num_requests),
            Text(str(endpoint.num_errors), style="yellow" if endpoint.num_errors else ""),
            _time(endpoint.average_processing_time) if endpoint.num_requests else "",
            Text(endpoint.last_error),
        )
    return table


_COUNTS = ("requests", "errors", "average")


def _time(nanoseconds: int) -> str:
    for unit, size in (("s", _NANOSECONDS), ("ms", 1_000_000)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.1f} {unit}"
    return f"{nanoseconds / 1000:.0f} us"
