"""Do messages arrive whole, in order and once, whatever happens to the connection? `python -m tests.system.soak` sees.

messages  numbered messages of all kinds, and what to look at when one arrives
sender    the process that sends them
run       one run: subscriptions, the sender, and connections that break meanwhile
"""
