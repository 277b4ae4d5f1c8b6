"""Clocks, counts and profiles, in a contender's process: every contender is measured by the same lines."""
