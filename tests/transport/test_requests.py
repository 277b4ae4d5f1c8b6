"""Requests whose replies are awaited, on a clock that jumps."""

import asyncio
import gc
from itertools import pairwise

import pytest

from cliffracer.errors import NoResponders, NotConnected, NotPermitted, RequestTimeout
from cliffracer.testing import virtual_time
from cliffracer.transport.nats import requests as module
from cliffracer.transport.nats.requests import Requests

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return virtual_time("asyncio")


@pytest.fixture
def requests():
    made = Requests()
    made.inbox = "_INBOX.x."
    return made


async def end_of(requests, token, reply):
    """Wait for a reply as `NatsTransport.request` does; return it, or the error."""
    try:
        return (await reply).payload
    except Exception as error:
        return error
    finally:
        requests.close(token)


async def test_reply_goes_to_whoever_asked(requests):
    opened = [requests.open("a", 5.0) for _ in range(3)]
    for number, (token, _) in reversed(list(enumerate(opened))):
        requests.take(requests.inbox + token, b"%d" % number, "", {"k": "v"})
    assert [reply.result().payload for _, reply in opened] == [b"0", b"1", b"2"]
    assert opened[0][1].result().headers == {"k": "v"}
    assert len({token for token, _ in opened}) == 3


async def test_requests_expire_in_the_order_of_their_deadlines_each_at_its_own(requests):
    clock = asyncio.get_running_loop()
    ended = []

    async def ask(timeout):
        error = await end_of(requests, *requests.open(f"after.{timeout:g}", timeout))
        ended.append((clock.time(), error))

    began = clock.time()
    timeouts = [5.0, 0.25, 3600.0, 1.0, 0.25, 2.0]
    async with asyncio.TaskGroup() as tasks:
        for timeout in timeouts:
            tasks.create_task(ask(timeout))
    assert [when - began for when, _ in ended] == pytest.approx(sorted(timeouts))
    assert all(isinstance(error, RequestTimeout) for _, error in ended)
    assert str(ended[0][1]) == "no reply from 'after.0.25' within 0.25 s"
    assert len(requests) == 0


async def test_deadline_that_is_nearer_than_all_before_is_kept(requests):
    began = asyncio.get_running_loop().time()
    far, near = requests.open("far", 60.0), requests.open("near", 0.5)
    assert isinstance(await end_of(requests, *near), RequestTimeout)
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.5)
    assert not far[1].done()
    requests.take(requests.inbox + far[0], b"in time", "", None)
    assert await end_of(requests, *far) == b"in time"


async def test_deadline_of_one_that_was_answered_ends_nobody_else(requests):
    token, reply = requests.open("quick", 1.0)
    requests.take(requests.inbox + token, b"here", "", None)
    assert await end_of(requests, token, reply) == b"here"
    later = requests.open("slow", 10.0)
    await asyncio.sleep(5.0)
    assert not later[1].done()
    await asyncio.sleep(5.5)
    assert isinstance(await end_of(requests, *later), RequestTimeout)


async def test_reply_that_is_there_when_the_deadline_comes_is_the_reply(requests):
    token, reply = requests.open("just", 1.0)
    requests.take(requests.inbox + token, b"in time", "", None)
    await asyncio.sleep(2.0)
    assert await end_of(requests, token, reply) == b"in time"


async def test_request_without_a_timeout_waits_for_its_reply(requests):
    token, reply = requests.open("patient", None)
    await asyncio.sleep(100_000.0)
    assert not reply.done()
    requests.take(requests.inbox + token, b"", "", None)
    assert await end_of(requests, token, reply) == b""


async def test_deadlines_of_those_that_were_answered_do_not_pile_up(requests):
    waiting = [requests.open("slow", 100.0 + number) for number in range(10)]
    for _ in range(10 * module._COMPACT_ABOVE):
        token, reply = requests.open("quick", 60.0)
        requests.take(requests.inbox + token, b"", "", None)
        await end_of(requests, token, reply)
        assert len(requests._deadlines) <= module._COMPACT_ABOVE + 1
    assert len(requests) == 10
    began = asyncio.get_running_loop().time()
    for number, (token, reply) in enumerate(waiting):
        assert isinstance(await end_of(requests, token, reply), RequestTimeout)
        assert asyncio.get_running_loop().time() - began == pytest.approx(100.0 + number)
    assert not requests._deadlines


async def test_many_that_wait_all_expire_however_many_were_answered_meanwhile(requests):
    waiting = [requests.open("slow", 1.0 + number % 7) for number in range(3 * module._COMPACT_ABOVE)]
    for token, reply in [requests.open("quick", 0.5 + number % 5) for number in range(9 * module._COMPACT_ABOVE)]:
        requests.take(requests.inbox + token, b"", "", None)
        await end_of(requests, token, reply)
    ends = [await end_of(requests, token, reply) for token, reply in waiting]
    assert all(isinstance(end, RequestTimeout) for end in ends)
    await asyncio.sleep(100.0)
    assert (len(requests), requests._deadlines, requests._timer) == (0, [], None)


async def test_reply_that_is_late_or_comes_twice_or_to_nobody_is_dropped(requests):
    token, reply = requests.open("a", 5.0)
    for payload in (b"first", b"second"):
        requests.take(requests.inbox + token, payload, "", None)
    assert await end_of(requests, token, reply) == b"first"
    requests.take(requests.inbox + token, b"third", "", None)
    requests.take(requests.inbox + "ffff", b"nobody's", "", None)
    requests.take(requests.inbox, b"", "", None)
    token, reply = requests.open("b", 1.0)
    assert isinstance(await end_of(requests, token, reply), RequestTimeout)
    requests.take(requests.inbox + token, b"late", "", None)
    assert len(requests) == 0


async def test_tokens_do_not_come_again(requests):
    tokens = []
    for _ in range(1000):
        token, _ = requests.open("a", 1.0)
        requests.close(token)
        tokens.append(int(token, 16))
    assert all(after > before for before, after in pairwise(tokens))


async def test_status_503_without_a_payload_says_that_nobody_is_there(requests):
    cases = [
        (b"", {"Status": "503"}, NoResponders),
        (b"", {"Status": "404"}, bytes),
        (b"x", {"Status": "503"}, bytes),  # a reply by somebody who has a header of that name
        (b"", {}, bytes),
        (b"", None, bytes),
    ]
    for payload, headers, outcome in cases:
        token, reply = requests.open("a", 1.0)
        requests.take(requests.inbox + token, payload, "", headers)
        assert isinstance(await end_of(requests, token, reply), outcome)


async def test_all_that_wait_fail_when_the_connection_is_gone_and_those_that_were_answered_do_not(requests):
    answered, waiting, given_up, untimed = (requests.open("a", timeout) for timeout in (5.0, 5.0, 5.0, None))
    requests.take(requests.inbox + answered[0], b"here", "", None)
    given_up[1].cancel()
    requests.fail_all("the connection broke")
    assert await end_of(requests, *answered) == b"here"
    for one in (waiting, untimed):
        error = await end_of(requests, *one)
        assert isinstance(error, NotConnected)
        assert str(error) == "the connection broke"
    requests.close(given_up[0])
    # And nothing is left to expire.
    await asyncio.sleep(10.0)
    assert (len(requests), requests._timer) == (0, None)


async def test_requests_to_a_subject_that_is_refused_fail_and_no_others(requests):
    refused, other, twice = (requests.open(subject, 5.0) for subject in ("Orders.Place", "orders", "Orders.Place"))
    requests.refuse("orders.place")  # the server's words come in small letters
    for one in (refused, twice):
        error = await end_of(requests, *one)
        assert isinstance(error, NotPermitted)
        assert "'Orders.Place'" in str(error)
    assert not other[1].done()
    requests.close(other[0])


async def test_request_that_is_given_up_leaves_nothing_that_complains(requests, recwarn):
    token, reply = requests.open("a", 1.0)
    reply.cancel()
    requests.close(token)
    token, reply = requests.open("b", 1.0)
    requests.close(token)
    del reply
    await asyncio.sleep(5.0)
    gc.collect()
    assert not recwarn.list
