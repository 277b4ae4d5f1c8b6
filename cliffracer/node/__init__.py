"""One process put together.

node        the public face: use, run as a process, heed signals
life        connect, start the tree, drain, stop, close
host        what surrounds the actors: clock, cells, way out, way in
registry    names -> cells, here
control     what can be done to what runs here
connection  the connection to the broker, as a child of the node
intake      what arrives from the transport -> mailboxes
replies     answers to whoever asked over the transport, and where they may go
remote      refs to actors elsewhere
wire        how errors look on the wire
peers       the other nodes: who is there, who has joined, who has gone
monitors    monitors of actors on other nodes
inspect     the live tree as data
micro       the NATS service protocol
settings    one frozen struct; the only reader of the environment
watchdog    a thread that sees what a blocked event loop cannot
bucket      many at once now and then, but not all the time
"""
