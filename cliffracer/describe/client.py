"""A tree as a module of typed stubs, with which others call it without having its code."""

import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from cliffracer.actor.actor import Actor
from cliffracer.actor.handlers import Handler, Kind, where_of
from cliffracer.describe.annotations import annotation, literal, literal_of
from cliffracer.describe.definitions import FIX, Definitions, docstring
from cliffracer.describe.names import Names, Scope, Unwritable
from cliffracer.describe.offers import Offers, offers_of
from cliffracer.errors import DefinitionError, Refusal
from cliffracer.supervision.spec import Supervisor

__all__ = ["client_of"]

_WIDTH = 120  # characters of a line


def client_of(tree: Supervisor, *, also: Iterable[type[Actor]] = ()) -> str:
    """Return the source of a module with the actors of `tree`, without their code. Nothing is started.

    It has the actor classes with their calls, casts and what they publish; all types of these; and the refusals that
    the modules of the actors hold. It imports cliffracer, msgspec and the standard library. The same tree gives the
    same text.

    Args:
        tree: The tree.
        also: Classes of actors that come while the tree runs, and so do not stand in it.

    Raises:
        DefinitionError: A handler has a type or a default that cannot be written into another module.
    """
    return _Client(offers_of(tree, also)).write()


class _Client:
    def __init__(self, offers: Offers) -> None:
        self._offers = offers
        self._names = Names()
        self._places: dict[str, str] = {}
        """Source lines of handlers, for errors."""
        self._definitions = Definitions(self._names, lambda label: self._places.get(label, label))

    def write(self) -> str:
        """Return the source of the module."""
        classes = _with_bases([cls for cls in self._offers.classes if _offers_something(cls)])
        refusals = _refusals_of(classes)
        for cls in (*classes, *refusals):  # first, so that they keep their names
            self._names.of(cls)
        self._names.wanted.clear()
        texts = ["\n".join(self._refusal(cls)) for cls in refusals]
        actors = ["\n".join(self._actor(cls)) for cls in classes]
        self._definitions.define_wanted()
        parts = [*self._definitions.blocks, *texts, *actors]
        names = ", ".join(f'"{name}"' for name in self._names.defined)
        exported = f"__all__ = [{names}]"
        if len(exported) > _WIDTH:
            exported = "\n".join(("__all__ = [", *(f'    "{name}",' for name in self._names.defined), "]"))
        imports = ["from __future__ import annotations", "", *self._names.imports()]
        return "\n\n\n".join(("\n".join((*self._header(), "", *imports, "", exported)), *parts)) + "\n"

    def _header(self) -> list[str]:
        lines = [f"The actors of the tree {self._offers.tree!r}, without their code: for those who call them."]
        lines += ["", "Written by `cliffracer client`. Do not change it; write it anew."]
        if self._offers.unknown:
            lines += ["", "Not in here, for it is not known before the tree runs:", ""]
            lines += [f"- {part.path}: {part.reason}" for part in self._offers.unknown]
        return docstring("\n".join(lines), "")

    # Refusals

    def _refusal(self, cls: type[Refusal]) -> list[str]:
        names = self._names
        bases = [
            names.use("cliffracer", "Refusal") if base is Refusal else names.of(base)
            for base in cls.__bases__
            if issubclass(base, Refusal)
        ]
        lines = [f"class {names.of(cls)}({', '.join(bases)}):"]
        if doc := docstring(cls.__doc__, "    "):
            lines += [*doc, ""]
        return [*lines, f"    code = {literal(cls.code, Scope(names, cls.__qualname__))}"]

    # Actors

    def _actor(self, cls: type[Actor]) -> list[str]:
        bases = [base for base in cls.__bases__ if issubclass(base, Actor)]
        inherited = {name: handler for base in bases for name, handler in base.__handlers__.items()}
        own = [one for one in cls.__handlers__.values() if inherited.get(one.name) is not one]
        members = frozenset(handler.name for handler in own if handler.payload is not None)
        names = [self._names.use("cliffracer", "Actor") if base is Actor else self._names.of(base) for base in bases]
        options = [f'name="{cls.__options__.name}"']
        if cls.__options__.wire != bases[0].__options__.wire:
            options.append(f'wire="{cls.__options__.wire}"')
        lines = [*self._runs_as(cls), f"class {self._names.of(cls)}({', '.join((*names, *options))}):"]
        body = [docstring(cls.__doc__, "    "), self._publishes(cls, bases, members)]
        body += [[line for handler in own for line in self._hears(cls, handler, members)]]
        body += [self._handler(cls, handler, members) for handler in own if handler.payload is not None]
        filled = [part for part in body if part] or [["    pass"]]
        for part in filled:
            lines += [*part, ""]
        return lines[:-1]

    def _runs_as(self, cls: type[Actor]) -> list[str]:
        names = self._offers.names_of(cls)
        if names == [cls.__options__.name]:
            return []
        if names:
            return [f"# Runs as {', '.join(names)}: node.ref({self._names.of(cls)}, {names[0]!r})"]
        if cls in self._offers.classes:
            return ["# Runs under names that it is given while the tree runs."]
        return ["# A base of others; it does not run itself."]

    def _publishes(self, cls: type[Actor], bases: list[type[Actor]], members: frozenset[str]) -> list[str]:
        inherited = {one.pattern.text for base in bases for one in base.__publications__}
        own = [one for one in cls.__publications__ if one.pattern.text not in inherited]
        if not own:
            return []
        lines: list[str] = []
        for one in own:
            label = f"{cls.__name__}.publishes: {one.pattern.text!r}"
            kind = self._annotation(label, one.codec.type, members)
            lines.append(f"        {literal(one.pattern.text, self._scope(label, members))}: {kind},")
        return ["    publishes = {", *lines, "    }"]

    def _hears(self, cls: type[Actor], handler: Handler, members: frozenset[str]) -> list[str]:
        """Return what others can publish to be heard by `handler`."""
        if handler.pattern is None:
            return []
        label = self._label(cls, handler)
        what = "nothing with it"
        if handler.event_payload is not None:
            what = self._annotation(label, handler.event_payload.type, members)
        who = "" if handler.to == "one" else "; every replica"
        return [f"    # Hears {handler.pattern.text!r} ({what}{who})"]

    def _handler(self, cls: type[Actor], handler: Handler, members: frozenset[str]) -> list[str]:
        assert handler.payload is not None
        label = self._label(cls, handler)
        types = {field.name: field.type for field in msgspec.structs.fields(handler.payload.type)}
        parameters = ["self"]
        seen_star = False
        listed = list(handler.signature.parameters.values())
        for index, parameter in enumerate(listed):
            if parameter.kind is parameter.KEYWORD_ONLY and not seen_star:
                parameters.append("*")
                seen_star = True
            text = f"{parameter.name}: {self._annotation(label, types[parameter.name], members)}"
            if parameter.default is not parameter.empty:
                text += f" = {self._default(label, parameter.default, types[parameter.name], members)}"
            parameters.append(text)
            is_last = index + 1 == len(listed) or listed[index + 1].kind is not parameter.POSITIONAL_ONLY
            if parameter.kind is parameter.POSITIONAL_ONLY and is_last:
                parameters.append("/")
        answer = "None" if handler.result is None else self._annotation(label, handler.result.type, members)
        decorator = self._scope(label, members).use("cliffracer", "call" if handler.kind is Kind.CALL else "cast")
        head = f"    async def {handler.name}({', '.join(parameters)}) -> {answer}:"
        heads = [head]
        if len(head) > _WIDTH:
            heads = [
                f"    async def {handler.name}(",
                *(f"        {parameter}," for parameter in parameters),
                f"    ) -> {answer}:",
            ]
        doc = docstring(getattr(cls, handler.name).__doc__, "        ")
        return [f"    @{decorator}", *heads, *doc, "        raise NotImplementedError"]

    def _label(self, cls: type[Actor], handler: Handler) -> str:
        label = f"{cls.__name__}.{handler.name}"
        self._places[label] = where_of(getattr(cls, handler.name))
        return label

    def _scope(self, label: str, members: frozenset[str]) -> Scope:
        return Scope(self._names, label, members)

    def _annotation(self, label: str, value_type: Any, members: frozenset[str]) -> str:
        try:
            return annotation(value_type, self._scope(label, members))
        except Unwritable as error:
            raise self._error(label, error) from None

    def _default(self, label: str, value: Any, value_type: Any, members: frozenset[str]) -> str:
        try:
            return literal_of(value, value_type, self._scope(label, members))
        except Unwritable as error:
            raise self._error(label, error) from None

    def _error(self, label: str, error: Unwritable) -> DefinitionError:
        return DefinitionError(self._places.get(label, label), f"{label}: {error}.", FIX)


def _offers_something(cls: type[Actor]) -> bool:
    return bool(list(cls.__publications__)) or any(
        handler.payload is not None or handler.pattern is not None for handler in cls.__handlers__.values()
    )


def _with_bases(classes: list[type[Actor]]) -> list[type[Actor]]:
    """Return the classes, and those that they derive from, each after its bases."""
    found = (base for cls in classes for base in reversed(cls.__mro__) if issubclass(base, Actor) and base is not Actor)
    return list(dict.fromkeys(found))


def _refusals_of(classes: list[type[Actor]]) -> list[type[Refusal]]:
    """Return the refusals that stand in the modules of `classes`, each after its bases."""
    modules = dict.fromkeys(cls.__module__ for cls in classes)
    there = (
        value
        for module in modules
        for value in list(vars(sys.modules[module]).values())
        if isinstance(value, type) and issubclass(value, Refusal)
    )
    found = (
        base for cls in there for base in reversed(cls.__mro__) if issubclass(base, Refusal) and base is not Refusal
    )
    return list(dict.fromkeys(found))
