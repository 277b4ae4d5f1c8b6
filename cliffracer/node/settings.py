"""All settings, in one frozen struct; the only reader of the environment.

Each field is read from the variable `CLIFFRACER_` plus its name in capitals: `call_timeout` from
`CLIFFRACER_CALL_TIMEOUT`.
"""

import difflib
import os
import re
import socket
from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from cliffracer.errors import SettingsError
from cliffracer.names import is_namespace
from cliffracer.observe.logs import LogFormat, LogLevel
from cliffracer.transport.nats import NatsOptions, without_credentials

__all__ = ["Settings"]

_PREFIX = "CLIFFRACER_"
# What settings given by hand must be; those from the environment are converted before they come here.
_KINDS: dict[str, tuple[type | frozenset[str], str]] = {
    "nats_connect_timeout": (float, "number of seconds"),
    "call_timeout": (float, "number of seconds"),
    "drain_timeout": (float, "number of seconds"),
    "kill_grace": (float, "number of seconds"),
    "node_timeout": (float, "number of seconds"),
    "namespace": (str, "text"),
    "node_name": (str, "text"),
    "reply_prefixes": (str, "text"),
    "app_version": (str, "text"),
    "prefer_local": (bool, "True or False"),
    "log_level": (frozenset(get_args(LogLevel)), f"level; use one of {', '.join(get_args(LogLevel))}"),
    "log_format": (frozenset(get_args(LogFormat)), f"format; use one of {', '.join(get_args(LogFormat))}"),
}
_SCHEMES = ("nats", "tls")
# Semantic Versioning 2.0.0: three numbers; a pre-release, whose numbers have no leading zero; a build.
_NUMBER = "(?:0|[1-9][0-9]*)"
_MARK = f"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_MARK}(?:\.{_MARK})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a node.

    Attributes:
        nats_url: The NATS server, or several of one cluster joined by commas. "none" for none: all stays in this
            process; that is what None means, too, except to `cliffracer run`, which then starts a server.
        nats_user: User name for the server.
        nats_password: Password for the server.
        nats_token: Token for the server, instead of user and password.
        nats_creds_file: Path of a `.creds` file; needs `cliffracer[nkeys]`.
        nats_tls_ca_file: Path of the CA certificates to trust instead of the system's.
        nats_tls_cert_file: Path of this node's certificate.
        nats_tls_key_file: Path of the key of that certificate.
        nats_connect_timeout: Seconds that the first connection may take, all attempts together.
        namespace: Put before the subjects of all actors, so that several installations can share a server.
        reply_prefixes: Subjects under which clients have their inboxes, joined by commas: `inbox.alice,inbox.bob`.
            Replies go there, and to subjects that begin with "_", as most inboxes do. Never let it cover an actor.
        node_name: How this node is called in logs and in the server's monitoring.
        app_version: Version of what runs here, told to whoever asks for its services: "1.4.0", by the rules of Semantic
            Versioning.
        call_timeout: Seconds that a call may take where no cancel scope says otherwise.
        drain_timeout: Seconds that emptying the mailboxes may take when the node stops.
        kill_grace: Seconds from the cancellation of a child until it is reported as `child_unkillable`.
        node_timeout: Seconds of silence after which another node counts as gone. Each node that is not alone says
            five times in that time that it is there. The same for all nodes.
        prefer_local: Whether a replica in this process gets a message without the broker.
        log_level: "debug", "info", "warning", "error" or "critical".
        log_format: "console", "json", or "auto": console on a terminal, JSON elsewhere.
    """

    nats_url: str | None = None
    nats_user: str | None = None
    nats_password: str | None = None
    nats_token: str | None = None
    nats_creds_file: str | None = None
    nats_tls_ca_file: str | None = None
    nats_tls_cert_file: str | None = None
    nats_tls_key_file: str | None = None
    nats_connect_timeout: float = 5.0
    namespace: str = ""
    reply_prefixes: str = ""
    node_name: str = ""
    app_version: str = "0.0.0"
    call_timeout: float = 5.0
    drain_timeout: float = 10.0
    kill_grace: float = 5.0
    node_timeout: float = 5.0
    prefer_local: bool = True
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"

    def __post_init__(self) -> None:
        """Check what types cannot say.

        Raises:
            SettingsError: A value is out of range.
        """
        _check_kinds(self)
        if self.namespace and not is_namespace(self.namespace):
            raise SettingsError(
                f"{_variable('namespace')}: {self.namespace!r} is no namespace; "
                "use names joined by dots, like 'eu.prod'."
            )
        if not _VERSION.fullmatch(self.app_version):
            raise SettingsError(
                f"{_variable('app_version')}: {self.app_version!r} is no version; "
                "write three numbers and what Semantic Versioning allows behind them, like '1.4.0' or '2.0.0-rc.1'."
            )
        for url in self.servers():
            if not _is_address(url):
                raise SettingsError(
                    f"{_variable('nats_url')}: {without_credentials(url)!r} is no NATS address; "
                    "write nats://HOST:4222, or none."
                )
        for prefix in self.inboxes():
            if not is_namespace(prefix[:-1]):
                raise SettingsError(
                    f"{_variable('reply_prefixes')}: {prefix[:-1]!r} is no prefix; write names joined by dots, "
                    "'inbox.alice', and a comma between two."
                )
        if (self.nats_user is None) != (self.nats_password is None):
            raise SettingsError(
                f"{_variable('nats_user')} and {_variable('nats_password')} go together: set both, or neither."
            )
        if self.nats_tls_key_file and not self.nats_tls_cert_file:
            raise SettingsError(f"{_variable('nats_tls_key_file')} needs {_variable('nats_tls_cert_file')} beside it.")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> "Settings":
        """Read the settings from the environment.

        Args:
            environ: Instead of the process's environment.
            overrides: Fields that are given and not read.

        Raises:
            SettingsError: A variable is unknown or malformed; the message names it.
        """
        variables = os.environ if environ is None else environ
        given: dict[str, Any] = {}
        for variable, text in variables.items():
            if not variable.startswith(_PREFIX):
                continue
            field = variable.removeprefix(_PREFIX).lower()
            if field not in cls.__struct_fields__:
                raise SettingsError(_unknown(field, cls.__struct_fields__))
            given[field] = text
        given.update(overrides)
        try:
            return msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            problem, _, path = str(error).partition(" - at `$.")
            field = path.rstrip("`")
            if isinstance(error.__cause__, SettingsError):
                raise error.__cause__ from None
            raise SettingsError(f"{_variable(field)}={given.get(field)!r}: {problem}.") from None

    def servers(self) -> tuple[str, ...]:
        """Return the addresses of the NATS servers; none if all stays in this process."""
        if self.nats_url is None or self.nats_url == "none":
            return ()
        return tuple(url.strip() for url in self.nats_url.split(","))

    def inboxes(self) -> tuple[str, ...]:
        """Return the subjects under which replies may go, each with its dot, besides those that begin with "_"."""
        return tuple(f"{prefix.strip()}." for prefix in self.reply_prefixes.split(",") if prefix.strip())

    def nats_options(self) -> NatsOptions:
        """Return what the transport needs to know."""
        return NatsOptions(
            servers=self.servers(),
            name=self.name(),
            user=self.nats_user,
            password=self.nats_password,
            token=self.nats_token,
            creds_file=self.nats_creds_file,
            tls_ca_file=self.nats_tls_ca_file,
            tls_cert_file=self.nats_tls_cert_file,
            tls_key_file=self.nats_tls_key_file,
            connect_timeout=self.nats_connect_timeout,
        )

    def prefix(self) -> str:
        """Return what stands before the subjects of actors: the namespace with its dot, or nothing."""
        return f"{self.namespace}." if self.namespace else ""

    def name(self) -> str:
        """Return the node's name: as set, or else host name and process id."""
        return self.node_name or f"{socket.gethostname()}-{os.getpid()}"


def _variable(field: str) -> str:
    return _PREFIX + field.upper()


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _unknown(field: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(field, known, n=1)
    hint = f"did you mean {_variable(close[0])}?" if close else f"known are {', '.join(map(_variable, known))}."
    return f"{_variable(field)} is no setting; {hint}"


def _check_kinds(settings: Settings) -> None:
    for field, (kinds, what) in _KINDS.items():
        value = getattr(settings, field)
        if kinds is float and type(value) is int:
            continue
        if not (value in kinds if isinstance(kinds, frozenset) else isinstance(value, kinds)):
            raise SettingsError(f"{_variable(field)}: {value!r} is no {what}.")
    for field in ("nats_connect_timeout", "call_timeout", "drain_timeout", "kill_grace", "node_timeout"):
        if not 0 < getattr(settings, field) < float("inf"):
            raise SettingsError(f"{_variable(field)}: {getattr(settings, field)!r} is no number of seconds above zero.")
