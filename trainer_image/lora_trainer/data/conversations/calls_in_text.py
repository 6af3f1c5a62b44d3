"""Calls of tools that an answer writes as text, as the published data of other tools have them.

Such an answer would be learned letter by letter, in a form that the chat template does not write and no server reads as
a call; it would be held against no schema; and a model that calls the tool would count as wrong.
"""

from __future__ import annotations

import re

from lora_trainer.data.rows import BadRow, Conversation

#: What formats of calls begin with: Hermes and Qwen, Glaive, Mistral, Llama.
_MARKS = re.compile(r"<tool_call>|<function_?call>|<function=|\[TOOL_CALLS\]|<\|python_tag\|>")
#: The name of a call as JSON has it, or Python: {'name': 'f', ...}.
_NAMED = re.compile(r"""["']name["']\s*:\s*["']([^"']{1,200})["']""")
_ARGUMENTS = re.compile(r"""["'](?:arguments|parameters)["']\s*:""")
#: A list of calls as Python and the chat templates of Llama 4 write it: [f(a=1), g()].
_AS_PYTHON = re.compile(r"\[\s*([\w.-]{1,200})\(")
#: The same behind a mark: <function=f>, or f{...}.
_WORD = re.compile(r"[\w.-]{1,200}")
_NEAR_A_MARK = 2000


def refuse(conversation: Conversation) -> None:
    """Refuse a row in which the text of an answer is a call of a tool that the row offers.

    Raises:
        BadRow: naming the turn and the tool.
    """
    names = {tool["function"]["name"] for tool in conversation.tools.functions}
    if not names:
        return
    for number, message in enumerate(conversation.messages, start=1):
        called = _called(message.content.strip(), names) if message.role == "assistant" else None
        if called is not None:
            raise BadRow(
                f"turn {number} (assistant) writes a call of the tool {called[:40]!r} as text,"
                " which would be learned letter by letter",
                "write messages in which the turn has it as tool_calls; or name the column of the tools in"
                " dataset.ignoreKeys, to learn the text as it stands without showing them",
            )


def _called(text: str, names: set[str]) -> str | None:
    """Find the tool that a text calls; None: it calls none of these."""
    mark = _MARKS.search(text)
    if mark is not None:
        behind = text[mark.end() : mark.end() + _NEAR_A_MARK]
        return next((word for word in _WORD.findall(behind) if word in names), None)
    if text.startswith(("{", "[")) and text.endswith(("}", "]")) and _ARGUMENTS.search(text):
        return next((name for name in _NAMED.findall(text) if name in names), None)
    in_python = _AS_PYTHON.match(text) if text.endswith(")]") else None
    return in_python[1] if in_python is not None and in_python[1] in names else None
