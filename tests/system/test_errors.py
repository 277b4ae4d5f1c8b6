"""DESIGN 5, row by row: what a caller on another node gets, and whether the actor lives.

Over a broker in this process, and over NATS from another process.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    CallCycle,
    CallError,
    CallTimeout,
    Disconnected,
    InvalidMessage,
    MailboxFull,
    MessageTooLarge,
    NoActor,
    Node,
    NotAuthorized,
    Refusal,
    Settings,
    Stopping,
    Supervisor,
    UnknownHandler,
    Upstream,
    call,
    child,
)
from cliffracer.errors import CALL_ERRORS
from cliffracer.transport.contract import Transport
from cliffracer.transport.local import LocalBroker, LocalTransport
from cliffracer.transport.nats import NatsOptions, NatsTransport
from tests.system.error_rows import (
    RUNNING,
    SECRET,
    Desk,
    Leaver,
    Lenient,
    Narrow,
    Nobody,
    Observer,
    OldDesk,
    QuotaExceeded,
    Ring,
    Sleeper,
    SoldOut,
    tree,
)
from tests.system.peers import peer

pytestmark = [pytest.mark.system, pytest.mark.anyio]


class Asker(Actor):
    """An actor on the caller's node; it keeps what its call failed with."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures

    @call
    async def spin(self) -> None:
        try:
            await self.ref(Ring, prefer_local=False).spin()
        except CallError as error:
            self.failures.append(error)


class World(NamedTuple):
    """The caller's node; the rows run on another one."""

    node: Node
    transport: Transport
    failures: list[Exception]
    log: Callable[[], str]

    def ref(self, actor: type[Any]) -> Any:
        return self.node.ref(actor)


@pytest.fixture(scope="module")
def other_process(nats_url, tmp_path_factory) -> Iterator[Path]:
    """One process for all rows; gives the file of its log."""
    log = tmp_path_factory.mktemp("errors") / "log"
    with anyio.from_thread.start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(peer("tests.system.error_rows", nats_url, log=log)) as rows:
            portal.call(rows.hear, "ready")
            yield log


@pytest.fixture(params=["local", "nats"])
async def world(request, anyio_backend, log, lines) -> AsyncIterator[World]:
    failures: list[Exception] = []
    # Named like a member of the pool: the pool's node sees it in the chain of its calls.
    caller = Supervisor("caller", child(Asker, failures).replace(name="ring-0"))
    settings = Settings(node_name="caller", call_timeout=2.0)
    if request.param == "nats":
        if anyio_backend[0] != "asyncio":
            pytest.skip("nats-py runs on asyncio only")
        path = request.getfixturevalue("other_process")
        transport: Transport = NatsTransport(NatsOptions(servers=(request.getfixturevalue("nats_url"),)))
        async with Node(caller, settings=settings, transport=transport, log=log) as node:
            yield World(node, transport, failures, path.read_text)
        return
    broker = LocalBroker()
    transport = LocalTransport(broker)
    rows = Node(tree(), settings=Settings(drain_timeout=0.1), transport=LocalTransport(broker), log=log)
    async with rows, Node(caller, settings=settings, transport=transport, log=log) as node:
        RUNNING.append(rows)
        yield World(node, transport, failures, lambda: str(lines))


Do = Callable[[World], Awaitable[object]]


class Row(NamedTuple):
    """What is done, and the error with which it fails."""

    name: str
    do: Do
    error: type[Exception]
    text: str
    crashed: str = ""


async def _until(world: World, actor: str, in_hand: int, waiting: int) -> None:
    while await world.ref(Observer).load_of(actor) != (in_hand, waiting):
        await anyio.sleep(0.01)


async def _let_it_fail(do: Callable[[], Awaitable[object]]) -> None:
    with suppress(CallError):
        await do()


async def fill(world: World) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_let_it_fail, world.ref(Narrow).sleep)
        await _until(world, "narrow", 1, 0)
        tasks.start_soon(_let_it_fail, world.ref(Narrow).sleep)
        await _until(world, "narrow", 1, 1)
        try:
            await world.ref(Narrow).sleep()
        finally:
            tasks.cancel_scope.cancel()


async def wait_at_one_that_stops(world: World) -> None:
    async def end_it() -> None:
        await _until(world, "leaver", 1, 1)
        await world.ref(Observer).end_leaver()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_let_it_fail, world.ref(Leaver).sleep)
        await _until(world, "leaver", 1, 0)
        tasks.start_soon(end_it)
        await world.ref(Leaver).sleep()


async def lose_the_connection(world: World) -> None:
    async def lose_it() -> None:
        while (await world.ref(Observer).load_of("sleeper"))[0] == 0:
            await anyio.sleep(0.01)
        await world.transport.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lose_it)
        await world.ref(Sleeper).sleep()


async def go_in_a_circle(world: World) -> None:
    await world.node.ref(Asker, "ring-0").spin()
    (failure,) = world.failures
    raise failure


ROWS = [
    Row("answer", lambda w: w.ref(Desk).add(1), type(None), ""),  # type: ignore[arg-type]
    Row("refusal", lambda w: w.ref(Desk).refuse("plain"), Refusal, "no"),
    Row("known refusal", lambda w: w.ref(Desk).refuse("known"), SoldOut, "A1: 0 left"),
    Row("refusal with a constructor of its own", lambda w: w.ref(Desk).refuse("own constructor"), QuotaExceeded,
        "at most 3 crates"),
    Row("refusal unknown to the caller's side", lambda w: w.ref(Desk).refuse("unknown"), Refusal, "not in this house"),
    Row("refusal of a third actor", lambda w: w.ref(Desk).pass_on_a_refusal(), SoldOut, "from afar"),
    Row("failed call", lambda w: w.ref(Desk).pass_on_a_failure(), Upstream,
        "its call to nobody.knock failed: no_actor"),
    Row("failed call that is no answer", lambda w: w.ref(Lenient).crash_on_a_failure(), ActorCrashed, "incident",
        crashed="Lenient"),
    Row("exception that is an answer", lambda w: w.ref(Lenient).open(), Refusal, "file_not_found_error"),
    Row("exception", lambda w: w.ref(Desk).crash(), ActorCrashed, "incident", crashed="Desk"),
    Row("exception that is no Exception", lambda w: w.ref(Desk).panic(), ActorCrashed, "incident", crashed="Desk"),
    Row("message that does not decode", lambda w: w.ref(OldDesk).add("one"), InvalidMessage, "at `$.number`"),
    Row("answer that does not decode", lambda w: w.ref(OldDesk).text_for(1), InvalidMessage, "the answer does not fit"),
    Row("unknown handler", lambda w: w.ref(OldDesk).gone(), UnknownHandler, "it has add, crash"),
    Row("nobody there", lambda w: w.ref(Nobody).knock(), NoActor, "'nobody'"),
    Row("full mailbox", fill, MailboxFull, "'narrow' holds 1 of 1 messages; nothing was queued"),
    Row("stop while the call waits", wait_at_one_that_stops, Stopping, "before it took the message"),
    Row("no answer in time", lambda w: w.ref(Sleeper).sleep(), CallTimeout, "no reply from"),
    Row("lost connection", lose_the_connection, Disconnected, "while the reply was awaited"),
    Row("cycle", go_in_a_circle, CallCycle, "ring-0 -> ring-0 would wait for itself"),
    Row("message over the limit", lambda w: w.ref(OldDesk).add("x" * 2_000_000), MessageTooLarge, "nothing was sent"),
    Row("answer over the limit", lambda w: w.ref(Desk).huge(), MessageTooLarge, "the answer is too large"),
]  # fmt: skip

# DESIGN 5, and for the two that it does not name, the tree at the top of errors.py.
RETRY: dict[type[CallError], str] = {
    NoActor: "safe",
    MailboxFull: "safe",
    Stopping: "safe",
    CallTimeout: "unsafe",
    ActorCrashed: "unsafe",
    Disconnected: "unsafe",
    Upstream: "unsafe",
    InvalidMessage: "useless",
    NotAuthorized: "useless",
    CallCycle: "useless",
    UnknownHandler: "useless",
    MessageTooLarge: "useless",
}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_caller_on_another_node_gets_what_the_tables_promise_and_the_actor_lives_or_not(world, row):
    before = await world.ref(Observer).starts()
    error: Exception | None = None
    try:
        await row.do(world)  # the caller's default timeout is the bound
    except* Exception as group:  # some rows run several calls at once
        error = _only(group)
    assert type(error) is row.error
    assert row.text in str(error or "")
    assert SECRET not in str(error)
    if isinstance(error, CallError):
        assert error.retry == RETRY[type(error)]
    if row.error is Disconnected:
        return  # there is nobody to be asked any more
    after = before
    with anyio.fail_after(5.0):
        while row.crashed and after == before:
            after = await world.ref(Observer).starts()
    grown = {name for name in after if after[name] != before.get(name)}
    assert grown == ({row.crashed} if row.crashed else set())


def _only(group: BaseException) -> Exception:
    while isinstance(group, ExceptionGroup):
        (group,) = group.exceptions
    assert isinstance(group, Exception)
    return group


async def test_every_error_of_a_call_has_a_row():
    # NotAuthorized takes a server with permissions.
    assert {row.error for row in ROWS if issubclass(row.error, CallError)} | {NotAuthorized} == set(
        CALL_ERRORS.values()
    )
    assert set(RETRY) == set(CALL_ERRORS.values())


@pytest.mark.parametrize(
    ("kind", "code", "data"),
    [
        ("plain", "refusal", None),
        ("known", "sold_out", {"left": 0, "sizes": [1, 2]}),
        ("own constructor", "quota_exceeded", {"limit": 3}),
        ("unknown", "house_rule", [1]),
    ],
)
async def test_refusal_brings_its_code_and_its_data(world, kind, code, data):
    with pytest.raises(Refusal) as refusal:
        await world.ref(Desk).refuse(kind)
    assert (refusal.value.code, refusal.value.data) == (code, data)


@pytest.mark.parametrize(
    ("actor", "handler"), [(Desk, "crash"), (Desk, "panic"), (Lenient, "open"), (Lenient, "crash_on_a_failure")]
)
async def test_incident_that_the_caller_is_told_stands_in_the_log_of_the_other_node_with_the_whole_story(
    world, actor, handler
):
    with pytest.raises((ActorCrashed, Refusal)) as error:
        await getattr(world.ref(actor), handler)()
    incident = str(error.value).partition("incident ")[2][:12]
    assert len(incident) == 12
    with anyio.fail_after(5.0):
        while incident not in world.log():
            await anyio.sleep(0.01)
    (line, *_) = [line for line in world.log().replace("}, {", "}\n{").splitlines() if incident in line]
    assert SECRET in line or "nobody.knock" in line


async def test_failed_hop_keeps_the_incident_of_the_crash_behind_it(world):
    with pytest.raises(Upstream) as error:
        await world.ref(Desk).pass_on_a_failure()
    assert error.value.target == "desk.pass_on_a_failure"
    assert error.value.incident


async def test_callers_own_scope_has_the_say_where_it_is_shorter_than_the_default(world):
    with pytest.raises(TimeoutError) as error, anyio.fail_after(0.1):
        await world.ref(Sleeper).sleep()
    assert not isinstance(error.value, CallError)
