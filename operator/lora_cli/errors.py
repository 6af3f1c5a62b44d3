"""What ends a command."""

from __future__ import annotations


class CommandError(Exception):
    """What the user asked for could not be done; the text says why and what to do."""
