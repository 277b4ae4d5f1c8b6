"""Single messages of the monitors across nodes go wrong, at the worst moment, and nodes do."""

from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    Killed,
    LinkLost,
    Node,
    NodeDown,
    NodeLost,
    NodeUp,
    Settings,
    Shutdown,
    Supervisor,
    child,
)
from cliffracer.errors import RequestTimeout
from cliffracer.node.monitors.words import for_others
from cliffracer.testing import Faults, FaultyTransport
from cliffracer.transport.local import LocalBroker, LocalTransport

pytestmark = pytest.mark.anyio

TIMEOUT = 5.0  # seconds, the default of node_timeout
BOUND = TIMEOUT * 1.2


class Worker(Actor):
    pass


@pytest.fixture
def node_of(log):
    """Make a node with the given workers; its line is `wire`."""
    broker = LocalBroker()

    def make(name, *workers):
        tree = Supervisor("tree", *[child(Worker).replace(name=worker) for worker in workers], max_restarts=100)
        wire = FaultyTransport(LocalTransport(broker), Faults())
        node = Node(tree, settings=Settings(node_name=name), transport=wire, log=log)
        node.wire = wire  # type: ignore[attr-defined]
        return node

    return make


def monitor(node, name) -> tuple[list[Any], Any]:
    """Monitor an actor on another node; return what is told, and what ends it."""
    told: list[Any] = []
    end = node._life.host.monitors.watch(name, lambda reason, incarnation, at: told.append((reason, incarnation, at)))
    return told, end


def changes_of(node) -> list[NodeUp | NodeDown]:
    changes: list[NodeUp | NodeDown] = []
    node._life.host.watch_nodes(changes.append)
    return changes


def watched_by(node, there):
    """What `there` watches for `node`."""
    asker = there._life.host.monitors.theirs.askers.get(node.id)
    return [] if asker is None else asker.numbers()


async def kill(node, worker):
    await node.stop(node.ref(Worker, worker), Killed())


async def test_notice_that_is_lost_is_sent_again_after_two_seconds(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        told, _ = monitor(a, "w")
        await anyio.sleep(0.1)
        a.wire.faults.drop("$CLIFFRACER.monitors.*", direction="in", times=1)
        await kill(b, "w")
        await anyio.sleep(1.9)
        assert told == []
        await anyio.sleep(0.2)
        assert told == [(Killed(), 1, "b")]


async def test_confirmation_that_is_lost_brings_no_second_down(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        told, _ = monitor(a, "w")
        await anyio.sleep(0.1)
        lost = b.wire.faults.drop("$CLIFFRACER.monitors.*", direction="in", times=1, when=lambda m: m.is_reply)
        await kill(b, "w")
        await anyio.sleep(60)
        assert lost.count == 1
        assert len(told) == 1
        assert watched_by(a, b) == []


async def test_actor_that_ends_while_the_answer_is_lost_is_told_once_and_its_next_incarnation_not_watched(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        b.wire.faults.drop("w.$monitor", direction="out", times=1)
        told, _ = monitor(a, "w")
        await anyio.sleep(1)
        await kill(b, "w")
        await anyio.sleep(10)
        assert told == [(Killed(), 1, "b")]
        assert watched_by(a, b) == []


async def test_end_of_a_replica_whose_answer_came_too_late_is_not_that_of_the_one_that_is_monitored(node_of):
    async with node_of("a") as a, node_of("b", "w") as b, node_of("c", "w") as c:
        late = [node.wire.faults.delay(3.0, "w.$monitor", direction="out") for node in (b, c)]
        told, _ = monitor(a, "w")
        await anyio.sleep(1)
        for fault in late:
            fault.stop()
        first, second = (b, c) if watched_by(a, b) else (c, b)
        first.wire.faults.drop("w.$monitor", direction="in")  # so that it is the other one's turn, sooner or later
        await anyio.sleep(20)
        assert (len(watched_by(a, first)), len(watched_by(a, second))) == (1, 1), "both watch for one number"
        await kill(first, "w")
        await anyio.sleep(10)
        assert told == []
        await kill(second, "w")
        await anyio.sleep(0.1)
        assert told == [(Killed(), 1, second.name)]


async def test_question_that_is_asked_twice_is_watched_once(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        b.wire.faults.drop("w.$monitor", direction="out", times=1)
        _, end = monitor(a, "w")
        await anyio.sleep(3)
        watchers = b._life.host.find_process_of("w")._watchers
        assert len(watchers) == 1
        end()
        await anyio.sleep(0.1)
        assert watchers == []


async def test_question_of_a_node_that_has_left_is_not_answered_and_nothing_is_watched_for_it(node_of):
    async with node_of("b", "w") as b:
        stranger = LocalTransport(b.wire._inner._broker)
        await stranger.connect(lambda _: None)
        stranger.publish_nowait("$CLIFFRACER.nodes", b'{"type":"bye","id":"x","name":"x"}')
        with pytest.raises(RequestTimeout):
            await stranger.request("w.$monitor", b'{"id":"x","name":"x","monitor":1}', timeout=1)
        assert b._life.host.monitors.theirs.askers == {}


async def test_monitor_asks_another_replica_if_the_first_one_dies_before_it_answers(node_of):
    async with node_of("a") as a, node_of("b", "w") as b, node_of("c", "w") as c:
        silent = [node.wire.faults.drop("w.$monitor", direction="in", times=1) for node in (b, c)]
        told, _ = monitor(a, "w")
        await anyio.sleep(0.1)
        dead = b if silent[0].count else c
        await dead.wire.cut()
        for fault in silent:
            fault.stop()
        await anyio.sleep(BOUND + 0.1)
        assert told == []
        (mine,) = a._life.host.monitors._mine.values()
        assert mine.at.name == ("c" if dead is b else "b")


async def test_monitor_asks_again_if_it_comes_to_a_replica_that_waits_for_its_restart(node_of):
    async with node_of("a") as a, node_of("b", "w") as b, node_of("c", "w") as c:
        b._life.host.monitors.theirs._find = lambda _: None  # it is between two incarnations
        told = [monitor(a, "w")[0] for _ in range(5)]
        await anyio.sleep(1)
        assert told == [[]] * 5
        assert (len(watched_by(a, b)), len(watched_by(a, c))) == (0, 5)


async def test_monitor_of_an_actor_that_is_just_restarted_is_of_its_next_incarnation(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        theirs = b._life.host.monitors.theirs
        find, theirs._find = theirs._find, lambda _: None
        told, _ = monitor(a, "w")
        await anyio.sleep(0.2)
        theirs._find = find
        await anyio.sleep(1)
        assert (told, len(watched_by(a, b))) == ([], 1)


async def test_actor_that_stays_away_is_taken_for_gone_after_half_a_second(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        b._life.host.monitors.theirs._find = lambda _: None
        told, _ = monitor(a, "w")
        await anyio.sleep(0.5)
        assert told == [(None, 0, "")]


async def stranger_beside(node) -> LocalTransport:
    """Somebody on the same broker who may say anything."""
    stranger = LocalTransport(node.wire._inner._broker)
    await stranger.connect(lambda _: None)
    return stranger


async def test_questions_of_strangers_take_up_no_more_than_a_thousand_places_and_the_node_stops_in_time(node_of):
    async with node_of("b", "w") as b:
        stranger = await stranger_beside(b)
        for wave in range(3):
            for n in range(5_000):
                question = f'{{"id":"x{wave}-{n}","name":"x","monitor":1}}'
                stranger.publish_nowait("w.$monitor", question.encode(), reply="_INBOX.x")
            assert len(b.nodes()) == 1000
            assert len(b._life.host.monitors.theirs.askers) == 1000
            await anyio.sleep(BOUND + 1)
            assert b.nodes() == ()
        before = anyio.current_time()
    assert anyio.current_time() - before < 1.5


async def test_one_node_monitors_no_more_than_ten_thousand_and_asks_again_until_there_is_room(node_of, lines):
    async with node_of("a") as a, node_of("b", "w") as b:
        ends = [monitor(a, "w") for _ in range(10_001)]
        await anyio.sleep(10)
        assert len(watched_by(a, b)) == 10_000
        assert [told for told, _ in ends if told] == []
        problems = [line["problem"] for line in lines if line["event"] == "message_rejected"]
        assert problems[0].startswith(f"refused to node 'a', id {a.id}; 1 refused so far")
        ends[0][1]()
        await anyio.sleep(3)
        assert len(watched_by(a, b)) == 10_000
        await kill(b, "w")
        await anyio.sleep(10)
        assert sum(len(told) for told, _ in ends) == 10_000


async def test_monitor_that_is_taken_away_while_the_answer_is_on_its_way_leaves_nothing(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        b.wire.faults.delay(1.0, "w.$monitor", direction="out")
        told, end = monitor(a, "w")
        await anyio.sleep(0.5)
        end()
        await anyio.sleep(1)
        assert watched_by(a, b) == []
        await kill(b, "w")
        await anyio.sleep(10)
        assert told == []


async def test_monitor_that_was_taken_away_while_the_broker_was_away_is_forgotten_with_the_next_round(node_of):
    async with node_of("a") as a, node_of("b", "v", "w") as b:
        kept, _ = monitor(a, "v")
        _, end = monitor(a, "w")
        await anyio.sleep(0.1)
        async with a.wire.outage():
            end()
            await anyio.sleep(1)
        assert len(watched_by(a, b)) == 2
        await anyio.sleep(TIMEOUT)
        assert len(watched_by(a, b)) == 1
        await kill(b, "v")
        await anyio.sleep(0.1)
        assert len(kept) == 1


async def test_last_monitor_that_was_taken_away_unheard_is_forgotten_as_well(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        _, end = monitor(a, "w")
        await anyio.sleep(0.1)
        a.wire.faults.drop("$CLIFFRACER.monitors.*", direction="out", times=1)
        end()
        await anyio.sleep(6 * TIMEOUT + 1)
        assert b._life.host.monitors.theirs.askers == {}


async def test_more_monitors_than_go_into_one_message_are_all_kept_and_all_told(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        ends = [monitor(a, "w") for _ in range(5_200)]
        await anyio.sleep(1)
        for _, end in ends[100:110]:
            end()
        await anyio.sleep(4 * TIMEOUT)
        assert len(watched_by(a, b)) == 5_190
        await kill(b, "w")
        await anyio.sleep(10)
        assert sum(len(told) for told, _ in ends) == 5_190
        assert a._life.host.monitors._mine == {}


async def test_partition_that_only_the_other_side_has_noticed_ends_what_it_does_not_know_any_more(node_of):
    # c keeps b talking: a node that believes itself alone says nothing, and then a would miss it in its turn.
    async with node_of("a") as a, node_of("b", "w") as b, node_of("c"):
        told, _ = monitor(a, "w")
        await anyio.sleep(0.1)
        changes = changes_of(a)
        with a.wire.faults.drop(">", direction="out"):
            await anyio.sleep(40)
            assert [node.name for node in b.nodes()] == ["c"]
        assert told == []
        await kill(b, "w")
        await anyio.sleep(TIMEOUT)
        assert told == [(NodeLost("b"), 1, "b")]
        assert changes == [], "b could be heard all the time"


async def test_node_that_was_cut_off_for_a_little_longer_than_the_timeout_keeps_its_own_monitors(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        told, _ = monitor(a, "w")
        await anyio.sleep(0.1)
        async with a.wire.outage():
            await anyio.sleep(BOUND + 1)
            assert b.nodes() == ()
        await anyio.sleep(30)
        assert told == []
        await kill(b, "w")
        await anyio.sleep(0.1)
        assert told == [(Killed(), 1, "b")]


async def test_node_that_is_taken_for_gone_and_comes_back_joins_again(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        told, _ = monitor(a, "w")
        changes = changes_of(a)
        (info,) = a.nodes()
        await anyio.sleep(0.1)
        async with b.wire.outage():
            await anyio.sleep(BOUND)
            assert told == [(NodeLost("b"), 1, "b")]
        await anyio.sleep(0.1)
        assert changes == [NodeDown(info, "silent"), NodeUp(info)]
        again, _ = monitor(a, "w")
        await anyio.sleep(0.1)
        await kill(b, "w")
        await anyio.sleep(60)
        assert len(told) == 1
        assert again == [(Killed(), 1, "b")]


async def test_broker_that_is_away_for_a_quarter_of_an_hour_brings_no_down(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        told, _ = monitor(a, "w")
        changes = [changes_of(a), changes_of(b)]
        await anyio.sleep(0.1)
        async with a.wire.outage(), b.wire.outage():
            await anyio.sleep(900)
        await anyio.sleep(60)
        assert told == []
        assert changes == [[], []]
        await kill(b, "w")
        await anyio.sleep(0.1)
        assert told == [(Killed(), 1, "b")]


async def test_nobody_counts_as_gone_who_comes_back_later_than_we_do_from_a_broker_that_was_away(node_of):
    async with node_of("a") as a, node_of("b") as b:
        changes = changes_of(a)
        await a.wire.cut()
        await b.wire.cut()
        await anyio.sleep(600)
        await a.wire.restore()
        await anyio.sleep(1.5 * TIMEOUT)
        await b.wire.restore()
        await anyio.sleep(60)
        assert changes == []


async def test_loop_that_was_blocked_longer_than_the_timeout_takes_nobody_for_gone(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        told, _ = monitor(a, "w")
        changes = changes_of(a)
        await anyio.sleep(0.1)
        # Only a's clock jumps, as if b had said nothing all the time: its words wait in a's socket.
        host = a._life.host
        skipped, clock = 30.0, host.peers._clock
        host.peers._clock = lambda: clock() + skipped
        with a.wire.faults.drop("$CLIFFRACER.nodes", direction="in"):
            await anyio.sleep(1.0)
        await anyio.sleep(1.1)
        assert (told, changes) == ([], [])
        assert [node.name for node in b.nodes()] == ["a"]


async def test_broker_that_is_frozen_takes_no_node_and_no_monitor_with_it(node_of):
    async with node_of("a") as a, node_of("b", "w") as b, node_of("c") as c:
        told, _ = monitor(a, "w")
        await anyio.sleep(0.1)
        changes = [changes_of(node) for node in (a, b, c)]
        frozen = [node.wire.faults.drop() for node in (a, b, c)]
        await anyio.sleep(12 * TIMEOUT)
        for fault in frozen:
            fault.stop()
        await anyio.sleep(12 * TIMEOUT)
        assert (told, changes) == ([], [[], [], []])
        await kill(b, "w")
        await anyio.sleep(0.1)
        assert told == [(Killed(), 1, "b")]


async def test_node_that_dies_while_the_broker_is_frozen_is_noticed_within_the_bound_afterwards(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        told, _ = monitor(a, "w")
        await anyio.sleep(0.1)
        with a.wire.faults.drop():
            await anyio.sleep(60)
            b.wire.faults.drop()  # for ever
        await anyio.sleep(TIMEOUT - 0.5)
        assert told == []
        await anyio.sleep(BOUND + 1 - TIMEOUT + 0.5)
        assert told == [(NodeLost("b"), 1, "b")]


async def test_question_that_comes_back_to_the_node_that_asks_makes_it_no_peer_of_its_own(node_of):
    async with node_of("a", "w") as a:
        told, _ = monitor(a, "w")
        await anyio.sleep(60)
        assert (a.nodes(), told) == ((), [])
        await kill(a, "w")
        await anyio.sleep(0.1)
        assert told == [(Killed(), 1, "a")]


async def test_word_that_comes_after_the_bye_of_its_node_brings_that_not_back(node_of):
    async with node_of("a") as a:
        changes = changes_of(a)
        async with node_of("b") as b:
            await anyio.sleep(0.5)
            a.wire.faults.delay(3.0, "$CLIFFRACER.nodes", when=lambda m: b"here" in m.payload)
            await anyio.sleep(0.6)
            id = b.id
        await anyio.sleep(5)
        assert [(type(change), change.node.id) for change in changes] == [(NodeUp, id), (NodeDown, id)]


async def test_node_that_starts_again_at_once_under_its_name_is_another_one(node_of):
    async with node_of("a") as a:
        changes = changes_of(a)
        async with node_of("b", "w") as b:
            told, _ = monitor(a, "w")
            await anyio.sleep(0.1)
            b.wire.faults.refuse_connect()
            await b.wire.cut(for_good=True)  # as good as killed
            async with node_of("b", "w") as again:
                await anyio.sleep(BOUND)
                assert told == [(NodeLost("b"), 1, "b")]
                assert [node.id for node in a.nodes()] == [again.id]
                assert [type(change) for change in changes] == [NodeUp, NodeUp, NodeDown]


async def test_child_that_says_that_the_node_is_there_may_crash_and_nobody_takes_the_node_for_gone(node_of, lines):
    async with node_of("a") as a, node_of("b", "w") as b:
        told, _ = monitor(a, "w")
        changes = changes_of(a)
        await anyio.sleep(0.1)
        b._life.host.peers._look_around = lambda: 1 / 0
        await anyio.sleep(1.1)
        del b._life.host.peers._look_around
        await anyio.sleep(60)
        assert [line["child"] for line in lines if line["event"] == "child_crashed"] == ["nodes"]
        assert (told, changes) == ([], [])


async def test_child_that_sends_questions_and_notices_may_crash_and_the_next_one_sends_them(node_of, lines):
    async with node_of("a", "v") as a, node_of("b", "w") as b:
        of_b, _ = monitor(a, "w")
        await anyio.sleep(0.1)
        host = b._life.host
        host.monitors.theirs.count_round = lambda: 1 / 0
        with b.wire.faults.drop("$CLIFFRACER.monitors.*", direction="out"), b.wire.faults.drop("v.$monitor"):
            of_a, _ = monitor(b, "v")
            await anyio.sleep(TIMEOUT - 1)
            await kill(b, "w")
            await anyio.sleep(1)
            assert "child_crashed" in [line["event"] for line in lines]
            between, _ = monitor(b, "nobody")
        del host.monitors.theirs.count_round
        await anyio.sleep(1)
        assert [line["child"] for line in lines if line["event"] == "child_crashed"] == ["monitors"]
        assert of_b == [(Killed(), 1, "b")]
        assert between == [(None, 0, "")]
        await kill(a, "v")
        await anyio.sleep(0.1)
        assert of_a == [(Killed(), 1, "a")]


async def test_two_nodes_that_stop_at_once_tell_each_other_and_do_not_wait_for_each_other(node_of):
    told: dict[str, list[Any]] = {}

    async def run(name, other, *, task_status):
        with anyio.CancelScope() as scope:
            async with node_of(name, f"of-{name}") as node:
                task_status.started(scope)
                await anyio.sleep(0.5)
                told[name], _ = monitor(node, f"of-{other}")
                await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        scopes = [await tasks.start(run, *names) for names in (("a", "b"), ("b", "a"))]
        await anyio.sleep(1)
        before = anyio.current_time()
        for scope in scopes:
            scope.cancel()
    assert anyio.current_time() - before < 1.5
    assert told == {"a": [(Shutdown(), 1, "b")], "b": [(Shutdown(), 1, "a")]}


async def test_last_notices_of_a_node_are_sent_again_before_it_says_that_it_leaves(node_of):
    async with node_of("a") as a:
        async with node_of("b", "w") as b:
            told, _ = monitor(a, "w")
            await anyio.sleep(0.1)
            b.wire.faults.drop("$CLIFFRACER.monitors.*", direction="out", times=1)
        assert told == [(Shutdown(), 1, "b")]


async def test_node_that_cannot_reach_anybody_when_it_stops_waits_for_a_second_and_no_longer(node_of):
    async with node_of("a") as a:
        async with node_of("b", "w") as b:
            told, _ = monitor(a, "w")
            await anyio.sleep(0.1)
            b.wire.faults.drop(">")
            before = anyio.current_time()
        assert anyio.current_time() - before < 1.5
        await anyio.sleep(BOUND)
        assert told == [(NodeLost("b"), 1, "b")]


async def test_node_that_is_alone_says_next_to_nothing(node_of):
    async with node_of("a") as a:
        before = a.wire.statistics().sent
        await anyio.sleep(3 * 3600)
        assert a.wire.statistics().sent - before <= 14


async def test_two_nodes_that_have_missed_each_others_hello_find_each_other_all_the_same(node_of):
    a, b = node_of("a"), node_of("b")
    faults = [node.wire.faults.drop("$CLIFFRACER.>") for node in (a, b)]
    async with a, b:
        await anyio.sleep(0.9)
        assert a.nodes() == b.nodes() == ()
        for fault in faults:
            fault.stop()
        await anyio.sleep(1.2)
        assert ([node.name for node in a.nodes()], [node.name for node in b.nodes()]) == (["b"], ["a"])


async def test_what_is_no_word_is_logged_and_changes_nothing(node_of, lines):
    async with node_of("a", "w") as a:
        stranger = LocalTransport(a.wire._inner._broker)
        await stranger.connect(lambda _: None)
        for payload in (b"", b"{", b'{"type":"hello"}', b'{"type":"hello","id":"a.b","name":"x"}', b"[" * 100_000):
            for subject in ("$CLIFFRACER.nodes", f"$CLIFFRACER.nodes.{a.id}", f"$CLIFFRACER.monitors.{a.id}"):
                stranger.publish_nowait(subject, payload)
        stranger.publish_nowait(f"$CLIFFRACER.monitors.{a.id}", b'{"type":"forget","id":"x","monitor":1}')
        response = await stranger.request("w.$monitor", b'{"id":"x"}', timeout=1)
        assert response.headers is not None
        assert response.headers["Cliffracer-Error"] == "invalid_message"
        await anyio.sleep(1)
        assert a.nodes() == ()
        assert "message_rejected" in [line["event"] for line in lines]


async def test_nobody_to_monitor_is_told_at_once_and_a_broker_that_is_away_is_waited_for(node_of):
    async with node_of("a") as a, node_of("b", "w") as b:
        nobody, _ = monitor(a, "nobody")
        await anyio.sleep(0.1)
        await a.wire.cut()
        told, _ = monitor(a, "w")
        await anyio.sleep(30)
        assert (nobody, told) == ([(None, 0, "")], [])
        await a.wire.restore()
        await anyio.sleep(1)
        await kill(b, "w")
        await anyio.sleep(0.1)
        assert told == [(Killed(), 1, "b")]


def test_reason_that_leaves_the_process_is_of_bounded_size():
    reason: Any = Shutdown("x" * 10_000)
    for n in range(500):
        reason = LinkLost(f"{n}" * 1000, reason)
    told = for_others(reason)
    assert len(repr(told)) < 4000
    assert isinstance(told, LinkLost)
    while isinstance(told, LinkLost):
        told = told.reason
    assert told == Shutdown("x" * 256)
