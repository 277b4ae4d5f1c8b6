"""What all of our contenders need: a node, and whatever it counted that should not have happened."""

from msgspec import structs

from benchmarks.jobs import Job, Report
from cliffracer import ChildSpec, DynamicSupervisor, Node, Settings, Supervisor
from cliffracer.observe.logs import LogLevel

__all__ = ["new_node", "problems_of", "with_problems"]


def new_node(job: Job, *tree: ChildSpec | Supervisor | DynamicSupervisor, log_level: LogLevel = "warning") -> Node:
    """Return a node with `tree` under its root, over NATS if the job has a server."""
    settings = Settings(nats_url=job.url or "none", log_level=log_level)
    return Node(Supervisor("bench", *tree), settings=settings)


def with_problems(report: Report, node: Node) -> Report:
    """Return `report` with the problems of `node`."""
    return structs.replace(report, problems=(*report.problems, *problems_of(node)))


def problems_of(node: Node, *, may_drop: bool = False) -> list[str]:
    """Return whatever the node counted that should not have happened.

    Args:
        node: It runs.
        may_drop: Whether a full mailbox is what this is about.
    """
    found: list[str] = []
    for actor in node.statistics().values():
        counts = {
            "restarted": actor.incarnation - 1,
            "dropped": 0 if may_drop else actor.mailbox.dropped,
            "left in the mailbox": actor.mailbox.depth,
            "crashed": actor.crashed,
            "expired": actor.expired,
            "rejected": actor.rejected,
            "answered with an error": actor.answered_with_error,
            "turned away": actor.turned_away,
        }
        found += [f"{actor.name}: {count} {what}" for what, count in counts.items() if count]
    return found
