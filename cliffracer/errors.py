"""Every public exception.

CliffracerError
├── Refusal                 a declared answer of a handler: the caller gets it, the actor lives on
├── CallError               a call brought no answer; `code` names why, `retry` says whether to try again
│   ├── NoActor             safe     nobody of that name runs
│   ├── MailboxFull         safe     nothing was queued
│   ├── Stopping            safe     the actor was told to stop before it took the message
│   ├── CallTimeout         unsafe   no answer in time; the request may still be carried out
│   ├── ActorCrashed        unsafe   the actor crashed over this message
│   ├── Disconnected        unsafe   the broker went away
│   ├── Upstream            unsafe   a call made by the callee failed, and the callee did not handle it
│   ├── InvalidMessage      useless  the payload does not fit the handler
│   ├── UnknownHandler      useless  the actor has no such handler
│   ├── CallCycle           useless  the call would wait for itself
│   ├── MessageTooLarge     useless  over the broker's max_payload
│   └── NotAuthorized       useless  the broker or the actor does not let you
├── DefinitionError         an actor class is wrong; raised when the class is made        (also a TypeError)
├── SpecError               a supervision tree is wrong; raised before anything starts    (also a ValueError)
├── SettingsError           a setting is unknown or malformed                             (also a ValueError)
├── NotRunning              this object is not part of a running node                     (also a RuntimeError)
├── AdminError              a supervisor did not do what it was asked to; nothing has changed
│   ├── NoSupervisor        it does not run here, or ended before it answered
│   ├── NoChild             it has no such child
│   ├── AlreadyStarted      a child of this id, or an actor of this name, runs already
│   ├── AlreadyPresent      a child of this id is known, though it does not run
│   ├── ChildRunning        this takes a child that is stopped
│   ├── ChildRestarting     the same; it waits for its restart to be tried again
│   ├── ChildNotStarted     the start failed
│   ├── ChildIgnored        the child declined to start
│   ├── TooManyChildren     there are max_children already
│   └── WouldWaitForItself  whoever asks is what the supervisor would have to wait for
├── Ignore                  raised by a child that is about to start: it is not needed here
├── JobStopped              a job of a task supervisor was stopped, so it has no result
├── StartFailed             the tree could not be started; nothing is left running
├── TreeFailed              the root supervisor gave up
├── ServerError             the embedded nats-server could not be started
└── TransportError          between this process and the broker
    ├── ConnectFailed       no connection could be made
    ├── NotConnected        the connection is down at the moment, or closed for good
    ├── NotPermitted        the broker does not let us
    ├── NoResponders        nobody is subscribed to the subject of a request
    ├── RequestTimeout      no reply in time
    ├── PayloadTooLarge     payload and headers together are over max_payload
    └── OutboundFull        the outbound buffer is full
"""

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

__all__ = [
    "ActorCrashed",
    "AdminError",
    "AlreadyPresent",
    "AlreadyStarted",
    "CallCycle",
    "CallError",
    "CallTimeout",
    "ChildIgnored",
    "ChildNotStarted",
    "ChildRestarting",
    "ChildRunning",
    "CliffracerError",
    "ConnectFailed",
    "DefinitionError",
    "Disconnected",
    "Ignore",
    "InvalidMessage",
    "JobStopped",
    "MailboxFull",
    "MessageTooLarge",
    "NoActor",
    "NoChild",
    "NoResponders",
    "NoSupervisor",
    "NotAuthorized",
    "NotConnected",
    "NotPermitted",
    "NotRunning",
    "OutboundFull",
    "PayloadTooLarge",
    "Refusal",
    "RequestTimeout",
    "Retry",
    "ServerError",
    "SettingsError",
    "SpecError",
    "StartFailed",
    "Stopping",
    "TooManyChildren",
    "TransportError",
    "TreeFailed",
    "UnknownHandler",
    "Upstream",
    "WouldWaitForItself",
]

Retry = Literal["safe", "unsafe", "useless"]


class CliffracerError(Exception):
    """The root of every exception of this package."""


def snake_case(class_name: str) -> str:
    """Return `class_name` in snake case: `OutOfStock` is `out_of_stock`, `HTTPError` is `http_error`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()


class Refusal(CliffracerError):
    """A declared answer of a handler that says no.

    Subclass it, and raise the subclass in a handler: the caller gets the same class with the same message and data,
    over the wire too, and the actor lives on.

    Attributes:
        code: What goes over the wire to tell refusals apart. A class attribute; the class name in snake case unless
            you set it. Renaming the class renames the code: set `code` once other teams rely on it.
        message: For a person.
        data: Facts for a program: anything that msgspec can encode, or None.
    """

    code: ClassVar[str] = "refusal"

    def __init_subclass__(cls) -> None:
        """Derive the wire code from the class name unless the class sets one."""
        super().__init_subclass__()
        if "code" not in cls.__dict__:
            cls.code = snake_case(cls.__name__)

    def __init__(self, message: str = "", *, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class CallError(CliffracerError):
    """A call brought no answer.

    Attributes:
        code: The fixed word that stands for this error on the wire.
        status: The number that goes with it in `Nats-Service-Error-Code`; the numbers are those of HTTP.
        retry: "safe": the message was not handled. "unsafe": it may have been. "useless": it will fail again.
        target: Whom the call was for, as `actor.handler`; empty if unknown.
        detail: What happened, for a person.
        incident: The id under which the callee logged a crash; empty for other errors.
    """

    code: ClassVar[str] = "call_error"
    status: ClassVar[int] = 500
    retry: Retry = "unsafe"

    def __init__(self, target: str, detail: str, *, incident: str = "") -> None:
        super().__init__(f"{target}: {detail}" if target else detail)
        self.target = target
        self.detail = detail
        self.incident = incident


class NoActor(CallError):
    """Nobody of that name runs, here or on any node that can be reached. Nothing was handled."""

    code = "no_actor"
    status = 404
    retry: Retry = "safe"


class MailboxFull(CallError):
    """The mailbox was full; nothing was queued."""

    code = "mailbox_full"
    status = 429
    retry: Retry = "safe"


class Stopping(CallError):
    """The actor was told to stop before it took the message."""

    code = "stopping"
    status = 503
    retry: Retry = "safe"


class CallTimeout(CallError, TimeoutError):
    """No answer in time. The request may still be carried out. Also a `TimeoutError`."""

    code = "timeout"
    status = 504


class ActorCrashed(CallError):
    """The actor crashed over this message; `incident` finds the traceback in the log of its node."""

    code = "crashed"


class Disconnected(CallError):
    """The broker is away. A call that was in flight may have been carried out; `retry` is "safe" if it was not sent."""

    code = "disconnected"
    status = 503


class Upstream(CallError):
    """A call that the callee made in turn failed, and the callee did not handle it; `detail` names that hop."""

    code = "upstream"
    status = 502


class InvalidMessage(CallError):
    """The payload does not fit the handler; `detail` holds the path of the bad field. No handler has run.

    If `detail` says that it is the answer that does not fit what the caller's side declares, the handler has run.
    """

    code = "invalid_message"
    status = 400
    retry: Retry = "useless"


class UnknownHandler(CallError):
    """The actor has no handler of that name."""

    code = "unknown_handler"
    status = 405
    retry: Retry = "useless"


class CallCycle(CallError):
    """The callee already waits, directly or through others, for this very call: it would never end."""

    code = "call_cycle"
    status = 508
    retry: Retry = "useless"


class MessageTooLarge(CallError):
    """The message or its answer is over the broker's max_payload."""

    code = "too_large"
    status = 413
    retry: Retry = "useless"


class NotAuthorized(CallError):
    """The broker, or the actor, does not allow this."""

    code = "not_authorized"
    status = 403
    retry: Retry = "useless"


class DefinitionError(CliffracerError, TypeError):
    """An actor class is wrong. Raised when the class is made, so an import finds it.

    Attributes:
        where: The source line, as `file:line`.
        problem: What is wrong.
        fix: What to write instead.
    """

    def __init__(self, where: str, problem: str, fix: str) -> None:
        super().__init__(f"{where}\n  {problem}\n  Fix: {fix}")
        self.where = where
        self.problem = problem
        self.fix = fix


class SpecError(CliffracerError, ValueError):
    """A supervision tree, or a child of it, is wrong. Nothing has been started.

    Attributes:
        problem: What is wrong, and where in the tree.
        fix: What to write instead.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}\n  Fix: {fix}")
        self.problem = problem
        self.fix = fix


class SettingsError(CliffracerError, ValueError):
    """A setting is unknown or malformed; the message names it and says what it takes."""


class NotRunning(CliffracerError, RuntimeError):
    """This object is not part of a running node, so it cannot send, publish or look up anybody."""


class AdminError(CliffracerError):
    """A supervisor did not do what it was asked to; unless the class says otherwise, nothing has changed."""


class NoSupervisor(AdminError):
    """It does not run on this node, or it ended before it answered."""


class NoChild(AdminError):
    """The supervisor has no child of this id."""


class AlreadyStarted(AdminError):
    """A child of this id, or an actor of this name, runs already."""


class AlreadyPresent(AdminError):
    """A child of this id is known, though it does not run: restart it, or delete it first."""


class ChildRunning(AdminError):
    """The child runs, and this is for one that is stopped: terminate it first."""


class ChildRestarting(AdminError):
    """The child waits for its restart to be tried again, and this is for one that is stopped: terminate it first."""


class ChildNotStarted(AdminError):
    """The start failed. A new child is forgotten, one that was known stays stopped; it is not tried again.

    Attributes:
        reason: Why it failed.
    """

    def __init__(self, message: str, reason: Any) -> None:
        super().__init__(message)
        self.reason = reason


class ChildIgnored(AdminError):
    """The child declined to start, by raising `Ignore`.

    A static supervisor keeps its spec, unless it is temporary; a dynamic one forgets it.
    """


class TooManyChildren(AdminError):
    """The supervisor has `max_children` already, those that wait for a restart included."""


class WouldWaitForItself(AdminError):
    """The supervisor would have to wait for whoever asks, who waits for the supervisor."""


class Ignore(CliffracerError):
    """Raise it in `__init__` or `on_start`, or before `task_status.started()`: this child is not needed here.

    That is no failure. The siblings start; the child is `stopped`, and can be started by hand.
    """


class JobStopped(CliffracerError):
    """A job of a task supervisor was stopped before it was done, so it has no result."""


class StartFailed(CliffracerError):
    """The tree could not be started. What had been started has been stopped again, in reverse."""


class TreeFailed(CliffracerError):
    """The root supervisor ended by itself: a child failed more often than the tree tolerates.

    Attributes:
        is_clean: Whether it ended because a significant child was done (`auto_shutdown`): no failure for a process.
    """

    def __init__(self, message: str, *, is_clean: bool = False) -> None:
        super().__init__(message)
        self.is_clean = is_clean


class ServerError(CliffracerError):
    """The embedded nats-server could not be started; the message says what to do instead."""


class TransportError(CliffracerError):
    """Something between this process and the broker. Actors meet it as a `CallError`."""


class ConnectFailed(TransportError):
    """No connection could be made within the time allowed."""


class NotConnected(TransportError):
    """The connection is down at the moment, or closed for good.

    Attributes:
        nothing_sent: Whether it was down beforehand, so that nothing left this process.
    """

    def __init__(self, message: str, *, nothing_sent: bool = False) -> None:
        super().__init__(message)
        self.nothing_sent = nothing_sent


class NotPermitted(TransportError):
    """The broker does not let us publish to the subject of a request."""


class NoResponders(TransportError):
    """Nobody is subscribed to the subject of a request."""


class RequestTimeout(TransportError):
    """No reply within the time allowed."""


class PayloadTooLarge(TransportError):
    """Payload and headers together are larger than the broker takes; checked here, before sending."""


class OutboundFull(TransportError):
    """The outbound buffer is full. Nothing was queued; wait, or use the waiting form."""


def _by_code(classes: Iterable[type[CallError]]) -> dict[str, type[CallError]]:
    return {cls.code: cls for cls in classes}


CALL_ERRORS = _by_code(
    [
        NoActor,
        MailboxFull,
        Stopping,
        CallTimeout,
        ActorCrashed,
        Disconnected,
        Upstream,
        InvalidMessage,
        UnknownHandler,
        CallCycle,
        MessageTooLarge,
        NotAuthorized,
    ]
)
"""The fixed table of wire codes: these and no other classes are made from a reply."""
