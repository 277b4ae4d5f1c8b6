"""Names, subjects and patterns: what is one, and what is not."""

import pytest

from cliffracer.names import (
    Pattern,
    is_address,
    is_name,
    is_namespace,
    matches,
    overlap,
    parse_pattern,
    subject_problem,
)


@pytest.mark.parametrize("text", ["a", "inventory", "Inventory-2", "_x", "7", "a" * 64])
def test_letters_digits_underscores_and_dashes_make_a_name(text):
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "a" * 65, "a.b", "a b", "a\n", "*", ">", "a*", "{a}", "größe", "a/b", "$SRV"])
def test_anything_else_makes_none(text):
    assert not is_name(text)


@pytest.mark.parametrize(
    ("text", "reachable"), [("inventory", True), ("7", True), ("_inventory", False), ("a.b", False)]
)
def test_address_is_a_name_that_could_not_be_an_inbox(text, reachable):
    assert is_address(text) is reachable


@pytest.mark.parametrize("value", [None, 7, b"inventory", ["inventory"]])
def test_what_is_no_text_is_no_name(value):
    assert not is_name(value)


@pytest.mark.parametrize("text", ["eu", "eu.prod", "a.b.c"])
def test_names_joined_by_dots_make_a_namespace(text):
    assert is_namespace(text)


@pytest.mark.parametrize("text", ["", ".", "eu.", ".eu", "_eu", "eu..prod", "eu.*", "eu prod"])
def test_other_texts_make_no_namespace(text):
    assert not is_namespace(text)


@pytest.mark.parametrize("subject", ["a", "orders.17.cancelled", "$SRV.PING", "größe.m", "a-b._c"])
def test_subject_of_non_empty_tokens_is_fine(subject):
    assert subject_problem(subject) is None


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("", "empty"),
        ("a b", "white space"),
        ("a\tb", "white space"),
        ("a\r\nPUB b", "white space"),
        ("a\x00b", "control character"),
        ("a\x7fb", "control character"),
        ("a..b", "empty token"),
        (".a", "empty token"),
        ("a.", "empty token"),
        ("a.*", "'*' holds a wildcard"),
        ("a.>", "'>' holds a wildcard"),
        ("a.b*", "'b*' holds a wildcard"),
    ],
)
def test_subject_that_cannot_be_published_to_says_why(subject, problem):
    assert problem in (subject_problem(subject) or "")


@pytest.mark.parametrize("subject", ["*", ">", "a.*", "a.*.c", "*.*", "a.>", "*.>"])
def test_wildcards_are_fine_in_a_subscription(subject):
    assert subject_problem(subject, wildcards=True) is None


@pytest.mark.parametrize(
    ("subject", "problem"),
    [
        ("a.>.b", "not its last token"),
        (">.>", "not its last token"),
        ("a.b*", "'b*'"),
        ("a.b>", "'b>'"),
        ("**", "'**'"),
    ],
)
def test_wildcard_is_a_whole_token_and_the_greater_sign_is_the_last(subject, problem):
    assert problem in (subject_problem(subject, wildcards=True) or "")


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        ("a.b", "a.b"),
        ("a.*", "a.b"),
        ("*.b", "a.b"),
        ("*.*", "a.b"),
        ("a.*.c", "a.b.c"),
        (">", "a"),
        (">", "a.b.c"),
        ("a.>", "a.b"),
        ("a.>", "a.b.c"),
        ("*.b.>", "a.b.c.d"),
    ],
)
def test_pattern_matches(pattern, subject):
    assert matches(pattern, subject)


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        ("a.b", "a"),
        ("a.b", "a.b.c"),
        ("a.b", "a.B"),
        ("*", "a.b"),
        ("a.*", "a"),
        ("a.*", "a.b.c"),
        ("a.>", "a"),
        ("a.>", "b.c"),
        ("a.*.>", "a.b"),
    ],
)
def test_pattern_does_not_match(pattern, subject):
    assert not matches(pattern, subject)


def test_field_becomes_a_wildcard_and_remembers_its_place():
    assert parse_pattern("orders.{order_id}.cancelled") == Pattern(
        text="orders.{order_id}.cancelled", subject="orders.*.cancelled", fields=(("order_id", 1),)
    )


def test_fields_are_read_back_from_a_subject_in_their_order():
    pattern = parse_pattern("{region}.orders.{order_id}.>")
    assert pattern.subject == "*.orders.*.>"
    assert pattern.extract("eu.orders.17.lines.3") == ("eu", "17")


def test_pattern_without_fields_extracts_nothing():
    pattern = parse_pattern("orders.*.cancelled")
    assert pattern.fields == ()
    assert pattern.extract("orders.17.cancelled") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("orders.", "empty token"),
        ("orders.{}", "a field is a whole token"),
        ("orders.{2}", "a field is a whole token"),
        ("orders.x{id}", "a field is a whole token"),
        ("orders.{id", "a field is a whole token"),
        ("orders.{order-id}", "a field is a whole token"),
        ("orders.{größe}", "a field is a whole token"),
        ("orders.>.{id}", "not its last token"),
        ("or ders.{id}", "white space"),
        ("{id}.{id}", "'id' stands in it twice"),
    ],
)
def test_text_that_is_no_pattern_says_why(text, problem):
    with pytest.raises(ValueError, match=problem.replace("*", r"\*")):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("orders", "orders"), ("orders.*", "orders.7"), ("orders.*.x", "orders.7.*"), ("*.*", "a.b"), ("*", "*")],
)
def test_subscriptions_that_one_subject_can_match_overlap(one, other):
    assert overlap(one, other)
    assert overlap(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("orders", "prices"), ("orders.*", "orders"), ("orders.*.x", "orders.*.y"), ("*", "*.*")]
)
def test_subscriptions_that_no_subject_can_both_match_do_not_overlap(one, other):
    assert not overlap(one, other)
    assert not overlap(other, one)
