"""The packed header: what goes out comes in, and what is malformed is refused in words."""

import random
import re
from math import inf

import pytest

from cliffracer.envelope import (
    CONTEXT_HEADER,
    Message,
    Stop,
    correlation_of,
    current_message,
    outgoing_context,
    pack_context,
    unpack_context,
)
from cliffracer.exits import Shutdown

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def unpacked(headers, now=100.0):
    message = Message("inventory", "reserve")
    unpack_context(headers, message, lambda: now)
    return message


def test_target_is_receiver_and_handler():
    assert Message("inventory", "reserve").target == "inventory.reserve"


def test_message_has_no_deadline_no_caller_and_no_correlation_by_itself():
    message = Message("inventory", "reserve")
    assert (message.deadline, message.chain, message.correlation, message.trace) == (inf, (), "", None)
    assert (message.reply_to, message.args, message.kwargs) == (None, (), None)


def test_two_messages_of_the_same_content_are_two_messages():
    assert Message("a", "b") != Message("a", "b")


def test_signals_are_values():
    assert Stop(Shutdown("drained")) == Stop(Shutdown("drained"))


def test_no_message_is_in_hand_outside_of_a_handler():
    assert current_message.get() is None


def test_header_has_time_left_correlation_and_chain():
    message = Message("c", "h", deadline=105.0, correlation="7f-2b", chain=("customer", "orders"))
    assert pack_context(message, 100.0) == {CONTEXT_HEADER: "5 7f-2b customer,orders"}


def test_fields_that_are_not_there_are_dashes():
    assert pack_context(Message("c", "h"), 100.0) == {CONTEXT_HEADER: "- - -"}


def test_trace_goes_beside_the_header_as_it_came():
    headers = pack_context(Message("c", "h", trace=TRACE), 0.0)
    assert headers["traceparent"] == TRACE


def test_what_was_packed_is_what_is_unpacked():
    sent = Message("c", "h", deadline=104.5, correlation="7f-2b", chain=("customer", "orders"), trace=TRACE)
    received = unpacked(pack_context(sent, 100.0), now=2000.0)
    assert received.deadline == pytest.approx(2004.5)
    assert (received.correlation, received.chain, received.trace) == (sent.correlation, sent.chain, sent.trace)


def test_only_the_time_left_travels_so_clocks_need_not_agree():
    headers = pack_context(Message("c", "h", deadline=1e9 + 3.0), 1e9)
    assert unpacked(headers, now=5.0).deadline == pytest.approx(8.0)


def test_deadline_that_has_passed_arrives_as_passed():
    headers = pack_context(Message("c", "h", deadline=99.0), 100.0)
    assert unpacked(headers, now=50.0).deadline == pytest.approx(49.0)


def test_long_times_survive_the_header():
    headers = pack_context(Message("c", "h", deadline=864_000.0), 0.0)
    assert unpacked(headers, now=0.0).deadline == pytest.approx(864_000.0, rel=1e-5)


@pytest.mark.parametrize("headers", [{}, {"Nats-Msg-Id": "7"}])
def test_message_without_our_header_is_fine(headers):
    message = unpacked(headers)
    assert (message.deadline, message.chain, message.correlation, message.trace) == (inf, (), "", None)


def test_trace_is_taken_without_our_header():
    assert unpacked({"traceparent": TRACE}).trace == TRACE


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        ("", "seconds left"),
        ("5", "seconds left"),
        ("5 x", "seconds left"),
        ("5 x y z", "seconds left"),
        ("soon - -", "seconds left"),
        ("nan - -", "seconds left"),
        ("inf - -", "seconds left"),
        ("-inf - -", "seconds left"),
        (f"- {'x' * 65} -", "correlation id is over 64"),
        ("- a\x1bb -", "not printable"),
        ("- - not.a.name", "actor names"),
        ("- - a,,b", "actor names"),
        ("- - ", "actor names"),
        ("- - " + ",".join("a" * 65), "at most 64"),
    ],
)
def test_malformed_header_is_refused_and_says_why(packed, problem):
    with pytest.raises(ValueError, match=problem):
        unpacked({CONTEXT_HEADER: packed})


def test_longest_correlation_and_chain_allowed_are_taken():
    message = unpacked({CONTEXT_HEADER: f"- {'x' * 64} {','.join(['a'] * 64)}"})
    assert len(message.correlation) == 64
    assert len(message.chain) == 64


def test_event_published_outside_of_a_handler_has_no_headers():
    assert outgoing_context(None) is None


def test_event_published_by_a_handler_without_correlation_begins_one():
    message = Message("a", "b", deadline=5.0, chain=("x",))
    assert outgoing_context(message) == {CONTEXT_HEADER: f"- {message.correlation} -"}
    assert re.fullmatch("[0-9a-f]{16}", message.correlation)
    assert outgoing_context(message) == {CONTEXT_HEADER: f"- {message.correlation} -"}


def test_correlations_differ_also_where_a_program_seeds_its_random_numbers():
    made = set()
    for _ in range(2):
        random.seed(42)
        before = random.getstate()
        made |= {correlation_of(Message("a", "b")), correlation_of(Message("a", "b"))}
        assert random.getstate() == before
    assert len(made) == 4


@pytest.mark.parametrize(
    "trace",
    [
        "",
        "00-abc-def-01",
        TRACE.upper(),
        TRACE + "\r\nX: y",
        "ff" + TRACE[2:],
        TRACE.replace("f067aa0ba902b7", "0" * 14),
    ],
)
def test_malformed_trace_is_not_passed_on(trace):
    assert unpacked({"traceparent": trace}).correlation == ""
    assert "traceparent" not in pack_context(Message("c", "h", trace=trace), 0.0)


def test_event_carries_correlation_and_trace_but_nobody_waits_for_it():
    current = Message("a", "b", deadline=5.0, chain=("x",), correlation="7f", trace=TRACE)
    assert outgoing_context(current) == {CONTEXT_HEADER: "- 7f -", "traceparent": TRACE}


def test_event_carries_a_trace():
    message = Message("a", "b", trace=TRACE)
    assert outgoing_context(message) == {CONTEXT_HEADER: f"- {message.correlation} -", "traceparent": TRACE}
