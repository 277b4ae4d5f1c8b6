"""The command `cliffracer`. Needs the extra `[cli]`; without it, it says so."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from cliffracer.cli.commands import cliffracer  # noqa: PLC0415 - click is an extra
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        print("The command line needs more packages: pip install 'cliffracer[cli]'", file=sys.stderr)
        sys.exit(2)
    cliffracer()
