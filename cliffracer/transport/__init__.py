"""Bytes between nodes; has never heard of actors.

contract   what a transport is
local      in this process: the same subjects, queue groups and wildcards as NATS
nats/      over a NATS server, by nats-py
server     a nats-server of one's own, for development and tests
"""
