"""Three processes run the same names: who gets what."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import groupby

import anyio
import pytest

from cliffracer import Node, Settings, Supervisor
from tests.system.peers import peer
from tests.system.replica import Asker, Shared

pytestmark = [pytest.mark.system, pytest.mark.anyio]

# Who prefers the replica in its own process.
NODES = {"a": True, "b": True, "c": False}
MANY = 300
SHARE = 30  # of 300, each of three gets 100; so few would take over eight standard deviations


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def replicas(nats_url) -> Iterator[str]:
    with anyio.from_thread.start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(AsyncExitStack()) as stack:
            for tag, prefer_local in NODES.items():
                one = portal.call(stack.enter_async_context, peer("tests.system.replica", nats_url, tag, prefer_local))
                portal.call(one.hear, "ready")
            yield nats_url


@pytest.fixture
async def caller(replicas, log) -> AsyncIterator[Node]:
    async with Node(Supervisor("caller"), settings=Settings(nats_url=replicas), log=log) as node:
        yield node


async def _counts(caller: Node, kind: str) -> list[int]:
    return [(await caller.ref(Asker, f"asker-{tag}").counts())[kind] for tag in NODES]


async def _grown(caller: Node, kind: str, before: list[int], total: int) -> list[int]:
    """Return by how much each has grown, when that is `total` together."""
    grown: list[int] = []
    with anyio.fail_after(20.0):
        while sum(grown) < total:
            grown = [new - old for new, old in zip(await _counts(caller, kind), before, strict=True)]
    return grown


async def test_calls_are_shared_by_all_replicas(caller):
    answers = Counter([await caller.ref(Shared).where() for _ in range(MANY)])
    assert set(answers) == set(NODES)
    assert min(answers.values()) > SHARE


async def test_casts_are_shared_by_all_replicas_and_each_is_handled_once(caller):
    before = await _counts(caller, "cast")
    for _ in range(MANY):
        await caller.ref(Shared).note()
    grown = await _grown(caller, "cast", before, MANY)
    assert min(grown) > SHARE
    assert sum(grown) == MANY


async def test_event_for_one_reaches_one_replica_and_event_for_all_each_of_them_once(caller):
    one, every = await _counts(caller, "one"), await _counts(caller, "all")
    for number in range(MANY):
        await caller.publish(f"replicas.{number}", None)
    assert await _grown(caller, "all", every, MANY * 3) == [MANY] * 3
    grown = await _grown(caller, "one", one, MANY)
    assert min(grown) > SHARE
    assert sum(grown) == MANY


@pytest.mark.parametrize(
    ("tag", "prefer_local", "answers"),
    [
        ("a", None, {"a"}),
        ("b", None, {"b"}),
        ("c", None, {"a", "b", "c"}),  # its settings say so
        ("a", False, {"a", "b", "c"}),
        ("c", True, {"c"}),
    ],
)
async def test_replica_in_the_same_process_is_preferred_unless_the_node_or_the_ref_says_otherwise(
    caller, tag, prefer_local, answers
):
    assert set(await caller.ref(Asker, f"asker-{tag}").ask(100, prefer_local)) == answers


async def test_pool_keeps_the_order_of_each_key_under_senders_in_two_processes(caller, replicas):
    count, keys = 4000, 20
    async with AsyncExitStack() as stack:
        senders = [
            await stack.enter_async_context(peer("tests.system.replica", replicas, tag, count, keys)) for tag in "xy"
        ]
        for sender in senders:
            await sender.hear("ready")
        for sender in senders:
            await sender.say("go")
        for sender in senders:
            await sender.hear("sent")
    put: list[tuple[str, str, str, int]] = []
    with anyio.fail_after(20.0):
        while len(put) < 2 * count:
            put = await caller.ref(Asker, "asker-a").put()
            await anyio.sleep(0.05)
    for key in {key for _, key, _, _ in put}:
        of_key = [one for one in put if one[1] == key]
        assert len({member for member, _, _, _ in of_key}) == 1
        for tag in "xy":
            numbers = [number for _, _, sender, number in of_key if sender == tag]
            assert numbers == list(range(int(key[1:]), count, keys))
    # It is no order because all wait for one: the members work beside one another, and so do the senders.
    assert len({member for member, _, _, _ in put}) > 1
    assert len(list(groupby(put, key=lambda one: one[0]))) > 100
    assert len(list(groupby(put, key=lambda one: one[2]))) > 10
