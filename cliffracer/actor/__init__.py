"""One actor; knows no network and no supervisor.

actor         the class users write, its hooks
options       what its class line may say
handlers      @call @cast @event @every, and what a handler is once it is compiled
table         the handlers of a class, compiled and checked when the class is made
publications  what a class declares that it publishes
mailbox       the bounded queue in front of an actor; signals overtake messages
dead_letters  what was dropped, and who hears of that
cell          the shell that survives restarts: name, mailbox, incarnation, statistics
tally         what one handler has done so far
loop          one incarnation: start, receive, stop
faults        what an exception means: a crash, a force from outside, the end of the program
state         a copy of an actor's attributes in plain types
pool          several actors behind one name
ref           what points to an actor
host          what actors and refs need of the process around them, as protocols
links         links and monitors
nodes         what an actor hears of the other nodes
timers        one clock for every deadline, tick and delay of a node
"""
