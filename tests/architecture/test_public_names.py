"""The public names: sorted, documented, and complete; the map of the errors agrees with the errors."""

import inspect
import re
import types

import nats.errors
import pytest

import cliffracer
from cliffracer import errors
from cliffracer.errors import CallError, CliffracerError
from cliffracer.transport.nats.client import MAPPED_ERRORS

# A user meets these as a CallError, or not at all.
INSIDE = {
    "NoResponders",
    "NotPermitted",
    "NotConnected",
    "OutboundFull",
    "PayloadTooLarge",
    "RequestTimeout",
    "Retry",
    "TransportError",
}

# What nats-py cannot raise out of the calls that transport/nats makes, and why.
CANNOT_COME = {
    "AuthorizationError": "while connecting, where it is handled by name; later on it goes to the error callback",
    "BadSubscriptionError": "of unsubscribing and draining by a Subscription, which is never done",
    "BadTimeoutError": "the time-out of `flush` is a constant above zero",
    "DrainTimeoutError": "of `drain`, which is never called",
    "Error": "while connecting, where it is caught; otherwise it is but the base of the others",
    "InvalidCallbackTypeError": "the callbacks of `connect` are coroutine functions",
    "InvalidUserCredentialsError": "while connecting, where it is caught as an Error",
    "JsonParseError": "never raised by nats-py",
    "MsgAlreadyAckdError": "of JetStream",
    "NoRespondersError": "of `request`, which is never called",
    "NoServersError": "while connecting, where it is caught as an Error",
    "NotJSMessageError": "of JetStream",
    "ProtocolError": "of the read loop, which reconnects",
    "SecureConnFailedError": "never raised by nats-py",
    "SecureConnRequiredError": "never raised by nats-py",
    "SecureConnWantedError": "never raised by nats-py",
    "ServerNotInPoolError": "of choosing a server by hand, which is never done",
    "SlowConsumerError": "of the queues that are bypassed",
    "StaleConnectionError": "of the read loop, which reconnects",
    "TimeoutError": "of `request`, `rtt` and `next_msg`, which are never called",
    "UnexpectedEOF": "of the read loop, which reconnects",
}


def test_public_names_are_sorted():
    assert cliffracer.__all__ == sorted(cliffracer.__all__)


def test_public_names_are_there_and_none_is_listed_twice():
    assert len(set(cliffracer.__all__)) == len(cliffracer.__all__)
    assert [name for name in cliffracer.__all__ if not hasattr(cliffracer, name)] == []


def test_what_can_be_reached_at_the_top_is_listed_or_a_module():
    reachable = {
        name
        for name, value in vars(cliffracer).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert reachable == set(cliffracer.__all__) - {"__version__"}


@pytest.mark.parametrize("name", sorted(set(cliffracer.__all__) - {"__version__", "Exit"}))
def test_public_name_is_documented(name):
    text = getattr(cliffracer, name).__doc__  # of a class: its own, never that of its base
    assert text
    first, *_ = text.splitlines()
    assert len(first) > 10
    assert first.endswith((".", ":"))


@pytest.mark.parametrize("name", sorted(set(cliffracer.__all__) - {"__version__", "Exit"}))
def test_what_a_user_can_call_on_a_public_class_is_documented(name):
    value = getattr(cliffracer, name)
    undocumented = [
        attribute
        for attribute, member in (vars(value).items() if inspect.isclass(value) else ())
        if not attribute.startswith("_")
        and (callable(member) or isinstance(member, property | classmethod))
        and not inspect.getdoc(member)
    ]
    assert undocumented == []


def test_version_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab.].*)?", cliffracer.__version__)


# Errors


def test_every_error_that_a_user_can_meet_is_public():
    assert set(errors.__all__) - set(cliffracer.__all__) == INSIDE


def family_in_the_docstring():
    """Read the tree at the top of errors.py: name, parent, retry, and the built-in it is a kind of, too."""
    above = []
    for line in errors.__doc__.splitlines():
        drawn = re.fullmatch(r"([│├└─ ]*)([A-Z]\w+)(?: +(.*))?", line)
        if drawn is None or (not drawn[1] and drawn[2] != "CliffracerError"):
            continue
        depth = len(drawn[1]) // 4
        del above[depth:]
        words = (drawn[3] or "").split()
        retry = words[0] if words and words[0] in ("safe", "unsafe", "useless") else None
        also = re.search(r"\(also a (\w+)\)", drawn[3] or "")
        yield drawn[2], above[-1] if above else None, retry, also[1] if also else None
        above.append(drawn[2])


def test_family_tree_at_the_top_of_the_file_is_that_of_the_classes():
    drawn = {name: parent for name, parent, _, _ in family_in_the_docstring()}
    classes = {
        cls.__name__: None if cls is CliffracerError else cls.__bases__[0].__name__
        for cls in vars(errors).values()
        if inspect.isclass(cls) and issubclass(cls, CliffracerError)
    }
    assert len(classes) > 25
    assert drawn == classes


def test_family_tree_says_which_errors_are_safe_to_retry():
    drawn = {name: retry for name, parent, retry, _ in family_in_the_docstring() if parent == "CallError"}
    assert drawn == {cls.__name__: cls.retry for cls in CallError.__subclasses__() if cls.__module__ == errors.__name__}


def test_family_tree_says_which_builtin_an_error_is_too():
    drawn = {name: also for name, _, _, also in family_in_the_docstring() if also}
    assert drawn == {
        name: getattr(errors, name).__bases__[1].__name__
        for name, parent, _, _ in family_in_the_docstring()
        if parent == "CliffracerError" and len(getattr(errors, name).__bases__) > 1
    }


# nats-py's errors


def test_every_error_of_nats_py_is_mapped_or_cannot_come():
    theirs = {
        name for name, value in vars(nats.errors).items() if inspect.isclass(value) and issubclass(value, Exception)
    }
    mapped = {cls.__name__ for cls in MAPPED_ERRORS}
    assert mapped & set(CANNOT_COME) == set()
    assert theirs == mapped | set(CANNOT_COME)


@pytest.mark.parametrize(("theirs", "ours"), MAPPED_ERRORS.items(), ids=lambda cls: cls.__name__)
def test_errors_of_nats_py_become_ours_or_a_value_error(theirs, ours):
    assert issubclass(theirs, nats.errors.Error)
    assert issubclass(ours, errors.TransportError) or ours is ValueError
    # The first class that matches decides nothing: each is looked up by its own type.
    assert MAPPED_ERRORS[theirs] is ours
