"""The restart window is OTP's: so many restarts pass, one more within the window does not."""

import pytest

from cliffracer.supervision.intensity import Intensity


def allowed(intensity, *times):
    return [intensity.add(now) for now in times]


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_as_many_restarts_as_allowed_pass_and_one_more_does_not(limit):
    assert allowed(Intensity(limit, 5.0), *[0.0] * (limit + 1)) == [True] * limit + [False]


def test_intensity_of_zero_allows_no_restart_at_all():
    assert allowed(Intensity(0, 5.0), 100.0) == [False]


def test_restart_exactly_as_long_ago_as_the_window_is_long_counts():
    assert allowed(Intensity(1, 5.0), 10.0, 15.0) == [True, False]


def test_restart_longer_ago_than_the_window_does_not_count():
    assert allowed(Intensity(1, 5.0), 10.0, 15.25) == [True, True]


def test_window_slides_and_does_not_start_anew():
    # 5 and 6 are within 5 seconds of 10, 0 is not.
    assert allowed(Intensity(2, 5.0), 0.0, 5.0, 6.0, 10.0) == [True, True, True, False]


def test_restarts_a_little_further_apart_than_the_window_go_on_for_ever():
    intensity = Intensity(1, 5.0)
    assert all(intensity.add(5.25 * number) for number in range(1000))


def test_quiet_second_does_not_forgive_what_was_before():
    # "healthy for a while, then dies" must not reset the count: 2 within any 5 seconds, and no more.
    assert allowed(Intensity(2, 5.0), 0.0, 2.0, 4.0) == [True, True, False]


def test_window_is_float_seconds_and_not_rounded():
    assert allowed(Intensity(1, 0.5), 0.25, 0.75) == [True, False]
    assert allowed(Intensity(1, 0.5), 0.25, 0.78125) == [True, True]


def test_refused_restart_counts_as_well():
    intensity = Intensity(1, 5.0)
    assert allowed(intensity, 0.0, 1.0, 2.0) == [True, False, False]
    assert intensity.count(2.0) == 3


def test_count_is_that_of_the_window_that_ends_now():
    intensity = Intensity(10, 5.0)
    for now in (0.0, 1.0, 2.0):
        intensity.add(now)
    assert [intensity.count(now) for now in (2.0, 5.0, 6.0, 6.5, 7.5)] == [3, 3, 2, 1, 0]


def test_counting_does_not_add():
    intensity = Intensity(1, 5.0)
    assert [intensity.count(0.0) for _ in range(3)] == [0, 0, 0]
    assert intensity.add(0.0)


def test_clock_may_begin_anywhere():
    assert allowed(Intensity(1, 5.0), -100.0, -95.0, 1e9) == [True, False, True]


def test_two_windows_know_nothing_of_each_other():
    first, second = Intensity(1, 5.0), Intensity(1, 5.0)
    assert allowed(first, 0.0) == [True]
    assert allowed(second, 0.0) == [True]
