"""What is asked of a supervisor, and its answers, in the words of the traces."""

from typing import Any

from cliffracer import DynamicSupervisor, SpecError, SupervisorRef
from cliffracer.envelope import current_message
from cliffracer.errors import (
    AdminError,
    AlreadyPresent,
    AlreadyStarted,
    ChildIgnored,
    ChildNotStarted,
    ChildRestarting,
    ChildRunning,
    NoChild,
    NoSupervisor,
)
from cliffracer.supervision.process import asking_process
from tests.supervision.replay.harness import RecordingHost
from tests.supervision.replay.reasons import REFUSED, word_of
from tests.supervision.replay.scenario import Json
from tests.supervision.replay.trees import Trees

__all__ = ["Answer", "Requests"]

Answer = list[Any]
_REFUSALS: dict[type[AdminError], Answer] = {
    NoSupervisor: ["down"],
    AlreadyStarted: ["error", "already_started"],
    AlreadyPresent: ["error", "already_present"],
    ChildRunning: ["error", "running"],
    ChildRestarting: ["error", "restarting"],
    AdminError: ["error", "simple_one_for_one"],
}
_STATES = {"running": "running", "stopped": "undefined", "restarting": "restarting"}


class Requests:
    """Asks the supervisors of one node."""

    def __init__(self, host: RecordingHost, trees: Trees) -> None:
        self._host = host
        self._trees = trees

    async def ask(self, op: Json) -> Answer:
        """Ask what `op` says, and return the answer. The request is queued before this first waits for anything."""
        current_message.set(None)  # nobody in the tree asks this
        asking_process.set(None)
        supervisor = self._host.supervisors.get(op["sup"])
        if supervisor is None:
            return ["noproc"]
        is_dynamic = isinstance(supervisor.tree, DynamicSupervisor)
        try:
            return await self._ask(SupervisorRef(self._host, supervisor.path), op, is_dynamic=is_dynamic)
        except SpecError:
            return ["error", "invalid_spec", REFUSED]
        except NoChild:
            return self._no_child(op) if is_dynamic else ["error", "not_found"]
        except ChildIgnored:
            return ["ok", "undefined"]
        except ChildNotStarted as error:
            return ["error", "start_failed", word_of(error.reason)]
        except AdminError as error:
            return _REFUSALS[type(error)]

    async def _ask(self, ref: SupervisorRef, op: Json, *, is_dynamic: bool) -> Answer:
        match op["op"]:
            case "start_child":
                await self._start_child(ref, op)
                return ["ok", "running"]
            case "terminate_child":
                await ref.terminate_child(self._our_id(op))
                return ["ok"]
            case "restart_child":
                await ref.restart_child(self._our_id(op))
                return ["ok", "running"]
            case "delete_child":
                await ref.delete_child(self._our_id(op))
                return ["ok"]
            case "which_children":
                return ["children", await self._rows(ref, is_dynamic=is_dynamic)]
            case _:
                return ["counts", await self._counts(ref)]

    async def _start_child(self, ref: SupervisorRef, op: Json) -> None:
        parent = self._trees.find(op["sup"])
        assert parent is not None
        script = self._trees.new_child(parent, op)
        try:
            await ref.start_child(self._trees.spec_of(script))
        except ChildIgnored:
            self._trees.adopt(script)  # a static supervisor keeps it
            raise
        self._trees.adopt(script)

    def _our_id(self, op: Json) -> str:
        place = op["id"] if op["sup"] == "." else f"{op['sup']}/{op['id']}"
        script = self._trees.find(place)
        return str(op["id"] if script is None else script.id)

    def _no_child(self, op: Json) -> Answer:
        """Answer as OTP does, which knows the children of a simple supervisor by a handle, for one that is not there.

        The handle of a dead child is fine; what never was a child has no handle; and that of another's is not found.
        """
        if op["id"].startswith("@"):
            return ["error", "not_found"]
        place = op["id"] if op["sup"] == "." else f"{op['sup']}/{op['id']}"
        return ["ok"] if place in self._host.ever_started else ["error", "simple_one_for_one"]

    # Snapshots

    async def snapshot(self) -> Json:
        """Return the children and counts of each supervisor that is up."""
        current_message.set(None)
        asking_process.set(None)
        found: Json = {}
        for place, supervisor in sorted(self._host.supervisors.items()):
            ref = SupervisorRef(self._host, supervisor.path)
            rows = await self._rows(ref, is_dynamic=isinstance(supervisor.tree, DynamicSupervisor))
            found[place] = {"children": rows, "counts": await self._counts(ref)}
        return found

    async def _rows(self, ref: SupervisorRef, *, is_dynamic: bool) -> list[Answer]:
        rows: list[Answer] = []
        for info in await ref.which_children():
            id: str | None = self._trees.place_of(f"{ref.path}/{info.id}").rpartition("/")[2]
            if is_dynamic and info.state == "restarting":
                id = None  # OTP has no handle for it
            rows.append([id, _STATES[info.state], info.kind])
        return sorted(rows, key=lambda row: (row[0] is None, row[0])) if is_dynamic else rows

    async def _counts(self, ref: SupervisorRef) -> Json:
        counts = await ref.count_children()
        return {
            "specs": counts.specs,
            "active": counts.active,
            "supervisors": counts.supervisors,
            "workers": counts.workers,
        }
