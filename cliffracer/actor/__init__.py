"""One actor; knows no network and no supervisor.

actor      the class users write, its hooks, its options
handlers   @call @cast @event @every, and what a handler is once it is compiled
table      the handlers of a class, compiled and checked when the class is made
mailbox    the bounded queue in front of an actor; signals overtake messages
cell       the shell that survives restarts: name, mailbox, incarnation, statistics
loop       one incarnation: start, receive, stop
ref        what points to an actor, and the protocols it is reached through
timers     one clock for every deadline, tick and delay of a node
"""
