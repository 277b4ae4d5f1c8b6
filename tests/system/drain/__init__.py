"""Does a replica that stops under load lose anything? `python -m tests.system.drain` counts.

run     one run: two replicas, a load, and one replica that stops in the middle
node    the process of a replica
load    the process that calls and publishes
"""
