"""Names -> cells, in this process."""

from collections.abc import Iterator

from cliffracer.actor.actor import ActorStart
from cliffracer.actor.cell import Cell
from cliffracer.actor.ref import Host
from cliffracer.supervision.spec import ChildSpec

__all__ = ["Registry"]


class Registry:
    """The cells of one node. A cell is made when its actor is first started, and kept as long as the node lives."""

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}

    def find(self, name: str) -> Cell | None:
        """Return the cell of that name, dead or alive."""
        return self._cells.get(name)

    def cell_of(self, spec: ChildSpec, host: Host) -> Cell:
        """Return the cell of the actor that `spec` describes; make it if it is not there yet."""
        assert isinstance(spec.start, ActorStart)
        assert spec.name is not None
        assert spec.mailbox is not None
        cell = self._cells.get(spec.name)
        if cell is None:
            cell = Cell(spec.name, spec.start.actor.__handlers__, spec.mailbox, host)
            self._cells[spec.name] = cell
        return cell

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._cells.values())
