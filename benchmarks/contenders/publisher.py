"""The publisher of the receive benchmark: a bare socket, and all messages encoded beforehand.

It has to be faster than any receiver, or the figures would be its own; the test checks that it was.
"""

import socket
from time import perf_counter, process_time
from urllib.parse import urlsplit

from benchmarks.contenders.values import EVENT, Order, encode
from benchmarks.jobs import Job, Report, hear, say

__all__ = ["publish"]

_CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"lang":"socket","version":"0","protocol":1}\r\n'


def publish(job: Job) -> None:
    """Publish the warm-up when told "warm", all the rest when told "go"."""
    address = urlsplit(job.url)
    with socket.create_connection((address.hostname, address.port), timeout=30.0) as server:
        server.sendall(_CONNECT)
        warmup = _frames(range(job.warmup))
        timed = _frames(range(job.warmup, job.warmup + job.count))
        _sync(server)
        say(Report(stage="ready"))
        _await_word("warm")
        server.sendall(warmup)
        _sync(server)
        _await_word("go")
        began, cpu_began = perf_counter(), process_time()
        server.sendall(timed)
        _sync(server)
        seconds, cpu_seconds = perf_counter() - began, process_time() - cpu_began
        say(Report(stage="done", count=job.count, seconds=seconds, cpu_seconds=cpu_seconds))


def _frames(seqs: range) -> bytes:
    frames = bytearray()
    for seq in seqs:
        payload = encode(Order(seq, "A1", 1 + seq % 9))
        frames += b"PUB %b %d\r\n%b\r\n" % (EVENT.encode(), len(payload), payload)
    return bytes(frames)


def _sync(server: socket.socket) -> None:
    """Wait until the server has taken all that was sent."""
    server.sendall(b"PING\r\n")
    heard = b""
    while b"PONG\r\n" not in heard:
        part = server.recv(4096)
        heard += part
        if not part or b"-ERR" in heard:
            raise ConnectionError(f"the server said {heard!r}")


def _await_word(word: str) -> None:
    if (heard := hear()) != word:
        raise RuntimeError(f"expected {word!r}, heard {heard!r}")
