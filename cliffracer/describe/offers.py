"""What a tree offers to others: its actors, by name, and the parts of it that are not known before it runs."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cliffracer.actor.actor import Actor, ActorStart
from cliffracer.supervision.spec import ChildSpec, DynamicSupervisor, PoolStart, Supervisor, TreeStart

__all__ = ["Offer", "Offers", "UnknownPart", "offers_of"]


class Offer(NamedTuple):
    """An actor, or a pool of actors, that others can call.

    Attributes:
        name: Its address; empty for actors that get their names while the tree runs.
        actor: Its class.
    """

    name: str
    actor: type[Actor]


class UnknownPart(NamedTuple):
    """A part of the tree that is not known before it runs.

    Attributes:
        path: Where it stands.
        reason: Why, for a person.
    """

    path: str
    reason: str


class Offers(NamedTuple):
    """What a tree offers.

    Attributes:
        tree: The id of the tree.
        actors: In the order of the tree.
        unknown: In the order of the tree.
    """

    tree: str
    actors: tuple[Offer, ...]
    unknown: tuple[UnknownPart, ...]

    @property
    def classes(self) -> list[type[Actor]]:
        """The classes of the actors, each once."""
        return list(dict.fromkeys(offer.actor for offer in self.actors))

    def names_of(self, actor: type[Actor]) -> list[str]:
        """Return the names under which actors of that class run, as far as they are known."""
        return [offer.name for offer in self.actors if offer.actor is actor and offer.name]


def offers_of(tree: Supervisor, also: Iterable[type[Actor]] = ()) -> Offers:
    """Return what `tree` offers.

    Args:
        tree: The tree; nothing of it is started.
        also: Classes of actors that come while it runs, and so do not stand in it.
    """
    found = [part for spec in tree.children for part in _parts(spec, f"{tree.id}/{spec.id}")]
    actors = [part for part in found if isinstance(part, Offer)]
    actors += [Offer("", actor) for actor in also]
    return Offers(tree.id, tuple(actors), tuple(part for part in found if isinstance(part, UnknownPart)))


def _parts(spec: ChildSpec[Any], path: str) -> Iterator[Offer | UnknownPart]:
    start = spec.start
    match start:
        case ActorStart():
            assert spec.name is not None
            yield Offer(spec.name, start.actor)
        case PoolStart():
            # Its members have names and handlers, too, but they are nobody's business.
            member = start.members.children[0].start
            assert isinstance(member, ActorStart)
            yield Offer(start.members.id, member.actor)
        case Supervisor():
            for inner in start.children:
                yield from _parts(inner, f"{path}/{inner.id}")
        case DynamicSupervisor():
            yield UnknownPart(path, "its children are started while it runs")
        case TreeStart():
            yield UnknownPart(path, "it is made anew at each start")
        case _:
            pass  # functions and jobs take no messages
