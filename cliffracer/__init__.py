"""Cliffracer: OTP's supervision trees for Python services, with NATS feeding the mailboxes.

What is where:

    errors        every public exception; the family tree is drawn at the top
    exits         why an actor ended
    names         actor names, subjects and subject patterns
    envelope      a message with its deadline, call chain and correlation; signals
    codec         bytes to values and back, compiled once per handler
    actor/        one actor: handlers, mailbox, loop, ref; knows no network and no supervisor
    supervision/  who is restarted, when, with whom
    transport/    bytes between nodes: in this process, or over NATS; has never heard of actors
    node/         one process put together: registry, routing, start, drain, stop, settings
    describe/     what a tree offers to others: schemas and stubs
    observe/      logs, and the list of all that is logged
    testing/      for tests of services: a node, a probe, faults on the line, virtual time
    cli/          the command `cliffracer`

Imports point down: cli > testing > node > describe > supervision > actor | transport > observe > codec > envelope >
names > exits > errors.
"""

from cliffracer.actor.actor import Actor
from cliffracer.actor.dead_letters import DeadLetter
from cliffracer.actor.handlers import call, cast, event, every
from cliffracer.actor.links import Down
from cliffracer.actor.mailbox import Mailbox
from cliffracer.actor.nodes import NodeDown, NodeInfo, NodeLost, NodeUp
from cliffracer.actor.options import Backoff
from cliffracer.actor.ref import ChildRef
from cliffracer.errors import (
    ActorCrashed,
    AdminError,
    AlreadyPresent,
    AlreadyStarted,
    CallCycle,
    CallError,
    CallTimeout,
    ChildIgnored,
    ChildNotStarted,
    ChildRestarting,
    ChildRunning,
    CliffracerError,
    ConnectFailed,
    DefinitionError,
    Disconnected,
    Ignore,
    InvalidMessage,
    JobStopped,
    MailboxFull,
    MessageTooLarge,
    NoActor,
    NoChild,
    NoSupervisor,
    NotAuthorized,
    NotRunning,
    Refusal,
    ServerError,
    SettingsError,
    SpecError,
    StartFailed,
    Stopping,
    TooManyChildren,
    TreeFailed,
    UnknownHandler,
    Upstream,
    WouldWaitForItself,
)
from cliffracer.exits import Crashed, Exit, Killed, LinkLost, Normal, NotStarted, Shutdown
from cliffracer.node.node import Node
from cliffracer.node.settings import Settings
from cliffracer.supervision.admin import ChildCounts, ChildInfo, Job, SupervisorRef, TaskSupervisorRef
from cliffracer.supervision.children import child, pool
from cliffracer.supervision.spec import Budget, ChildSpec, DynamicSupervisor, Supervisor, TaskSupervisor

__all__ = [
    "Actor",
    "ActorCrashed",
    "AdminError",
    "AlreadyPresent",
    "AlreadyStarted",
    "Backoff",
    "Budget",
    "CallCycle",
    "CallError",
    "CallTimeout",
    "ChildCounts",
    "ChildIgnored",
    "ChildInfo",
    "ChildNotStarted",
    "ChildRef",
    "ChildRestarting",
    "ChildRunning",
    "ChildSpec",
    "CliffracerError",
    "ConnectFailed",
    "Crashed",
    "DeadLetter",
    "DefinitionError",
    "Disconnected",
    "Down",
    "DynamicSupervisor",
    "Exit",
    "Ignore",
    "InvalidMessage",
    "Job",
    "JobStopped",
    "Killed",
    "LinkLost",
    "Mailbox",
    "MailboxFull",
    "MessageTooLarge",
    "NoActor",
    "NoChild",
    "NoSupervisor",
    "Node",
    "NodeDown",
    "NodeInfo",
    "NodeLost",
    "NodeUp",
    "Normal",
    "NotAuthorized",
    "NotRunning",
    "NotStarted",
    "Refusal",
    "ServerError",
    "Settings",
    "SettingsError",
    "Shutdown",
    "SpecError",
    "StartFailed",
    "Stopping",
    "Supervisor",
    "SupervisorRef",
    "TaskSupervisor",
    "TaskSupervisorRef",
    "TooManyChildren",
    "TreeFailed",
    "UnknownHandler",
    "Upstream",
    "WouldWaitForItself",
    "__version__",
    "call",
    "cast",
    "child",
    "event",
    "every",
    "pool",
]

__version__ = "0.1.0"
