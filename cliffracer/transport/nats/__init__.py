"""A transport over a NATS server, by nats-py.

What nats-py 2.16 does that this package works around, each with its test in `tests/contract`, `tests/transport` or
`tests/system`:

- A subscription's own queue and task are bypassed: the `future=` parameter takes any object with `cancelled` and
  `set_result`, which the read loop calls for each message. So what arrives goes straight to the sink, and the
  sink's owner decides what to do when it is full.
- Even so, nats-py's parser costs more than all that we do with a message. For the versions that the tests cover, each
  chunk from the socket is gone through by `fast` instead, and what is sent is written out without a task in between.
- `flush` writes PING past what is still buffered, so its PONG proves nothing about it. Here the buffer is written
  out first.
- `publish` checks the payload alone against max_payload, and the server closes the connection over the rest. Here
  headers count.
- `publish` swallows cancellation while it waits for room. Here the wait for room is ours, and `publish` never has
  to wait.
- `request` keeps waiting when the connection breaks. Here requests that wait fail at once.

options     where the server is, and how to be let in
opening     how a client is connected, and given up
sinks       the public way from nats-py to our sinks
client      nats-py's client as it comes, for any version
fast        the same with shorter ways in and out, for the versions in its table
requests    which replies are awaited, and until when
transport   the transport itself
"""

from cliffracer.transport.nats.options import NatsOptions, without_credentials
from cliffracer.transport.nats.transport import NatsTransport

__all__ = ["NatsOptions", "NatsTransport", "without_credentials"]
