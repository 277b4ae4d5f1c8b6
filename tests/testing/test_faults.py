"""The rules alone: which message suffers, and the same ones each time."""

import pytest

from cliffracer.testing import Crossing, Faults


def message(subject: str = "a", direction: str = "out", payload: bytes = b"") -> Crossing:
    return Crossing(direction, subject, payload, None, False)


def struck(faults: Faults, count: int = 200) -> list[int]:
    return [number for number in range(count) if faults.judge(message()).is_dropped]


def test_same_seed_strikes_the_same_messages_and_another_seed_others():
    lists = []
    for seed in (1, 1, 2):
        faults = Faults(seed=seed)
        faults.drop(probability=0.3)
        lists.append(struck(faults))
    assert lists[0] == lists[1]
    assert lists[0] != lists[2]
    assert 20 < len(lists[0]) < 100


def test_one_more_fault_does_not_change_whom_the_others_strike():
    alone, beside = Faults(seed=1), Faults(seed=1)
    alone.drop(probability=0.3)
    beside.drop(probability=0.3)
    beside.delay(1.0, probability=0.5)
    assert struck(alone) == struck(beside)


def test_delays_and_copies_add_up_and_a_drop_ends_it():
    faults = Faults()
    faults.delay(1.0)
    faults.delay(0.5)
    faults.duplicate(copies=2)
    verdict = faults.judge(message())
    assert (verdict.seconds, verdict.copies, verdict.is_dropped) == (1.5, 3, False)
    faults.drop()
    assert faults.judge(message()).is_dropped


def test_what_is_dropped_first_costs_the_later_faults_nothing():
    faults = Faults()
    faults.drop("a", times=1)
    late = faults.delay(1.0)
    assert faults.judge(message()).is_dropped
    assert late.count == 0


def test_message_waits_in_one_window_only():
    faults = Faults()
    first, second = faults.reorder(), faults.reorder()
    assert faults.judge(message()).window is first
    assert second.count == 0


@pytest.mark.parametrize(
    ("pattern", "subject", "suffers"),
    [("inventory.*", "inventory.reserve", True), ("inventory.*", "orders.place", False), (">", "a.b.c", True)],
)
def test_patterns_are_those_of_nats(pattern, subject, suffers):
    faults = Faults()
    faults.drop(pattern)
    assert faults.judge(message(subject)).is_dropped is suffers


@pytest.mark.parametrize(
    "wrong",
    [
        lambda faults: faults.drop("a b"),
        lambda faults: faults.drop(times=0),
        lambda faults: faults.drop(probability=0.0),
        lambda faults: faults.drop(probability=1.5),
        lambda faults: faults.drop(direction="up"),
        lambda faults: faults.delay(0.0),
        lambda faults: faults.delay(float("inf")),
        lambda faults: faults.duplicate(copies=0),
        lambda faults: faults.reorder(window=1),
        lambda faults: faults.reorder(within=0.0),
        lambda faults: faults.refuse_connect(times=0),
    ],
)
def test_fault_that_makes_no_sense_is_an_error(wrong):
    with pytest.raises(ValueError, match="cannot"):
        wrong(Faults())


def test_fault_shows_what_it_is_and_how_often_it_has_acted():
    faults = Faults()
    lost = faults.drop("inventory.*")
    faults.judge(message("inventory.reserve"))
    assert repr(lost) == "<Fault drop 'inventory.*', 1 times>"
