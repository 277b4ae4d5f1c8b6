"""A transport over a NATS server, by nats-py.

What nats-py 2.16 does that this package works around, each with its test in `tests/contract` or `tests/system`:

- A subscription's own queue and task are bypassed: the `future=` parameter takes any object with `cancelled` and
  `set_result`, which the read loop calls for each message. So what arrives goes straight to the sink, and the
  sink's owner decides what to do when it is full.
- `flush` writes PING past what is still buffered, so its PONG proves nothing about it. Here the buffer is written
  out first.
- `publish` checks the payload alone against max_payload, and the server closes the connection over the rest. Here
  headers count.
- `publish` swallows cancellation while it waits for room. Here the wait for room is ours, and `publish` never has
  to wait.
- `request` keeps waiting when the connection breaks. Here requests that wait fail at once.

options     where the server is, and how to be let in
opening     how a client is connected, and given up
client      nats-py's client, with a shorter way from its parser to our sinks
transport   the transport itself
"""

from cliffracer.transport.nats.options import NatsOptions, without_credentials
from cliffracer.transport.nats.transport import NatsTransport

__all__ = ["NatsOptions", "NatsTransport", "without_credentials"]
