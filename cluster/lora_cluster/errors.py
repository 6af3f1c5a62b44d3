"""The one error these packages show to a person, and how a command ends with it."""

import sys
from collections.abc import Callable


class ClusterError(Exception):
    """Something the user can act on; the message says what was wrong and what to do."""


def exit_code(command: Callable[[], None]) -> int:
    """Run a command; 0: done, 1: failed, with the error's message on standard error, 130: interrupted."""
    try:
        command()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
