"""The publisher of all that is received: a bare socket, and all messages encoded beforehand.

It has to be faster than any receiver, or the figures would be its own; the test checks that it was.
"""

import socket
from collections.abc import Callable
from time import perf_counter, process_time
from typing import IO

from benchmarks.contenders.bare_socket import await_word, connect, sync
from benchmarks.contenders.values import CREDIT, EVENT, Take, encode, headers_of, order_of, take_subject
from benchmarks.jobs import Job, Report, say

__all__ = ["CREDIT_EVERY", "WINDOW", "flood", "publish", "publish_casts", "publish_with_headers"]

CREDIT_EVERY = 512  # events of a flood; whoever has handled so many more says so
WINDOW = 8 * CREDIT_EVERY  # events of a flood that may be under way


def publish(job: Job) -> None:
    """Publish events."""
    _publish(job, _event)


def publish_with_headers(job: Job) -> None:
    """Publish events with headers."""
    _publish(job, _event_with_headers)


def publish_casts(job: Job) -> None:
    """Publish casts, to one actor after the other."""

    def frame(seq: int) -> bytes:
        turn, number = divmod(seq, job.actors)
        return _frame(take_subject(number), encode(Take(turn)))

    _publish(job, frame)


def _publish(job: Job, frame: Callable[[int], bytes]) -> None:
    """Publish the warm-up when told "warm", all the rest when told "go"."""
    with connect(job) as server:
        warmup = b"".join(map(frame, range(job.warmup)))
        timed = b"".join(map(frame, range(job.warmup, job.warmup + job.count)))
        sync(server)
        say(Report(stage="ready"))
        await_word("warm")
        server.sendall(warmup)
        sync(server)
        await_word("go")
        began, cpu_began = perf_counter(), process_time()
        server.sendall(timed)
        sync(server)
        seconds, cpu_seconds = perf_counter() - began, process_time() - cpu_began
        say(Report(stage="done", count=job.count, seconds=seconds, cpu_seconds=cpu_seconds))


def flood(job: Job) -> None:
    """Publish events as fast as they are handled, so many ahead: the server must not hold what a call waits behind."""
    with connect(job) as server, server.makefile("rb") as heard:
        frames = list(map(_event, range(job.warmup + job.count)))
        server.sendall(b"SUB %b 1\r\n" % CREDIT.encode())
        sent = handled = 0

        def send_until(end: int) -> None:
            nonlocal sent, handled
            while sent < end:
                while sent - handled > WINDOW - CREDIT_EVERY:
                    handled = _next_credit(server, heard)
                upto = min(sent + CREDIT_EVERY, end)
                server.sendall(b"".join(frames[sent:upto]))
                sent = upto

        say(Report(stage="ready"))
        await_word("warm")
        send_until(job.warmup)
        await_word("go")
        began = perf_counter()
        send_until(job.warmup + job.count)
        # Whoever hangs up before it has read what came takes back what it has sent.
        server.sendall(b"PING\r\n")
        while _line(heard) != b"PONG\r\n":
            pass
        say(Report(stage="done", count=job.count, seconds=perf_counter() - began))


def _next_credit(server: socket.socket, heard: IO[bytes]) -> int:
    while True:
        line = _line(heard)
        if line.startswith((b"MSG", b"HMSG")):
            # Ours comes with headers, because a handler publishes it; the last line is the payload.
            size = int(line.split()[-1])
            return int(heard.read(size + 2).splitlines()[-1])
        if line == b"PING\r\n":
            server.sendall(b"PONG\r\n")


def _line(heard: IO[bytes]) -> bytes:
    line = heard.readline()
    if not line or line.startswith(b"-ERR"):
        raise ConnectionError(f"the server said {line!r}")
    return line


def _event(seq: int) -> bytes:
    return _frame(EVENT, encode(order_of(seq)))


def _event_with_headers(seq: int) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers_of(seq).items())
    block = f"NATS/1.0\r\n{lines}\r\n".encode()
    payload = encode(order_of(seq))
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (EVENT.encode(), len(block), len(block) + len(payload), block, payload)


def _frame(subject: str, payload: bytes) -> bytes:
    return b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload)
