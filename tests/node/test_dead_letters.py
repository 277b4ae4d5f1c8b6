"""What is dropped is told: to whoever subscribes, each; to the log, now and then."""

import anyio
import pytest

from cliffracer import (
    Actor,
    DeadLetter,
    Mailbox,
    MailboxFull,
    Node,
    Settings,
    Supervisor,
    call,
    cast,
    child,
    event,
    pool,
)
from cliffracer.transport.local import LocalBroker, LocalTransport

pytestmark = pytest.mark.anyio


class Slow(Actor, mailbox=Mailbox(3)):
    @cast
    async def note(self, number: int) -> None:
        await anyio.sleep(3600)

    @event("news.{number}")
    async def hear(self, number: int, text: str) -> None:
        await anyio.sleep(3600)

    @call
    async def ask(self, number: int) -> int:
        return number


@pytest.fixture
def two_nodes(log):
    """Make two nodes that hear each other: the first runs `children`, the second nothing."""
    broker = LocalBroker()

    def make(*children, drain_timeout=1.0):
        def node(*children):
            settings = Settings(drain_timeout=drain_timeout)
            return Node(Supervisor("tree", *children), settings=settings, transport=LocalTransport(broker), log=log)

        return node(*children), node()

    return make


async def test_each_cast_and_event_that_finds_the_mailbox_full_is_told(two_nodes, lines):
    letters: list[DeadLetter] = []
    a, b = two_nodes(child(Slow))
    async with a, b:
        a.on_dead_letter(letters.append)
        for number in range(6):
            await b.ref(Slow).note(number)
            await anyio.wait_all_tasks_blocked()  # the first is in hand, three wait, two are dropped
        await b.publish("news.7", "late")
        told = [(letter.actor, letter.handler, letter.args, letter.kwargs, letter.why) for letter in letters]
        assert told == [
            ("slow", "note", (4,), None, "drop_new"),
            ("slow", "note", (5,), None, "drop_new"),
            ("slow", "hear", (7, "late"), None, "drop_new"),
        ]
        assert letters[0].correlation
        assert a.statistics()["slow"].mailbox.dropped == 3
        assert len([line for line in lines if line["event"] == "messages_dropped"]) == 1  # a second has not passed


async def test_oldest_one_is_told_where_that_is_dropped(two_nodes):
    letters: list[DeadLetter] = []
    a, b = two_nodes(child(Slow).replace(mailbox=Mailbox(2, when_full="drop_old")))
    async with a, b:
        a.on_dead_letter(letters.append)
        for number in range(4):
            await b.ref(Slow).note(number)
            await anyio.wait_all_tasks_blocked()
        assert [(letter.args, letter.why) for letter in letters] == [((1,), "drop_old")]


async def test_what_waits_when_the_node_stops_and_does_not_come_to_it_is_told(two_nodes):
    letters: list[DeadLetter] = []
    a, b = two_nodes(child(Slow).replace(shutdown=1.0))
    async with b:
        async with a:
            a.on_dead_letter(letters.append)
            for number in range(3):
                await b.ref(Slow).note(number)
        assert [(letter.args, letter.why) for letter in letters] == [((1,), "stopped"), ((2,), "stopped")]


async def test_message_for_a_member_of_a_pool_that_has_stopped_is_told(two_nodes):
    letters: list[DeadLetter] = []
    a, b = two_nodes(pool(child(Slow).replace(restart="temporary"), size=1))
    async with a, b:
        a.on_dead_letter(letters.append)
        await a.stop(a.ref(Slow, "slow-0"))
        await b.ref(Slow).note(1)
        assert [(letter.actor, letter.args, letter.why) for letter in letters] == [("slow-0", (1,), "stopped")]


async def test_subscription_ends_when_it_is_ended(two_nodes):
    letters: list[DeadLetter] = []
    a, b = two_nodes(child(Slow))
    async with a, b:
        end = a.on_dead_letter(letters.append)
        for number in range(5):
            await b.ref(Slow).note(number)
            await anyio.wait_all_tasks_blocked()
        end()
        end()
        await b.ref(Slow).note(5)
        assert [letter.args for letter in letters] == [(4,)]


async def test_subscriber_that_fails_is_named_in_the_log_and_the_others_are_told(two_nodes, lines):
    letters: list[DeadLetter] = []

    def fail(letter):
        raise OSError("disk full")

    a, b = two_nodes(child(Slow))
    async with a, b:
        a.on_dead_letter(fail)
        a.on_dead_letter(letters.append)
        for number in range(6):
            await b.ref(Slow).note(number)
            await anyio.wait_all_tasks_blocked()
        assert len(letters) == 2
        (line,) = [line for line in lines if line["event"] == "dead_letter_subscriber_failed"]
        assert line["error"] == "OSError: disk full"


async def test_call_that_is_refused_is_no_dead_letter(two_nodes):
    letters: list[DeadLetter] = []
    a, b = two_nodes(child(Slow))
    async with a, b:
        a.on_dead_letter(letters.append)
        for number in range(4):
            await b.ref(Slow).note(number)
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(MailboxFull, match="holds 3 of 3 messages"):
            await b.ref(Slow).ask(1)
        assert letters == []


class Undertaker(Actor):
    """Subscribes by itself, as an actor that `cliffracer run` runs would."""

    def __init__(self) -> None:
        self.seen = 0

    async def on_start(self) -> None:
        self.end = self.node.on_dead_letter(self.count)

    async def on_stop(self, reason) -> None:
        self.end()

    def count(self, letter: DeadLetter) -> None:
        self.seen += 1

    @call
    async def total(self) -> int:
        return self.seen


async def test_actor_can_subscribe(two_nodes):
    a, b = two_nodes(child(Slow), child(Undertaker))
    async with a, b:
        for number in range(6):
            await b.ref(Slow).note(number)
            await anyio.wait_all_tasks_blocked()
        assert await b.ref(Undertaker).total() == 2


async def test_calls_that_are_turned_away_are_counted(two_nodes):
    a, b = two_nodes(child(Slow))
    async with a, b:
        for number in range(4):
            await b.ref(Slow).note(number)
            await anyio.wait_all_tasks_blocked()
        for _ in range(3):
            with pytest.raises(MailboxFull):
                await b.ref(Slow).ask(1)
        assert a.statistics()["slow"].turned_away == 3
