"""One process put together.

node       the public face: use, run as a process, heed signals
life       connect, start the tree, drain, stop, close
host       what surrounds the actors: clock, cells, way out, way in
registry   names -> cells, here
intake     what arrives from the transport -> mailboxes, and answers back
remote     refs to actors elsewhere
wire       how errors look on the wire
settings   one frozen struct; the only reader of the environment
"""
