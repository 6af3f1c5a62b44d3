"""Gather, decide, act, write the status: `loop.py` is the loop, the other modules say what differs by resource."""
