"""A flood on one subject, over a bare socket, as fast as the other side can take it: `python -m tests.system.flood`.

`python -m tests.system.flood URL SUBJECT ASK` sends blocks of events to SUBJECT, and behind each block a question to
ASK. It goes on as long as answers come, a few blocks ahead of them: so there is always more to come than the other side
has taken in, and never so much that the server would cut it off. It says `flooding` after the first answer; and when
its standard input ends, `sent`, with the number of events.
"""

import json
import select
import socket
import sys

from tests.system.peers import tell

BLOCK = 5000  # events
AHEAD = 4  # blocks
PATIENCE = 30.0  # seconds; a bound for a hang, not a measure


def main(url: str, subject: str, ask: str) -> None:
    host, port = url.removeprefix("nats://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(b'CONNECT {"verbose":false}\r\nSUB _INBOX.flood 1\r\n')
        question = json.dumps({"number": 1}).encode()
        block = b"PUB %b 2\r\n17\r\n" % subject.encode() * BLOCK
        block += b"PUB %b _INBOX.flood %d\r\n%b\r\n" % (ask.encode(), len(question), question)
        sent = answered = 0
        rest = b""
        while not select.select([sys.stdin], [], [], 0)[0]:
            while sent - answered < AHEAD:
                connection.sendall(block)
                sent += 1
            received = rest + connection.recv(65536)
            *lines, rest = received.split(b"\r\n")
            if b"PING" in lines:
                connection.sendall(b"PONG\r\n")
            answers = sum(line.startswith((b"MSG ", b"HMSG ")) for line in lines)
            if answers and not answered:
                tell("flooding")
            answered += answers
        tell("sent", sent * BLOCK)


if __name__ == "__main__":
    main(*sys.argv[1:])
