"""A node, and supervisors, that write down what happens to whom at the moment when it does."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import structlog

from cliffracer import Crashed, Exit, Settings
from cliffracer.actor.actor import ActorStart
from cliffracer.errors import Ignore
from cliffracer.exits import summary_of
from cliffracer.node.host import NodeHost
from cliffracer.observe.logs import Logger
from cliffracer.supervision.bodies import body_of
from cliffracer.supervision.process import Body, Process
from cliffracer.supervision.spec import FunctionStart, Tree
from cliffracer.supervision.supervisor import SupervisorProcess
from cliffracer.transport.local import LocalTransport
from tests.supervision.replay.reasons import word_of
from tests.supervision.replay.scripts import Script

__all__ = ["RecordingHost", "RootKeeper"]

_Line = MutableMapping[str, Any]


class RecordingHost(NodeHost):
    """A node that keeps a journal.

    Attributes:
        events: What happened, in the words of the traces.
        lines: What was logged.
        running: Every process that runs, by what the scenario calls it.
        supervisors: Every supervisor that can be asked, by the same.
        scripts: What each worker that runs does, by the same.
        ever_started: What has run at some time.
        failing_start: Awaited for each start that fails, in the moment of its failure: `(path of its supervisor)`.
    """

    def __init__(self, place_of: Callable[[str], str], failing_start: Callable[[str], Awaitable[None]]) -> None:
        self.lines: list[_Line] = []
        self._local = LocalTransport()
        super().__init__(self._local, Settings(node_name="replay"), self._keeping_logger())
        self.events: list[list[str]] = []
        self.running: dict[str, Process] = {}
        self.supervisors: dict[str, SupervisorProcess] = {}
        self.scripts: dict[str, Script] = {}
        self.ever_started: set[str] = set()
        self.failing_start = failing_start
        self._place_of = place_of
        self._noted: set[Process] = set()  # those whose failure is written down already

    def _keeping_logger(self) -> Logger:
        def keep(_: Any, __: str, line: _Line) -> Any:
            self.lines.append(line)
            raise structlog.DropEvent

        everything = structlog.make_filtering_bound_logger("debug")
        logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[keep], wrapper_class=everything)
        return cast("Logger", logger.bind())

    async def connect(self) -> None:
        """Let actors subscribe."""
        await self._local.connect(lambda _: None)

    def process_started(self, process: Process) -> None:
        super().process_started(process)
        place = self._place_of(process.record.path)
        self.running[place] = process
        self.ever_started.add(place)
        if (script := _script_of(process)) is not None:
            script.process = process
            self.scripts[place] = script
        self.events.append(["start", place])

    def process_ended(self, process: Process) -> None:
        super().process_ended(process)
        place = self._place_of(process.record.path)
        if process.has_started:
            if self.running.get(place) is process:
                del self.running[place]
            self.events.append(["stop", place, word_of(process.reason)])
        elif process.was_ignored:
            self.events.append(["ignore", place])
        elif process not in self._noted:
            self.events.append(["fail", place, word_of(process.reason)])
        self._noted.discard(process)

    def supervisor_started(self, supervisor: SupervisorProcess) -> None:
        super().supervisor_started(supervisor)
        self.supervisors[self._place_of(supervisor.path)] = supervisor

    def supervisor_ended(self, supervisor: SupervisorProcess) -> None:
        super().supervisor_ended(supervisor)
        place = self._place_of(supervisor.path)
        if self.supervisors.get(place) is supervisor:
            del self.supervisors[place]

    def body_of(self, process: Process, supervisor: str) -> Body:
        """Return what `process` runs; should its start fail, `failing_start` is awaited before it is gone."""

        def supervise(process: Process, tree: Tree, *, keeps_names: bool) -> SupervisorProcess:
            return _Supervisor(tree, self, process.record.path, keeps_names=keeps_names)

        async def failed(reason: Exit) -> None:
            self.events.append(["fail", self._place_of(process.record.path), word_of(reason)])
            self._noted.add(process)
            await self.failing_start(supervisor)

        try:
            body = body_of(process, self, supervise)
        except Exception as error:
            body = _Stillborn(error)
        return _Watched(body, process, failed)


class _Supervisor(SupervisorProcess):
    """A supervisor that lets the host watch the starts of its children; in all else it is the real one."""

    def body_of(self, process: Process) -> Body:
        assert isinstance(self.host, RecordingHost)
        return self.host.body_of(process, self.path)


class _Watched:
    """What a process runs, and somebody who is told if its start fails. Meets `Body`, as what it wraps does."""

    def __init__(self, body: Body, process: Process, failed: Callable[[Exit], Awaitable[None]]) -> None:
        self._body = body
        self._process = process
        self._failed = failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    async def start(self) -> Exit | None:
        """Do what comes before `live`."""
        return await self._watch(self._body.start())

    async def live(self) -> Exit:
        """Run to the end."""
        reason = await self._watch(self._body.live())
        assert reason is not None
        return reason

    async def _watch(self, part: Awaitable[Exit | None]) -> Exit | None:
        try:
            reason = await part
        except Ignore:
            raise
        except Exception as error:
            if not self._process.has_started:
                await self._failed(Crashed(summary_of(error), ""))
            raise
        if reason is not None and not self._process.has_started:
            await self._failed(reason)
        return reason


class _Stillborn:
    """What a process runs that could not be made. Meets `Body`."""

    starts_at_once = True
    context = None

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def start(self) -> Exit | None:
        """Fail."""
        raise self._error

    async def live(self) -> Exit:
        """Fail."""
        raise self._error


class RootKeeper:
    """What stands above the root: nobody, who decides nothing. Meets `Keeper`."""

    def __init__(self, host: RecordingHost) -> None:
        self._host = host
        self.log = host.log

    def body_of(self, process: Process) -> Body:
        """Return what the root runs."""
        return self._host.body_of(process, "")

    def process_ended(self, process: Process, *, tell: bool) -> None:
        """Note that the root has ended."""
        del tell
        process.record.process = None
        self._host.process_ended(process)

    def process_leaves(self, process: Process, error: BaseException) -> None:
        """Hear that somebody wants the program to end, which no scenario does."""
        raise AssertionError(f"{process.id} leaves: {error!r}")


def _script_of(process: Process) -> Script | None:
    start = process.spec.start
    return start.args[0] if isinstance(start, ActorStart | FunctionStart) and start.args else None
