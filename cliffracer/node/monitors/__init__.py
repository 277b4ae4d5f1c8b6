"""Monitors of actors on other nodes.

words       what is said about them, and on which subjects
theirs      what other nodes monitor here
monitors    what this node monitors elsewhere, and the child that sees to both
"""

from cliffracer.node.monitors.monitors import Monitors
from cliffracer.node.monitors.words import MONITOR

__all__ = ["MONITOR", "Monitors"]
