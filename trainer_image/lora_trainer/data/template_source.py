"""The chat template that a run uses: the model's or the user's own, with the user's arguments written into it.

Written into it, they are the defaults wherever the template is used: in training, and by every server that reads the
published tokenizer files. What a request to the server sets still wins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping


def with_arguments(source: str, arguments: Mapping[str, str]) -> str:
    """A template whose variables have values where nobody gives others; without arguments it stays as it is."""
    lines = [
        f"{{% set {name} = {name} if {name} is defined else {_literal(text)} %}}\n" for name, text in arguments.items()
    ]
    return "".join(lines) + source


def _literal(text: str) -> str:
    """A value as Jinja writes it: `true`, `false` and numbers as such, everything else as a text."""
    try:
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        value = text
    if not isinstance(value, bool | int | float | str):
        value = text
    return json.dumps(value, ensure_ascii=False)
