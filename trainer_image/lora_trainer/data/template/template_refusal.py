"""What a chat template raises on a conversation, in words."""

from __future__ import annotations

import jinja2

from lora_trainer.data.guard import CpuTimeExceeded

_LONGEST_PROBLEM = 300


class TemplateRefusal(Exception):  # noqa: N818 - a verdict of the template on a row
    """The template raised an error on a conversation."""

    def __init__(self, problem: str, *, line: int | None = None, of_row: bool = False) -> None:
        """`line` is one of the template; `of_row`: it refuses this conversation on purpose and may accept others."""
        super().__init__(problem if line is None else f"{problem} (line {line} of the template)")
        self.of_row = of_row


def of(error: Exception) -> TemplateRefusal:
    """Turn an error inside a template into the refusal that it means for the conversation."""
    # `raise_exception` of transformers raises this very class; jinja raises more special ones.
    of_row = type(error) is jinja2.TemplateError
    if isinstance(error, MemoryError):
        problem = "needs more memory than a row may take"
    elif isinstance(error, RecursionError):
        problem = "calls itself without end"
    elif of_row or isinstance(error, jinja2.TemplateError | CpuTimeExceeded):
        problem = str(error)
    else:
        problem = f"{type(error).__name__}: {error}"
    return TemplateRefusal(problem[:_LONGEST_PROBLEM], line=_line(error), of_row=of_row)


def _line(error: Exception) -> int | None:
    """Find the line of the template at which an error arose; jinja puts its lines into the stack trace."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
