"""What a NATS server could send, and what none should: frames for hypothesis to put together, and places to cut them.

Left out is what the two parsers are meant to differ in, each with a test of its own in `test_fast_parser.py`: a header
that stands twice, a message to one of our sinks over which nats-py raises, a header size far beyond its message.
"""

from itertools import pairwise

from hypothesis import strategies as st

from cliffracer.transport.nats.client import StockClient

__all__ = ["BUFFER", "LARGE", "chunked", "frame", "streams"]

BUFFER = 32 * 1024  # bytes that are read from the socket at once, at most
LARGE = 64 * 1024  # bytes of a message above which it is collected by nats-py
CRLF = b"\r\n"

OURS = (1, 2, 3, 4)  # the numbers that `two_parsers` gives to our sinks
THEIRS = (5, 6, 7)  # and to subscriptions of nats-py's own
NOBODYS = (8, 99)


def frame(sid, subject=b"a.b", payload=b"hello", *, reply=b"", headers=None):
    """Return a message as a server sends it."""
    words = [b"MSG" if headers is None else b"HMSG", subject, b"%d" % sid]
    words += [reply] if reply else []
    words += [] if headers is None else [b"%d" % len(headers)]
    words += [b"%d" % len((headers or b"") + payload)]
    return b" ".join(words) + CRLF + (headers or b"") + payload + CRLF


# Words

TEXT_SUBJECTS = st.sampled_from(
    [
        b"a",
        b"a.b",
        b"orders.4711.cancelled",
        b"_INBOX.x.1",
        b"$SYS.y",
        "größe.ß".encode(),
        b"MSG",
        b"a\x00b",
        b"1",
        b"\x7f",
    ]
)
SUBJECTS = TEXT_SUBJECTS | st.sampled_from([b"\xff", b"a.\xc3", b"\xed\xa0\x80"])  # the latter are no UTF-8
LOOKALIKES = [
    b"PING\r\n", b"-ERR 'Stale Connection'\r\n", b"\r\n", b"\r\n\r\n", b"MSG a 1 5\r\nhello\r\n", b"MSG a 1 500\r\n",
    b"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", b"NATS/1.0\r\n\r\n", b"\r", b"\n", b" ", b"MSG a 1 ",
]  # fmt: skip
SMALL_PAYLOADS = st.just(b"") | st.binary(max_size=40) | st.lists(st.sampled_from(LOOKALIKES), max_size=3).map(b"".join)
LARGE_PAYLOADS = st.builds(
    lambda piece, size: (piece * (size // len(piece) + 1))[:size],
    st.sampled_from([b"x", b"\r\n", b"MSG a 1 5\r\nhello\r\n"]),
    st.sampled_from([1024, BUFFER - 20, BUFFER, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE]),
)


# Headers

NAMES = [
    b"Traceparent", b"Nats-Msg-Id", b"k", b" k1", b"k2 ", b"\tk3\t", b"", b"two words", b"tab\there", b"f\x1cs",
    b"v\x0bt", "größe".encode(), b"\xff", b"NATS/1.0", b"Status", b"line\nfeed",
]  # fmt: skip
VALUES = st.sampled_from(
    [
        b"",
        b"v",
        b" v",
        b"v ",
        b"\tv\t",
        b"a: b",
        b":",
        "größe".encode(),
        b"\xff\xfe",
        b"a\x00b",
        b"x" * 300,
        b"l\nf",
        b"503",
    ]
)
NO_LINES = [b"", b"no colon", b" ", b"\xff", b"NATS/1.0"]  # that say anything
LINES = st.builds(
    lambda name, colon, value: name + colon + value,
    st.sampled_from(NAMES),
    st.sampled_from([b":", b": ", b" : "]),
    VALUES,
) | st.sampled_from(NO_LINES)
FIRST_LINES = st.sampled_from(
    [
        b"NATS/1.0", b"NATS/1.0", b"NATS/1.0", b"NATS/1.0", b"NATS/1.0 503", b"NATS/1.0 404 No Messages",
        b"NATS/1.0 100 Idle Heartbeat", b"NATS/1.0 100", b"NATS/1.0 409 Server: Shutdown", b"NATS/1.0 ", b"NATS/1.0 x",
        b"NATS/1.0 5 03", b"NATS/1.0\t", b"NATS/2.0", b"nats/1.0", b"NATS/1.0 503 \xff", b"NATS/1.0 \xff\xff\xff",
        "NATS/1.0 404 größe".encode(), b"", b"NATS", b"NATS/1.0: x",
    ]
)  # fmt: skip
BLOCKS = st.builds(
    lambda first, lines, end: CRLF.join([first, *lines]) + end,
    FIRST_LINES,
    st.lists(LINES, max_size=4),
    st.sampled_from([b"\r\n\r\n", b"\r\n\r\n", b"\r\n\r\n", b"\r\n", b"", b"\r\n\r\n\r\n", b"\n\n"]),
)


def has_a_name_twice(block):
    """Tell whether a header stands there more than once."""
    # nats-py begins to read where the first line should have ended, whether it has or not.
    for text in (block, block[10:]):
        names = [line.partition(b":")[0].strip() for line in text.split(CRLF) if b":" in line]
        if len(set(names)) < len(names):
            return True
    return False


def upsets_nats_py(block):
    """Tell whether nats-py raises over these headers: its read loop then ends."""
    reading = StockClient()._process_headers(block)
    try:
        reading.send(None)
    except StopIteration:
        return False
    except Exception:
        return True
    raise AssertionError("it waited")


# Frames


@st.composite
def messages(draw, payloads=SMALL_PAYLOADS):
    """MSG and HMSG, as a server sends them."""
    sid = draw(st.sampled_from([*OURS, *OURS, *OURS, *THEIRS, *NOBODYS]))
    text = TEXT_SUBJECTS if sid in OURS else SUBJECTS
    block = draw(st.none() | BLOCKS)
    if block is not None and (has_a_name_twice(block) or (sid in OURS and upsets_nats_py(block))):
        block = b"NATS/1.0\r\nk: v\r\n\r\n"
    return frame(sid, draw(text), draw(payloads), reply=draw(st.just(b"") | text), headers=block)


@st.composite
def messages_with_wrong_sizes(draw):
    """Messages whose sizes are not those of what follows."""
    block = draw(BLOCKS)
    payload = draw(SMALL_PAYLOADS)
    total = len(block) + len(payload)
    if draw(st.booleans()):
        # Up to the end of the frame, CRLF included: beyond it the parsers differ by how the stream is cut.
        size = draw(st.sampled_from([0, len(block) - 1, len(block) + 1, total, total + 1, total + 2]))
        size = min(max(size, 0), total + 2)
        cut = (block + payload + CRLF)[:size]
        sid = draw(st.sampled_from(OURS + THEIRS))
        if has_a_name_twice(cut) or (sid in OURS and cut and upsets_nats_py(cut)):
            size, sid = 0, 1
        return b"HMSG a %d %d %d\r\n" % (sid, size, total) + block + payload + CRLF
    wrong = len(payload) + draw(st.sampled_from([-2, -1, 1, 2, 7]))
    return b"MSG a %d %d\r\n" % (draw(st.sampled_from(OURS + THEIRS)), max(wrong, 0)) + payload + CRLF


NUMBERS = st.sampled_from(
    [b"5", b"05", b"+5", b"-5", b"5.0", b"0x5", b"5_0", b"", b"99999999999999", b"9999999999", b"\xb2", b"x", b"0"]
)


@st.composite
def odd_lines(draw):
    """Control lines of messages that no server writes: other numbers, other gaps, other words."""
    gaps = st.sampled_from([b" ", b" ", b" ", b"  ", b"\t", b" \t ", b"\x0b", b"\r"])
    words = [draw(st.sampled_from([b"MSG", b"MSG", b"HMSG", b"msg", b"Msg", b"MSGX", b"XMSG"])), b"a", draw(NUMBERS)]
    words += draw(st.sampled_from([[], [b"reply"], [b"one", b"two"]]))
    words += [draw(NUMBERS) for _ in range(draw(st.sampled_from([1, 1, 2])))]
    line = draw(st.sampled_from([b"", b"", b"", b" "])) + words[0]
    for word in words[1:]:
        line += draw(gaps) + word
    return (
        line
        + draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b" \r\n", b"\t\r\n", b"\r\r\n", b"\n", b"\n\r\n"]))
        + b"hello\r\n"
    )


OTHERS = st.sampled_from(
    [
        b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"PING \r\n", b"PONG\t\r\n", b"+OK  \r\n", b'INFO {"ldm": true}\r\n',
        b'INFO {"connect_urls": ["a:1"]} \r\n', b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n",
        b"-ERR 'Permissions Violation for Subscription to \"a.>\"'\r\n", b"-ERR 'Authorization Violation'\r\n",
        b"-ERR 'Stale Connection'\r\n", b"-ERR 'Maximum Payload Violation'\r\n", b"-ERR  'x'\r\n",
    ]
)  # fmt: skip
WRONG = st.sampled_from(
    [
        b"INFO no json\r\n", b"INFO\r\n", b"INFO {}\n", b"-ERR \r\n", b"-ERR\r\n", b"-ERR x\r\n", b"-ERR '\xff'\r\n",
        b"ping\r\n", b"PINGX\r\n", b" PING\r\n", b"PING x\r\n", b"PING\n", b"PING\n\r\n", b"PONG\r", b"\r\n", b"\n",
        b" ", b"MSG\r\n", b"HMSG\r\n", b"MSG a\r\n", b"MSG a 1\r\n", b"HMSG a 1 5\r\nhello\r\n", b"+OKAY\r\n",
        b"GET / HTTP/1.1\r\n", b"MSG a 1\r\n5\r\nhello\r\n", b"MSG\r\na 1 5\r\nhello\r\n", b"MSG a 1\n5\r\nhello\r\n",
        b"MSG a 1 5\nhello\r\n", b"X" * 4000 + b"\r\n", b"X" * 4094 + b"\r\n", b"X" * 4095 + b"\r\n", b"X" * 5000,
        b"MSG " + b"a" * 5000 + b" 1 5\r\nhello\r\n", b"MSG a " + b" " * 5000 + b"1 5\r\nhello\r\n",
        b"PING" + b" " * 5000 + b"\r\n",
    ]
)  # fmt: skip

FRAMES = st.one_of(
    messages(), messages(), messages(), messages(), OTHERS, OTHERS, messages_with_wrong_sizes(), odd_lines(), WRONG
)
GOOD_FRAMES = st.one_of(messages(), messages(), messages(), OTHERS)
LARGE_FRAMES = messages(LARGE_PAYLOADS)


def chunked(stream, cuts):
    """Return `stream` in pieces, cut at the places `cuts`."""
    places = [0, *sorted(cuts), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(places) if begin < end]


@st.composite
def streams(draw, *, large=False, wrong=True):
    """Return what comes over a connection, in chunks: mostly cut anywhere, often near the edges of frames."""
    frames = draw(st.lists(FRAMES if wrong else GOOD_FRAMES, min_size=1, max_size=8))
    if large:
        frames.insert(draw(st.integers(0, len(frames))), draw(LARGE_FRAMES))
    stream = b"".join(frames)
    edges = [0]
    for one in frames:
        edges.append(edges[-1] + len(one))
    near = st.builds(lambda edge, off: edge + off, st.sampled_from(edges), st.integers(-4, 4))
    cuts = draw(st.lists(st.integers(0, len(stream)) | near, max_size=6))
    if large:
        cuts += range(0, len(stream), BUFFER)
    return chunked(stream, [min(max(cut, 0), len(stream)) for cut in cuts])
