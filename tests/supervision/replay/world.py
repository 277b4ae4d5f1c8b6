"""One scenario at work: a tree, and what is done to it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup

from cliffracer.actor.actor import ActorStart, ref_to
from cliffracer.actor.waiters import Reply
from cliffracer.supervision.process import Process
from tests.supervision.replay.harness import RecordingHost, RootKeeper
from tests.supervision.replay.reasons import exit_of, word_of
from tests.supervision.replay.reports import reports_of
from tests.supervision.replay.requests import Answer, Requests
from tests.supervision.replay.scenario import Json, Record
from tests.supervision.replay.trees import ROOT, Trees, Workers

__all__ = ["play"]

_LONG = 1000.0  # seconds, virtual ones: what has not happened after them will not happen
_REQUESTS = {"start_child", "terminate_child", "restart_child", "delete_child", "which_children", "count_children"}


@dataclass
class _Queued:
    """Operations that wait for the first start to fail under a supervisor."""

    supervisor: str  # its path in our tree
    ops: list[Json]
    answers: list[Answer] = field(default_factory=list)


async def play(record: Record, workers: Workers) -> list[Json]:
    """Play a scenario and return its trace, as this project makes it."""
    async with anyio.create_task_group() as tasks:
        world = _World(record, workers, tasks)
        await world.enter()
        trace = [await world.start()]
        for op in record.ops:
            if not world.is_alive:
                break
            trace.append(await world.perform(op))
        tasks.cancel_scope.cancel()
    return trace


class _World:
    def __init__(self, record: Record, workers: Workers, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._trees = Trees(record.root, workers)
        self._host = RecordingHost(self._trees.place_of, self._on_failing_start)
        self._requests = Requests(self._host, self._trees)
        record_of_root = self._host.record_of(ROOT)
        self._root = Process(self._trees.root_spec(), record_of_root, RootKeeper(self._host))
        record_of_root.process = self._root
        self._queued: _Queued | None = None
        # Where a restart window is short it shall not slide meanwhile.
        self._rest_time = min([_LONG, *(period / 1000 for period in _periods_of(record.root))])

    @property
    def is_alive(self) -> bool:
        """Whether the root runs."""
        return self._root.has_started and not self._root.has_ended

    async def enter(self) -> None:
        """Prepare the node."""
        await self._host.connect()
        await self._tasks.start(self._host.timers.run)

    # Steps

    async def start(self) -> Json:
        """Start the root."""
        with anyio.move_on_after(_LONG):
            if not await self._root.start_at_once():
                self._root.spawn(self._tasks)
                await self._root.wait_settled()
        result: Answer = ["ok"]
        if self._root.was_ignored:
            result = ["ignore"]
        elif not self._root.has_started:
            result = ["error", word_of(self._root.reason)]
        return await self._finish({"result": result})

    async def perform(self, op: Json) -> Json:
        """Do what `op` says, wait until the tree is at rest, and return what came of it."""
        step: Json = {}
        if "queued" in op:
            busy = self._trees.find(op["queued"]["sup"])
            assert busy is not None
            self._queued = _Queued(busy.path, op["queued"]["ops"])
            step["queued"] = self._queued.answers
        with anyio.move_on_after(_LONG):
            if op["op"] == "batch":
                step.update(await self._batch(op))
            elif op["op"] in _REQUESTS:
                step["result"] = await self._requests.ask(op)
            else:
                step["result"] = await self._act(op)
        await self._finish(step)
        self._queued = None
        return step

    async def _finish(self, step: Json) -> Json:
        """Wait until the tree is at rest, and add to `step` what has happened, and how things are."""
        await anyio.sleep(self._rest_time)
        step["events"] = list(self._host.events)
        step["reports"] = reports_of(self._host.lines, self._trees.place_of)
        self._host.events.clear()
        self._host.lines.clear()
        step["alive"] = self.is_alive
        if self._root.has_started and self._root.has_ended:
            step["exit"] = word_of(self._root.reason)
        with anyio.move_on_after(_LONG):
            step["sups"] = await self._requests.snapshot()
        return step

    # Operations

    async def _batch(self, op: Json) -> Json:
        """Let all that `ops` cause arrive at a supervisor while it is busy."""
        supervisor = self._host.supervisors.get(op["sup"])
        if supervisor is None:
            return {"result": ["noproc"]}
        busy, released = anyio.Event(), anyio.Event()

        async def be_busy() -> None:
            busy.set()
            await released.wait()

        supervisor.order_nowait(be_busy, Reply(self._host.timers.new_waiter()))
        await busy.wait()
        answers: list[Answer] = []
        await self._arrive(op["ops"], answers)
        released.set()
        return {"result": ["ok"], "batch": answers}

    async def _on_failing_start(self, supervisor: str) -> None:
        """A start fails. Until this returns its supervisor, at that path, waits for it."""
        queued = self._queued
        if queued is None or queued.supervisor != supervisor or not self._has_started(supervisor):
            return
        self._queued = None
        # Among the operations may be an order to stop, which cancels a start.
        with anyio.CancelScope(shield=True):
            await self._arrive(queued.ops, queued.answers)

    def _has_started(self, path: str) -> bool:
        process = self._host.record_of(path).process
        return process is not None and process.has_started

    async def _arrive(self, ops: Iterable[Json], answers: list[Answer]) -> None:
        """Do `ops` in order, so that what they cause is queued in this order; answers come when they come."""
        for op in ops:
            answer: Answer = []
            answers.append(answer)
            if op["op"] in _REQUESTS:
                self._tasks.start_soon(self._ask, op, answer)
            else:
                answer.extend(await self._act(op))
            await anyio.wait_all_tasks_blocked()

    async def _ask(self, op: Json, answer: Answer) -> None:
        answer.extend(await self._requests.ask(op))

    async def _act(self, op: Json) -> Answer:
        """Do something that is no request, and return at once."""
        place = op.get("child") or op.get("sup") or "."
        process = self._host.running.get(place)
        if process is None:
            return ["noproc"]
        match op["op"]:
            case "exit":
                await self._leave(place, process, op["reason"])
            case "kill":
                process.kill()
            case "stop":
                process.request_stop(exit_of(op["reason"]))
            case "exit_signal":
                process.fall(exit_of(op["reason"]))
            case "message":
                pass  # a supervisor has no mailbox: nobody can send it one
            case unknown:
                raise AssertionError(f"an unknown operation: {unknown}")
        return ["ok"]

    async def _leave(self, place: str, process: Process, reason: str) -> None:
        """Let a worker end by itself."""
        start = process.spec.start
        if isinstance(start, ActorStart):
            await ref_to(self._host, start.actor, process.spec.name, prefer_local=None).leave(reason)
        else:
            self._host.scripts[place].leave(reason)


def _periods_of(flags: Json) -> Iterable[float]:
    """Yield the restart windows in a tree, in seconds, as far as they are any."""
    period = flags.get("period", 5)
    if isinstance(period, int) and period > 0:
        yield period
    for spec in flags.get("children", []):
        if "sup" in spec:
            yield from _periods_of(spec["sup"])
