"""What runs on this node, by name and by path."""

from collections.abc import Iterator
from typing import Any, TypeVar

from cliffracer.actor.actor import ActorStart
from cliffracer.actor.cell import Cell
from cliffracer.actor.host import Host
from cliffracer.actor.pool import Pool
from cliffracer.errors import AlreadyStarted, NoSupervisor
from cliffracer.supervision.process import ChildRecord
from cliffracer.supervision.spec import ChildSpec, PoolStart, Supervisor
from cliffracer.supervision.supervisor import SupervisorProcess

__all__ = ["Registry"]

T = TypeVar("T")


class Registry:
    """The actors, the children and the supervisors of one node.

    A cell is made when its actor is first started, a record with the first start of any child. Both live on between
    incarnations, until their supervisor forgets the child.
    """

    def __init__(self) -> None:
        self._cells: dict[str, Cell] = {}
        self._records: dict[str, ChildRecord] = {}
        self._supervisors: dict[str, SupervisorProcess] = {}
        # By id, for those who give no more than the end of a path with each order.
        self._supervisors_of_id: dict[str, dict[str, SupervisorProcess]] = {}
        self._pools: dict[str, tuple[str, Pool]] = {}  # with the path of each

    # Actors

    def find(self, name: str) -> Cell | None:
        """Return the cell of that name, dead or alive."""
        return self._cells.get(name)

    def require_free(self, name: str, path: str) -> None:
        """Check that no child but the one at `path` has an actor of this name.

        Raises:
            AlreadyStarted: Another one has.
        """
        cell, pool = self._cells.get(name), self._pools.get(name)
        owner = cell.owner if cell is not None and not cell.is_free else ""
        owner = pool[0] if pool is not None else owner
        if owner and owner != path:
            raise AlreadyStarted(
                f"an actor {name!r} runs already, at {owner!r}; "
                "give this one another name: child(...).replace(name='...')."
            )

    def claim(self, spec: ChildSpec[Any], path: str, host: Host) -> Cell:
        """Return the cell of the actor that `spec` describes, for the child at `path`.

        Raises:
            AlreadyStarted: Another child has an actor of this name.
        """
        assert isinstance(spec.start, ActorStart)
        assert spec.name is not None
        assert spec.mailbox is not None
        self.require_free(spec.name, path)
        cell = self._cells.get(spec.name)
        handlers = spec.start.actor.__handlers__
        same = cell is not None and cell.handlers is handlers and cell.queue.options == spec.mailbox
        if cell is None or not (same and cell.owner == path):
            cell = self._cells[spec.name] = Cell(
                spec.name, handlers, spec.mailbox, host, description=_description_of(spec.start)
            )
        cell.owner, cell.is_free = path, False
        return cell

    def release(self, name: str, path: str, *, forget: bool) -> Cell | None:
        """Free a name that the child at `path` has; return its cell, or None if the name is somebody else's."""
        cell = self._cells.get(name)
        if cell is None or cell.owner != path:
            return None
        cell.is_free = True
        if forget:
            del self._cells[name]
        return cell

    def __iter__(self) -> Iterator[Cell]:
        return iter(list(self._cells.values()))

    # Pools

    def find_pool(self, name: str) -> Pool | None:
        """Return the pool of that name."""
        found = self._pools.get(name)
        return None if found is None else found[1]

    def path_of_pool(self, name: str) -> str | None:
        """Return where the pool of that name stands."""
        found = self._pools.get(name)
        return None if found is None else found[0]

    def is_pooled(self, cell: Cell) -> bool:
        """Tell whether `cell` is a member of a pool: then it hears by way of that."""
        supervisor = self._supervisors.get(cell.owner.rpartition("/")[0])
        if supervisor is None or not supervisor.is_pool or not isinstance(supervisor.tree, Supervisor):
            return False
        return any(member.name == cell.name for member in supervisor.tree.children)

    def add_pool(self, spec: ChildSpec[Any], path: str) -> Pool:
        """Put the members of a pool, which have cells by now, behind its name."""
        assert isinstance(spec.start, PoolStart)
        name, members = str(spec.name), spec.start.members.children
        one = members[0].start
        assert isinstance(one, ActorStart)
        self.require_free(name, path)
        names = tuple(str(member.name) for member in members)
        pool = Pool(
            name,
            one.actor.__handlers__,
            names,
            spec.start.key,
            self._cells.get,
            description=_description_of(one),
        )
        self._pools[name] = (path, pool)
        return pool

    def remove_pool(self, name: str, path: str) -> Pool | None:
        """Take a pool out; return it, or None if it is not there, or somebody else's."""
        found = self._pools.get(name)
        if found is None or found[0] != path:
            return None
        del self._pools[name]
        return found[1]

    # Children of all kinds

    def record_of(self, path: str) -> ChildRecord:
        """Return what is known of the child at `path`."""
        record = self._records.get(path)
        if record is None:
            record = self._records[path] = ChildRecord(path)
        return record

    def find_record(self, path: str) -> ChildRecord | None:
        """Return what is known of the child at `path`, or of the only one whose path ends so; None if there is none.

        Raises:
            ValueError: There are several.
        """
        return _find(self._records, path)

    def forget(self, path: str) -> None:
        """Forget the child at `path`."""
        self._records.pop(path, None)

    # Supervisors

    @property
    def root_path(self) -> str:
        """Where the root supervisor stands; empty if none runs."""
        return next(iter(self._known()), "")

    def _known(self) -> list[str]:
        """Return the paths of the supervisors of the user's tree, the root first."""
        return [path for path in self._supervisors if not path.startswith("$")]

    def add_supervisor(self, supervisor: SupervisorProcess) -> None:
        """Let a supervisor be found by its path."""
        path = supervisor.path
        self._supervisors[path] = supervisor
        self._supervisors_of_id.setdefault(_last(path), {})[path] = supervisor

    def remove_supervisor(self, supervisor: SupervisorProcess) -> None:
        """Let it be found no more."""
        if self._supervisors.get(supervisor.path) is supervisor:
            del self._supervisors[supervisor.path]
            same_id = self._supervisors_of_id[_last(supervisor.path)]
            del same_id[supervisor.path]
            if not same_id:
                del self._supervisors_of_id[_last(supervisor.path)]

    def find_supervisor(self, path: str) -> SupervisorProcess:
        """Return the supervisor at `path`, or the only one whose path ends so.

        Raises:
            NoSupervisor: There is none, or several.
        """
        try:
            supervisor = _find(self._supervisors_of_id.get(_last(path), {}), path)
        except ValueError as error:
            raise NoSupervisor(f"{error}.") from None
        if supervisor is None:
            known = ", ".join(map(repr, self._known())) or "none"
            raise NoSupervisor(f"no supervisor {path!r} runs on this node; there is {known}.")
        return supervisor


def _description_of(start: ActorStart) -> str:
    """Return the first line of what the actor's class says of itself."""
    return next(iter((start.actor.__doc__ or "").strip().splitlines()), "")


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _find(things: dict[str, T], path: str) -> T | None:
    found = things.get(path)
    if found is not None:
        return found
    ends = [known for known in things if known.endswith(f"/{path}")]
    if len(ends) > 1:
        raise ValueError(f"{path!r} may be any of {', '.join(map(repr, ends))}; write more of the path")
    return things[ends[0]] if ends else None
