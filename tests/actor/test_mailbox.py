"""The queue in front of an actor: bounded, first come first served, signals first."""

import anyio
import anyio.lowlevel
import pytest

from cliffracer.actor.mailbox import Mailbox, MailboxStatistics, MessageQueue, QueueCleared
from cliffracer.actor.waiters import EventWaiter
from cliffracer.envelope import Message, Stop
from cliffracer.exits import Normal, Shutdown

pytestmark = pytest.mark.anyio


class Asker:
    """Waits for an answer, and never looks at it."""

    def answer(self, value):
        pass

    def fail(self, error):
        pass


def cast(handler):
    return Message("shop", handler)


def call(handler):
    return Message("shop", handler, reply_to=Asker())


def tick(handler="tick"):
    return Message("shop", handler)


def queue_of(*messages, capacity=3, when_full="drop_new"):
    queue = MessageQueue(Mailbox(capacity, when_full), EventWaiter)
    for message in messages:
        assert queue.offer(message)
    return queue


def take(queue):
    """Take out the next message; return None if there is none."""
    return next(queue.waiting(), None)


async def wait_for_news(queue):
    """Wait as an actor does that has nothing to do."""
    await queue.arm()


def put_or_drop(queue, message):
    """Do what is done with a message from another node that nobody waits for; return what is dropped."""
    return None if queue.offer(message) else queue.drop_for(message)


def drained(queue):
    """Take out all that is in `queue`, and return the handlers in that order."""
    taken = []
    while (message := take(queue)) is not None:
        taken.append(message.handler)
    return taken


async def settle():
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


def test_messages_come_out_in_the_order_they_went_in():
    assert drained(queue_of(cast("a"), call("b"), cast("c"))) == ["a", "b", "c"]


def test_empty_queue_gives_nothing():
    queue = queue_of()
    assert take(queue) is None
    assert not queue.signals


def test_queue_takes_as_many_as_its_capacity_and_no_more():
    queue = queue_of(cast("a"), cast("b"), capacity=2)
    assert queue.offer(cast("c")) == 0
    assert len(queue.messages) == 2
    assert drained(queue) == ["a", "b"]


def test_room_is_free_again_after_a_message_was_taken():
    queue = queue_of(cast("a"), capacity=1)
    take(queue)
    assert queue.offer(cast("b")) == 1
    assert drained(queue) == ["b"]


# Signals


def test_signals_overtake_messages_and_keep_their_order():
    queue = queue_of(cast("a"))
    queue.put_signal(Stop(Shutdown("first")))
    queue.put_signal(Stop(Normal()))
    assert [queue.next_signal(), queue.next_signal()] == [Stop(Shutdown("first")), Stop(Normal())]
    assert not queue.signals
    assert drained(queue) == ["a"]


def test_signal_needs_no_room_and_takes_none():
    queue = queue_of(cast("a"), capacity=2)
    queue.put_signal(Stop(Normal()))
    assert len(queue.messages) == 1
    assert queue.offer(cast("b")) == 1
    queue.put_signal(Stop(Normal()))
    assert queue.next_signal() == Stop(Normal())


def test_signals_of_an_incarnation_that_is_gone_are_forgotten():
    queue = queue_of(cast("a"))
    queue.put_signal(Stop(Normal()))
    queue.clear_signals()
    assert not queue.signals
    assert drained(queue) == ["a"]


# Dropping


def test_nothing_is_dropped_while_there_is_room():
    queue = queue_of(cast("a"), capacity=2, when_full="drop_old")
    assert put_or_drop(queue, cast("b")) is None
    assert queue.statistics().dropped == 0
    assert drained(queue) == ["a", "b"]


def test_drop_new_drops_the_one_that_arrives():
    queue = queue_of(cast("a"), cast("b"), capacity=2)
    late = cast("c")
    assert put_or_drop(queue, late) is late
    assert queue.statistics().dropped == 1
    assert drained(queue) == ["a", "b"]


def test_drop_old_drops_the_oldest_and_takes_the_one_that_arrives():
    queue = queue_of(cast("a"), cast("b"), capacity=2, when_full="drop_old")
    dropped = put_or_drop(queue, cast("c"))
    assert dropped is not None
    assert dropped.handler == "a"
    assert queue.statistics().dropped == 1
    assert drained(queue) == ["b", "c"]


def test_drop_old_never_drops_what_somebody_waits_for():
    queue = queue_of(call("a"), cast("b"), call("c"), capacity=3, when_full="drop_old")
    dropped = put_or_drop(queue, cast("d"))
    assert dropped is not None
    assert dropped.handler == "b"
    assert drained(queue) == ["a", "c", "d"]


def test_drop_old_drops_the_new_one_where_somebody_waits_for_all_the_others():
    queue = queue_of(call("a"), call("b"), capacity=2, when_full="drop_old")
    late = cast("c")
    assert put_or_drop(queue, late) is late
    assert drained(queue) == ["a", "b"]


def test_drop_old_never_drops_a_tick():
    queue = MessageQueue(Mailbox(1, "drop_old"), EventWaiter)
    queue.put_tick(tick())
    assert queue.offer(cast("a"))
    dropped = put_or_drop(queue, cast("b"))
    assert dropped is not None
    assert dropped.handler == "a"
    assert drained(queue) == ["tick", "b"]


# Ticks


def test_second_tick_is_not_queued_while_the_first_one_waits():
    queue = queue_of()
    queue.put_tick(tick())
    assert queue.offer(cast("a"))
    queue.put_tick(tick())
    assert drained(queue) == ["tick", "a"]


def test_tick_is_queued_again_once_the_last_one_was_taken():
    queue = queue_of()
    queue.put_tick(tick())
    take(queue)
    queue.put_tick(tick())
    assert drained(queue) == ["tick"]


def test_ticks_of_two_handlers_do_not_coalesce():
    queue = queue_of()
    queue.put_tick(tick("minutely"))
    queue.put_tick(tick("hourly"))
    assert drained(queue) == ["minutely", "hourly"]


def test_full_mailbox_does_not_stop_the_clock():
    queue = queue_of(cast("a"), capacity=1)
    queue.put_tick(tick())
    assert drained(queue) == ["a", "tick"]
    assert queue.statistics().dropped == 0


async def test_tick_in_a_full_mailbox_does_not_leave_a_sender_waiting_for_ever():
    queue = queue_of(cast("a"), capacity=1)
    queue.put_tick(tick())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.put, cast("b"))
        await settle()
        assert drained(queue) == ["a", "tick", "b"]


# Waiting


async def test_receiver_is_woken_by_a_message():
    queue = queue_of()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_news, queue)
        await settle()
        assert queue.offer(cast("a"))
    assert drained(queue) == ["a"]


@pytest.mark.parametrize("what", ["signal", "tick", "or_drop"])
async def test_receiver_is_woken_by_anything_that_comes(what):
    queue = queue_of()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_news, queue)
        await settle()
        if what == "signal":
            queue.put_signal(Stop(Normal()))
        elif what == "tick":
            queue.put_tick(tick())
        else:
            put_or_drop(queue, cast("a"))
    assert queue.signals or len(queue.messages) == 1


async def test_receiver_that_is_cancelled_can_wait_again():
    queue = queue_of()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_news, queue)
        await settle()
        tasks.cancel_scope.cancel()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_news, queue)
        await settle()
        assert queue.offer(cast("a"))
    assert drained(queue) == ["a"]


async def test_put_does_not_wait_while_there_is_room():
    queue = queue_of()
    await queue.put(cast("a"))
    assert drained(queue) == ["a"]


async def test_sender_waits_for_room():
    queue = queue_of(cast("a"), capacity=1)
    sent = []

    async def send():
        await queue.put(cast("b"))
        sent.append("b")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await settle()
        assert sent == []
        assert queue.statistics() == MailboxStatistics(depth=1, capacity=1, senders_waiting=1, dropped=0)
        take(queue)
        await settle()
        assert sent == ["b"]
    assert drained(queue) == ["b"]


async def test_senders_are_served_in_the_order_they_came():
    queue = queue_of(cast("0"), capacity=1)
    taken = []
    async with anyio.create_task_group() as tasks:
        for name in "12345":
            tasks.start_soon(queue.put, cast(name))
            await settle()
        while (message := take(queue)) is not None:
            taken.append(message.handler)
    assert taken == ["0", "1", "2", "3", "4", "5"]


async def test_sender_that_waits_is_not_overtaken():
    queue = queue_of(cast("a"), cast("b"), capacity=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.put, cast("first"))
        await settle()
        take(queue)  # room for one: it is that of the sender
        assert queue.offer(cast("second")) == 0
        assert put_or_drop(queue, cast("third")) is not None
    assert drained(queue) == ["b", "first"]


async def test_message_of_a_cancelled_sender_is_not_queued_and_others_move_up():
    queue = queue_of(cast("a"), capacity=1)
    async with anyio.create_task_group() as tasks:
        impatient = anyio.CancelScope()

        async def give_up():
            with impatient:
                await queue.put(cast("impatient"))

        tasks.start_soon(give_up)
        await settle()
        tasks.start_soon(queue.put, cast("patient"))
        await settle()
        impatient.cancel()
        await settle()
        assert queue.statistics().senders_waiting == 1
        take(queue)
    assert drained(queue) == ["patient"]


async def give_up_as_room_comes(queue, behind=()):
    """Let a sender be cancelled in the very turn of the loop in which the actor takes a message; tell if it knows."""
    outcome = []
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def send():
            with scope:
                await queue.put(cast("impatient"))
                outcome.append("queued")

        tasks.start_soon(send)
        await settle()
        for message in behind:
            tasks.start_soon(queue.put, message)
            await settle()
        scope.cancel()
        take(queue)
        await settle()
        tasks.cancel_scope.cancel()  # who still waits now would wait for ever
    return outcome


async def test_sender_cancelled_just_as_there_is_room_has_queued_its_message_or_given_up_but_not_both():
    queue = queue_of(cast("a"), capacity=1)
    outcome = await give_up_as_room_comes(queue)
    assert drained(queue) == (["impatient"] if outcome else [])


async def test_sender_behind_one_that_gave_up_just_as_there_was_room_gets_that_room():
    queue = queue_of(cast("a"), capacity=1)
    await give_up_as_room_comes(queue, behind=[cast("patient")])
    assert "patient" in drained(queue)


# Clearing


def test_clear_returns_what_was_in_the_queue_but_no_ticks():
    queue = queue_of(cast("a"), call("b"))
    queue.put_tick(tick())
    assert [message.handler for message in queue.clear()] == ["a", "b"]
    assert len(queue.messages) == 0


def test_clear_counts_as_dropped_what_nobody_waited_for():
    queue = queue_of(cast("a"), call("b"), cast("c"))
    queue.clear()
    assert queue.statistics().dropped == 2


def test_tick_can_be_queued_again_after_clear():
    queue = queue_of()
    queue.put_tick(tick())
    queue.clear()
    queue.put_tick(tick())
    assert drained(queue) == ["tick"]


async def test_clear_turns_away_the_senders_that_wait():
    queue = queue_of(cast("a"), capacity=1)

    async def send(message: Message) -> None:
        with pytest.raises(QueueCleared):
            await queue.put(message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send, call("b"))
        await settle()
        tasks.start_soon(send, cast("c"))
        await settle()
        left = queue.clear()
    assert [message.handler for message in left] == ["a"]
    assert queue.statistics() == MailboxStatistics(depth=0, capacity=1, senders_waiting=0, dropped=1)
    assert drained(queue) == []
