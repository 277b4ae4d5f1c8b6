"""The live tree as data, here and over the wire.

Every node answers requests to the subject `[namespace.]$CLIFFRACER.tree` with its tree, as JSON; that is how
`cliffracer tree` asks.
"""

from math import inf
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from cliffracer.actor.cell import Cell
from cliffracer.actor.options import Restart, ShutdownTime
from cliffracer.codec import encode
from cliffracer.errors import PayloadTooLarge
from cliffracer.node.host import NodeHost
from cliffracer.supervision.process import Process, ProcessState
from cliffracer.supervision.spec import (
    ChildSpec,
    DynamicSupervisor,
    FunctionStart,
    PoolStart,
    Strategy,
    Supervisor,
    TaskSupervisor,
)
from cliffracer.supervision.strategy import ChildState
from cliffracer.supervision.supervisor import SupervisorProcess
from cliffracer.transport.contract import Headers, Transport

__all__ = ["TREE_SUBJECT", "NodeTree", "TreeEntry", "TreeKind", "answer_tree_requests", "planned_tree", "tree_of"]

TREE_SUBJECT = "$CLIFFRACER.tree"

TreeKind: TypeAlias = Literal["actor", "function", "supervisor", "dynamic supervisor", "task supervisor", "pool"]
TreeState: TypeAlias = Literal["planned", "starting", "running", "suspended", "stopping", "stopped", "restarting"]


class TreeEntry(Struct, frozen=True, omit_defaults=True):
    """One child, or the root, as it is at this moment.

    Attributes:
        id: Its name among its siblings.
        kind: What it is.
        state: Where it stands; "planned" in a tree that does not run.
        restart: As in its spec.
        shutdown: As in its spec: seconds, "infinity" or "brutal_kill".
        incarnation: How often it was started, or tried to.
        crashes: How many of its incarnations ended with an exception.
        uptime: Seconds since it has started; None if it does not run.
        last_crash: Type and text of the last exception, in one line.
        last_incident: The id under which that stands in the log.
        last_crash_ago: Seconds since then.
        mailbox_depth: Messages that wait; None if it is no actor.
        mailbox_capacity: How many may.
        mailbox_dropped: How many had to be dropped so far.
        in_hand: Messages that are being handled.
        strategy: Of a static supervisor.
        restarts: How many restarts its window holds at this moment; None if it is no supervisor.
        max_restarts: How many it may hold.
        max_seconds: How long it is.
        children: In start order.
        omitted: How many more children there are.
    """

    id: str
    kind: TreeKind
    state: TreeState
    restart: Restart = "permanent"
    shutdown: ShutdownTime = 5.0
    incarnation: int = 0
    crashes: int = 0
    uptime: float | None = None
    last_crash: str = ""
    last_incident: str = ""
    last_crash_ago: float | None = None
    mailbox_depth: int | None = None
    mailbox_capacity: int | None = None
    mailbox_dropped: int = 0
    in_hand: int = 0
    strategy: Strategy | None = None
    restarts: int | None = None
    max_restarts: int | None = None
    max_seconds: float | None = None
    children: tuple["TreeEntry", ...] = ()
    omitted: int = 0

    def shutdown_seconds(self) -> float:
        """Return the seconds that stopping this may take at worst.

        The children of a static supervisor stop one after the other, so it is their sum; those of a dynamic one stop
        all at once, so it is the longest. Infinite if something may take for ever.
        """
        if self.shutdown != "infinity":
            # A supervisor that is killed leaves those below it their time: they stop in order, all at once.
            below = [child.shutdown_seconds() for child in self.children if child.kind not in ("actor", "function")]
            own = 0.0 if self.shutdown == "brutal_kill" else self.shutdown
            return own + max(below, default=0.0)
        if self.kind in ("actor", "function"):
            return inf
        times = [child.shutdown_seconds() for child in self.children]
        return max(times, default=0.0) if self.kind in ("dynamic supervisor", "task supervisor") else sum(times)


class NodeTree(Struct, frozen=True):
    """The tree of one node.

    Attributes:
        node: Its name.
        namespace: Where its actors are.
        state: What it is doing.
        drain_timeout: Seconds that emptying the mailboxes may take before the tree is stopped.
        root: The root supervisor.
        own: What the node runs for itself, beside the tree: its connection to the broker.
    """

    node: str
    namespace: str
    state: Literal["starting", "running", "stopping"]
    drain_timeout: float
    root: TreeEntry
    own: TreeEntry | None = None


def tree_of(supervisor: SupervisorProcess, *, max_children: int | None = None) -> TreeEntry:
    """Return the tree below a root supervisor, as it is at this moment.

    Args:
        supervisor: The root.
        max_children: How many children of each dynamic supervisor to show; None for all.
    """
    return _of_supervisor(supervisor, max_children, supervisor.tree.id, {"shutdown": "infinity"}, "running")


def planned_tree(tree: Supervisor) -> TreeEntry:
    """Return a tree that does not run, in the same form."""
    return _planned(ChildSpec[Any](id=tree.id, start=tree, shutdown="infinity"))


def _planned(spec: ChildSpec[Any]) -> TreeEntry:
    tree = spec.start.members if isinstance(spec.start, PoolStart) else spec.start
    children = tree.children if isinstance(tree, Supervisor) else ()
    return TreeEntry(
        id=spec.id,
        kind=_kind_of(spec),
        state="planned",
        restart=spec.restart,
        shutdown=_shutdown_of(spec),
        mailbox_capacity=None if spec.mailbox is None else spec.mailbox.capacity,
        strategy=tree.strategy if isinstance(tree, Supervisor) else None,
        max_restarts=tree.max_restarts if isinstance(tree, Supervisor | DynamicSupervisor) else None,
        max_seconds=tree.max_seconds if isinstance(tree, Supervisor | DynamicSupervisor) else None,
        children=tuple(_planned(child) for child in children),
    )


def _of_supervisor(
    supervisor: SupervisorProcess, limit: int | None, id: str, facts: dict[str, Any], state: TreeState
) -> TreeEntry:
    tree = supervisor.tree
    states = list(supervisor.machine.states().items())
    shown = states if limit is None or isinstance(tree, Supervisor) else states[:limit]
    return TreeEntry(
        id=id,
        state=state,
        kind=facts.pop("kind", _TREE_KINDS[type(tree)]),
        strategy=tree.strategy if isinstance(tree, Supervisor) else None,
        restarts=supervisor.machine.window(supervisor.host.timers.clock()),
        max_restarts=supervisor.reports.max_restarts,
        max_seconds=supervisor.reports.max_seconds,
        children=tuple(_of_child(supervisor, child, child_state, limit) for child, child_state in shown),
        omitted=len(states) - len(shown),
        **facts,
    )


def _of_child(supervisor: SupervisorProcess, id: str, state: ChildState, limit: int | None) -> TreeEntry:
    spec = supervisor.machine.spec_of(id)
    record = supervisor.host.record_of(f"{supervisor.path}/{id}")
    process, now = record.process, supervisor.host.timers.clock()
    facts: dict[str, Any] = {
        "restart": spec.restart,
        "shutdown": _shutdown_of(spec),
        "kind": _kind_of(spec),
        "incarnation": record.incarnation,
        "crashes": record.crashes,
    }
    if record.last_crash is not None:
        facts["last_crash"], facts["last_incident"] = record.last_crash.error, record.last_crash.incident
        facts["last_crash_ago"] = round(now - record.last_crash_at, 3)
    if process is not None and process.has_started:
        facts["uptime"] = round(now - process.started_at, 3)
    standing = _state_of(process, state)
    inner = None if process is None else process.inner
    if isinstance(inner, SupervisorProcess):
        return _of_supervisor(inner, limit, id, facts, standing)
    if isinstance(inner, Cell):
        mailbox = inner.queue.statistics()
        facts["mailbox_depth"], facts["mailbox_capacity"] = mailbox.depth, mailbox.capacity
        facts["mailbox_dropped"], facts["in_hand"] = mailbox.dropped, inner.in_hand
        if standing == "running" and inner.suspended:
            standing = "suspended"
    return TreeEntry(id=id, state=standing, **facts)


def _shutdown_of(spec: ChildSpec[Any]) -> ShutdownTime:
    # A task supervisor waits for its jobs, all at once, and they have a limit.
    return spec.start.shutdown if isinstance(spec.start, TaskSupervisor) else spec.shutdown


def _state_of(process: Process | None, state: ChildState) -> TreeState:
    if process is None or process.has_ended:
        return "restarting" if state is ChildState.RESTARTING else "stopped"
    if process.stop_requested is not None:
        return "stopping"
    return "starting" if process.state is ProcessState.STARTING else "running"


_TREE_KINDS: dict[type, TreeKind] = {
    Supervisor: "supervisor",
    DynamicSupervisor: "dynamic supervisor",
    TaskSupervisor: "task supervisor",
}


def _kind_of(spec: ChildSpec[Any]) -> TreeKind:
    if isinstance(spec.start, PoolStart):
        return "pool"
    if isinstance(spec.start, FunctionStart):
        return "function"
    return _TREE_KINDS.get(type(spec.start), "supervisor" if spec.is_supervisor else "actor")


# How many children of each dynamic supervisor a reply shows; the fewer, if that is more than the broker takes.
_SHOWN = (1000, 100, 10, 0)


async def answer_tree_requests(transport: Transport, host: NodeHost, prefix: str, describe: Any) -> None:
    """Answer whoever asks for the tree of this node.

    Args:
        transport: Where the questions come from.
        host: The node.
        prefix: The namespace with its dot, or nothing.
        describe: Returns the `NodeTree`, with at most so many children of each dynamic supervisor.
    """

    def answer(subject: str, payload: bytes, reply: str, headers: Headers | None) -> None:
        del subject, payload, headers
        for limit in _SHOWN if reply else ():
            try:
                host.replies.answer(reply, encode(describe(limit), "json"), TREE_SUBJECT)
            except PayloadTooLarge:
                continue
            return

    await transport.subscribe(f"{prefix}{TREE_SUBJECT}", answer)
