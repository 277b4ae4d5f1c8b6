"""What every exception says and how it can be told apart."""

from inspect import isclass

import pytest

from cliffracer import errors
from cliffracer.errors import (
    CALL_ERRORS,
    ActorCrashed,
    CallError,
    CallTimeout,
    CliffracerError,
    DefinitionError,
    NoActor,
    NotRunning,
    Refusal,
    SettingsError,
    SpecError,
    TransportError,
    snake_case,
)

EXCEPTIONS = [value for value in vars(errors).values() if isclass(value) and issubclass(value, Exception)]


class OutOfStock(Refusal):
    """Takes its code from its name."""


class NoCredit(Refusal):
    """Sets its code itself."""

    code = "credit"


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        ("Inventory", "inventory"),
        ("OutOfStock", "out_of_stock"),
        ("HTTPError", "http_error"),
        ("ParseJSON", "parse_json"),
        ("Shard2Worker", "shard2_worker"),
        ("already_snake", "already_snake"),
        ("A", "a"),
        ("", ""),
    ],
)
def test_snake_case_splits_words_and_keeps_acronyms_whole(class_name, expected):
    assert snake_case(class_name) == expected


def test_every_exception_is_a_cliffracer_error():
    strangers = [cls.__name__ for cls in EXCEPTIONS if not issubclass(cls, CliffracerError)]
    assert len(EXCEPTIONS) > 25
    assert strangers == []


def test_every_exception_is_exported_by_its_module():
    assert sorted({cls.__name__ for cls in EXCEPTIONS} - set(errors.__all__)) == []


def test_code_of_a_refusal_is_its_class_name_in_snake_case():
    assert OutOfStock.code == "out_of_stock"


def test_code_of_a_refusal_can_be_set():
    assert NoCredit.code == "credit"


def test_code_that_a_refusal_sets_is_not_that_of_its_subclasses():
    class NoCreditAtAll(NoCredit):
        pass

    assert NoCreditAtAll.code == "no_credit_at_all"


def test_refusal_carries_message_and_data():
    refusal = OutOfStock("A1: 3 left", data={"left": 3})
    assert str(refusal) == "A1: 3 left"
    assert refusal.message == "A1: 3 left"
    assert refusal.data == {"left": 3}


def test_refusal_needs_neither_message_nor_data():
    refusal = Refusal()
    assert (str(refusal), refusal.message, refusal.data) == ("", "", None)
    assert Refusal.code == "refusal"


def test_call_error_names_its_target_first():
    error = NoActor("inventory.reserve", "no actor 'inventory' runs")
    assert str(error) == "inventory.reserve: no actor 'inventory' runs"
    assert (error.target, error.detail, error.incident) == ("inventory.reserve", "no actor 'inventory' runs", "")


def test_call_error_without_a_target_is_its_detail_alone():
    assert str(NoActor("", "nobody there")) == "nobody there"


def test_crash_carries_the_incident_but_does_not_put_it_into_the_text_twice():
    error = ActorCrashed("a.b", "it crashed; see incident 17", incident="17")
    assert error.incident == "17"
    assert str(error).count("17") == 1


def test_call_timeout_is_a_timeout_error():
    with pytest.raises(TimeoutError):
        raise CallTimeout("a.b", "no answer")


def test_table_of_wire_codes_holds_every_call_error():
    assert set(CALL_ERRORS.values()) == {cls for cls in EXCEPTIONS if issubclass(cls, CallError)} - {CallError}


def test_no_two_call_errors_share_a_wire_code():
    codes = [cls.code for cls in EXCEPTIONS if issubclass(cls, CallError)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("cls", CALL_ERRORS.values())
def test_each_call_error_says_itself_whether_a_retry_helps(cls):
    assert cls.retry in ("safe", "unsafe", "useless")
    assert 400 <= cls.status < 600
    assert "code" in cls.__dict__


def test_what_was_not_handled_is_safe_to_retry_and_what_may_have_been_is_not():
    by_retry = {
        retry: {cls.__name__ for cls in CALL_ERRORS.values() if cls.retry == retry} for retry in ("safe", "unsafe")
    }
    assert by_retry["safe"] == {"NoActor", "MailboxFull", "Stopping"}
    assert by_retry["unsafe"] == {"CallTimeout", "ActorCrashed", "Disconnected", "Upstream"}


def test_transport_errors_are_no_call_errors():
    both = [cls for cls in EXCEPTIONS if issubclass(cls, TransportError) and issubclass(cls, CallError)]
    assert both == []


def test_definition_error_is_a_type_error_that_shows_line_problem_and_fix():
    error = DefinitionError("shop.py:17", "Shop.open is no coroutine function.", "write 'async def open(self)'.")
    assert isinstance(error, TypeError)
    assert str(error).splitlines() == [
        "shop.py:17",
        "  Shop.open is no coroutine function.",
        "  Fix: write 'async def open(self)'.",
    ]
    assert (error.where, error.problem[:9], error.fix[:5]) == ("shop.py:17", "Shop.open", "write")


def test_spec_error_is_a_value_error_that_shows_problem_and_fix():
    error = SpecError("child 'a': restart='always'.", "use 'permanent'.")
    assert isinstance(error, ValueError)
    assert str(error).splitlines() == ["child 'a': restart='always'.", "  Fix: use 'permanent'."]
    assert (error.problem, error.fix) == ("child 'a': restart='always'.", "use 'permanent'.")


@pytest.mark.parametrize(("cls", "builtin"), [(SettingsError, ValueError), (NotRunning, RuntimeError)])
def test_error_can_be_caught_as_the_builtin_that_it_is_a_kind_of(cls, builtin):
    with pytest.raises(builtin):
        raise cls("...")
