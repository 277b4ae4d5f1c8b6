"""A node's life: start, use, drain, stop, failure."""

import anyio
import pytest
import structlog

from cliffracer import (
    Actor,
    CallCycle,
    InvalidMessage,
    Node,
    NotRunning,
    Refusal,
    Settings,
    SettingsError,
    SpecError,
    Stopping,
    Supervisor,
    TreeFailed,
    UnknownHandler,
    call,
    cast,
    child,
    every,
)
from cliffracer.envelope import correlation_of, current_message
from cliffracer.errors import NoResponders
from cliffracer.transport.local import LocalBroker, LocalTransport

pytestmark = pytest.mark.anyio


class Slow(Actor):
    def __init__(self, done: list[int], seconds: float = 1.0) -> None:
        self.done = done
        self.seconds = seconds

    @call
    async def work(self, number: int) -> int:
        await anyio.sleep(self.seconds)
        self.done.append(number)
        return number

    @cast
    async def note(self, number: int) -> None:
        await anyio.sleep(self.seconds)
        self.done.append(number)


class Relay(Actor):
    """Passes each message on to Slow, so that its drain needs Slow's."""

    @cast
    async def note(self, number: int) -> None:
        await self.ref(Slow).note(number)


class Metronome(Actor):
    def __init__(self, ticks: list[float]) -> None:
        self.ticks = ticks

    @every(0.5)
    async def tick(self) -> None:
        self.ticks.append(anyio.current_time())


async def test_messages_accepted_before_the_stop_are_handled_and_answered(run_node):
    done: list[int] = []
    answers: list[int] = []

    async def ask(node: Node, number: int) -> None:
        with anyio.fail_after(60.0):
            answers.append(await node.ref(Slow).work(number))

    async with anyio.create_task_group() as tasks:
        async with run_node(child(Slow, done)) as node:
            for number in range(5):
                tasks.start_soon(ask, node, number)
            await anyio.wait_all_tasks_blocked()
    assert sorted(done) == sorted(answers) == [0, 1, 2, 3, 4]


async def test_draining_waits_for_messages_that_draining_itself_causes(run_node):
    done: list[int] = []
    async with run_node(child(Slow, done), child(Relay)) as node:
        for number in range(5):
            await node.ref(Relay).note(number)
    assert done == [0, 1, 2, 3, 4]


async def test_draining_node_reaches_its_own_actors_also_by_refs_that_prefer_the_broker(run_node):
    class Far(Actor):
        @cast
        async def note(self, number: int) -> None:
            await anyio.sleep(1.0)
            await self.ref(Slow, prefer_local=False).work(number)

    done: list[int] = []
    async with run_node(child(Slow, done, 0.1), child(Far)) as node:
        for number in range(3):
            await node.ref(Far).note(number)
    assert done == [0, 1, 2]


async def test_tree_that_gives_up_while_the_node_drains_ends_the_drain(run_node):
    class Doomed(Actor):
        @cast
        async def die(self) -> None:
            await anyio.sleep(1.0)
            raise RuntimeError

    begin = anyio.current_time()
    with pytest.raises(TreeFailed):
        async with run_node(child(Doomed), max_restarts=0, settings=Settings(drain_timeout=500.0)) as node:
            await node.ref(Doomed).die()
            await node.ref(Doomed).die()
            begin = anyio.current_time()
    assert anyio.current_time() - begin < 10.0


async def test_drain_that_takes_too_long_ends_and_names_the_busy(run_node, lines):
    done: list[int] = []
    settings = Settings(node_name="test", drain_timeout=2.5)
    answers: list[object] = []

    async def ask(node: Node, number: int) -> None:
        try:
            with anyio.fail_after(60.0):
                answers.append(await node.ref(Slow).work(number))
        except Stopping as error:
            answers.append(error.retry)

    async with anyio.create_task_group() as tasks:
        async with run_node(child(Slow, done), settings=settings) as node:
            for number in range(5):
                tasks.start_soon(ask, node, number)
            await anyio.wait_all_tasks_blocked()
    # The one in hand ends in its own time; those that never began are told so.
    assert len(done) == 3
    assert sorted(map(str, answers)) == sorted([*map(str, done), "safe", "safe"])
    (line,) = [line for line in lines if line["event"] == "node_drain_timed_out"]
    assert line["busy"] == ["slow"]


async def test_nothing_ticks_while_a_node_drains(run_node):
    ticks: list[float] = []
    async with run_node(child(Metronome, ticks), child(Slow, [], 5.0)) as node:
        await node.ref(Slow).note(1)
        await anyio.sleep(1.1)
        before = len(ticks)
    assert before == len(ticks) == 2


async def test_actor_that_restarts_while_the_node_drains_takes_no_more_from_outside(log):
    broker, done = LocalBroker(), []

    class Fragile(Slow, name="fragile"):
        async def on_start(self) -> None:
            self.fresh = True

        @call
        async def fail(self) -> None:
            await anyio.sleep(1.0)
            raise RuntimeError

    outside = LocalTransport(broker)
    await outside.connect(lambda _: None)
    tree = Supervisor("tree", child(Fragile, done, 5.0))
    async with anyio.create_task_group() as tasks:
        async with Node(tree, settings=Settings(), transport=LocalTransport(broker), log=log):
            tasks.start_soon(_ask, outside, "fragile.fail", b"{}")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(_ask, outside, "fragile.work", b'{"number": 1}')
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(_ask_late, outside)
    assert done == [1]


async def _ask(transport: LocalTransport, subject: str, payload: bytes) -> None:
    await transport.request(subject, payload, timeout=60.0)


async def _ask_late(transport: LocalTransport) -> None:
    await anyio.sleep(3.0)
    with pytest.raises(NoResponders):
        await _ask(transport, "fragile.work", b'{"number": 2}')


async def test_exception_of_the_block_comes_out_as_it_is(run_node):
    with pytest.raises(LookupError, match="mine"):
        async with run_node(child(Slow, [])):
            raise LookupError("mine")


async def test_refusal_raised_in_the_block_is_not_wrapped_in_a_group(run_node):
    with pytest.raises(Refusal):
        async with run_node(child(Slow, [])):
            raise Refusal("no")


async def test_cancelling_the_block_still_stops_the_tree_in_order(run_node):
    stopped: list[str] = []

    class Tidy(Actor):
        async def on_stop(self, reason) -> None:
            await anyio.sleep(0.5)
            stopped.append(str(reason))

    with anyio.move_on_after(2.0) as scope:
        async with run_node(child(Tidy)):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert stopped == ["shutdown"]


async def test_node_is_used_once(run_node):
    async with run_node(child(Slow, [])) as node:
        with pytest.raises(NotRunning, match="used once"):
            await node.__aenter__()
    with pytest.raises(NotRunning, match="not running"):
        node.ref(Slow)


async def test_two_nodes_in_one_process_do_not_see_each_other(run_node):
    async with run_node(child(Slow, [], 0.0)) as one, run_node(child(Relay)) as other:
        assert await one.ref(Slow).work(1) == 1
        with pytest.raises(Exception, match="no actor 'slow' runs"):
            await other.ref(Slow).work(1)


async def test_two_nodes_on_one_broker_see_each_other(log):
    broker, done = LocalBroker(), []
    there = Node(
        Supervisor("there", child(Slow, done, 0.0)), settings=Settings(), transport=LocalTransport(broker), log=log
    )
    here = Node(Supervisor("here", child(Relay)), settings=Settings(), transport=LocalTransport(broker), log=log)
    async with there, here:
        assert await here.ref(Slow).work(7) == 7
        await here.ref(Relay).note(8)
        await anyio.wait_all_tasks_blocked()
    assert done == [7, 8]


async def test_namespaces_keep_nodes_on_one_broker_apart(log):
    broker = LocalBroker()

    def node(namespace: str, *children) -> Node:
        settings = Settings(namespace=namespace)
        return Node(Supervisor("tree", *children), settings=settings, transport=LocalTransport(broker), log=log)

    async with node("blue", child(Slow, [], 0.0)), node("blue") as blue, node("green") as green:
        assert await blue.ref(Slow).work(1) == 1
        with pytest.raises(Exception, match="no actor 'slow' runs"):
            await green.ref(Slow).work(1)


class Chatty(Actor):
    """Calls whoever it is told to call, in a row; tells what became of a call that would go in a circle."""

    @call
    async def ask(self, path: list[str]) -> str:
        if not path:
            return self.name
        try:
            return await self.ref(Chatty, path[0]).ask(path[1:])
        except CallCycle as error:
            return str(error)


@pytest.mark.parametrize("prefer_local", [True, False], ids=["mailbox", "transport"])
async def test_call_that_would_come_back_to_its_caller_is_refused_at_once(run_node, prefer_local):
    settings = Settings(prefer_local=prefer_local)
    async with run_node(*(child(Chatty).replace(name=name) for name in "abc"), settings=settings) as node:
        first = node.ref(Chatty, "a")
        with anyio.fail_after(1.0):
            assert await first.ask(["b", "c"]) == "c"
            assert await first.ask(["a"]) == "a.ask: a -> a" + _CYCLE
            assert await first.ask(["b", "c", "a"]) == "a.ask: a -> b -> c -> a" + _CYCLE


_CYCLE = " would wait for itself. Cast instead of calling, or pass the answer along."


class Impostor(Actor, name="slow"):
    """Has Slow's name, and other handlers."""

    @call
    async def steal(self) -> None: ...

    @call
    async def work(self, what: str) -> int:
        return 0


async def test_ref_of_the_wrong_class_gets_an_error_and_the_actor_lives(run_node):
    async with run_node(child(Slow, [], 0.0)) as node:
        with pytest.raises(UnknownHandler, match="it has note, work"):
            await node.ref(Impostor).steal()
        with pytest.raises(InvalidMessage, match="unknown field `what`"):
            await node.ref(Impostor).work("nothing")
        assert node.statistics()["slow"].crashed == 0


async def test_statistics_tell_what_an_actor_has_done(run_node):
    async with run_node(child(Slow, [], 0.0)) as node:
        for number in range(3):
            await node.ref(Slow).work(number)
        statistics = node.statistics()["slow"]
        assert (statistics.handled, statistics.incarnation, statistics.mailbox.depth) == (3, 1, 0)


async def test_node_says_whether_it_is_ready(log):
    node = Node(Supervisor("tree", child(Slow, [])), settings=Settings(), log=log)
    assert not node.is_ready
    async with node:
        assert node.is_ready
    assert not node.is_ready


async def test_every_line_of_an_actor_carries_node_actor_incarnation_and_correlation(run_node, lines):
    class Logs(Actor):
        @call
        async def speak(self) -> None:
            self.log.info("spoke")

    async with run_node(child(Logs)) as node:
        await node.ref(Logs).speak()
    (line,) = [line for line in lines if line["event"] == "spoke"]
    assert (line["node"], line["actor"], line["incarnation"]) == ("test", "logs", 1)


async def test_all_that_one_outside_request_causes_shares_one_correlation_id(log):
    seen: list[str] = []

    class Leaf(Actor):
        @call
        async def touch(self) -> None:
            message = current_message.get()
            assert message is not None
            seen.append(message.correlation)

    class Root(Actor):
        @call
        async def go(self) -> None:
            message = current_message.get()
            assert message is not None
            seen.append(correlation_of(message))
            await self.ref(Leaf).touch()
            await self.ref(Leaf, prefer_local=False).touch()

    broker = LocalBroker()
    outside = LocalTransport(broker)
    await outside.connect(lambda _: None)
    tree = Supervisor("tree", child(Leaf), child(Root))
    async with Node(tree, settings=Settings(), transport=LocalTransport(broker), log=log):
        await outside.request("root.go", b"", timeout=5.0)
        await outside.request("root.go", b"", headers={"Cliffracer": "- mine -"}, timeout=5.0)
    assert seen[0]
    assert seen[:3] == [seen[0]] * 3
    assert seen[3:] == ["mine"] * 3


async def test_running_a_node_leaves_structlog_as_it_was(capsys):
    before = structlog.get_config()
    async with Node(Supervisor("tree", child(Slow, [])), settings=Settings(log_format="json")):
        pass
    assert structlog.get_config() == before
    assert '"event": "node_started"' in capsys.readouterr().err


def test_what_is_no_tree_is_refused():
    with pytest.raises(SpecError, match="Node\\(\\) takes a Supervisor"):
        Node(Slow)  # type: ignore[arg-type]


def test_malformed_address_is_refused_before_anything_starts():
    with pytest.raises(SettingsError, match="CLIFFRACER_NATS_URL: 'http://x' is no NATS address"):
        Node(Supervisor("tree"), nats="http://x")
