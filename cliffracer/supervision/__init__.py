"""Who is restarted, when, with whom.

spec         child and supervisor specs: plain data, checked before anything starts
intensity    the restart window; pure
strategy     what happened -> what to do; pure, no clock, no await
supervisor   carries it out
"""
