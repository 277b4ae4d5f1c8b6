"""The commands, and what their exit codes mean."""

import sys

import click

from cliffracer import __version__
from cliffracer.cli.call import call, cast
from cliffracer.cli.run import run
from cliffracer.cli.schema import client, schema
from cliffracer.cli.services import describe, services
from cliffracer.cli.tree import tree
from cliffracer.errors import CliffracerError, TransportError

__all__ = ["cliffracer"]

_EXIT_CODES = """
\b
Exit codes:
  0  done                     6  no such actor
  1  failed, or out of date   7  no answer in time
  2  wrong usage              8  the actor crashed
  3  the actor refused        9  full, stopping, or upstream failure
  4  invalid message         10  the broker is away
  5  unknown handler
"""


_WRONG = 2
_AWAY = 10


class _Group(click.Group):
    """Shows what this package raises as a message, and not as a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except CliffracerError as error:
            click.echo(f"cliffracer: {error}", err=True)
            sys.exit(_AWAY if isinstance(error, TransportError) else _WRONG)


@click.group(cls=_Group, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="cliffracer")
def cliffracer() -> None:
    """OTP's supervision trees for Python services, with NATS feeding the mailboxes."""


cliffracer.add_command(run)
cliffracer.add_command(call)
cliffracer.add_command(cast)
cliffracer.add_command(tree)
cliffracer.add_command(services)
cliffracer.add_command(describe)
cliffracer.add_command(schema)
cliffracer.add_command(client)
