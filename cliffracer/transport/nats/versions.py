"""The versions of nats-py that the fast path is held to."""

__all__ = ["COVERED"]

COVERED = frozenset({"2.16.0"})
"""The versions with which the tests compare the fast path to nats-py's own; with any other it is not used."""
