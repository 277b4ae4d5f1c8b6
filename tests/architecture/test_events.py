"""What is logged is listed, with its fields; what is listed is logged."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import cliffracer
from cliffracer.observe.events import EVENTS

PACKAGE = Path(cliffracer.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGERS = {"log", "_log"}
NO_FIELD = {"exc_info"}  # says how to log, and is no field


class Logged(NamedTuple):
    where: str
    event: str
    fields: frozenset[str]


def is_log_method(node):
    """Tell whether an expression is `log.info`, `self._log.error`, `self._host.log.warning` and so on."""
    if not (isinstance(node, ast.Attribute) and node.attr in LEVELS):
        return False
    owner = node.value
    return (isinstance(owner, ast.Attribute) and owner.attr in LOGGERS) or (
        isinstance(owner, ast.Name) and owner.id in LOGGERS
    )


def assigned_in(function):
    """Return what is assigned to each local name of a function, the last one counts."""
    return {
        target.id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def logs(node, local):
    """Tell whether a call is one that logs: by a logger's method, or by a local name that holds one."""
    if isinstance(node.func, ast.Name):
        return any(is_log_method(part) for part in ast.walk(local.get(node.func.id, ast.Pass())))
    return is_log_method(node.func)


def fields_of(node, local):
    for keyword in node.keywords:
        if keyword.arg is not None:
            yield keyword.arg
        else:  # **facts, where facts is a dictionary written out beside it
            facts = keyword.value
            facts = local[facts.id] if isinstance(facts, ast.Name) else facts
            assert isinstance(facts, ast.Dict), ast.unparse(keyword.value)
            yield from (key.value for key in facts.keys if isinstance(key, ast.Constant))


def scan():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            local = assigned_in(function)
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and logs(node, local):
                    where = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                    assert isinstance(node.args[0], ast.Constant), f"{where}: the name of an event is written out"
                    fields = frozenset(fields_of(node, local)) - NO_FIELD
                    found.append(Logged(where, node.args[0].value, fields))
    return found


LOGGED = scan()


@cache
def bound_fields():
    """Return the names of all fields that are bound to a logger anywhere."""
    return {
        keyword.arg
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "bind"
        for keyword in node.keywords
    }


def test_scan_sees_what_a_search_for_the_words_sees():
    # An event's name anywhere in the code is a line that the scan has understood.
    spelled = {
        event
        for path in PACKAGE.rglob("*.py")
        if path.name != "events.py"
        for event in EVENTS
        if re.search(rf'"{event}"', path.read_text())
    }
    assert spelled == {line.event for line in LOGGED} & set(EVENTS)
    assert len(LOGGED) > 15


@pytest.mark.parametrize("line", LOGGED, ids=lambda line: f"{line.where}-{line.event}")
def test_line_is_listed_with_its_fields(line):
    assert line.event in EVENTS, f"{line.where} logs {line.event!r}; add it to observe/events.py"
    assert line.fields <= set(EVENTS[line.event]), f"{line.where} logs fields that observe/events.py does not list"


@pytest.mark.parametrize("event", EVENTS)
def test_listed_event_is_logged_with_every_field_that_is_listed(event):
    lines = [line for line in LOGGED if line.event == event]
    assert lines, f"nobody logs {event!r}"
    for line in lines:
        assert set(EVENTS[event]) - line.fields <= bound_fields(), f"{line.where} leaves out a field"


@pytest.mark.parametrize("event", EVENTS)
def test_event_is_named_by_what_happened_to_whom(event):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", event)
    assert len(set(EVENTS[event])) == len(EVENTS[event])
