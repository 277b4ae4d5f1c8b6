"""The fast path between chunks, turns and connections. That it takes in what nats-py would: `tests/properties`."""

import asyncio

import pytest

from cliffracer.transport.nats import fast
from cliffracer.transport.nats.client import NAMES_KEPT
from cliffracer.transport.nats.fast import TURN, FastClient
from cliffracer.transport.nats.sinks import DirectSink

pytestmark = pytest.mark.anyio

FULL = 32 * 1024  # bytes of a chunk after which there may be more to read at once


@pytest.fixture
def anyio_backend():
    return "asyncio"


def frame(sid, payload=b"hello", subject=b"news"):
    return b"MSG %s %d %d\r\n%s\r\n" % (subject, sid, len(payload), payload)


class Receiver:
    """A client that is not connected, and what its sinks got, in order, with what else happened."""

    def __init__(self):
        self.client = FastClient()
        self.client._flush_queue = asyncio.Queue()  # as `connect` would make it
        self.parser = self.client._ps
        self.happened = []

    async def subscribe(self, name, does=lambda: None):
        """Subscribe, with a sink that notes its name and the payload, and returns what `does` returns."""

        def take(_subject, payload, _reply, _headers):
            self.happened.append((name, payload))
            return does()

        fault = DirectSink(take, lambda trouble: self.happened.append((name, trouble.error)))
        return (await self.client.subscribe(name, future=fault))._id

    async def while_others_run(self, *chunks, does=lambda: None):
        """Parse, while another task notes each turn it gets, and does something in it."""

        async def others():
            while True:
                self.happened.append("turn")
                does()
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        try:
            for chunk in chunks:
                await self.parser.parse(chunk)
        finally:
            task.cancel()

    @property
    def payloads(self):
        return [entry[1] for entry in self.happened if entry != "turn"]

    def longest_run(self):
        """Return the most messages that came without a turn in between."""
        longest = since = 0
        for entry in self.happened:
            since = 0 if entry == "turn" else since + 1
            longest = max(longest, since)
        return longest


class Clock:
    """Stands still, unless it is moved."""

    def __init__(self, parser):
        self.now = 1000.0
        parser._clock = lambda: self.now

    def advance(self, seconds):
        self.now += seconds


# Sinks


async def test_sink_that_raises_is_reported_and_the_next_message_comes():
    receiver = Receiver()
    broken = await receiver.subscribe("broken", lambda: 1 / 0)
    whole = await receiver.subscribe("whole")
    await receiver.parser.parse(frame(broken) + frame(whole, b"1") + frame(broken, b"x" * 70_000) + frame(whole, b"2"))
    first, fault, second, _, the_same, third = receiver.happened
    assert fault == the_same
    assert fault[1].startswith("a message to 'news' was lost to a fault in its sink: ZeroDivisionError")
    assert (first, second, third) == (("broken", b"hello"), ("whole", b"1"), ("whole", b"2"))


@pytest.mark.parametrize("size", [1, 100_000], ids=["small", "large"])
async def test_others_run_between_a_message_whose_sink_wants_that_and_the_next(size):
    receiver = Receiver()
    polite = await receiver.subscribe("polite", lambda: True)
    await receiver.while_others_run(frame(polite, b"x" * size) * 3)
    assert [entry if entry == "turn" else entry[0] for entry in receiver.happened] == ["polite", "turn"] * 3


async def test_others_do_not_run_between_messages_whose_sinks_want_nothing():
    receiver = Receiver()
    Clock(receiver.parser)
    quick = await receiver.subscribe("quick")
    await receiver.while_others_run(frame(quick) * 3000)
    assert receiver.longest_run() == 3000


# Turns


async def test_chunk_that_takes_longer_than_a_turn_lets_others_run_in_between():
    receiver = Receiver()
    clock = Clock(receiver.parser)
    slow = await receiver.subscribe("slow", lambda: clock.advance(TURN / 100))
    await receiver.while_others_run(frame(slow) * 1000)
    assert receiver.payloads == [b"hello"] * 1000
    # The clock is looked at now and then, not at every message.
    assert 100 <= receiver.longest_run() <= 132


async def test_turn_goes_on_over_chunks_that_leave_the_socket_no_pause():
    receiver = Receiver()
    clock = Clock(receiver.parser)
    slow = await receiver.subscribe("slow", lambda: clock.advance(TURN / 1000))
    chunk = frame(slow, b"x" * 15) * (FULL // 32)
    assert len(chunk) == FULL
    await receiver.while_others_run(*[chunk] * 5)
    assert len(receiver.payloads) == 5 * 1024
    assert 1000 <= receiver.longest_run() <= 1032


async def test_turn_begins_anew_after_a_chunk_that_left_the_socket_empty():
    receiver = Receiver()
    clock = Clock(receiver.parser)
    slow = await receiver.subscribe("slow", lambda: clock.advance(TURN / 100))
    await receiver.while_others_run(*[frame(slow) * 64] * 20)
    assert "turn" not in receiver.happened  # reading the next chunk waits for the socket, and others run then


@pytest.mark.parametrize("way", ["messages of 2 KiB", "behind a PING", "to nobody"])
async def test_chunks_that_take_longer_than_a_turn_let_others_run_whatever_they_hold(way):
    receiver = Receiver()
    clock = Clock(receiver.parser)
    slow = await receiver.subscribe("slow", lambda: clock.advance(TURN / 4))
    if way == "messages of 2 KiB":
        one = frame(slow, b"x" * (FULL // 16 - len(frame(slow, b"x" * 1024)) + 1024))
        chunk = one * 16
    elif way == "behind a PING":
        chunk = (b"PING\r\n" + frame(slow) * 2000)[:FULL]
    else:
        one = frame(slow) + frame(99)
        chunk = one * (FULL // len(one)) + b"MSG news 99 "
    await receiver.while_others_run(chunk, *[chunk] * (8 if way == "messages of 2 KiB" else 0))
    assert len(receiver.payloads) > 100
    assert receiver.longest_run() <= 64


# Connections


async def test_reset_drops_what_was_received_in_part():
    receiver = Receiver()
    sid = await receiver.subscribe("a")
    whole = frame(sid, b"old")
    for place in range(len(whole)):
        await receiver.parser.parse(whole[:place])
        receiver.parser.reset()
        await receiver.parser.parse(frame(sid, b"new"))
    large = frame(sid, b"x" * 100_000)
    for place in (20, 50_000, len(large) - 1):
        await receiver.parser.parse(large[:place])
        receiver.parser.reset()
        await receiver.parser.parse(frame(sid, b"new"))
    assert set(receiver.payloads) == {b"new"}


@pytest.mark.parametrize("way", ["short", "behind a PING", "large"])
async def test_reset_while_others_run_drops_all_that_is_left_of_the_chunk(way):
    receiver = Receiver()
    polite = await receiver.subscribe("polite", lambda: True)
    first = frame(polite, b"x" * 100_000 if way == "large" else b"1")
    chunk = (b"PING\r\n" if way == "behind a PING" else b"") + first + frame(polite, b"2") * 3 + b"MSG new"
    await receiver.while_others_run(chunk, does=receiver.parser.reset)
    assert len(receiver.payloads) == 1
    await receiver.parser.parse(frame(polite, b"new"))
    assert receiver.payloads[1:] == [b"new"]


async def test_chunk_of_the_next_connection_is_taken_in_while_the_last_one_still_waits_for_its_turn():
    receiver = Receiver()
    polite = await receiver.subscribe("polite", lambda: True)
    following = []

    def reconnect():
        if not following:
            receiver.parser.reset()
            new = frame(polite, b"new 1") + frame(polite, b"new 2") + b"MSG news"
            following.append(asyncio.create_task(receiver.parser.parse(new)))

    await receiver.while_others_run(frame(polite, b"old") * 5 + b"MSG old", does=reconnect)
    await following[0]
    await receiver.parser.parse(b" %d 5\r\nnew 3\r\n" % polite)
    assert receiver.payloads == [b"old", b"new 1", b"new 2", b"new 3"]


async def test_reset_by_a_sink_drops_all_that_is_left_of_the_chunk():
    receiver = Receiver()
    sid = await receiver.subscribe("resets", receiver.parser.reset)
    await receiver.parser.parse(frame(sid, b"1") + frame(sid, b"2") + b"MSG old")
    assert receiver.payloads == [b"1"]
    await receiver.parser.parse(frame(sid, b"new"))
    assert receiver.payloads == [b"1", b"new"]


# Subscriptions


async def test_message_to_a_subscription_that_is_gone_is_nobodys_also_if_its_line_was_seen_before():
    receiver = Receiver()
    stays, goes = await receiver.subscribe("stays"), await receiver.subscribe("goes")
    await receiver.parser.parse(frame(goes, b"before") * 3)
    receiver.client.forget(goes)
    await receiver.parser.parse(frame(goes, b"before") + frame(goes, b"after") + frame(stays))
    assert receiver.happened == [("goes", b"before")] * 3 + [("stays", b"hello")]


@pytest.mark.parametrize("size", [5, 100_000], ids=["small", "large"])
async def test_message_of_which_a_part_was_there_when_its_subscription_went_is_nobodys(size):
    receiver = Receiver()
    stays, goes = await receiver.subscribe("stays"), await receiver.subscribe("goes")
    message = frame(goes, b"x" * size)
    await receiver.parser.parse(message[:-3])
    receiver.client.forget(goes)
    await receiver.parser.parse(message[-3:] + frame(stays))
    assert receiver.happened == [("stays", b"hello")]


async def test_sink_that_ends_its_own_subscription_gets_nothing_more_of_the_chunk():
    receiver = Receiver()
    goes = await receiver.subscribe("goes", lambda: receiver.client.forget(goes))
    stays = await receiver.subscribe("stays")
    await receiver.parser.parse(frame(goes) * 3 + frame(stays))
    assert receiver.happened == [("goes", b"hello"), ("stays", b"hello")]


@pytest.mark.parametrize("how", ["removed before", "replaced"])
async def test_number_that_is_given_again_belongs_to_the_new_sink_alone(how):
    receiver = Receiver()
    sid = await receiver.subscribe("old")
    await receiver.parser.parse(frame(sid) * 2)
    if how == "removed before":
        receiver.parser.remove(sid)
    receiver.parser.add(sid, DirectSink(lambda *_: receiver.happened.append(("new", b"")), receiver.happened.append))
    await receiver.parser.parse(frame(sid))
    assert [name for name, _ in receiver.happened] == ["old", "old", "new"]


# What is remembered is bounded


async def test_lines_that_are_remembered_are_few_however_many_come():
    receiver = Receiver()
    sid = await receiver.subscribe("many")
    for number in range(3 * fast._LINES_KEPT):
        await receiver.parser.parse(frame(sid, subject=b"news.%d" % number))
        assert len(receiver.parser._lines) <= fast._LINES_KEPT
    assert len(receiver.payloads) == 3 * fast._LINES_KEPT
    assert len(receiver.parser._lines) > 0


async def test_lines_that_come_once_are_not_remembered():
    receiver = Receiver()
    sid = await receiver.subscribe("once")
    await receiver.parser.parse(
        frame(sid, subject=b"_INBOX.abc.1") + frame(99) + b"MSG news %d _INBOX.abc.2 5\r\nhello\r\n" % sid
    )
    assert len(receiver.payloads) == 2
    assert not receiver.parser._lines


async def test_header_names_that_are_remembered_are_few_however_many_come():
    receiver = Receiver()
    sid = await receiver.subscribe("headers")
    for number in range(3 * NAMES_KEPT):
        block = b"NATS/1.0\r\nName-%d: v\r\n\r\n" % number
        await receiver.parser.parse(b"HMSG news %d %d %d\r\n%s\r\n" % (sid, len(block), len(block), block))
    assert len(receiver.payloads) == 3 * NAMES_KEPT
    assert len(receiver.parser._headers._names) <= NAMES_KEPT
