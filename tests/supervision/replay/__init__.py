"""Replays traces that were recorded from the supervisor of Erlang/OTP against the supervisors of this project.

`python -m tests.supervision.replay FILE.jsonl` from the root of the repository; the data and its format are
described in `tests/supervision/otp/README.md`.

    scenario.py    reads the files
    scripts.py     what a child does: how its starts go, how it ends
    trees.py       makes the specs of this project out of those of a scenario
    reasons.py     why something ended, in the words of the traces and in ours
    harness.py     a node, and supervisors, that write down what happens
    requests.py    what is asked of a supervisor, and its answers
    world.py       one scenario: a tree, and the operations on it
    backends.py    trio and asyncio, on virtual time
    reports.py     what the log says, in the words of OTP's reports
    compare.py     is it the same?
    order.py       is it the same, where part of the order is open?
    excepted.py    where it is not meant to be
"""
