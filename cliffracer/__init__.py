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
    observe/      logs, and the list of all that is logged
    cli/          the command `cliffracer`

Imports point down: cli > node > supervision > actor | transport > observe > codec > envelope > names > exits > errors.
"""

from cliffracer.actor.actor import Actor
from cliffracer.actor.handlers import call, cast, event, every
from cliffracer.actor.mailbox import Mailbox
from cliffracer.errors import (
    ActorCrashed,
    CallCycle,
    CallError,
    CallTimeout,
    CliffracerError,
    ConnectFailed,
    DefinitionError,
    Disconnected,
    InvalidMessage,
    MailboxFull,
    MessageTooLarge,
    NoActor,
    NotAuthorized,
    NotRunning,
    Refusal,
    ServerError,
    SettingsError,
    SpecError,
    StartFailed,
    Stopping,
    TreeFailed,
    UnknownHandler,
    Upstream,
)
from cliffracer.exits import Crashed, Exit, Killed, Normal, Shutdown
from cliffracer.node.node import Node
from cliffracer.node.settings import Settings
from cliffracer.supervision.spec import ChildSpec, Supervisor, child

__all__ = [
    "Actor",
    "ActorCrashed",
    "CallCycle",
    "CallError",
    "CallTimeout",
    "ChildSpec",
    "CliffracerError",
    "ConnectFailed",
    "Crashed",
    "DefinitionError",
    "Disconnected",
    "Exit",
    "InvalidMessage",
    "Killed",
    "Mailbox",
    "MailboxFull",
    "MessageTooLarge",
    "NoActor",
    "Node",
    "Normal",
    "NotAuthorized",
    "NotRunning",
    "Refusal",
    "ServerError",
    "Settings",
    "SettingsError",
    "Shutdown",
    "SpecError",
    "StartFailed",
    "Stopping",
    "Supervisor",
    "TreeFailed",
    "UnknownHandler",
    "Upstream",
    "__version__",
    "call",
    "cast",
    "child",
    "event",
    "every",
]

__version__ = "0.1.0"
