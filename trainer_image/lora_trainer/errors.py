"""The one error type that reaches a user: what was wrong, where, what to do, and the exit code."""

from __future__ import annotations

from lora_contract.exit_codes import ExitCode
from lora_contract.outside import shorten

#: Longest message, name of a file with its line, or hint, in bytes.
_LONGEST_TEXT = 2000


class TrainerError(Exception):
    """A failure with words for the user. Anything else that escapes is a bug and ends as `INTERNAL`."""

    def __init__(self, exit_code: ExitCode, message: str, *, param: str | None = None, hint: str | None = None) -> None:
        """`param` names the field of the spec, or file and line; `hint` says what to do.

        All three may quote what others wrote: they are cut, and what is not printable becomes a space.
        """
        self.exit_code = exit_code
        self.message = shorten(message, _LONGEST_TEXT)
        self.param = param and shorten(param, _LONGEST_TEXT)
        self.hint = hint and shorten(hint, _LONGEST_TEXT)
        super().__init__(self.message)


def bad_data(message: str, *, param: str | None = None, hint: str | None = None) -> TrainerError:
    """Make the error for a dataset that must change."""
    return TrainerError(ExitCode.BAD_DATA, message, param=param, hint=hint)


def bad_config(message: str, *, param: str | None = None, hint: str | None = None) -> TrainerError:
    """Make the error for a spec that must change."""
    return TrainerError(ExitCode.BAD_CONFIG, message, param=param, hint=hint)


def unsupported(message: str, *, param: str | None = None, hint: str | None = None) -> TrainerError:
    """Make the error for what the model or the hardware cannot do."""
    return TrainerError(ExitCode.UNSUPPORTED, message, param=param, hint=hint)
