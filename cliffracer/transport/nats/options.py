"""Where the server is, and how to be let in."""

from msgspec import Struct

__all__ = ["NatsOptions", "without_credentials"]


class NatsOptions(Struct, frozen=True, kw_only=True):
    """How to reach a NATS server.

    Attributes:
        servers: URLs, `nats://host:4222` or `tls://host:4222`; the members of one cluster.
        name: How this connection is called in the server's monitoring.
        user: User name, with `password`.
        password: Password, with `user`.
        token: Token, instead of user and password.
        creds_file: Path of a `.creds` file with JWT and key; needs `cliffracer[nkeys]`.
        tls_ca_file: Path of the CA certificates to trust, instead of the system's.
        tls_cert_file: Path of this client's certificate, with `tls_key_file`.
        tls_key_file: Path of the key of this client's certificate.
        connect_timeout: Seconds that the first connection may take, all attempts together.
    """

    servers: tuple[str, ...]
    name: str = "cliffracer"
    user: str | None = None
    password: str | None = None
    token: str | None = None
    creds_file: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    connect_timeout: float = 5.0


def without_credentials(server: str) -> str:
    """Return the address `server` as it may be shown."""
    scheme, colon, rest = server.rpartition("://")
    return scheme + colon + rest.rpartition("@")[2]
