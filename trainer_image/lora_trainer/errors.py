"""The one error type that reaches a user: what was wrong, where, what to do, and the exit code."""

from __future__ import annotations

from lora_contract.exit_codes import ExitCode


class TrainerError(Exception):
    """A failure with words for the user. Anything else that escapes is a bug and ends as `INTERNAL`."""

    def __init__(self, exit_code: ExitCode, message: str, *, param: str | None = None, hint: str | None = None) -> None:
        """`param` names the field of the spec, or file and line; `hint` says what to do."""
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.param = param
        self.hint = hint


def bad_data(message: str, *, param: str | None = None, hint: str | None = None) -> TrainerError:
    """The dataset must change."""
    return TrainerError(ExitCode.BAD_DATA, message, param=param, hint=hint)


def bad_config(message: str, *, param: str | None = None, hint: str | None = None) -> TrainerError:
    """The spec must change."""
    return TrainerError(ExitCode.BAD_CONFIG, message, param=param, hint=hint)


def unsupported(message: str, *, param: str | None = None, hint: str | None = None) -> TrainerError:
    """The model or the hardware cannot do this."""
    return TrainerError(ExitCode.UNSUPPORTED, message, param=param, hint=hint)
