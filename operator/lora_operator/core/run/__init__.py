"""A run while it is decided about, what may be decided, and the limits of time."""
