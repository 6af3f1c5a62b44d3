"""The pure core: what was observed in, what to do out. No I/O, no clock; start reading at `decide`."""
