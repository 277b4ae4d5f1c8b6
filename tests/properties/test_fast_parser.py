"""The fast path takes from a stream what nats-py's own parser takes from it, whatever comes and however it is cut."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from nats.aio.client import DEFAULT_BUFFER_SIZE

from tests.properties.nats_frames import BUFFER, LARGE, chunked, frame, streams
from tests.properties.two_parsers import Fast, Stock, both, feed, subscribed

MORE = frame(1, b"one.more", b"message")
HEARD = ("first", "one.more", b"message", "", None)

WELL_FORMED = {
    "messages": (
        frame(1) + frame(2, b"c", b"", reply=b"_INBOX.1") + frame(1) + frame(5) + frame(99) + frame(1, b"d", b"\r\n")
    ),
    "headers": (
        frame(1, headers=b"NATS/1.0\r\nk: v\r\nl:w\r\n\r\n")
        + frame(1, headers=b"NATS/1.0 503\r\n\r\n", payload=b"")
        + frame(2, headers=b"NATS/1.0 404 No Messages\r\nk: v\r\n\r\n", payload=b"")
        + frame(5, headers=b"NATS/1.0\r\nk: v\r\n\r\n", reply=b"r")
        + frame(1, headers=b"NATS/1.0\r\n\r\n")
    ),
    "the rest": (
        b'INFO {"a": 1}\r\n' + frame(1) + b"PING\r\n" + frame(1) + b"+OK\r\nPONG\r\n" + frame(4) + frame(3)
        + b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n" + frame(2) + b"PING\r\n"
    ),
    "payloads like frames": b"".join(
        frame(1, payload=payload) for payload in (frame(2), b"PING\r\n", b"MSG a 1 50\r\n", b"\r\n", b"")
    ),
}  # fmt: skip
ILL_FORMED = {
    "unknown": frame(1) + b"NONSENSE\r\n" + frame(1) + frame(2),
    "gaps": b"MSG  a 1 5\r\nhello\r\nMSG\ta\t1\t5\r\nhello\r\nMSG a 1 5 \r\nhello\r\n" + frame(1),
    "numbers": frame(1) + b"MSG a 01 05\r\nhello\r\nMSG a +1 5\r\nhello\r\nMSG a 1 -5\r\nhello\r\n" + frame(1),
    "stale": frame(1) + b"-ERR 'Stale Connection'\r\n" + frame(1) + frame(2),
    "sizes": (b"HMSG a 1 0 5\r\nhello\r\nHMSG a 1 14 12\r\nNATS/1.0\r\n\r\n\r\nMSG a 1 3\r\nhello\r\n" + frame(1)),
}


async def compare(*connections):
    stock, fast = await subscribed(Stock()), await subscribed(Fast())
    for chunks in connections:
        assert await feed(fast, chunks) == await feed(stock, chunks)
        if not stock.is_given_up:
            # Whatever they are in the middle of, they are in the same.
            assert await feed(fast, [MORE]) == await feed(stock, [MORE])
        for client in (stock, fast):
            client._ps.reset()
    assert (await feed(fast, [MORE]))[-1] == (await feed(stock, [MORE]))[-1] == HEARD


# Whatever comes


@settings(max_examples=400)
@given(streams(), streams())
def test_what_comes_out_is_what_nats_py_takes_from_the_same_chunks(chunks, chunks_of_the_next_connection):
    asyncio.run(compare(chunks, chunks_of_the_next_connection))


@settings(max_examples=200)
@given(streams(wrong=False))
def test_what_a_server_sends_comes_out_as_nats_py_takes_it_from_the_same_chunks(chunks):
    asyncio.run(compare(chunks))


@settings(max_examples=100)
@given(streams(large=True))
def test_large_messages_among_others_come_out_as_nats_py_takes_them_from_the_same_chunks(chunks):
    asyncio.run(compare(chunks))


@settings(max_examples=100)
@given(streams(wrong=False))
def test_what_a_server_sends_comes_out_the_same_however_it_is_cut(chunks):
    async def record_of(pieces):
        return await feed(await subscribed(Fast()), pieces)

    assert asyncio.run(record_of(chunks)) == asyncio.run(record_of([b"".join(chunks)]))


# Cut everywhere


@pytest.mark.parametrize("stream", WELL_FORMED.values(), ids=WELL_FORMED)
def test_well_formed_stream_comes_out_whole_wherever_it_is_cut_in_two(stream):
    async def cut_everywhere():
        stock, whole = await both([stream])
        assert whole == stock
        assert len(whole) > 3
        for place in range(1, len(stream)):
            for record in await both(chunked(stream, [place])):
                assert record == whole, f"cut at {place}"

    asyncio.run(cut_everywhere())


@pytest.mark.parametrize("stream", [*WELL_FORMED.values(), *ILL_FORMED.values()], ids=[*WELL_FORMED, *ILL_FORMED])
def test_stream_that_comes_byte_by_byte_comes_out_as_nats_py_takes_it(stream):
    asyncio.run(compare([bytes([byte]) for byte in stream]))


@pytest.mark.parametrize("stream", ILL_FORMED.values(), ids=ILL_FORMED)
def test_ill_formed_stream_comes_out_as_nats_py_takes_it_wherever_it_is_cut_in_two(stream):
    for place in range(len(stream)):
        asyncio.run(compare(chunked(stream, [place])))


def test_large_message_comes_out_whole_wherever_its_edges_are_cut():
    message = frame(1, payload=b"MSG a 1 5\r\nhello\r\n" * 4000, headers=b"NATS/1.0\r\nk: v\r\n\r\n", reply=b"r")
    assert len(message) > LARGE
    stream = frame(2) + message + frame(2)
    edges = [len(frame(2)), len(frame(2)) + len(message)]

    async def cut_at_the_edges():
        expected = (await both([stream]))[0]
        for edge in edges:
            for place in range(edge - 40, edge + 40):
                for record in await both(chunked(stream, [place, *range(0, len(stream), BUFFER)])):
                    assert record == expected, f"cut at {place}"

    asyncio.run(cut_at_the_edges())
    assert BUFFER == DEFAULT_BUFFER_SIZE


def test_message_comes_out_whole_however_many_pieces_it_comes_in():
    sizes = [0, 1, 100, LARGE - 1, LARGE, LARGE + 1]
    stream = b"".join(frame(1, payload=b"x" * size) for size in sizes)

    async def in_pieces(size):
        return (await both(chunked(stream, range(0, len(stream), size))))[1]

    for size in (997, 4096, BUFFER):
        assert [len(entry[2]) for entry in asyncio.run(in_pieces(size))] == sizes


# Where the two differ, and are meant to


def test_header_that_stands_twice_counts_twice_where_nats_py_keeps_the_last():
    for block in (b"NATS/1.0\r\nk: a\r\nk: b\r\nl: c\r\n\r\n", b"NATS/1.0 503\r\nk: a\r\nk: b\r\nl: c\r\n\r\n"):
        stock, fast = asyncio.run(both([frame(1, headers=block) + frame(5, headers=block)]))
        assert [(entry[-1]["k"], entry[-1]["l"]) for entry in stock] == [("b", "c")] * 2
        assert [(entry[-1]["k"], entry[-1]["l"]) for entry in fast] == [("a, b", "c")] * 2


@pytest.mark.parametrize(
    "message",
    [
        frame(1, b"a.\xff"),
        frame(1, reply=b"\xff"),
        frame(1, headers=b"NATS/1.0"),
        frame(1, headers=b"x"),
        frame(1, headers=b"NATS/1.0 \xff\xff\xff\r\n\r\n"),
        frame(1, headers=b"NATS/1.0 503 \xff\r\n\r\n"),
    ],
    ids=["subject", "reply", "no line end", "short", "status", "description"],
)
def test_malformed_message_to_a_sink_of_ours_is_reported_where_nats_py_ends_its_read_loop(message):
    stock, fast = asyncio.run(both([message, MORE]))
    assert [entry[0] for entry in stock] == ["raised"]
    (name, trouble), more = fast
    assert name == "first"
    assert trouble.error.startswith("a malformed message was dropped: ")
    assert more == HEARD


def test_malformed_message_to_a_subscription_of_nats_py_is_as_it_always_was():
    stock, fast = asyncio.run(both([frame(5, headers=b"NATS/1.0"), MORE]))
    assert stock == fast
    assert [entry[0] for entry in stock] == ["raised"]


def test_header_size_beyond_its_message_reads_what_follows_in_the_same_chunk_and_in_nats_py_in_the_buffer():
    wrong = b"HMSG a 1 60 16\r\nNATS/1.0\r\nk: v\r\n"
    follows = b"\r\n" + frame(2, b"b", b"l: w\r\n") + frame(2)
    stock, fast = asyncio.run(both([wrong + follows]))
    assert stock == fast
    stock, fast = asyncio.run(both([wrong, follows]))
    assert stock[1:] == fast[1:]
    assert stock[0][-1] == {"k": "v", "l": "w"}
    assert fast[0][-1] == {"k": "v"}


def test_pairs_of_lines_that_nats_py_takes_for_one_are_one_here_too():
    # Its patterns let a line break stand for a blank.
    for stream in (b"PING\r\n\r\n", b"+OK\r\n\r\n", b"MSG\r\na 1 5\r\nhello\r\n", b"-ERR\r\n'x'\r\n"):
        for pieces in ([stream, MORE], *(chunked(stream + MORE, [place]) for place in range(1, len(stream)))):
            stock, fast = asyncio.run(both(pieces))
            assert stock == fast


@pytest.mark.parametrize(
    "stream", [b"\n\r\n", b"PING\nPING\r\n", b"PING\n\r\n", b"MSG a 1\n5\r\nhello\r\n", b"MSG a 1 5\nhello\r\n"]
)
def test_line_that_ends_without_a_carriage_return_is_what_it_is_to_nats_py(stream):
    for place in range(len(stream)):
        asyncio.run(compare(chunked(stream, [place])))


def test_messages_of_one_stream_are_in_order_whichever_way_each_takes():
    ways = [b"short", b"x" * LARGE, b"", b"y" * BUFFER]
    blocks = [None, b"NATS/1.0\r\nk: v\r\n\r\n", b"NATS/1.0 100 Idle\r\n\r\n"]
    stream = b"".join(
        frame(1, b"n.%d" % number, ways[number % 4], headers=blocks[number % 3])
        + (b"PING\r\n" if number % 5 == 0 else b"")
        for number in range(60)
    )
    for size in (BUFFER, 5000):
        record = asyncio.run(both(chunked(stream, range(0, len(stream), size))))[1]
        heard = [int(entry[1].removeprefix("n.")) for entry in record if entry[0] == "first"]
        assert len(heard) == 60
        assert all(after - before == 1 for before, after in pairwise(heard))
