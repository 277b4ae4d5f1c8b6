"""Benchmarks: each figure with a control beside it; see README.md.

test_*.py      one question each
conftest.py    options, the fixture `compare`, the table at the end
harness.py     runs one contender once, in processes of its own
figures.py     from what was measured to ratios
costs.py       what is told in bytes and microseconds, and not as a rate
jobs.py        what the test process and a contender's process say to each other
worker.py      the contender's process
contenders/    who competes: one module each, one function per role
"""
