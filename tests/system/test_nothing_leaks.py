"""Whatever an exception says of the inside of a process, no reply does. `MARK` stands for the path, the secret."""

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NamedTuple

import anyio
import msgspec
import pytest
from anyio.from_thread import BlockingPortal
from hypothesis import given
from hypothesis import strategies as st

from cliffracer import Actor, CallTimeout, Disconnected, Node, Refusal, Settings, Supervisor, call, child
from cliffracer.transport.contract import Response, Transport
from cliffracer.transport.local import LocalBroker, LocalTransport
from cliffracer.transport.nats import NatsOptions, NatsTransport

pytestmark = pytest.mark.system

MARK = "S3cr3t"
THROWN: list[BaseException] = []


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError(MARK)


class Wordy(Refusal):
    """Its text cannot be told."""

    def __str__(self) -> str:
        raise LookupError(MARK)


class Secretive:
    def __repr__(self) -> str:
        return MARK


class Checked(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        raise THROWN[-1]


class Fragile(Actor):
    @call
    async def throw(self) -> None:
        raise THROWN[-1]

    @call
    async def throw_while_handling_another(self) -> None:
        try:
            raise LookupError(MARK)
        except LookupError:
            raise THROWN[-1]  # noqa: B904 - the context is the point

    @call
    async def take(self, checked: Checked) -> None: ...

    @call
    async def return_nonsense(self) -> int:
        return Secretive()  # type: ignore[return-value]

    @call
    async def ping(self) -> int:
        return 1


class House(NamedTuple):
    """A node in a thread of its own, and a bare connection to the same broker."""

    portal: BlockingPortal
    client: Transport

    def ask(self, handler: str, payload: bytes = b"{}") -> Response:
        return self.portal.call(self._ask, f"fragile.{handler}", payload)

    async def _ask(self, subject: str, payload: bytes) -> Response:
        return await self.client.request(subject, payload, timeout=5.0)


@asynccontextmanager
async def _house(node_transport: Transport, client: Transport):
    tree = Supervisor("tree", child(Fragile), max_restarts=1_000_000)
    settings = Settings(log_level="critical", drain_timeout=0.1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Node(tree, settings=settings, transport=node_transport))
        await client.connect(lambda _: None)
        stack.push_async_callback(client.close)
        yield


@pytest.fixture(scope="module", params=["local", "nats"])
def house(request) -> Iterator[House]:
    transports: list[Transport]
    if request.param == "nats":
        options = NatsOptions(servers=(request.getfixturevalue("nats_url"),))
        transports = [NatsTransport(options), NatsTransport(options)]
    else:
        broker = LocalBroker()
        transports = [LocalTransport(broker), LocalTransport(broker)]
    with anyio.from_thread.start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(_house(*transports)):
            yield House(portal, transports[1])


PLAIN: list[type[Exception]] = [
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    TimeoutError,
    OSError,
    StopIteration,
    StopAsyncIteration,
    MemoryError,
    RecursionError,
]


def _telling(text: str) -> list[Callable[[], BaseException]]:
    """Ways in which an exception tells `text`."""
    return [
        *(partial(kind, text) for kind in PLAIN),
        lambda: FileNotFoundError(2, text, f"/srv/{MARK}"),
        lambda: UnicodeDecodeError("utf-8", text.encode(errors="replace"), 0, 1, text),
        lambda: ExceptionGroup(text, [KeyError(text), OSError(text)]),
        lambda: BaseExceptionGroup(text, [ValueError(text)]),
        lambda: anyio.get_cancelled_exc_class()(text),
        lambda: type(MARK, (Exception,), {"__repr__": lambda _: text})(text),
        lambda: Disconnected("depot.fetch", text),
        lambda: CallTimeout("", text),
        lambda: Refusal("no", data=Secretive()),
        lambda: Wordy("no"),
        lambda: Mute(text),
        lambda: _with_note(text),
        lambda: type("Panic", (BaseException,), {})(text),
        lambda: msgspec.ValidationError(text),
    ]  # fmt: skip


def _with_note(text: str) -> Exception:
    error = ValueError(Secretive())
    error.add_note(text)
    error.__cause__ = OSError(text)
    return error


texts = st.tuples(st.text(max_size=40), st.text(max_size=40)).map(MARK.join) | st.sampled_from(
    [
        f"/srv/{MARK}/token.txt\r\nAuthorization: {MARK}\r\n\r\n",
        f'Traceback (most recent call last):\n  File "/srv/{MARK}.py", line 1\n{MARK}',
        f"<Inventory object at 0x7f {MARK}>",
        MARK * 100_000,
    ]
)


def _check(house: House, response: Response, codes: set[str]) -> None:
    headers = response.headers or {}
    assert headers.get("Cliffracer-Error") in codes
    told = response.payload + "".join(f"{name}: {value}\n" for name, value in headers.items()).encode()
    for secret in (MARK, "Traceback", ".py", "0x", "Error("):
        assert secret.encode() not in told
    assert house.ask("ping").payload == b"1"


@given(text=texts, number=st.integers(0, len(_telling("")) - 1), nested=st.booleans())
def test_no_reply_tells_what_a_handler_has_raised(house, text, number, nested):
    # Made in the loop's thread, which knows what cancellation looks like.
    house.portal.call(lambda: THROWN.append(_telling(text)[number]()))
    response = house.ask("throw_while_handling_another" if nested else "throw")
    _check(house, response, {"crashed", "upstream"})


@given(text=texts, number=st.integers(0, len(_telling("")) - 1))
def test_no_reply_tells_what_the_checks_of_a_type_have_raised_unless_it_is_for_the_sender(house, text, number):
    house.portal.call(lambda: THROWN.append(_telling(text)[number]()))
    if isinstance(THROWN[-1], ValueError | TypeError):
        return  # these are meant to be told
    _check(house, house.ask("take", b'{"checked": {"number": 1}}'), {"invalid_message"})


def test_no_reply_tells_what_an_answer_of_the_wrong_type_looks_like(house):
    _check(house, house.ask("return_nonsense"), {"crashed"})


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"\xff" * 9, b"[" * 100_000, b'{"checked": 1}', b'{"number": 1}'], ids=range(6)
)
def test_no_reply_tells_the_inside_over_a_payload_that_does_not_fit(house, payload):
    _check(house, house.ask("take", payload), {"invalid_message"})
