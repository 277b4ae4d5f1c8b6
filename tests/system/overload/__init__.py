"""What becomes of 100,000 messages at a mailbox of 100? `python -m tests.system.overload` counts.

run     one run: a node, a flood, and calls meanwhile
node    the process of the node
flood   the process that casts and publishes
"""
