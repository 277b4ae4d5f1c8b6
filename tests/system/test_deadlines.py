"""Time left and call chains travel over three nodes: in this process, and over NATS in three processes."""

import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import pairwise

import anyio
import pytest

from cliffracer import Disconnected, Node, Settings, Supervisor
from cliffracer.transport.local import LocalBroker, LocalTransport
from cliffracer.transport.server import find_server_binary
from tests.system.chain import CALL_TIMEOUT, Hop, Observer, node_with
from tests.system.peers import peer

pytestmark = [pytest.mark.system, pytest.mark.anyio]

# Who runs where, and by how many seconds the clock of that process is ahead.
NODES = {("a", "c"): 1_000_000.0, ("b", "d"): -5_000.0}


@pytest.fixture(scope="module")
def other_processes(nats_url) -> Iterator[str]:
    with anyio.from_thread.start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(AsyncExitStack()) as stack:
            for names, offset in NODES.items():
                hops = portal.call(stack.enter_async_context, peer("tests.system.chain", nats_url, offset, *names))
                portal.call(hops.hear, "ready")
            yield nats_url


@pytest.fixture(params=["local", "nats"])
async def caller(request, anyio_backend, log) -> AsyncIterator[Node]:
    """A node without actors; a and c run on a second one, b and d on a third."""
    settings = Settings(call_timeout=CALL_TIMEOUT, drain_timeout=0.1)
    if request.param == "nats":
        if anyio_backend[0] != "asyncio":
            pytest.skip("nats-py runs on asyncio only")
        url = request.getfixturevalue("other_processes")
        settings = Settings(call_timeout=CALL_TIMEOUT, drain_timeout=0.1, nats_url=url)
        async with Node(Supervisor("caller"), settings=settings, log=log) as node:
            yield node
        return
    broker = LocalBroker()
    async with AsyncExitStack() as stack:
        for names in NODES:
            await stack.enter_async_context(node_with(list(names), settings, LocalTransport(broker)))
        tree = Supervisor("caller")
        yield await stack.enter_async_context(Node(tree, settings=settings, transport=LocalTransport(broker), log=log))


async def _until(caller: Node, name: str, in_hand: int, waiting: int) -> None:
    observer = caller.ref(Observer, {"a": "observer-a", "b": "observer-b"}[name])
    with anyio.fail_after(20.0):
        while await observer.load_of(name) != (in_hand, waiting):
            await anyio.sleep(0.01)


async def test_time_left_shrinks_from_hop_to_hop_whatever_the_clocks_say(caller):
    with anyio.fail_after(20.0):
        left = await caller.ref(Hop, "a").relay(["b", "c", "d"], 0.1)
    assert len(left) == 4
    assert 0.0 < left[0] <= 20.0
    for before, after in pairwise(left):
        assert 0.0 < after <= before - 0.099


async def test_default_timeout_of_the_first_caller_bounds_the_whole_chain(caller):
    left = await caller.ref(Hop, "a").relay(["b", "c"], 0.1)
    assert left[0] <= CALL_TIMEOUT
    assert left[2] <= CALL_TIMEOUT - 0.199


async def test_call_that_the_time_is_not_enough_for_fails_at_the_first_callers_deadline(caller):
    begin = anyio.current_time()
    with pytest.raises(TimeoutError), anyio.fail_after(0.3):
        await caller.ref(Hop, "a").have_slept("b", 3.0)
    assert anyio.current_time() - begin < 2.5
    # The hop between has its turn behind it, while the last one still sleeps.
    assert await caller.ref(Hop, "a").count() > 0
    await _until(caller, "b", 1, 0)
    await _until(caller, "b", 0, 0)


async def test_messages_whose_callers_gave_up_are_not_started_and_counted(caller):
    observer, hop = caller.ref(Observer, "observer-a"), caller.ref(Hop, "a")
    expired, counted = await observer.expired("a"), await hop.count()

    async def give_up_soon() -> None:
        with anyio.move_on_after(0.2):
            await hop.count()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hop.sleep, 1.0)
        await _until(caller, "a", 1, 0)
        for _ in range(50):
            tasks.start_soon(give_up_soon)
        await _until(caller, "a", 1, 50)
    assert await hop.count() == counted + 1
    assert await observer.expired("a") == expired + 50


@pytest.mark.parametrize(
    ("path", "chain"),
    [
        (["b", "a"], "a -> b -> a"),
        (["b", "c", "a"], "a -> b -> c -> a"),
        (["c", "a"], "a -> c -> a"),
        (["b", "c", "d", "b"], "a -> b -> c -> d -> b"),
        (["a"], "a -> a"),
    ],
    ids=" ".join,
)
async def test_call_cycle_is_refused_at_once_and_names_the_chain(caller, path, chain):
    begin = anyio.current_time()
    *left, problem = await caller.ref(Hop, "a").relay(path)
    assert anyio.current_time() - begin < CALL_TIMEOUT / 2  # a bound for a wait that should not be
    assert len(left) == len(path)
    assert f"{chain} would wait for itself" in problem


async def test_two_calls_to_one_actor_in_a_row_are_no_cycle(caller):
    assert len(await caller.ref(Hop, "a").relay(["b", "c"])) == 3
    assert len(await caller.ref(Hop, "c").relay(["b", "a"])) == 3


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_call_in_flight_to_another_process_fails_at_once_when_the_server_dies(free_port, log):
    url = f"nats://127.0.0.1:{free_port}"
    command = [str(find_server_binary()), "-a", "127.0.0.1", "-p", str(free_port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    settings = Settings(nats_url=url, call_timeout=600.0, nats_connect_timeout=20.0, drain_timeout=0.1)
    failures: list[Disconnected] = []

    async def wait_long(hop: Hop) -> None:
        with pytest.raises(Disconnected) as error:
            await hop.sleep(300.0)
        failures.append(error.value)

    try:
        async with Node(Supervisor("caller"), settings=settings, log=log) as caller:
            async with peer("tests.system.chain", url, 0.0, "a") as hops:
                await hops.hear("ready")
                with anyio.fail_after(60.0):
                    async with anyio.create_task_group() as tasks:
                        for _ in range(10):
                            tasks.start_soon(wait_long, caller.ref(Hop, "a"))
                        await _until(caller, "a", 1, 9)
                        server.send_signal(signal.SIGKILL)
    finally:
        server.kill()
        server.wait()
    assert len(failures) == 10
    assert {failure.retry for failure in failures} == {"unsafe"}
