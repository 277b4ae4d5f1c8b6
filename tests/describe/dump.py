"""Writes the schemas of all actor classes of a module: `python dump.py FILE.py`, for a process of its own.

Two modules with refusals of the same codes cannot be loaded side by side: none of them would be known by its code.
"""

import importlib.util
import json
import sys
from pathlib import Path

from cliffracer import Actor, Refusal
from cliffracer.describe.handlers import request_schema, response_schema, schema_of


def load(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def described(actor):
    return {
        "name": actor.__options__.name,
        "wire": actor.__options__.wire,
        "handlers": {
            handler.name: [
                handler.kind.value,
                [f"{p.kind.name} {p.name}" for p in handler.signature.parameters.values()],
                request_schema(handler),
                response_schema(handler),
            ]
            for handler in actor.__handlers__.values()
            if handler.payload is not None
        },
        "publishes": {one.pattern.text: schema_of(one.codec.type) for one in actor.__publications__},
        "doc": (actor.__doc__ or "").split(),
        "docs": {name: (getattr(actor, name).__doc__ or "").split() for name in actor.__handlers__},
    }


def dump(module):
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    return {
        "actors": {cls.__name__: described(cls) for cls in classes if issubclass(cls, Actor) and cls is not Actor},
        "refusals": {
            cls.__name__: [cls.code, [base.__name__ for base in cls.__bases__], cls.__doc__]
            for cls in classes
            if issubclass(cls, Refusal) and cls is not Refusal
        },
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dump(load(sys.argv[1]))))
