"""Finds the tree that a command line names: `examples/quickstart.py:app` or `shop.tree:app`."""

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import click

from cliffracer.actor.actor import Actor
from cliffracer.supervision.spec import Supervisor

__all__ = ["load_actors", "load_tree"]


def load_tree(target: str) -> Supervisor:
    """Return the tree that `target` names.

    Args:
        target: `path/to/file.py:name` or `module.path:name`.

    Raises:
        click.UsageError: There is no such tree; the message says what to type instead.
    """
    source, colon, attribute = target.rpartition(":")
    if not colon or not source or not attribute:
        raise click.UsageError(
            f"{target!r} names no tree. Type FILE.py:NAME or MODULE:NAME, like examples/quickstart.py:app."
        )
    module = _load_file(Path(source)) if source.endswith(".py") else _load_module(source)
    trees = sorted(name for name, value in vars(module).items() if isinstance(value, Supervisor))
    hint = f" Trees in it: {', '.join(f'{source}:{name}' for name in trees)}." if trees else " There is no tree in it."
    if not hasattr(module, attribute):
        raise click.UsageError(f"{source} has no {attribute!r}.{hint}")
    tree = getattr(module, attribute)
    if not isinstance(tree, Supervisor):
        raise click.UsageError(f"{target} is a {type(tree).__name__}, and no Supervisor(...).{hint}")
    return tree


def load_actors(target: str, names: Iterable[str]) -> list[type[Actor]]:
    """Return the actor classes of those names, beside the tree that `target` names; it has been loaded before.

    Raises:
        click.UsageError: There is no such class; the message says which there are.
    """
    source = target.rpartition(":")[0]
    module = vars(sys.modules[Path(source).stem if source.endswith(".py") else source])
    actors = {name: value for name, value in module.items() if isinstance(value, type) and issubclass(value, Actor)}
    for name in names:
        if name not in actors or actors[name] is Actor:
            there = ", ".join(sorted(name for name, actor in actors.items() if actor is not Actor))
            raise click.UsageError(f"{source} has no actor class {name!r}. It has {there or 'none'}.")
    return [actors[name] for name in names]


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise click.UsageError(f"there is no file {path}. Type the path of the file that holds your Supervisor(...).")
    # As `python path/to/file.py` would: the file's neighbours can be imported.
    sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _load_module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only if it is this module that is missing; a missing import inside it shows its own traceback.
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise click.UsageError(
            f"there is no module {name!r} to be imported from {Path.cwd()}. Type FILE.py:NAME or MODULE:NAME."
        ) from None
