"""The subscriber of all that is published: a bare socket that counts while the clock runs, and looks afterwards.

It must not be what a publisher waits for: so it counts with a search for the beginnings of messages, and what they hold
is checked when nobody waits any more.
"""

import re
import socket

from benchmarks.contenders.bare_socket import connect, sync
from benchmarks.contenders.values import EVENT
from benchmarks.jobs import Job, Report, say

__all__ = ["subscribe"]

_BEGINNING = b"MSG %b " % EVENT.encode()  # one with headers is an HMSG
_END = b"}\r\n"
_SEQ = re.compile(rb'\{"seq":(\d+),')
_SILENCE = 5.0  # seconds without a message after which no more is expected
_CHUNK = 1024 * 1024


def subscribe(job: Job) -> None:
    """Say when the warm-up is here, and when all of it is; each event must be there once, and in order."""
    total = job.warmup + job.count
    with connect(job) as server:
        server.sendall(b"SUB %b 1\r\n" % EVENT.encode())
        sync(server)
        server.settimeout(None)  # the publisher may take its time to begin
        say(Report(stage="ready"))
        heard = bytearray()
        _hear_until(server, heard, job.warmup)
        say(Report(stage="warm"))
        _hear_until(server, heard, total)
        say(Report(stage="all"))
    seqs = [int(seq) for seq in _SEQ.findall(heard)]
    problems = () if seqs == list(range(total)) else (f"{len(seqs)} of {total} events arrived, or not in order",)
    say(Report(stage="done", handled=len(seqs), problems=problems))


def _hear_until(server: socket.socket, heard: bytearray, number: int) -> None:
    """Take in until so many messages have begun and the last one has ended, or nothing more comes."""
    counted = heard.count(_BEGINNING)
    while counted < number or heard.rfind(_END) < heard.rfind(_BEGINNING):
        try:
            part = server.recv(_CHUNK)
        except TimeoutError:
            return
        if not part:
            raise ConnectionError(f"the server hung up after {bytes(heard[-100:])!r}")
        server.settimeout(_SILENCE)
        # A beginning may be cut in two.
        searched = max(0, len(heard) - len(_BEGINNING) + 1)
        heard += part
        counted += heard.count(_BEGINNING, searched)
