"""Who competes: one module each, one function per role; and what they share."""
