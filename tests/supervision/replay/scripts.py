"""What the children of a scenario do: how their starts go, how they end, and how they take it to be told to."""

from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

from cliffracer import Actor, Exit, Ignore, Normal, Shutdown, cast
from cliffracer.supervision.process import Process
from tests.supervision.replay.reasons import Boom, StartFault, exit_of
from tests.supervision.replay.scenario import Json

__all__ = ["PatientActor", "PromptActor", "Script", "run_scripted"]

_FAULTS = {"error": "fail", "raise": "raise", "bad_return": "bad_return"}


@dataclass(eq=False)
class Script:
    """One occurrence of a spec in a scenario. It outlives the incarnations, also those of the supervisors around it.

    Attributes:
        place: Its path in the scenario, "s/a".
        path: Its path in our tree, "root/s/a".
        id: What it is called in our tree.
        name: The name of its actor, if it is one.
        spec: As it stands in the scenario; for an instance of a simple supervisor, the template with its own start.
        children: For a static supervisor: those it starts with.
        attempts: How often it was started, or tried to.
        process: The incarnation that started last; only of a worker.
    """

    place: str
    path: str
    id: Any
    name: str
    spec: Json
    children: "list[Script]" = field(default_factory=list)
    attempts: int = 0
    process: Process | None = None
    _leave: anyio.Event | None = None
    _leave_for: str = ""

    @property
    def on_shutdown(self) -> str:
        """How it takes it to be told to stop."""
        return str(self.spec.get("on_shutdown", "exit"))

    @property
    def is_told_to_stop(self) -> bool:
        """Whether its supervisor waits for it to stop; if not, who cancels it kills it."""
        return self.process is not None and self.process.stop_requested is not None

    def begin(self) -> str:
        """Note an attempt to start and return how it goes.

        Raises:
            Ignore: It declines.
            StartFault: It fails.
        """
        outcomes = self.spec.get("start", [])
        outcome = outcomes[self.attempts] if self.attempts < len(outcomes) else "ok"
        self.attempts += 1
        if outcome == "ignore":
            raise Ignore("the scenario says so")
        if outcome in ("error", "raise"):
            raise StartFault(_FAULTS[outcome])
        return str(outcome)

    # For a function, which has no mailbox

    def leave(self, reason: str) -> None:
        """Let the function end for `reason`."""
        self._leave_for = reason
        if self._leave is not None:
            self._leave.set()

    async def wait_leave(self) -> str:
        """Wait until it is to end by itself, and return why."""
        self._leave = anyio.Event()
        await self._leave.wait()
        return self._leave_for


def _begin_worker(script: Script) -> None:
    if script.begin() == "bad_return":
        raise StartFault("bad_return")  # a worker has nothing to return; only a supervisor's function has


class ScriptedActor(Actor):
    """A worker with a mailbox."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.leaves = False

    @cast
    async def leave(self, reason: str) -> None:
        """End for `reason`."""
        self.leaves = True
        kind, _, text = reason.partition(":")
        if kind == "crash":
            raise Boom(text)
        self.stop(exit_of(reason))

    async def on_stop(self, reason: Exit) -> None:
        if self.leaves or self.script.on_shutdown == "exit":
            return
        kind, _, text = self.script.on_shutdown.partition(":")
        if kind == "ignore":
            await anyio.sleep_forever()
        if kind == "crash":
            raise Boom(text)
        self.stop(Normal() if kind == "normal" else Shutdown(text))


class PromptActor(ScriptedActor):
    """It has started as soon as the object is made, and its constructor may raise."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        _begin_worker(script)


class PatientActor(ScriptedActor):
    """It has something to do before it has started."""

    async def on_start(self) -> None:
        await anyio.lowlevel.checkpoint()
        _begin_worker(self.script)


async def run_scripted(script: Script, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Exit | None:
    """Be a worker without a mailbox: it hears that it must stop by being cancelled."""
    _begin_worker(script)
    task_status.started()
    try:
        reason = await script.wait_leave()
    except anyio.get_cancelled_exc_class():
        if not script.is_told_to_stop or script.on_shutdown == "exit":
            raise
        if script.on_shutdown == "ignore":
            # Deaf a bit longer than it is given. It could not be for ever: nobody can be cancelled twice.
            with anyio.CancelScope(shield=True):
                await anyio.sleep(script.spec["shutdown"] / 1000 + 0.0005)
            raise
        reason = script.on_shutdown
    kind, _, text = reason.partition(":")
    if kind == "crash":
        raise Boom(text)
    return exit_of(reason) if kind == "shutdown" else None
