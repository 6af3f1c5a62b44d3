"""The `prepare` stage; imports no torch."""
