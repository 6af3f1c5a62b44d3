"""The trainer beside the well-known recipe and TRL: speed, memory, loss."""
