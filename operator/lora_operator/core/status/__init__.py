"""The conditions and the status that a decision gives."""
