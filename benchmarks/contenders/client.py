"""What everybody needs who uses nats-py directly."""

from nats.aio.client import Client

__all__ = ["CALL_TIMEOUT", "Troubles", "until_subscribed"]

CALL_TIMEOUT = 5.0  # seconds that a call may take, as with an actor


class Troubles:
    """What nats-py reports beside the calls: slow consumers, faults in callbacks."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def note(self, error: Exception) -> None:
        """Keep an error; for `error_cb`."""
        self.seen.append(repr(error))


async def until_subscribed(client: Client) -> None:
    """Wait until the server knows all subscriptions."""
    # nats-py sends PING ahead of what it still buffers, so the first PONG proves nothing; the second one does.
    await client.flush()
    await client.flush()
