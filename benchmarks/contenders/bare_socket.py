"""What publisher and subscriber say to the server over a bare socket."""

import socket
from urllib.parse import urlsplit

from benchmarks.jobs import Job, hear

__all__ = ["await_word", "connect", "sync"]

_PATIENCE = 30.0  # seconds
# With "headers" the server takes messages with headers, and passes them on.
_CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"lang":"socket","version":"0","protocol":1}\r\n'


def connect(job: Job) -> socket.socket:
    """Return a connection to the server."""
    address = urlsplit(job.url)
    server = socket.create_connection((address.hostname, address.port), timeout=_PATIENCE)
    server.sendall(_CONNECT)
    return server


def sync(server: socket.socket) -> None:
    """Wait until the server has taken all that was sent."""
    server.sendall(b"PING\r\n")
    heard = b""
    while b"PONG\r\n" not in heard:
        part = server.recv(4096)
        heard += part
        if not part or b"-ERR" in heard:
            raise ConnectionError(f"the server said {heard!r}")


def await_word(word: str) -> None:
    """Wait for a word of the test process, which has to be this one."""
    if (heard := hear()) != word:
        raise RuntimeError(f"expected {word!r}, heard {heard!r}")
