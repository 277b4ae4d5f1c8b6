"""Benchmarks: each figure with a control beside it; see README.md.

test_*.py       one question each, with what is to be reached
conftest.py     options, the fixture `compare`, the tables at the end
questions.py    what a question consists of
harness.py      runs one contender once, in processes of its own
process.py      such a process, as the test process sees it
worker.py       the same, from within
jobs.py         what the two say to each other
figures.py      from what was measured to ratios
costs.py        what is told in bytes and times, and not as a rate
environment.py  machine and versions
contenders/     who competes: a module for each and for each of its places, one function per role; and their partners
measuring/      clocks, counts and profiles, the same lines for every contender
profiles/       where the time went, as text
"""
