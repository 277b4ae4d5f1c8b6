"""One process put together.

node       start, run, drain, stop
registry   names -> cells, here
intake     what arrives from the transport -> mailboxes, and answers back
remote     refs to actors elsewhere
wire       how errors look on the wire
settings   one frozen struct; the only reader of the environment
"""
