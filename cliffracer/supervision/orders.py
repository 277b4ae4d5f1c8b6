"""What somebody asks of a supervisor. Each of these runs as an order, when its turn comes in the queue."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from cliffracer.errors import AdminError, AlreadyStarted, ChildIgnored, ChildNotStarted, NoSupervisor
from cliffracer.supervision.spec import ChildSpec, Supervisor
from cliffracer.supervision.steps import Dismiss, StartChild, Step
from cliffracer.supervision.supervisor import SupervisorProcess

__all__ = ["delete", "restart", "start_new", "terminate"]


async def start_new(supervisor: SupervisorProcess, spec: ChildSpec[Any]) -> ChildSpec[Any]:
    """Start a new child, the last in start order; return its spec, under the id that it has got."""
    spec = _with_free_id(supervisor, spec)
    steps = supervisor.machine.admit(spec)
    try:
        supervisor.host.require_free(spec, supervisor.path_of(spec.id))
    except AlreadyStarted:
        supervisor.machine.withdraw(spec.id)
        raise
    supervisor.specs[spec.id] = spec
    await _start_by_hand(supervisor, steps, supervisor.machine.withdraw)
    return spec


async def restart(supervisor: SupervisorProcess, id: str) -> ChildSpec[Any]:
    """Start a stopped child; return its spec."""
    _require_static(supervisor, "restart_child")
    steps = supervisor.machine.restart_by_hand(id)
    await _start_by_hand(supervisor, steps, lambda failed: [Dismiss(failed)])
    return supervisor.specs[id]


async def terminate(supervisor: SupervisorProcess, id: str) -> None:
    """Stop a child, and give up its retry if it waits for one."""
    await supervisor.carry_out(supervisor.machine.terminate(id))


async def delete(supervisor: SupervisorProcess, id: str) -> None:
    """Forget a stopped child."""
    _require_static(supervisor, "delete_child")
    await supervisor.carry_out(supervisor.machine.delete(id))


async def _start_by_hand(
    supervisor: SupervisorProcess, steps: Iterable[Step], on_failure: Callable[[str], list[Step]]
) -> None:
    """Carry out the one start in `steps`. If it fails that is told to who asked, and not tried again."""
    (start,) = steps
    assert isinstance(start, StartChild)
    id = start.id
    process = await supervisor.start_child(supervisor.specs[id])
    if process is None:
        await supervisor.carry_out(on_failure(id))
        raise NoSupervisor(f"the supervisor {supervisor.path!r} was told to stop before {id!r} had started.")
    if process.was_ignored:
        supervisor.reports.ignored(process)
        await supervisor.carry_out(supervisor.machine.ignored(id))
        raise ChildIgnored(f"{supervisor.path_of(id)!r} declined to start: {process.reason}.")
    if not process.has_started:
        await supervisor.carry_out(on_failure(id))
        raise ChildNotStarted(f"{supervisor.path_of(id)!r} did not start: {process.reason}.", process.reason)


def _with_free_id(supervisor: SupervisorProcess, spec: ChildSpec[Any]) -> ChildSpec[Any]:
    """Return `spec` under an id that no child of a dynamic supervisor has; that of an actor is its name."""
    if isinstance(supervisor.tree, Supervisor):
        return spec
    id = spec.name if spec.name is not None else spec.id
    if spec.name is None:
        while id in supervisor.machine:
            id = supervisor.new_id(spec.id)
    return spec if id == spec.id else replace(spec, id=id)


def _require_static(supervisor: SupervisorProcess, order: str) -> None:
    if not isinstance(supervisor.tree, Supervisor):
        raise AdminError(
            f"{order}: {supervisor.path!r} is dynamic, and forgets its children when they have ended. "
            "Start a new one with start_child."
        )
