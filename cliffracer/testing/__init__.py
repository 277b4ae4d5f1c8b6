"""For tests of services that are built on this package.

    virtual_time   a clock that jumps, for asyncio and trio
    node           TestNode: a tree without a server, whose log is data
    probe          Probe: stands in for an actor; keeps what it gets, and answers as the test says
    transport      FaultyTransport: a line that can be cut, and on which messages suffer
    faults         Faults: which of them are lost, late, doubled, out of order

and behind that

    logs           a log that is data
    rules          what becomes of one message
    lane           what is held back, and in which order it goes on
    later          timers of whichever event loop runs

It needs the base packages alone; neither pytest nor trio.
"""

from cliffracer.testing.faults import Faults
from cliffracer.testing.node import TestNode, settle_all
from cliffracer.testing.probe import Heard, Probe, ProbeMessage
from cliffracer.testing.rules import Crossing, Fault
from cliffracer.testing.transport import FaultStatistics, FaultyTransport
from cliffracer.testing.virtual_time import JumpingLoop, virtual_time

__all__ = [
    "Crossing",
    "Fault",
    "FaultStatistics",
    "Faults",
    "FaultyTransport",
    "Heard",
    "JumpingLoop",
    "Probe",
    "ProbeMessage",
    "TestNode",
    "settle_all",
    "virtual_time",
]
