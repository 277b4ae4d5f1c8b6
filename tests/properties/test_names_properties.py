"""Subjects and patterns, for all inputs that hypothesis can think of."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cliffracer.names import is_name, matches, parse_pattern, subject_problem

# Few letters, so that tokens of a pattern and of a subject often are the same.
TOKENS = st.text("ab", min_size=1, max_size=2)
SUBJECTS = st.lists(TOKENS, min_size=1, max_size=5).map(".".join)
FIELDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@st.composite
def patterns(draw):
    tokens = draw(st.lists(TOKENS | st.just("*"), max_size=4))
    if draw(st.booleans()) or not tokens:
        tokens.append(">")
    return ".".join(tokens)


def matches_naively(pattern, subject):
    """NATS's rules, word for word, one token after the other."""
    match pattern, subject:
        case [], []:
            return True
        case [">"], [_, *_]:
            return True
        case ["*", *rest], [_, *others]:
            return matches_naively(rest, others)
        case [want, *rest], [got, *others]:
            return want == got and matches_naively(rest, others)
        case _:
            return False


@given(patterns(), SUBJECTS)
def test_pattern_matches_what_the_rules_of_nats_say(pattern, subject):
    assert matches(pattern, subject) == matches_naively(pattern.split("."), subject.split("."))


@given(SUBJECTS)
def test_subject_matches_itself_and_everything(subject):
    assert matches(subject, subject)
    assert matches(">", subject)


@given(SUBJECTS, st.data())
def test_subject_matches_each_pattern_that_is_made_from_it(subject, data):
    tokens = subject.split(".")
    starred = [token if data.draw(st.booleans()) else "*" for token in tokens]
    assert matches(".".join(starred), subject)
    cut = data.draw(st.integers(0, len(tokens) - 1))
    assert matches(".".join([*starred[:cut], ">"]), subject)


@given(patterns(), SUBJECTS)
def test_pattern_is_a_subscription_and_no_subject(pattern, subject):
    assert subject_problem(pattern, wildcards=True) is None
    assert subject_problem(subject) is None
    if "*" in pattern or ">" in pattern:
        assert subject_problem(pattern) is not None


@st.composite
def templates(draw):
    """A pattern with fields, as a list: what is in braces, wildcards, plain tokens."""
    names = draw(st.lists(FIELDS, unique=True, max_size=3))
    parts = [f"{{{name}}}" for name in names] + draw(st.lists(TOKENS | st.just("*"), max_size=3))
    assume(parts)
    return draw(st.permutations(parts)), draw(st.booleans())


@given(templates(), st.data())
def test_fields_put_into_a_pattern_are_extracted_from_its_subject(template, data):
    parts, open_end = template
    values, tokens = [], []
    for part in parts:
        token = data.draw(TOKENS) if part == "*" or part.startswith("{") else part
        tokens.append(token)
        if part.startswith("{"):
            values.append(token)
    if open_end:
        tokens += data.draw(st.lists(TOKENS, min_size=1, max_size=3))
    pattern = parse_pattern(".".join([*parts, ">"] if open_end else parts))
    subject = ".".join(tokens)
    assert matches(pattern.subject, subject)
    assert pattern.extract(subject) == tuple(values)
    assert [name for name, _ in pattern.fields] == [part[1:-1] for part in parts if part.startswith("{")]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=20) | st.text("ab.*>{} \n", max_size=10))
def test_any_text_is_a_pattern_to_subscribe_to_or_a_value_error(text):
    try:
        pattern = parse_pattern(text)
    except ValueError:
        return
    assert subject_problem(pattern.subject, wildcards=True) is None
    assert pattern.text == text


@given(st.text(max_size=70))
def test_every_name_is_a_subject_of_one_token_that_matches_no_other(text):
    if is_name(text):
        assert subject_problem(text) is None
        assert "." not in text
        assert matches("*", text)
    elif subject_problem(text) is None:
        # A subject that is no name has more tokens, or letters that ADR-32 does not know, or is too long.
        assert "." in text or len(text) > 64 or not text.isascii() or not text.replace("_", "").isalnum()


@pytest.mark.parametrize("newline", ["\n", "\r", "\r\n", "\x00", " "])
@given(SUBJECTS, SUBJECTS)
def test_nothing_that_ends_a_line_of_the_protocol_passes_as_a_subject(newline, left, right):
    for subject in (left + newline + right, left + newline, newline + right):
        assert subject_problem(subject) is not None
        assert subject_problem(subject, wildcards=True) is not None
        with pytest.raises(ValueError, match="white space"):
            parse_pattern(subject)
