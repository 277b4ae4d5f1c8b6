"""`cliffracer schema` and `cliffracer client`: what a tree offers, written down for others."""

import difflib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cliffracer.cli.load import load_actors, load_tree
from cliffracer.describe.asyncapi import asyncapi_of
from cliffracer.describe.client import client_of
from cliffracer.names import ADDRESS_RULE, is_namespace
from cliffracer.node.settings import Settings

__all__ = ["client", "schema"]

_SHOWN = 30  # lines of a difference
_OUT_OF_DATE = 1


def _writes(command: Callable[..., None]) -> Callable[..., None]:
    """Add what both commands take."""
    for add in (
        click.option("--check", is_flag=True, help="Write nothing; exit with 1 if the file is not as it would be."),
        click.option("--also", multiple=True, metavar="CLASS", help="An actor class that comes while the tree runs."),
        click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
                     help="Where to write it.  [default: standard output]"),
        click.argument("target"),
    ):  # fmt: skip
        command = add(command)
    return command


@click.command()
@_writes
@click.option("--namespace", metavar="NAME", help="Before the subjects of calls.  [default: CLIFFRACER_NAMESPACE]")
@click.option("--title", default="", metavar="TEXT", help="Of the document.  [default: the id of the tree]")
@click.option("--version", default="1.0.0", show_default=True, metavar="TEXT", help="Of what the tree offers.")
def schema(target: str, output: Path | None, also: tuple[str, ...], *, check: bool, **options: Any) -> None:
    """Write what the tree TARGET takes, answers and publishes as an AsyncAPI 3.0.0 document.

    TARGET is FILE.py:NAME or MODULE:NAME. Nothing is started: cliffracer schema shop.py:shop -o shop.json
    """
    namespace = options["namespace"]
    if namespace is None:
        namespace = Settings.from_environment().namespace
    if namespace and not is_namespace(namespace):
        raise click.UsageError(f"--namespace {namespace!r} is none: {ADDRESS_RULE} Join several with dots.")
    tree = load_tree(target)
    document = asyncapi_of(
        tree,
        namespace=namespace,
        title=options["title"],
        version=options["version"],
        also=load_actors(target, also),
    )
    _deliver(json.dumps(document, indent=2, ensure_ascii=False) + "\n", output, check=check)


@click.command()
@_writes
def client(target: str, output: Path | None, also: tuple[str, ...], *, check: bool) -> None:
    """Write the actors of the tree TARGET as a module of typed stubs, for those who call them.

    TARGET is FILE.py:NAME or MODULE:NAME. Nothing is started: cliffracer client shop.py:shop -o client.py
    """
    tree = load_tree(target)
    _deliver(client_of(tree, also=load_actors(target, also)), output, check=check)


def _deliver(text: str, output: Path | None, *, check: bool) -> None:
    """Print or write `text`; or compare it with what is there."""
    if output is None:
        if check:
            raise click.UsageError("--check compares with a file: -o FILE.")
        click.echo(text, nl=False)
    elif check:
        _compare(text, output)
    else:
        try:
            output.write_bytes(text.encode())
        except OSError as error:
            raise click.UsageError(f"cannot write {output}: {error.strerror}.") from None


def _compare(text: str, output: Path) -> None:
    try:
        there = output.read_bytes().decode()
    except FileNotFoundError:
        click.echo(f"there is no file {output}. Write it: the same command without --check.", err=True)
        sys.exit(_OUT_OF_DATE)
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {output}: {error}.") from None
    if there == text:
        return
    old, new = there.splitlines(), text.splitlines()
    lines = list(difflib.unified_diff(old, new, str(output), "as it would be", n=1, lineterm=""))
    for line in lines[:_SHOWN] or ["(only the line ends differ)"]:
        click.echo(line)
    if len(lines) > _SHOWN:
        click.echo(f"... {len(lines) - _SHOWN} more lines")
    click.echo(f"{output} is out of date. Write it anew: the same command without --check.", err=True)
    sys.exit(_OUT_OF_DATE)
