"""What goes wrong on a faulty transport, and what does not: over the broker in this process, and over a real one."""

import uuid
from collections.abc import AsyncIterator, Callable

import anyio
import pytest

from cliffracer.errors import ConnectFailed, NoResponders, NotConnected, PayloadTooLarge, RequestTimeout
from cliffracer.testing import Crossing, FaultyTransport
from cliffracer.transport.contract import (
    ConnectionClosed,
    ConnectionEvent,
    ConnectionLost,
    ConnectionRestored,
    Transport,
    Trouble,
)
from cliffracer.transport.local import LocalBroker, LocalTransport
from cliffracer.transport.nats import NatsOptions, NatsTransport

pytestmark = pytest.mark.anyio

PATIENCE = 20.0  # seconds; a bound for a hang


class Ends:
    """Two ends of one broker, `here` a faulty one, and what has arrived at each."""

    def __init__(self, make: Callable[[], Transport]) -> None:
        self.here = FaultyTransport(make())
        self.there = make()
        self.faults = self.here.faults
        self.events: list[ConnectionEvent] = []
        self.received: list[str] = []
        self.at: list[float] = []
        self.prefix = f"test.{uuid.uuid4().hex}"

    def subject(self, name: str = "a") -> str:
        return f"{self.prefix}.{name}"

    def take(self, _: str, payload: bytes, __: str, ___) -> None:
        self.received.append(payload.decode())
        self.at.append(anyio.current_time())

    async def hear(self, transport: Transport, name: str = "a", queue: str = "") -> None:
        await transport.subscribe(self.subject(name), self.take, queue=queue)
        await transport.flush()

    async def send(self, transport: Transport, *texts: str, name: str = "a") -> None:
        for text in texts:
            await transport.publish(self.subject(name), text.encode())
        await transport.flush()

    async def answer(self, transport: Transport) -> None:
        """Answer requests with their own payload, in capitals."""

        def echo(_: str, payload: bytes, reply: str, __) -> None:
            self.received.append(payload.decode())
            if reply:
                transport.publish_nowait(reply, payload.upper())

        await transport.subscribe(self.subject(), echo)
        await transport.flush()

    async def ask(self, transport: Transport, text: str = "x", timeout: float | None = PATIENCE) -> str:
        return (await transport.request(self.subject(), text.encode(), timeout=timeout)).payload.decode()

    async def arrived(self, *texts: str) -> None:
        with anyio.fail_after(PATIENCE):
            while len(self.received) < len(texts):
                await anyio.sleep(0.01)
        assert self.received == list(texts)


@pytest.fixture(params=["local", "nats"])
async def ends(request: pytest.FixtureRequest, anyio_backend) -> AsyncIterator[Ends]:
    if request.param == "nats":
        if anyio_backend[0] != "asyncio":
            pytest.skip("nats-py runs on asyncio only")
        url = request.getfixturevalue("nats_url")
        ends = Ends(lambda: NatsTransport(NatsOptions(servers=(url,))))
    else:
        broker = LocalBroker()
        ends = Ends(lambda: LocalTransport(broker))
    await ends.here.connect(ends.events.append)
    await ends.there.connect(lambda _: None)
    yield ends
    await ends.here.close()
    await ends.there.close()


# Drop


async def test_dropped_message_does_not_arrive_and_is_counted(ends):
    await ends.hear(ends.there)
    lost = ends.faults.drop(ends.subject(), times=2)
    await ends.send(ends.here, "1", "2", "3")
    await ends.arrived("3")
    assert lost.count == 2
    assert lost.is_over
    assert ends.here.statistics().dropped == 2
    assert ends.here.statistics().sent == 1


async def test_message_of_another_subject_is_spared(ends):
    await ends.hear(ends.there)
    lost = ends.faults.drop(ends.subject("b"))
    await ends.send(ends.here, "1")
    await ends.arrived("1")
    assert lost.count == 0


@pytest.mark.parametrize("direction", ["out", "in"])
async def test_direction_says_whether_what_is_sent_or_what_arrives_suffers(ends, direction):
    await ends.hear(ends.there)
    await ends.hear(ends.here)
    ends.faults.drop(direction=direction)
    await ends.send(ends.here, "sent")
    await ends.send(ends.there, "arriving")
    # "sent" comes back, too, to the end that sends it.
    expected = ["arriving", "arriving"] if direction == "out" else ["arriving", "sent"]
    if direction == "in":
        with anyio.fail_after(PATIENCE):
            while len(ends.received) < 2 or ends.here.statistics().dropped < 2:
                await anyio.sleep(0.01)
    else:
        with anyio.fail_after(PATIENCE):
            while len(ends.received) < 2:
                await anyio.sleep(0.01)
    assert sorted(ends.received) == expected


async def test_dropped_request_waits_to_its_end_and_nobody_has_heard_it(ends):
    await ends.answer(ends.there)
    with ends.faults.drop(ends.subject(), direction="out") as lost:
        with pytest.raises(RequestTimeout):
            await ends.ask(ends.here, timeout=0.1)
    assert ends.received == []
    assert lost.count == 1
    assert await ends.ask(ends.here) == "X"


async def test_dropped_reply_leaves_a_request_carried_out_and_unanswered(ends):
    await ends.answer(ends.there)
    ends.faults.drop(ends.subject(), direction="in", times=1)
    with pytest.raises(RequestTimeout):
        await ends.ask(ends.here, timeout=0.2)
    assert ends.received == ["x"]
    assert await ends.ask(ends.here) == "X"


async def test_reply_counts_under_the_subject_of_its_request_where_it_is_sent_too(ends):
    await ends.answer(ends.here)
    seen: list[Crossing] = []
    ends.faults.drop(ends.subject(), direction="out", when=lambda message: seen.append(message) or True)
    with pytest.raises(RequestTimeout):
        await ends.ask(ends.there, timeout=0.2)
    assert [(message.subject, message.payload, message.is_reply) for message in seen] == [(ends.subject(), b"X", True)]


async def test_predicate_decides_last(ends):
    await ends.hear(ends.there)
    ends.faults.drop(ends.subject(), times=1, when=lambda message: message.payload == b"2")
    await ends.send(ends.here, "1", "2", "2", "3")
    await ends.arrived("1", "2", "3")


async def test_block_around_a_fault_ends_it(ends):
    await ends.hear(ends.there)
    with ends.faults.drop():
        await ends.send(ends.here, "1")
    await ends.send(ends.here, "2")
    await ends.arrived("2")


async def test_cleared_faults_act_no_more(ends):
    await ends.hear(ends.there)
    ends.faults.drop()
    ends.faults.delay(3600.0)
    ends.faults.clear()
    await ends.send(ends.here, "1")
    await ends.arrived("1")


async def test_request_to_nobody_fails_at_once_whatever_the_faults(ends):
    ends.faults.delay(0.01)
    with anyio.fail_after(PATIENCE), pytest.raises(NoResponders):
        await ends.ask(ends.here, timeout=600.0)


async def test_what_the_broker_would_not_take_is_refused_though_it_would_be_dropped(ends):
    lost = ends.faults.drop()
    with pytest.raises(ValueError, match="cannot publish"):
        await ends.here.publish("a b", b"")
    with pytest.raises(PayloadTooLarge):
        await ends.here.publish(ends.subject(), b"x" * (ends.here.max_payload + 1))
    assert lost.count == 0


async def test_waiting_for_a_fault_ends_when_it_has_acted_so_often(ends):
    lost = ends.faults.drop()
    done: list[int] = []

    async def watch() -> None:
        await lost.wait(2)
        done.append(lost.count)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await ends.send(ends.here, "1")
            await anyio.wait_all_tasks_blocked()
            assert done == []
            await ends.send(ends.here, "2")
    assert done == [2]


# Delay


async def test_delayed_messages_come_later_and_in_order_and_others_overtake_them(ends):
    await ends.hear(ends.there)
    await ends.hear(ends.there, "b")
    start = anyio.current_time()
    slow = ends.faults.delay(0.5, ends.subject())
    for text in "123":
        await ends.here.publish(ends.subject(), text.encode())
    await ends.here.publish(ends.subject("b"), b"quick")
    assert ends.here.statistics().held == 3
    await ends.arrived("quick", "1", "2", "3")
    assert slow.count == 3
    assert min(ends.at[1:]) - start >= 0.5
    assert ends.here.statistics().held == 0


async def test_delayed_message_that_arrives_comes_later(ends):
    await ends.hear(ends.here)
    start = anyio.current_time()
    ends.faults.delay(0.5, direction="in")
    await ends.send(ends.there, "1", "2")
    await ends.arrived("1", "2")
    assert min(ends.at) - start >= 0.5


async def test_delayed_request_takes_the_delay_twice(ends):
    await ends.answer(ends.there)
    slow = ends.faults.delay(0.2)
    start = anyio.current_time()
    assert await ends.ask(ends.here) == "X"
    assert anyio.current_time() - start >= 0.4
    assert slow.count == 2


async def test_request_that_is_delayed_for_too_long_ends_at_its_timeout_and_is_never_sent(ends):
    await ends.answer(ends.there)
    ends.faults.delay(0.5, direction="out", times=1)
    start = anyio.current_time()
    with pytest.raises(RequestTimeout):
        await ends.ask(ends.here, "late", timeout=0.1)
    assert anyio.current_time() - start < 0.5
    await anyio.sleep(0.6)
    assert await ends.ask(ends.here, "next") == "NEXT"
    assert ends.received == ["next"]
    assert ends.here.statistics().held == 0


async def test_flush_waits_for_what_is_held_back(ends):
    await ends.hear(ends.there)
    ends.faults.delay(0.3)
    start = anyio.current_time()
    await ends.send(ends.here, "1")
    assert anyio.current_time() - start >= 0.3


async def test_close_sends_what_is_held_back(ends):
    await ends.hear(ends.there)
    ends.faults.delay(0.3)
    await ends.here.publish(ends.subject(), b"1")
    await ends.here.close()
    await ends.arrived("1")


async def test_drained_subscription_has_got_what_was_held_back(ends):
    subscription = await ends.here.subscribe(ends.subject(), ends.take)
    await ends.here.flush()
    ends.faults.delay(0.3, direction="in")
    await ends.send(ends.there, "1", "2")
    await subscription.drain()
    assert ends.received == ["1", "2"]
    await ends.send(ends.there, "3")
    await ends.here.flush()
    assert ends.received == ["1", "2"]


# Duplicate


async def test_duplicated_message_comes_twice_in_a_row(ends):
    await ends.hear(ends.there)
    doubled = ends.faults.duplicate(ends.subject(), times=1)
    await ends.send(ends.here, "1", "2")
    await ends.arrived("1", "1", "2")
    assert doubled.count == 1
    assert ends.here.statistics().sent == 3


async def test_duplicated_message_that_arrives_comes_as_often_as_asked(ends):
    await ends.hear(ends.here)
    ends.faults.duplicate(copies=2, direction="in", times=1)
    await ends.send(ends.there, "1", "2")
    await ends.arrived("1", "1", "1", "2")


async def test_duplicated_request_is_heard_twice_and_answered_once(ends):
    await ends.answer(ends.there)
    ends.faults.duplicate(ends.subject(), direction="out", times=1)
    assert await ends.ask(ends.here) == "X"
    await ends.arrived("x", "x")


# Reorder


async def test_two_reordered_messages_change_places(ends):
    await ends.hear(ends.there)
    ends.faults.reorder(ends.subject(), times=2)
    await ends.send(ends.here, "1", "2", "3")
    await ends.arrived("2", "1", "3")


async def test_larger_window_is_shuffled_and_complete(ends):
    await ends.hear(ends.there)
    ends.faults.reorder(window=10)
    texts = [str(number) for number in range(10)]
    await ends.send(ends.here, *texts)
    with anyio.fail_after(PATIENCE):
        while len(ends.received) < 10:
            await anyio.sleep(0.01)
    assert sorted(ends.received) == texts
    assert ends.received != texts


async def test_window_that_does_not_fill_is_opened_after_its_time(ends):
    await ends.hear(ends.there)
    ends.faults.reorder(window=3, within=0.4)
    start = anyio.current_time()
    await ends.send(ends.here, "1", "2")
    await ends.arrived("2", "1")
    assert min(ends.at) - start >= 0.4


async def test_reordered_requests_reach_the_other_end_in_the_new_order(ends):
    await ends.answer(ends.there)
    ends.faults.reorder(ends.subject(), direction="out")
    answers: list[str] = []

    async def ask(text: str) -> None:
        answers.append(await ends.ask(ends.here, text))

    async with anyio.create_task_group() as tasks:
        for text in ("1", "2", "3", "4"):
            tasks.start_soon(ask, text)
            await anyio.wait_all_tasks_blocked()
    assert ends.received == ["2", "1", "4", "3"]
    assert sorted(answers) == ["1", "2", "3", "4"]


async def test_events_and_requests_of_one_window_go_in_the_order_of_the_seed():
    orders: list[list[str]] = []
    for _ in range(5):
        broker = LocalBroker()
        ends = Ends(lambda broker=broker: LocalTransport(broker))
        await ends.here.connect(ends.events.append)
        await ends.answer(ends.here)
        ends.faults.reorder(window=6, direction="out", when=lambda message: not message.is_reply)
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                if number % 2:
                    ends.here.publish_nowait(ends.subject(), str(number).encode())
                else:
                    tasks.start_soon(ends.ask, ends.here, str(number))
                await anyio.wait_all_tasks_blocked()
        orders.append(ends.received)
        await ends.here.close()
    assert orders[0] != sorted(orders[0])
    assert sorted(orders[0]) == ["0", "1", "2", "3", "4", "5"]
    assert all(order == orders[0] for order in orders)


async def test_cancelled_request_in_a_window_does_not_hold_the_others_up(ends):
    await ends.answer(ends.there)
    ends.faults.reorder(ends.subject(), window=3, direction="out", times=3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ends.ask, ends.here, "1")
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.1):
            await ends.ask(ends.here, "given up")
        tasks.start_soon(ends.ask, ends.here, "2")
    assert sorted(ends.received) == ["1", "2"]
    assert ends.here.statistics().held == 0


# Cut


async def test_nothing_passes_a_line_that_is_cut_and_all_is_back_when_it_is_restored(ends):
    await ends.hear(ends.here)
    await ends.here.cut()
    assert not ends.here.is_connected
    with pytest.raises(NotConnected, match="cut"):
        await ends.here.publish(ends.subject(), b"")
    with pytest.raises(NotConnected):
        ends.here.publish_nowait(ends.subject(), b"")
    with pytest.raises(NotConnected):
        await ends.ask(ends.here)
    with pytest.raises(NotConnected):
        await ends.here.flush()
    await ends.send(ends.there, "1")
    await ends.here.restore()
    assert ends.here.is_connected
    await ends.send(ends.there, "2")
    await ends.arrived("2")
    assert [type(event) for event in ends.events] == [ConnectionLost, ConnectionRestored]
    assert ends.here.statistics().cuts == 1


async def test_requests_that_wait_fail_at_once_when_the_line_is_cut(ends):
    await ends.there.subscribe(ends.subject(), lambda *_: None)
    await ends.there.flush()
    failed: list[bool] = []

    async def ask() -> None:
        with pytest.raises(NotConnected, match="may have been carried out"):
            await ends.ask(ends.here, timeout=600.0)
        failed.append(True)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await ends.here.cut()
    assert failed == [True, True]
    assert not ends.here._awaited


async def test_broker_gives_the_share_of_a_node_that_is_cut_off_to_the_others(ends):
    shares = {"here": 0, "there": 0}

    def count(where: str):
        def take(*_) -> None:
            shares[where] += 1

        return take

    await ends.here.subscribe(ends.subject(), count("here"), queue="q")
    await ends.there.subscribe(ends.subject(), count("there"), queue="q")
    await ends.here.flush()
    await ends.there.flush()
    async with ends.here.outage():
        await ends.send(ends.there, *"12345678")
        assert shares == {"here": 0, "there": 8}
    await ends.send(ends.there, *["x"] * 50)
    with anyio.fail_after(PATIENCE):
        while sum(shares.values()) < 58:
            await anyio.sleep(0.01)
    assert shares["here"] > 0


async def test_nobody_answers_for_a_node_that_is_cut_off(ends):
    await ends.answer(ends.here)
    await ends.here.cut()
    with anyio.fail_after(PATIENCE), pytest.raises(NoResponders):
        await ends.ask(ends.there, timeout=600.0)


async def test_what_is_held_back_is_lost_when_the_line_is_cut(ends):
    await ends.hear(ends.there)
    await ends.hear(ends.here, "b")
    ends.faults.delay(0.2)
    await ends.here.publish(ends.subject(), b"1")
    await ends.send(ends.there, "2", name="b")
    with anyio.fail_after(PATIENCE):
        while ends.here.statistics().held < 2:
            await anyio.sleep(0.01)
    async with ends.here.outage():
        pass
    ends.faults.clear()
    await ends.send(ends.here, "3")
    await ends.arrived("3")
    await anyio.sleep(0.3)
    assert ends.received == ["3"]
    assert ends.here.statistics().lost == 2


async def test_what_arrives_in_the_moment_of_the_cut_is_lost_and_counted(ends):
    await ends.hear(ends.here)

    def send_once_more(event: ConnectionEvent) -> None:
        if isinstance(event, ConnectionLost):
            ends.there.publish_nowait(ends.subject(), b"too late")  # the broker still knows the subscription

    await ends.here.cut(for_good=True)
    await ends.here.connect(send_once_more)
    async with ends.here.outage():
        await ends.there.flush()
    await ends.send(ends.there, "1")
    await ends.arrived("1")
    assert ends.here.statistics().lost <= 1


async def test_subscription_made_while_the_line_is_cut_is_there_when_it_is_back(ends):
    await ends.here.cut()
    await ends.here.subscribe(ends.subject(), ends.take)
    gone = await ends.here.subscribe(ends.subject(), ends.take)
    await gone.drain()
    await ends.send(ends.there, "1")
    await ends.here.restore()
    await ends.send(ends.there, "2")
    await ends.arrived("2")


async def test_line_cut_for_good_stays_down_until_connect_makes_another_with_all_subscriptions(ends):
    await ends.hear(ends.here)
    await ends.here.cut(for_good=True)
    await ends.here.restore()
    assert not ends.here.is_connected
    assert [type(event) for event in ends.events] == [ConnectionLost, ConnectionClosed]
    await ends.here.subscribe(ends.subject("b"), ends.take)
    again: list[ConnectionEvent] = []
    await ends.here.connect(again.append)
    assert ends.here.is_connected
    await ends.send(ends.there, "1")
    await ends.send(ends.there, "2", name="b")
    await ends.arrived("1", "2")
    async with ends.here.outage():
        pass
    assert [type(event) for event in again] == [ConnectionLost, ConnectionRestored]
    assert len(ends.events) == 2


async def test_refused_connect_fails_as_often_as_told(ends):
    refused = ends.faults.refuse_connect(times=2)
    await ends.here.cut(for_good=True)
    for _ in range(2):
        with pytest.raises(ConnectFailed, match="refuse_connect"):
            await ends.here.connect(ends.events.append)
        assert not ends.here.is_connected
    await ends.here.connect(ends.events.append)
    assert ends.here.is_connected
    assert refused.count == ends.here.statistics().connects_refused == 2


async def test_line_that_is_cut_takes_no_new_connection_either_until_it_is_restored(ends):
    await ends.hear(ends.here)
    await ends.here.cut()
    with pytest.raises(ConnectFailed, match="restore"):
        await ends.here.connect(ends.events.append)
    assert not ends.here.is_connected
    await ends.here.restore()
    await ends.here.connect(ends.events.append)
    await ends.send(ends.there, "1")
    await ends.arrived("1")


async def test_line_that_was_never_there_cannot_be_cut():
    with pytest.raises(NotConnected, match="never connected"):
        await FaultyTransport(LocalTransport()).cut()


async def test_fault_of_a_sink_that_gets_a_message_late_is_told(ends):
    def burst(*_) -> None:
        raise RuntimeError("burst")

    await ends.here.subscribe(ends.subject(), burst)
    await ends.here.flush()
    ends.faults.delay(0.1, direction="in")
    await ends.send(ends.there, "1")
    with anyio.fail_after(PATIENCE):
        while not ends.events:
            await anyio.sleep(0.01)
    (trouble,) = ends.events
    assert isinstance(trouble, Trouble)
    assert "RuntimeError: burst" in trouble.error
