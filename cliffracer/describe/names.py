"""The names in a module that is being written: what it imports, and what its classes are called."""

import builtins
import keyword
import re
from typing import Any, NamedTuple, TypeVar

__all__ = ["Names", "Scope", "Unwritable", "Wanted", "identity_of"]

_ROOTS = (
    "builtins",
    "cliffracer",
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "msgspec",
    "typing",
    "uuid",
)
_IMPORTED = (
    *("Actor", "Refusal", "call", "cast"),
    *("Meta", "Struct", "UNSET", "UnsetType", "field"),
    *("Annotated", "Any", "Generic", "Literal", "NamedTuple", "NewType", "NotRequired", "TypeVar", "TypedDict"),
    *("Enum", "IntEnum", "StrEnum", "dataclass", "annotations"),
)


class Unwritable(Exception):
    """Something has no words in the module that is being written. Raised and caught inside `describe`."""


class Wanted(NamedTuple):
    """A class that the module has to define.

    Attributes:
        value: The class, the `NewType` or the `TypeVar`.
        label: Which handler asks for it.
    """

    value: Any
    label: str


class Names:
    """All names of one module."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        """What is still to be defined."""
        self._names: dict[Any, str] = {}
        self._taken = {*keyword.kwlist, *dir(builtins), *_ROOTS, *_IMPORTED}
        self._from: dict[str, set[str]] = {}
        self._modules: set[tuple[str, str]] = set()

    def of(self, value: Any, label: str = "") -> str:
        """Return the name of a class that the module defines; it is wanted from now on."""
        key = identity_of(value)
        if key not in self._names:
            self._names[key] = self._free(value)
            self.wanted.append(Wanted(value, label))
        return self._names[key]

    @property
    def defined(self) -> list[str]:
        """The names of all classes, sorted, without those of type variables."""
        return sorted(name for key, name in self._names.items() if not isinstance(key, tuple))

    def use(self, module: str, name: str) -> str:
        """Return `name`, imported from `module`."""
        if module != "builtins":
            self._from.setdefault(module, set()).add(name)
        return name

    def module(self, module: str, alias: str = "") -> str:
        """Return how a module is called here."""
        self._modules.add((module, alias))
        return alias or module

    def imports(self) -> list[str]:
        """Return the import statements, in the order that is usual."""
        plain = [f"import {module}{f' as {alias}' if alias else ''}" for module, alias in sorted(self._modules)]
        named = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(self._from.items())]
        lines = [*plain, *named]
        ours = [line for line in lines if line.split()[1].partition(".")[0] in ("cliffracer", "msgspec")]
        theirs = [line for line in lines if line not in ours]
        return [*theirs, *([""] if theirs and ours else []), *ours]

    def _free(self, value: Any) -> str:
        wanted = str(value.__name__)
        if not wanted.isidentifier() or wanted in self._taken:
            # Two teams may each have an Order: the second one is called after its module, too.
            stem = f"{wanted}_{value.__module__.rpartition('.')[2].strip('_')}"
            wanted = re.sub(r"\W|^(?=\d)", "_", stem)
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


class Scope:
    """The body of one class: its own names hide those of the module.

    Attributes:
        names: Those of the module.
        label: Which handler all this is for, for errors.
        first: What has to be defined before this class, for its body uses it while it is made.
    """

    def __init__(self, names: Names, label: str, members: frozenset[str] = frozenset()) -> None:
        self.names = names
        self.label = label
        self.first: list[Wanted] = []
        self._members = members

    def of(self, value: Any, *, first: bool = False) -> str:
        """Return the name of a class that the module defines.

        Args:
            value: The class, the `NewType` or the `TypeVar`.
            first: Whether it has to be there before the class of this body.

        Raises:
            Unwritable: A member of the class has that name.
        """
        name = self.names.of(value, self.label)
        if first:
            self.first.append(Wanted(value, self.label))
        if name in self._members:
            raise Unwritable(f"a field or handler {name!r} hides the type of that name")
        return name

    def use(self, module: str, name: str) -> str:
        """Return a name from another module, as it can be written here."""
        if name in self._members:
            return f"{self.module(module)}.{name}"
        return self.names.use(module, name)

    def module(self, module: str) -> str:
        """Return a module, as it can be written here."""
        root, _, rest = module.partition(".")
        if root not in self._members:
            return self.names.module(module)
        if rest:
            return self.names.module(module, f"_{module.replace('.', '_')}")
        return self.names.module(module, f"_{module}")


def identity_of(value: Any) -> Any:
    """Return what tells `value` from others; each module has a `T` of its own, and all are the same."""
    if isinstance(value, TypeVar):
        return (
            *(value.__name__, repr(value.__bound__), repr(value.__constraints__)),
            *(value.__covariant__, value.__contravariant__),
        )
    return value
