"""Why an actor ended: what counts as clean, and how it reads in a line of the log."""

import msgspec
import pytest

from cliffracer.exits import Crashed, Exit, Killed, Normal, Shutdown, is_clean, summary_of

ALL = [Normal(), Shutdown(), Shutdown("drained"), Killed(), Crashed("KeyError: 'A1'", "1f0c")]


@pytest.mark.parametrize(
    ("reason", "clean"),
    [
        (Normal(), True),
        (Shutdown(), True),
        (Shutdown("why not"), True),
        (Killed(), False),
        (Crashed("KeyError: 'A1'", "1f0c"), False),
    ],
)
def test_normal_and_shutdown_are_clean_and_nothing_else_is(reason, clean):
    assert is_clean(reason) is clean


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Normal(), "normal"),
        (Shutdown(), "shutdown"),
        (Shutdown("drained"), "shutdown: drained"),
        (Killed(), "killed"),
        (Crashed("KeyError: 'A1'", "1f0c"), "crashed: KeyError: 'A1' (incident 1f0c)"),
    ],
)
def test_exit_reads_as_words(reason, text):
    assert str(reason) == text


@pytest.mark.parametrize("reason", ALL)
def test_exit_is_a_value(reason):
    assert reason == type(reason)(*[getattr(reason, field) for field in reason.__struct_fields__])
    assert [other for other in ALL if other == reason] == [reason]
    assert hash(reason) == hash(msgspec.structs.replace(reason))


def test_exit_cannot_be_changed():
    reason = Shutdown("drained")
    with pytest.raises(AttributeError):
        reason.detail = "not drained"


@pytest.mark.parametrize("reason", ALL)
def test_exit_can_be_sent_and_is_told_apart_on_arrival(reason):
    assert msgspec.json.decode(msgspec.json.encode(reason), type=Exit) == reason


def test_summary_is_type_and_text():
    assert summary_of(ValueError("no such sku")) == "ValueError: no such sku"


def test_summary_without_a_text_is_the_type():
    assert summary_of(ValueError()) == "ValueError"


def test_summary_is_one_line():
    assert summary_of(ValueError("first\n  second\tthird")) == "ValueError: first second third"


def test_summary_of_a_group_of_one_is_that_of_what_it_holds():
    inner = KeyError("A1")
    assert summary_of(ExceptionGroup("tasks", [ExceptionGroup("more tasks", [inner])])) == "KeyError: 'A1'"


def test_summary_of_a_group_of_several_is_its_own():
    text = summary_of(ExceptionGroup("tasks", [KeyError("A1"), ValueError("B2")]))
    assert text.startswith("ExceptionGroup: tasks")


def test_summary_of_an_exception_that_cannot_tell_its_text_is_its_type():
    class NeverInitialised(Exception):
        def __str__(self):
            return f"{self.missing}"

    assert summary_of(NeverInitialised()).startswith("NeverInitialised")
