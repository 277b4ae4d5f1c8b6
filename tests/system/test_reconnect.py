"""The broker goes away and comes back: actors live on, hear again, and callers are told at once meanwhile."""

import asyncio
import signal
import time
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import nats
import pytest

from cliffracer import (
    Actor,
    Disconnected,
    DynamicSupervisor,
    MailboxFull,
    MessageTooLarge,
    Node,
    NotAuthorized,
    Settings,
    Supervisor,
    SupervisorRef,
    call,
    child,
    event,
)
from cliffracer.transport.nats import NatsTransport
from tests.system.conftest import ROOT
from tests.system.reconnect import OUTAGES, problems_of, run_once
from tests.system.servers import Operator, cluster_of_two

pytestmark = [pytest.mark.system, pytest.mark.anyio]

BOUND = 15.0  # seconds; for a hang, not a measure


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}  # as `cliffracer run`


class Memory(Actor):
    """Remembers what it was told, until it is restarted."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.heard: list[str] = []

    @call
    async def tell(self, word: str) -> list[str]:
        self.told.append(word)
        return self.told

    @call
    async def heard_so_far(self) -> list[str]:
        return self.heard

    @call
    async def crash(self) -> None:
        raise RuntimeError("as asked")

    @event("words.{word}", to="one")
    async def on_word(self, word: str) -> None:
        self.heard.append(f"one {word}")

    @event("words.*", to="all")
    async def on_any_word(self) -> None:
        self.heard.append("all")


SUBSCRIPTIONS = {
    ("memory.*", "memory"),
    ("words.*", "memory.on_word"),
    ("words.*", ""),
    ("$CLIFFRACER.tree", ""),
}  # at least


@asynccontextmanager
async def running(url, log, **settings):
    """A node with a memory, and a supervisor for more of them; and its transport."""
    options = Settings(
        nats_url=url, node_name="service", drain_timeout=1.0, **{"nats_connect_timeout": BOUND, **settings}
    )
    transport = NatsTransport(options.nats_options())
    tree = Supervisor("tree", child(Memory), DynamicSupervisor("more"), max_restarts=100)
    async with Node(tree, settings=options, transport=transport, log=log) as node:
        yield node, transport


async def until(condition):
    """Poll until `condition()` holds."""
    with anyio.fail_after(BOUND):
        while not condition():
            await anyio.sleep(0.01)


async def until_heard(node, words):
    with anyio.fail_after(BOUND):
        while sorted(await node.ref(Memory).heard_so_far()) != words:
            await anyio.sleep(0.01)


async def until_subscribed(server, wanted):
    """Poll until the server knows of these subscriptions of the node."""
    with anyio.fail_after(BOUND):
        while not wanted <= await anyio.to_thread.run_sync(server.subscriptions, "service"):
            await anyio.sleep(0.02)


async def ask(url, subject, payload=b"", **options):
    """Ask from outside, without anything of ours."""
    client = await nats.connect(url, **options)
    reply = await client.request(subject, payload, timeout=BOUND)
    await client.close()
    return reply


async def break_for_good(transport):
    """Send past our check what the server answers with -ERR, over which nats-py gives up for good."""
    client = transport._client
    client._transport.write(b"PUB much 999999999\r\n")
    await until(lambda: transport._client is not client or client.is_closed)


async def assert_all_works(node, url, told):
    """Calls in, calls out and back in, and both events."""
    assert node.is_ready
    reply = await ask(url, "memory.tell", b'{"word": "inward"}')
    assert reply.headers is None, reply.headers
    far = node.ref(Memory, prefer_local=False)
    assert await far.tell("around") == [*told, "inward", "around"]
    before = len(await node.ref(Memory).heard_so_far())
    await node.publish("words.new", None)
    with anyio.fail_after(BOUND):
        while len(heard := await node.ref(Memory).heard_so_far()) < before + 2:
            await anyio.sleep(0.01)
    assert sorted(heard[before:]) == ["all", "one new"]


# The server dies and comes back


async def test_server_killed_and_restarted_under_load_costs_calls_that_fail_at_once_and_nothing_else(make_server, log):
    report = await run_once(make_server(), OUTAGES["kill"]._replace(seconds=1.0), log)
    assert problems_of(report) == []
    assert report.failed["Disconnected"] > 0
    assert report.subscriptions >= 10
    assert report.noticed < 1.0
    assert report.ready < 5.0
    assert report.subscribed < 5.0


async def test_actor_that_crashes_while_the_broker_is_away_is_restarted_and_hears_again_when_it_is_back(
    make_server, log
):
    server = make_server()
    server.start()
    async with running(server.url, log) as (node, _):
        server.kill()
        await until(lambda: not node.is_ready)
        with pytest.raises(Exception, match="crashed"):
            await node.ref(Memory).crash()
        assert await node.ref(Memory).tell("alone") == ["alone"]
        assert node.statistics()["memory"].incarnation == 2
        server.start()
        await until(lambda: node.is_ready)
        await assert_all_works(node, server.url, ["alone"])
        assert node.statistics()["memory"].incarnation == 2


@pytest.mark.parametrize("how", ["killed", "closed for good"])
async def test_child_started_while_the_broker_is_away_is_reached_when_it_is_back(make_server, log, how):
    server = make_server()
    server.start()
    async with running(server.url, log) as (node, transport):
        if how == "closed for good":
            await break_for_good(transport)
        server.kill()
        await until(lambda: not node.is_ready)
        more = node.ref(SupervisorRef, "tree/more")
        with anyio.fail_after(BOUND):
            late = await more.start_child(child(Memory).replace(name="late"))
            gone = await more.start_child(child(Memory).replace(name="gone"))
            assert await gone.tell("here") == ["here"]
            await more.terminate_child("gone")
        assert await late.tell("here") == ["here"]
        server.start()
        await until(lambda: node.is_ready)
        assert (await ask(server.url, "late.tell", b'{"word": "outside"}')).data == b'["here","outside"]'
        await assert_all_works(node, server.url, [])
        subjects = {subject for subject, _ in await anyio.to_thread.run_sync(server.subscriptions, "service")}
        assert "late.*" in subjects
        assert "gone.*" not in subjects


async def test_child_that_ends_while_the_broker_is_away_is_not_subscribed_again(make_server, log):
    server = make_server()
    server.start()
    async with running(server.url, log) as (node, _):
        more = node.ref(SupervisorRef, "tree/more")
        await more.start_child(child(Memory).replace(name="gone"))
        server.kill()
        await until(lambda: not node.is_ready)
        with anyio.fail_after(BOUND):
            await more.terminate_child("gone")
        server.start()
        await until(lambda: node.is_ready)
        await until_subscribed(server, SUBSCRIPTIONS)
        subjects = {subject for subject, _ in await anyio.to_thread.run_sync(server.subscriptions, "service")}
        assert "gone.*" not in subjects


async def test_publish_while_the_broker_is_away_fails_at_once_and_is_not_sent_later(make_server, log):
    server = make_server()
    server.start()
    async with running(server.url, log) as (node, _):
        server.kill()
        await until(lambda: not node.is_ready)
        with anyio.fail_after(1.0), pytest.raises(Disconnected):
            await node.publish("words.lost", None)
        server.start()
        await until(lambda: node.is_ready)
        await node.publish("words.sent", None)
        await until_heard(node, ["all", "one sent"])


# The connection is closed for good


async def test_oversized_headers_and_payload_are_refused_here_and_the_connection_lives(nats_url, log, lines):
    async with running(nats_url, log) as (node, transport):
        far = node.ref(Memory, prefer_local=False)
        word = "x" * (transport.max_payload - len('{"word":""}'))  # alone it would fit; the headers beside it do not
        with pytest.raises(MessageTooLarge, match=f"of headers are over the broker's max_payload of {len(word) + 11}"):
            await far.tell(word)
        with pytest.raises(MessageTooLarge):
            await node.publish("words.long", "x" * transport.max_payload)
        assert await far.tell("short") == ["short"]
    assert not [line for line in lines if line["event"] in ("broker_disconnected", "broker_closed", "broker_error")]


async def test_connection_closed_for_good_is_rebuilt_with_all_subscriptions(make_server, log, lines):
    server = make_server()
    server.start()
    async with running(server.url, log) as (node, transport):
        assert await node.ref(Memory).tell("before") == ["before"]
        await until_subscribed(server, SUBSCRIPTIONS)
        first = transport._client
        await break_for_good(transport)
        await until(lambda: node.is_ready)
        assert transport._client is not first
        await until_subscribed(server, SUBSCRIPTIONS)
        await assert_all_works(node, server.url, ["before"])
        assert node.statistics()["memory"].incarnation == 1
        (connection,) = [entry for entry in node.tree().own.children if entry.id == "connection"]
        assert (connection.state, connection.incarnation, connection.crashes) == ("running", 2, 1)
        assert "maximum payload violation" in connection.last_crash
    events = [line["event"] for line in lines]
    assert events.count("broker_closed") == 1
    assert "maximum payload violation" in next(line["error"] for line in lines if line["event"] == "broker_closed")
    assert "actor_crashed" not in events


async def test_calls_in_flight_fail_at_once_when_the_connection_is_closed_for_good(make_server, log):
    server = make_server()
    server.start()
    async with running(server.url, log) as (node, transport):
        await node.suspend(node.ref(Memory))
        failures = []

        async def ask_and_wait():
            with pytest.raises(Disconnected) as error, anyio.fail_after(600.0):
                await node.ref(Memory, prefer_local=False).tell("never")
            failures.append(error.value)

        with anyio.fail_after(BOUND):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask_and_wait)
                await until(lambda: node.statistics()["memory"].mailbox.depth == 1)
                await break_for_good(transport)
        assert [failure.retry for failure in failures] == ["unsafe"]


async def test_call_and_event_that_find_no_room_to_be_sent_fail_in_their_time_and_were_not_handled(make_server, log):
    server = make_server()
    server.start()
    failures = []
    async with running(server.url, log, call_timeout=0.5) as (node, transport):
        server.freeze()
        try:
            room = 8 * 1024 * 1024
            with anyio.fail_after(BOUND):
                while transport._client.pending_data_size <= room:
                    while transport._client.pending_data_size <= room:
                        transport.publish_nowait("filler", b"x" * 1_000_000)
                    await anyio.sleep(0.1)  # until the socket takes nothing any more
            # No scope around these: it would say how long they may take.
            for send in (node.ref(Memory, prefer_local=False).tell, lambda word: node.publish("words.one", word)):
                with pytest.raises(MailboxFull) as error:
                    await send("never")
                failures.append(error.value)
        finally:
            server.thaw()
        await until(lambda: transport._client.pending_data_size == 0)
        assert "never" not in await node.ref(Memory).heard_so_far()
    assert [failure.retry for failure in failures] == ["safe", "safe"]
    assert all("nothing was queued" in failure.detail for failure in failures)


async def test_connection_that_is_rebuilt_again_and_again_leaves_nothing_behind(make_server, log):
    server = make_server()
    server.start()
    async with running(server.url, log) as (node, transport):
        await break_for_good(transport)
        await until(lambda: node.is_ready)
        await until_subscribed(server, SUBSCRIPTIONS)
        before = len(asyncio.all_tasks())
        for _ in range(2):
            await break_for_good(transport)
            await until(lambda: node.is_ready)
        await until_subscribed(server, SUBSCRIPTIONS)
        await until(lambda: len(asyncio.all_tasks()) <= before)
        connections = await anyio.to_thread.run_sync(server.connections)
        (ours,) = [one for one in connections if one.get("name") == "service"]
        heard = [one["subject"] for one in ours["subscriptions_list_detail"] if one["subject"].startswith("words.")]
        assert heard == ["words.*"] * 2  # none twice


async def test_credentials_that_expire_close_the_connection_and_renewed_ones_open_it_again(
    make_server, log, lines, tmp_path
):
    operator, creds = Operator(), Path(tmp_path, "user.creds")
    server = make_server(operator.config)
    server.start()
    operator.write_creds(creds, valid_for=2)
    async with running(server.url, log, nats_creds_file=str(creds)) as (node, _):
        assert await node.ref(Memory, prefer_local=False).tell("before") == ["before"]
        await until(lambda: not node.is_ready)
        with anyio.fail_after(1.0), pytest.raises(Disconnected):
            await node.ref(Memory, prefer_local=False).tell("lost")
        assert await node.ref(Memory).tell("here") == ["before", "here"]
        await anyio.sleep(1.5)  # it is refused meanwhile, more than once
        assert not node.is_ready
        operator.write_creds(creds, valid_for=3600)
        await until(lambda: node.is_ready)
        far = node.ref(Memory, prefer_local=False)
        assert await far.tell("after") == ["before", "here", "after"]
        reply = await ask(server.url, "memory.tell", b'{"word": "outside"}', user_credentials=str(creds))
        assert reply.data == b'["before","here","after","outside"]'
    # More than once if the server lets the old ones in within the second in which they expire.
    closed = [line["error"] for line in lines if line["event"] == "broker_closed"]
    assert closed
    assert all("user authentication expired" in error for error in closed)


# Servers that are taken out of service


async def test_node_leaves_a_server_in_lame_duck_mode_for_the_other_one_of_the_cluster(tmp_path, log):
    config = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "50ms"'
    with cluster_of_two(tmp_path, config) as (leaves, stays):
        async with running(leaves.url, log) as (node, transport):
            assert await node.ref(Memory, prefer_local=False).tell("before") == ["before"]
            await anyio.to_thread.run_sync(leaves.retire)
            await until(lambda: str(stays.port) in transport.url and node.is_ready)
            await until_subscribed(stays, SUBSCRIPTIONS)
            await assert_all_works(node, stays.url, ["before"])
            assert node.statistics()["memory"].incarnation == 1


# Who may do what

PERMISSIONS = """
authorization {
  users = [
    { user: "service", password: "s", permissions: {
      publish: { deny: ["forbidden.>", "far.*"] }, subscribe: { deny: ["words.*"] } } }
    { user: "other", password: "o" }
  ]
}
"""


async def test_what_the_broker_does_not_permit_is_logged_and_all_else_works(make_server, log, lines):
    server = make_server(PERMISSIONS)
    server.start()
    async with running(server.url, log, nats_user="service", nats_password="s") as (node, _):
        with anyio.fail_after(BOUND):
            while not any("forbidden.word" in line.get("error", "") for line in lines):
                await node.publish("forbidden.word", None)  # one line a second is logged
                await anyio.sleep(0.1)
        with anyio.fail_after(1.0), pytest.raises(NotAuthorized, match="does not let this node publish to 'far.tell'"):
            await node.ref(Memory, "far").tell("never")
        assert await node.ref(Memory, prefer_local=False).tell("around") == ["around"]
        reply = await ask(server.url, "memory.tell", b'{"word": "in"}', user="other", password="o")
        assert reply.data == b'["around","in"]'
        assert node.is_ready
    errors = [line["error"].lower() for line in lines if line["event"] == "broker_error"]
    assert any("permissions violation for subscription" in error and "words.*" in error for error in errors)


# The first connection, and the last


async def test_first_connection_waits_for_a_server_that_comes_up_later(make_server, log):
    server = make_server()

    async def start_late():
        await anyio.sleep(0.7)
        await anyio.to_thread.run_sync(server.start)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start_late)
        async with running(server.url, log) as (node, _):
            await assert_all_works(node, server.url, [])


SERVICE = """
from cliffracer import Actor, Node, Settings, Supervisor, call, child

class Echo(Actor):
    @call
    async def echo(self, word: str) -> str:
        return word

app = Supervisor("service", child(Echo))

if __name__ == "__main__":
    Node(app, settings=Settings.from_environment(log_format="json", nats_connect_timeout=0.5)).run()
"""


@pytest.fixture
def service(tmp_path):
    path = Path(tmp_path, "service.py")
    path.write_text(SERVICE)
    return str(path)


def test_process_without_a_server_ends_with_one_and_says_what_to_do(run_python, service, free_port):
    running = run_python(service, env={"CLIFFRACER_NATS_URL": f"nats://127.0.0.1:{free_port}", "PYTHONPATH": str(ROOT)})
    assert running.wait() == 1
    last = running.events[-1]
    assert last["event"] == "node_failed"
    assert f"no NATS server answered at nats://127.0.0.1:{free_port} within 0.5 s" in last["reason"]
    assert "CLIFFRACER_NATS_URL" in last["reason"]


def test_sigterm_while_the_broker_is_away_ends_the_process_in_order_and_in_time(start, make_server, service):
    server = make_server()
    server.start()
    running = start("run", f"{service}:app", "--nats", server.url)
    running.wait_for("node_started")
    server.kill()
    running.wait_for("broker_disconnected")
    begin = time.monotonic()
    assert running.stop(signal.SIGTERM) == 0, running.text
    assert time.monotonic() - begin < BOUND
    assert running.events[-1]["event"] == "node_stopped"
    assert "Traceback" not in running.text


async def test_node_stops_in_time_while_a_connection_closed_for_good_is_not_yet_rebuilt(make_server, log, lines):
    server = make_server()
    server.start()
    async with running(server.url, log) as (node, transport):
        await break_for_good(transport)
        server.kill()
        await until(lambda: not node.is_ready)
        await anyio.sleep(0.3)
        begin = time.monotonic()
    assert time.monotonic() - begin < 9.0  # a stop is shielded: no cancel scope would end it
    assert lines[-1]["event"] == "node_stopped"


async def test_node_stops_in_time_while_the_server_holds_the_connection_and_says_nothing(make_server, log, lines):
    server = make_server()
    server.start()
    async with running(server.url, log) as (node, _):
        await node.suspend(node.ref(Memory))
        server.freeze()
        begin = time.monotonic()
    assert time.monotonic() - begin < 9.0  # 1 to drain, 5 to close the connection, and some more
    assert lines[-1]["event"] == "node_stopped"
