"""Who competes, and with whom they work.

ours_*.py, control_*.py, peer_*.py        one function per role
publisher.py, subscriber.py, caller.py    partners in processes of their own, the same for every side
values.py                                 what travels
client.py, bare_socket.py, ours_node.py   what several of them share
witness.py                                hears which headers a handler passes on
"""
