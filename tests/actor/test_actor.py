"""One actor, seen from outside: what its handlers do, and what its callers get."""

import gc
from typing import Any

import anyio
import pytest
from msgspec import Struct

from cliffracer import (
    Actor,
    ActorCrashed,
    CallError,
    CallTimeout,
    Crashed,
    Exit,
    Mailbox,
    MailboxFull,
    NoActor,
    Normal,
    NotRunning,
    Refusal,
    Settings,
    Shutdown,
    Stopping,
    Upstream,
    call,
    cast,
    child,
    event,
    every,
)

pytestmark = pytest.mark.anyio


class TooMuch(Refusal):
    """More than there is."""


class Sale(Struct, frozen=True):
    sku: str
    qty: int


class Counter(Actor):
    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.turns: list[str] = []

    @call
    async def add(self, by: int = 1) -> int:
        self.value += by
        return self.value

    @call
    async def take(self, by: int) -> int:
        if by > self.value:
            raise TooMuch(f"only {self.value}", data={"left": self.value})
        self.value -= by
        return self.value

    @cast
    async def set(self, value: int) -> None:
        self.value = value

    @call
    async def crash(self, text: str = "bug") -> None:
        raise RuntimeError(text)

    @call
    async def slow(self, seconds: float, label: str = "") -> str:
        self.turns.append(f"begin {label}")
        await anyio.sleep(seconds)
        self.turns.append(f"end {label}")
        return label

    @call
    async def history(self) -> list[str]:
        return self.turns

    @call
    async def which(self) -> int:
        return self.incarnation


async def test_call_returns_what_the_handler_returns(run_node):
    async with run_node(child(Counter, 5)) as node:
        assert await node.ref(Counter).add(3) == 8
        assert await node.ref(Counter).add(by=2) == 10


async def test_cast_changes_state_and_returns_nothing(run_node):
    async with run_node(child(Counter)) as node:
        counter = node.ref(Counter)
        assert await counter.set(41) is None
        assert await counter.add() == 42


async def test_refusal_reaches_the_caller_as_its_own_class_and_the_actor_lives(run_node):
    async with run_node(child(Counter, 1)) as node:
        counter = node.ref(Counter)
        with pytest.raises(TooMuch, match="only 1") as refusal:
            await counter.take(2)
        assert refusal.value.data == {"left": 1}
        assert await counter.which() == 1


async def test_caller_of_the_crashed_message_is_told_at_once_with_an_incident_that_stands_in_the_log(run_node, lines):
    async with run_node(child(Counter)) as node:
        with pytest.raises(ActorCrashed) as crash:
            await node.ref(Counter).crash("secret text")
    (logged,) = [line for line in lines if line["event"] == "actor_crashed"]
    assert logged["incident"] == crash.value.incident
    assert logged["error"] == "RuntimeError: secret text"
    assert logged["exc_info"][1].args == ("secret text",)
    assert logged["exc_info"][2].tb_frame.f_code.co_name == "crash"
    assert "secret" not in str(crash.value)


async def test_each_incarnation_is_a_fresh_object(run_node):
    async with run_node(child(Counter, 7)) as node:
        counter = node.ref(Counter)
        await counter.add(100)
        with pytest.raises(ActorCrashed):
            await counter.crash()
        assert await counter.add(0) == 7
        assert await counter.which() == 2


async def test_messages_behind_the_crashed_one_are_handled_by_the_next_incarnation(run_node):
    async with run_node(child(Counter, 0)) as node:
        counter, answers = node.ref(Counter), []

        async def add() -> None:
            answers.append(await counter.add(1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(counter.slow, 0.01)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(_crash_quietly, counter)
            await anyio.wait_all_tasks_blocked()
            for _ in range(3):
                tasks.start_soon(add)
        assert sorted(answers) == [1, 2, 3]
        assert await counter.which() == 2


async def _crash_quietly(actor: Any, *arguments: Any) -> None:
    with pytest.raises(ActorCrashed):
        await actor.crash(*arguments)


async def test_one_message_at_a_time(run_node):
    async with run_node(child(Counter)) as node:
        counter = node.ref(Counter)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(counter.slow, 0.02, "a")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(counter.slow, 0.01, "b")
        assert await counter.history() == ["begin a", "end a", "begin b", "end b"]


async def test_call_without_a_scope_ends_after_the_default_of_five_seconds(run_node):
    async with run_node(child(Counter)) as node:
        begin = anyio.current_time()
        with pytest.raises(CallTimeout) as timeout:
            await node.ref(Counter).slow(60.0)
        assert anyio.current_time() - begin == pytest.approx(5.0)
        assert timeout.value.retry == "unsafe"
        assert isinstance(timeout.value, TimeoutError)


async def test_ambient_scope_is_the_deadline_and_may_be_longer_than_the_default(run_node):
    async with run_node(child(Counter)) as node:
        with anyio.fail_after(30.0):
            assert await node.ref(Counter).slow(20.0, "done") == "done"
        with pytest.raises(TimeoutError), anyio.fail_after(1.0):
            await node.ref(Counter).slow(20.0)


@pytest.mark.parametrize("prefer_local", [True, False], ids=["mailbox", "transport"])
async def test_scope_around_a_call_moves_on_even_if_the_callee_saw_the_time_run_out_first(run_node, prefer_local):
    async with run_node(child(Counter)) as node:
        counter = node.ref(Counter, prefer_local=prefer_local)
        deadline = anyio.current_time() + 1.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(counter.slow, 1.0, "first")
            await anyio.wait_all_tasks_blocked()
            with anyio.CancelScope(deadline=deadline) as scope:
                await counter.add(1)
        assert scope.cancelled_caught
        assert await counter.add(0) == 0


@pytest.mark.parametrize("prefer_local", [True, False], ids=["mailbox", "transport"])
async def test_call_made_in_a_cancelled_scope_is_not_sent(run_node, prefer_local):
    async with run_node(child(Counter)) as node:
        counter = node.ref(Counter, prefer_local=prefer_local)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await counter.add(1)
        assert scope.cancelled_caught
        assert await counter.add(0) == 0


async def test_failed_calls_leave_no_garbage_behind(run_node):
    def alive() -> int:
        gc.collect()
        return sum(isinstance(thing, TooMuch) for thing in gc.get_objects())

    async with run_node(child(Counter)) as node:
        before = alive()
        for _ in range(50):
            with pytest.raises(TooMuch):
                await node.ref(Counter).take(1)
        assert alive() <= before + 1


async def test_sender_that_waits_for_room_is_told_when_the_actor_stops_for_good(run_node):
    told: list[str] = []

    async def send(counter: Counter) -> None:
        try:
            await counter.set(1)
            told.append("queued")
        except Stopping:
            told.append("stopping")

    settings = Settings(drain_timeout=0.5, call_timeout=100.0)
    async with anyio.create_task_group() as tasks:
        async with run_node(child(Counter).replace(mailbox=Mailbox(1), shutdown=0.5), settings=settings) as node:
            counter = node.ref(Counter)
            tasks.start_soon(_expect_killed, counter)
            await anyio.wait_all_tasks_blocked()
            for _ in range(3):
                tasks.start_soon(send, counter)
                await anyio.wait_all_tasks_blocked()
    assert told == ["queued", "stopping", "stopping"]


async def _expect_killed(counter: Counter) -> None:
    with pytest.raises(ActorCrashed):
        await counter.slow(50.0)


async def test_expired_message_is_not_started(run_node):
    async with run_node(child(Counter)) as node:
        counter = node.ref(Counter)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(counter.slow, 3.0, "first")
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(1.0):
                await counter.add(1000)
        assert await counter.add(0) == 0
        assert node.statistics()["counter"].expired == 1


class Middle(Actor):
    def __init__(self) -> None:
        self.counter = self.ref(Counter)

    @call
    async def slow(self, seconds: float) -> str:
        return await self.counter.slow(seconds)

    @call
    async def crash(self) -> None:
        await self.counter.crash()

    @call
    async def take(self, by: int) -> int:
        return await self.counter.take(by)


async def test_time_left_travels_through_nested_calls(run_node):
    settings_call_timeout_is_5 = 5.0
    async with run_node(child(Counter), child(Middle)) as node:
        begin = anyio.current_time()
        with pytest.raises(CallTimeout):
            await node.ref(Middle).slow(60.0)
        assert anyio.current_time() - begin == pytest.approx(settings_call_timeout_is_5)
        # The call of Middle ended at the same moment: it did not wait for a default of its own.
        await anyio.sleep(0.001)
        assert node.statistics()["middle"].answered_with_error == 1


async def test_uncaught_call_error_becomes_upstream_and_the_actor_lives(run_node, lines):
    async with run_node(child(Counter), child(Middle)) as node:
        with pytest.raises(Upstream, match=r"counter\.crash failed: crashed") as upstream:
            await node.ref(Middle).crash()
        assert node.statistics()["middle"].incarnation == 1
    (logged,) = [line for line in lines if line["event"] == "actor_crashed"]
    assert upstream.value.incident == logged["incident"]


async def test_uncaught_refusal_passes_through_unchanged(run_node):
    async with run_node(child(Counter, 1), child(Middle)) as node:
        with pytest.raises(TooMuch, match="only 1"):
            await node.ref(Middle).take(5)


class Strict(Actor):
    """Takes CallError out of its answers: OTP's behaviour."""

    answers = (Refusal,)

    @call
    async def ask(self) -> int:
        return await self.ref(Counter, "nobody").add(1)


class Lenient(Actor):
    answers = (Refusal, CallError, LookupError)

    @call
    async def find(self, key: str) -> str:
        return {"a": "b"}[key]


async def test_actor_without_call_error_in_its_answers_crashes_over_one(run_node):
    async with run_node(child(Strict)) as node:
        with pytest.raises(ActorCrashed):
            await node.ref(Strict).ask()
        assert node.statistics()["strict"].crashed == 1


async def test_exception_added_to_answers_is_a_refusal_without_its_text(run_node):
    async with run_node(child(Lenient)) as node:
        with pytest.raises(Refusal, match=r"lenient\.find: key_error") as refusal:
            await node.ref(Lenient).find("password123")
        assert "password123" not in str(refusal.value)
        assert node.statistics()["lenient"].incarnation == 1


async def test_call_to_nobody_is_no_actor_and_safe_to_retry(run_node):
    async with run_node(child(Counter)) as node:
        with pytest.raises(NoActor, match="no actor 'nobody' runs") as error:
            await node.ref(Counter, "nobody").add(1)
        assert error.value.retry == "safe"


async def test_wrong_arguments_are_a_type_error_at_the_caller(run_node):
    async with run_node(child(Counter)) as node:
        with pytest.raises(TypeError, match=r"add\(by: int = 1\) -> int"):
            await node.ref(Counter).add(1, 2)  # type: ignore[call-arg]
        assert await node.ref(Counter).which() == 1


async def test_cancelled_error_that_nobody_asked_for_is_a_crash(run_node, anyio_backend):
    if anyio_backend[0] == "trio":
        pytest.skip("trio does not let user code make a Cancelled")

    class Rogue(Actor):
        @call
        async def cancel(self) -> None:
            raise anyio.get_cancelled_exc_class()

        @call
        async def which(self) -> int:
            return self.incarnation

    async with run_node(child(Rogue)) as node:
        with pytest.raises(ActorCrashed):
            await node.ref(Rogue).cancel()
        assert await node.ref(Rogue).which() == 2


class Lifecycle(Actor):
    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        journal.append("init")

    async def on_start(self) -> None:
        self.journal.append(f"start {self.incarnation}")

    async def on_stop(self, reason: Exit) -> None:
        self.journal.append(f"stop {type(reason).__name__}")

    @call
    async def crash(self) -> None:
        raise RuntimeError

    @call
    async def finish(self) -> str:
        self.stop()
        return "bye"


async def test_hooks_run_in_order_also_around_a_crash(run_node):
    journal: list[str] = []
    async with run_node(child(Lifecycle, journal)) as node:
        with pytest.raises(ActorCrashed):
            await node.ref(Lifecycle).crash()
        await anyio.wait_all_tasks_blocked()
        assert journal == ["init", "start 1", f"stop {Crashed.__name__}", "init", "start 2"]
    assert journal[-1] == f"stop {Shutdown.__name__}"


async def test_stop_ends_the_actor_normally_after_the_message_in_hand(run_node):
    journal: list[str] = []
    async with run_node(child(Lifecycle, journal).replace(restart="transient")) as node:
        assert await node.ref(Lifecycle).finish() == "bye"
        await anyio.wait_all_tasks_blocked()
        assert journal[-1] == f"stop {Normal.__name__}"
        with pytest.raises(NoActor):
            await node.ref(Lifecycle).finish()


async def test_exception_in_on_stop_is_a_crash_with_its_own_incident(run_node, lines):
    class Untidy(Actor):
        async def on_stop(self, reason: Exit) -> None:
            raise OSError("disk")

        @call
        async def finish(self) -> None:
            self.stop()

        @call
        async def which(self) -> int:
            return self.incarnation

    async with run_node(child(Untidy).replace(restart="transient")) as node:
        await node.ref(Untidy).finish()
        # Not a clean end, so a transient actor is restarted.
        assert await node.ref(Untidy).which() == 2
    assert [line["during"] for line in lines if line["event"] == "actor_crashed"] == ["on_stop", "on_stop"]


class Clock(Actor):
    def __init__(self) -> None:
        self.ticks: list[float] = []

    @every(10.0)
    async def tick(self) -> None:
        self.ticks.append(anyio.current_time())

    @call
    async def seen(self) -> list[float]:
        return self.ticks

    @call
    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


async def test_every_ticks_through_the_mailbox_on_the_beat(run_node):
    async with run_node(child(Clock)) as node:
        begin = anyio.current_time()
        await anyio.sleep(35.0)
        ticks = [tick - begin for tick in await node.ref(Clock).seen()]
        assert ticks == pytest.approx([10.0, 20.0, 30.0], abs=0.01)


async def test_ticks_missed_while_busy_are_coalesced_into_one(run_node):
    async with run_node(child(Clock)) as node:
        with anyio.fail_after(100.0):
            await node.ref(Clock).sleep(45.0)
        await anyio.sleep(0.1)
        assert len(await node.ref(Clock).seen()) == 1


async def test_ticks_stop_with_the_incarnation(run_node):
    class Short(Actor, restart="transient"):
        @every(1.0)
        async def tick(self) -> None:
            self.stop()

    async with run_node(child(Short)) as node:
        await anyio.sleep(30.0)
        assert node.statistics()["short"].handled == 1


class Listener(Actor):
    def __init__(self, heard: list[object]) -> None:
        self.heard = heard

    @event("shop.{shop_id}.sold")
    async def on_sale(self, sale: Sale, shop_id: int) -> None:
        self.heard.append((shop_id, sale))

    @event("shop.closed")
    async def on_closed(self) -> None:
        self.heard.append("closed")


class Crier(Actor):
    @call
    async def cry(self, subject: str, qty: int) -> None:
        await self.publish(subject, Sale("A1", qty))


async def test_event_reaches_the_handler_with_its_fields_and_payload_decoded(run_node):
    heard: list[object] = []
    async with run_node(child(Listener, heard), child(Crier)) as node:
        await node.ref(Crier).cry("shop.7.sold", 3)
        await node.publish("shop.closed", None)
        await anyio.wait_all_tasks_blocked()
        assert heard == [(7, Sale("A1", 3)), "closed"]


async def test_event_that_does_not_fit_is_counted_and_logged_and_never_seen(run_node, lines):
    heard: list[object] = []
    async with run_node(child(Listener, heard)) as node:
        await node.publish("shop.seven.sold", Sale("A1", 3))
        await node.publish("shop.7.sold", {"sku": "A1"})
        await anyio.wait_all_tasks_blocked()
        assert heard == []
        assert node.statistics()["listener"].rejected == 2
    problems = [line["problem"] for line in lines if line["event"] == "message_rejected"]
    assert problems
    assert "in the field 'shop_id'" in problems[0]


async def test_local_sender_waits_while_the_mailbox_is_full_and_gives_up_at_its_deadline(run_node):
    async with run_node(child(Counter).replace(mailbox=Mailbox(1))) as node:
        counter = node.ref(Counter)
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                tasks.start_soon(_ignore_timeout, counter, 100.0)
                await anyio.wait_all_tasks_blocked()
                await counter.set(1)  # takes the one place
                begin = anyio.current_time()
                with pytest.raises(MailboxFull, match="holds 1 of 1 messages; nothing was queued") as full:
                    await counter.set(2)
                assert anyio.current_time() - begin == pytest.approx(5.0)
                assert full.value.retry == "safe"
            assert not scope.cancelled_caught
            tasks.cancel_scope.cancel()


async def _ignore_timeout(counter: Counter, seconds: float) -> None:
    with pytest.raises(CallTimeout):
        await counter.slow(seconds)


class Desk(Actor):
    """Serves several at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    @call(concurrent=3)
    async def serve(self, seconds: float) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        await anyio.sleep(seconds)
        self.now -= 1
        return self.most

    @call
    async def alone(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    @call(concurrent=True)
    async def crash(self, after: float = 0.0) -> None:
        await anyio.sleep(after)
        raise RuntimeError

    @call
    async def peak(self) -> int:
        return self.most


async def test_concurrent_handler_runs_at_most_so_many_at_once(run_node):
    async with run_node(child(Desk)) as node:
        desk = node.ref(Desk)
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(9):
                tasks.start_soon(desk.serve, 1.0)
        assert anyio.current_time() - begin == pytest.approx(3.0)
        assert await desk.peak() == 3


async def test_crash_of_a_concurrent_handler_ends_the_incarnation_and_tells_every_caller(run_node):
    async with run_node(child(Desk)) as node:
        desk = node.ref(Desk)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_expect_crash, desk)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(ActorCrashed):
                await desk.crash()
        assert await desk.peak() == 0
        assert node.statistics()["desk"].incarnation == 2


async def test_call_that_waits_for_a_slot_is_handled_by_the_next_incarnation_after_a_crash(run_node):
    answers: list[int] = []

    async def wait_for_a_slot(desk: Desk) -> None:
        answers.append(await desk.serve(0.1))

    async with run_node(child(Desk)) as node:
        desk = node.ref(Desk)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_crash_quietly, desk, 1.0)
            await anyio.wait_all_tasks_blocked()
            for _ in range(3):
                tasks.start_soon(_expect_crash, desk)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(wait_for_a_slot, desk)
    assert answers == [1]


async def test_crash_of_a_concurrent_handler_cancels_the_sequential_one_at_once(run_node):
    async with run_node(child(Desk)) as node:
        desk = node.ref(Desk)
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_crash_quietly, desk, 0.5)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(ActorCrashed):
                await desk.alone(4.0)
        assert anyio.current_time() - begin == pytest.approx(0.5)
        assert await desk.peak() == 0


async def test_stop_is_heard_while_a_call_waits_for_a_slot_and_its_caller_is_told(run_node):
    settings = Settings(drain_timeout=1.0)
    async with anyio.create_task_group() as tasks:
        async with run_node(child(Desk).replace(shutdown=1.0), settings=settings) as node:
            desk = node.ref(Desk)
            for _ in range(3):
                tasks.start_soon(_expect(ActorCrashed), desk)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(_expect(Stopping), desk)
            await anyio.wait_all_tasks_blocked()
            begin = anyio.current_time()
        assert anyio.current_time() - begin == pytest.approx(2.0)


def _expect(error: type[CallError]):
    async def serve(desk: Desk) -> None:
        with pytest.raises(error), anyio.fail_after(100.0):
            await desk.serve(50.0)

    return serve


async def _expect_crash(desk: Desk) -> None:
    with pytest.raises(ActorCrashed):
        await desk.serve(4.0)


def test_actor_object_that_is_not_running_says_so():
    with pytest.raises(NotRunning, match=r"Put child\(Middle, \.\.\.\) into a Supervisor"):
        Middle()


class Napper(Actor):
    @cast
    async def nap(self) -> None:
        await anyio.sleep(1.0)


async def test_message_counts_as_handled_when_it_has_come_to_its_end(run_node):
    async with run_node(child(Napper)) as node:
        for _ in range(5):
            await node.ref(Napper).nap()
        await anyio.sleep(2.5)
        napper = node.statistics()["napper"]
        assert (napper.handled, napper.in_hand, napper.mailbox.depth) == (2, 1, 2)
