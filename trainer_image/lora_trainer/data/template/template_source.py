"""The chat template that a run uses: the model's or the user's own, with the user's arguments written into it.

Written into it, they are the defaults wherever the template is used: in training, and by every server that reads the
published tokenizer files. What a request to the server sets still wins.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

#: How templates ask for a variable that need not be there.
_ASKED_FOR = re.compile(
    r"(?<![.\w])([A-Za-z_]\w*)\s+is\s+(?:not\s+)?defined\b|(?<![.\w])([A-Za-z_]\w*)\s*\|\s*default\("
)


#: Names that mean something to Jinja itself wherever they stand.
_WORDS = frozenset(
    {
        *("and", "as", "block", "call", "elif", "else", "extends", "filter", "for", "from", "if", "import", "in"),
        *("include", "is", "loop", "macro", "not", "or", "recursive", "set", "with"),
        *("true", "True", "false", "False", "none", "None"),
    }
)


def with_arguments(source: str, arguments: Mapping[str, str]) -> str:
    """Write into a template the values of variables that nobody else gives; without arguments it stays as it is."""
    lines = [
        f"{{% set {name} = {name} if {name} is defined else {_literal(text)} %}}\n" for name, text in arguments.items()
    ]
    return "".join(lines) + source


def unread(source: str, arguments: Mapping[str, str]) -> str | None:
    """Find the first argument that the template never names; None: it names all of them."""
    names = (name for name in arguments if name in _WORDS or not re.search(rf"\b{re.escape(name)}\b", source))
    return next(names, None)


def asked_for(source: str) -> list[str]:
    """List the names of the variables that the template asks for and that need not be given, sorted."""
    return sorted(
        {first or second for first, second in _ASKED_FOR.findall(source)} - {"tools", "add_generation_prompt"}
    )


def _literal(text: str) -> str:
    """Write a value as Jinja does: `true`, `false` and numbers as such, everything else as a text."""
    try:
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        value = text
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
        value = text
    return json.dumps(value, ensure_ascii=False)
