"""Loggers: readable on a terminal, JSON elsewhere, and nothing of it process-wide."""

import io
import json
import logging

import pytest
import structlog

from cliffracer.envelope import Message, current_message
from cliffracer.observe.logs import Throttle, make_logger


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self):
        return True


def json_lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def correlated():
    token = current_message.set(Message("inventory", "reserve", correlation="7f3a-2b"))
    yield
    current_message.reset(token)


def crash():
    raise KeyError("A1")


def test_json_line_carries_event_level_time_and_fields(stream):
    make_logger(form="json", stream=stream).warning("child_restarting", child="inventory", restarts=2)
    (line,) = json_lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "child_restarting", "level": "warning", "child": "inventory", "restarts": 2}


def test_console_line_is_for_people(stream):
    make_logger(form="console", stream=stream).info("child_started", child="inventory")
    text = stream.getvalue()
    assert "child_started" in text
    assert "child=inventory" in text
    assert not text.startswith("{")


def test_console_is_colourless_where_there_is_no_terminal(stream):
    make_logger(form="console", stream=stream).error("actor_crashed", error="KeyError")
    assert "\x1b" not in stream.getvalue()


def test_console_is_coloured_on_a_terminal():
    terminal = Terminal()
    make_logger(form="console", stream=terminal).error("actor_crashed", error="KeyError")
    assert "\x1b" in terminal.getvalue()


def test_form_is_json_by_itself_where_there_is_no_terminal(stream):
    make_logger(stream=stream).info("node_started")
    assert json_lines(stream)[0]["event"] == "node_started"


def test_form_is_console_by_itself_on_a_terminal():
    terminal = Terminal()
    make_logger(stream=terminal).info("node_started")
    assert "node_started" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_lines_go_to_standard_error_by_default(capsys):
    make_logger(form="json").info("node_started")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "node_started"


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("warning", ["warning", "error", "critical"]),
        ("error", ["error", "critical"]),
        ("critical", ["critical"]),
    ],
)
def test_what_is_below_the_level_is_not_logged(stream, level, heard):
    log = make_logger(level, "json", stream)
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(log, name)("something_happened")
    assert [line["level"] for line in json_lines(stream)] == heard


def test_bound_fields_are_on_every_line(stream):
    log = make_logger(form="json", stream=stream).bind(node="n1").bind(actor="inventory")
    log.info("first")
    log.info("second")
    assert [(line["node"], line["actor"]) for line in json_lines(stream)] == [("n1", "inventory")] * 2


def test_correlation_of_the_message_in_hand_is_added(stream, correlated):
    make_logger(form="json", stream=stream).info("stock_report")
    assert json_lines(stream)[0]["correlation"] == "7f3a-2b"


def test_correlation_that_the_line_brings_itself_wins(stream, correlated):
    make_logger(form="json", stream=stream).info("stock_report", correlation="mine")
    assert json_lines(stream)[0]["correlation"] == "mine"


def test_no_correlation_without_a_message_in_hand(stream):
    make_logger(form="json", stream=stream).info("stock_report")
    assert "correlation" not in json_lines(stream)[0]


def test_line_of_a_message_without_a_correlation_begins_one(stream):
    message = Message("inventory", "on_start")
    token = current_message.set(message)
    try:
        make_logger(form="json", stream=stream).info("stock_report")
    finally:
        current_message.reset(token)
    assert json_lines(stream)[0]["correlation"] == message.correlation != ""


@pytest.mark.parametrize("form", ["json", "console"])
def test_traceback_of_an_exception_is_shown(stream, form):
    log = make_logger(form=form, stream=stream)
    try:
        crash()
    except KeyError as error:
        log.error("actor_crashed", exc_info=error)
    assert "Traceback (most recent call last)" in stream.getvalue()
    assert "in crash" in stream.getvalue()
    assert "KeyError: 'A1'" in stream.getvalue()


def test_traceback_in_json_is_part_of_the_one_line(stream):
    log = make_logger(form="json", stream=stream)
    try:
        crash()
    except KeyError as error:
        log.error("actor_crashed", exc_info=error)
    assert len(stream.getvalue().splitlines()) == 1
    assert "in crash" in json_lines(stream)[0]["exception"]


def test_value_that_json_does_not_know_is_shown_as_text(stream):
    make_logger(form="json", stream=stream).info("stock_report", stock={"skus": {"A1"}}, reason=ValueError("x"))
    assert json_lines(stream)[0]["stock"] == {"skus": "{'A1'}"}


def test_keys_that_json_does_not_know_do_not_make_logging_fail(stream):
    make_logger(form="json", stream=stream).info("stock_report", stock={("A1", "red"): 2})
    assert "red" in stream.getvalue()


def test_value_without_a_text_does_not_make_logging_fail(stream):
    class Silent:
        def __str__(self):
            raise RuntimeError("no words")

    make_logger(form="json", stream=stream).info("stock_report", stock=Silent())
    assert json_lines(stream)[0]["event"] == "stock_report"


def test_making_and_using_a_logger_configures_nothing_process_wide(stream):
    processors = list(structlog.get_config()["processors"])
    before = {**structlog.get_config(), "processors": processors}
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    make_logger("debug", "json", stream).debug("node_started")
    make_logger("error", "console", stream).error("node_failed")
    assert structlog.get_config() == before
    assert not structlog.is_configured()
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == (handlers, level)


def test_two_loggers_do_not_see_each_other():
    first, second = io.StringIO(), io.StringIO()
    quiet, loud = make_logger("error", "json", first), make_logger("debug", "json", second)
    for log in (quiet, loud):
        log.debug("something_happened")
    assert first.getvalue() == ""
    assert len(json_lines(second)) == 1


def test_throttle_lets_one_line_through_in_its_time():
    now = [100.0]
    throttle = Throttle(1.0, lambda: now[0])
    passed = []
    for now[0] in (100.0, 100.5, 100.99, 101.0, 101.5, 103.0, 103.5):
        passed.append((now[0], throttle.ready()))
    assert [time for time, ready in passed if ready] == [100.0, 101.0, 103.0]


def test_throttle_lets_the_very_first_line_through_whatever_the_clock_says():
    assert Throttle(1.0, lambda: -1e6).ready()


def test_throttles_count_each_for_itself():
    def clock():
        return 5.0

    first, second = Throttle(1.0, clock), Throttle(1.0, clock)
    assert first.ready()
    assert second.ready()
    assert not first.ready()


class Gone:
    """A stream whose other end is closed."""

    def write(self, text):
        raise OSError("No space left on device")

    def flush(self):
        raise ValueError("I/O operation on closed file")

    def isatty(self):
        return False


@pytest.mark.parametrize("form", ["console", "json"])
def test_stream_that_takes_nothing_more_does_not_make_logging_fail(form):
    make_logger(form=form, stream=Gone()).error("actor_crashed", error="x")
