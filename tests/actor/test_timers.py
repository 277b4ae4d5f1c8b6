"""One heap of timers, on a clock that jumps."""

import random
from math import inf

import anyio
import anyio.lowlevel
import pytest

from cliffracer.actor.timers import Timers, running_clock

pytestmark = pytest.mark.anyio


class Bell:
    """Notes who rang when."""

    def __init__(self, timers):
        self.rung = []
        self._timers = timers
        self._begin = timers.clock()

    def at(self, seconds, name):
        return self._timers.at(self._begin + seconds, lambda: self.rung.append((name, self.now)))

    @property
    def now(self):
        return round(self._timers.clock() - self._begin, 6)

    @property
    def names(self):
        return [name for name, _ in self.rung]


@pytest.fixture
async def timers():
    return Timers(running_clock())


@pytest.fixture
async def bell(timers):
    return Bell(timers)


async def run_for(timers, seconds):
    with anyio.move_on_after(seconds):
        await timers.run()


async def test_timers_fire_in_the_order_of_their_times(timers, bell):
    for seconds in (30, 10, 20):
        bell.at(seconds, f"after {seconds}")
    await run_for(timers, 60)
    assert bell.rung == [("after 10", 10), ("after 20", 20), ("after 30", 30)]


async def test_timers_of_the_same_time_fire_in_the_order_they_were_set(timers, bell):
    for name in "abc":
        bell.at(10, name)
    await run_for(timers, 60)
    assert bell.names == ["a", "b", "c"]


async def test_timer_does_not_fire_before_its_time(timers, bell):
    bell.at(10, "a")
    await run_for(timers, 9.999)
    assert bell.rung == []
    assert len(timers) == 1


async def test_timer_whose_time_has_passed_fires_at_once(timers, bell):
    await anyio.sleep(100)
    bell.at(10, "late")
    await run_for(timers, 1)
    assert bell.rung == [("late", 100)]


async def test_timer_fires_once(timers, bell):
    timer = bell.at(1, "a")
    await run_for(timers, 10)
    assert not timer.pending
    timer.fire()
    assert bell.names == ["a"]


async def test_an_hour_takes_no_time(timers, bell):
    bell.at(3600, "at last")
    await run_for(timers, 3601)
    assert bell.rung == [("at last", 3600)]


async def test_timer_that_never_comes_up_does_not_disturb_the_others(timers, bell):
    bell.at(inf, "never")
    bell.at(1, "a")
    await run_for(timers, 1e6)
    assert bell.names == ["a"]


async def test_cancelled_timer_does_not_fire(timers, bell):
    bell.at(1, "a")
    cancelled = bell.at(2, "b")
    bell.at(3, "c")
    cancelled.cancel()
    assert not cancelled.pending
    await run_for(timers, 10)
    assert bell.names == ["a", "c"]


async def test_cancelling_twice_or_after_firing_is_harmless(timers, bell):
    fired, cancelled = bell.at(1, "a"), bell.at(2, "b")
    bell.at(20, "c")
    cancelled.cancel()
    cancelled.cancel()
    await run_for(timers, 10)
    fired.cancel()
    assert len(timers) == 1


async def test_number_of_timers_counts_those_that_are_still_to_fire(timers, bell):
    several = [bell.at(seconds, "x") for seconds in range(1, 11)]
    for timer in several[5:]:
        timer.cancel()
    assert len(timers) == 5
    await run_for(timers, 3.5)
    assert len(timers) == 2
    await run_for(timers, 100)
    assert len(timers) == 0


async def test_earlier_timer_wakes_the_sleeper(timers, bell):
    bell.at(1000, "late")
    async with anyio.create_task_group() as tasks:
        await tasks.start(timers.run)
        await anyio.sleep(5)
        bell.at(10, "early")
        await anyio.sleep(20)
        assert bell.rung == [("early", 10)]
        tasks.cancel_scope.cancel()


async def test_first_timer_wakes_a_runner_that_had_none(timers, bell):
    async with anyio.create_task_group() as tasks:
        await tasks.start(timers.run)
        await anyio.sleep(5)
        bell.at(7, "first")
        await anyio.sleep(10)
        tasks.cancel_scope.cancel()
    assert bell.rung == [("first", 7)]


async def test_runner_sleeps_on_when_its_next_timer_is_cancelled(timers, bell):
    async with anyio.create_task_group() as tasks:
        await tasks.start(timers.run)
        next_one = bell.at(10, "next")
        bell.at(20, "after that")
        await anyio.sleep(1)
        next_one.cancel()
        await anyio.sleep(30)
        tasks.cancel_scope.cancel()
    assert bell.rung == [("after that", 20)]


async def test_action_can_set_the_next_timer(timers, bell):
    beats = []

    def beat():
        beats.append(bell.now)
        timers.at(timers.clock() + 1.0, beat)

    timers.at(timers.clock() + 1.0, beat)
    await run_for(timers, 4.5)
    assert beats == [1, 2, 3, 4]


async def test_action_can_set_a_timer_that_is_due_at_once(timers, bell):
    timers.at(timers.clock() + 1.0, lambda: bell.at(0, "at once") and None)
    bell.at(2, "later")
    await run_for(timers, 10)
    assert bell.rung == [("at once", 1), ("later", 2)]


async def test_action_can_cancel_the_timer_that_would_fire_next(timers, bell):
    second = None

    def first():
        assert second is not None
        second.cancel()

    timers.at(timers.clock() + 1.0, first)
    second = bell.at(1, "second")
    bell.at(1, "third")
    await run_for(timers, 10)
    assert bell.names == ["third"]
    assert len(timers) == 0


async def test_exception_in_an_action_ends_the_runner(timers):
    def fail():
        raise KeyError("A1")

    timers.at(timers.clock() + 1.0, fail)
    with pytest.raises(KeyError):
        await timers.run()


async def test_cancelled_timers_do_not_pile_up(timers, bell):
    # A node under load cancels a timer for each call that is answered in time.
    waiting = bell.at(5, "still waits")
    for _ in range(100_000):
        bell.at(5, "answered").cancel()
    assert len(timers) == 1
    assert len(timers._heap) < 1000
    assert waiting.pending


async def test_compaction_keeps_order_and_count(timers, bell):
    chance = random.Random(7)
    kept = []
    for number in range(3000):
        seconds = chance.uniform(0, 100)
        timer = bell.at(seconds, number)
        if chance.random() < 0.8:
            timer.cancel()
        else:
            kept.append((seconds, number))
    assert len(timers) == len(kept)
    assert len(timers._heap) < 3000
    await run_for(timers, 101)
    assert bell.names == [number for _, number in sorted(kept)]
    assert len(timers) == 0


async def test_compaction_in_the_middle_of_firing_loses_nothing(timers, bell):
    doomed = [bell.at(50, "doomed") for _ in range(1000)]

    def cancel_all():
        for timer in doomed:
            timer.cancel()

    bell.at(1, "before")
    timers.at(timers.clock() + 1.0, cancel_all)
    bell.at(1, "after")
    bell.at(2, "later")
    await run_for(timers, 100)
    assert bell.names == ["before", "after", "later"]
    assert len(timers) == 0


async def test_clock_is_that_of_the_running_loop(timers):
    assert timers.clock() == anyio.current_time()
    await anyio.sleep(3600)
    assert timers.clock() == anyio.current_time()
