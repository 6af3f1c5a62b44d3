"""The one error this package shows to a person."""


class ClusterError(Exception):
    """Something the user can act on; the message says what was wrong and what to do."""
