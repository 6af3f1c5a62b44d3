"""Tools that a row offers and the calls of them: read in every form that files have, held against each other.

The forms are those of the OpenAI API, https://platform.openai.com/docs/guides/function-calling, today's and that of
before 2024 (`functions`, `function_call`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType
from typing import Any

from lora_trainer.data.json_values import DECODER, json_type, why_not
from lora_trainer.data.rows import NO_TOOLS, BadRow, Conversation, Message, ToolCall, Toolset

_MOST_TOOLS = 1024
_LONGEST_NAME = 200
#: Keys under which the APIs of Anthropic and of MCP have the parameters of a tool.
_OTHER_SCHEMAS = ("input_schema", "inputSchema")
_ARGUMENTS_HINT = "correct the arguments of the call, or the schema in the parameters of the tool"
#: Longest JSON text of tools that is kept to find the next row's equal, characters.
_LONGEST_KEPT = 1 << 16


def read(value: Any) -> Toolset:
    """Read the tools of a row: a list, or a text that holds one as JSON; each is a function.

    Raises:
        BadRow: naming the tool, counted from 1, and what is wrong with it.
    """
    if value is None or value in ("", [], {}):
        return NO_TOOLS
    text = value if isinstance(value, str) else _as_json(value, "tools")
    return _known(text) if len(text) <= _LONGEST_KEPT else _read(text)


@lru_cache(maxsize=256)
def _known(text: str) -> Toolset:
    """Read the tools in a JSON text, or give those of before: most files repeat theirs in each row."""
    return _read(text)


def _read(text: str) -> Toolset:
    """Read the tools in a JSON text."""
    value = _parsed(text, "tools is a text that is not a JSON list of tools")
    if value is None:
        return NO_TOOLS
    if not isinstance(value, list):
        raise BadRow(f"tools is {json_type(value)}, expected a list of tools")
    if len(value) > _MOST_TOOLS:
        raise BadRow(f"offers {len(value)} tools, where {_MOST_TOOLS} are the most")
    made = tuple(_tool(tool, number) for number, tool in enumerate(value, start=1))
    names = [tool["function"]["name"] for tool in made]
    for name in names:
        if names.count(name) > 1:
            raise BadRow(f"declares the tool {name!r} twice", "keep one of them, or give the other a name of its own")
    parameters = {tool["function"]["name"]: tool["function"].get("parameters") for tool in made}
    schemas = {name: schema for name, schema in parameters.items() if schema}
    if not schemas:
        return Toolset(made)
    library = _schemas()
    validators = {name: library.validator(schema) for name, schema in schemas.items()}
    return Toolset(made, validators, schema_notes=library.notes(schemas.values()))


def _tool(tool: Any, number: int) -> dict[str, Any]:
    if isinstance(tool, str):  # tables that cannot hold tools of different forms hold each as JSON
        tool = _parsed(tool, f"tool {number} is a text that is not a tool as JSON")
    if not isinstance(tool, dict):
        raise BadRow(f"tool {number} is {json_type(tool)}, expected an object")
    kind = tool.get("type", "function")
    if kind != "function":
        raise BadRow(f"tool {number} has the type {str(kind)[:40]!r}; only functions can be learned")
    function = tool.get("function", tool)
    if not isinstance(function, dict):
        raise BadRow(f"tool {number}: function is {json_type(function)}, expected an object")
    name, parameters = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise BadRow(f"tool {number} has no name")
    other = next((key for key in _OTHER_SCHEMAS if function.get(key) is not None), None)
    if other is not None:
        raise BadRow(f"tool {number} ({name}) has {other}, which is not read", "rename it to parameters")
    _check_parameters(parameters, f"tool {number} ({name})")
    if "function" in tool:
        return tool
    return {"type": "function", "function": {key: said for key, said in tool.items() if key != "type"}}


def _check_parameters(parameters: Any, where: str) -> None:
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise BadRow(f"{where}: parameters is {json_type(parameters)}, expected a JSON schema")
    problem = _schemas().problem_of_schema(parameters)
    if problem:
        raise BadRow(f"{where}: parameters {problem}")


def _schemas() -> ModuleType:
    from lora_trainer.data.conversations import json_schema  # noqa: PLC0415 - takes a tenth of a second

    return json_schema


def calls(value: Any, number: int) -> tuple[ToolCall, ...]:
    """Read the calls of turn `number`; arguments may be an object, or a text that holds one as JSON.

    Raises:
        BadRow: naming the call, counted from 1, and what is wrong with it.
    """
    if isinstance(value, str):  # tables that cannot hold calls of different forms hold them as JSON
        value = _parsed(value, f"turn {number}: tool_calls is a text that is not a JSON list of calls")
    if not isinstance(value, list):
        raise BadRow(f"turn {number}: tool_calls is {json_type(value)}, expected a list of calls")
    made = tuple(_call(call, f"turn {number}, call {index}") for index, call in enumerate(value, start=1))
    ids = [call.id for call in made if call.id]
    if len(set(ids)) < len(ids):
        raise BadRow(f"turn {number} has two calls with the same id", "give each call of the turn an id of its own")
    return made


def _call(call: Any, where: str) -> ToolCall:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise BadRow(f"{where} is not an object with function: name and arguments")
    kind = call.get("type") or "function"
    if kind != "function":
        raise BadRow(f"{where} has the type {str(kind)[:40]!r}; only calls of functions can be learned")
    known = {"id", "type", "function", "index"} if function is not call else {"id", "type", "name", "arguments"}
    unknown = [key for key, item in call.items() if key not in known and item is not None]
    unknown += [key for key, item in function.items() if key not in {*known, "name", "arguments"} and item is not None]
    if unknown:
        raise BadRow(f"{where} has the key {str(unknown[0])[:40]}, which would be dropped", "remove it from the call")
    name, identity = function.get("name"), call.get("id") or ""
    if not isinstance(name, str) or not name:
        raise BadRow(f"{where} has no name")
    if not isinstance(identity, str):
        raise BadRow(f"{where}: id is {json_type(identity)}, expected a text")
    arguments = function.get("arguments")
    if arguments is None:
        arguments = {}
    if isinstance(arguments, str):
        arguments = _parsed(arguments or "{}", f"{where} of {name}: arguments is a text that is not JSON")
    if not isinstance(arguments, dict):
        raise BadRow(f"{where} of {name}: arguments is {json_type(arguments)}, expected an object")
    _as_json(arguments, f"{where} of {name}: arguments")
    return ToolCall(name, arguments, identity)


def _as_json(value: Any, what: str) -> str:
    """Write a value as JSON, and refuse what JSON has not: Parquet has such values."""
    try:
        return json.dumps(value, allow_nan=False)
    except TypeError as error:
        raise BadRow(f"{what} holds what JSON has not: {error}", "write it as JSON text") from error
    except ValueError as error:
        hint = "write such a number as a text, or leave it out"
        raise BadRow(f"{what} holds a number that JSON has not, or one beyond 1.8e308", hint) from error
    except RecursionError:
        raise BadRow(f"{what} is nested too deeply") from None


def _parsed(text: str, problem: str) -> Any:
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"{problem}: {why_not(error)}") from error


def check_calls(conversation: Conversation) -> None:
    """Hold each call against the tools that are offered, and each result against the calls before it.

    Raises:
        BadRow: naming turn and call, and what does not fit.
    """
    open_calls: list[ToolCall] = []
    of_turn = 0
    for number, message in enumerate(conversation.messages, start=1):
        if message.role == "tool":
            open_calls.remove(_answered(open_calls, message, number))
            continue
        if open_calls:
            raise BadRow(
                f"turn {number} is {message.role}, but {_named(open_calls[0])} of turn {of_turn} has no result",
                "add a turn with the role tool and the tool_call_id of the call behind it, or remove the call",
            )
        for index, call in enumerate(message.tool_calls, start=1):
            _check_call(call, conversation.tools, f"turn {number}, call {index}")
        open_calls, of_turn = list(message.tool_calls), number


def _answered(open_calls: list[ToolCall], message: Message, number: int) -> ToolCall:
    """Find the first open call whose result a turn can be, by the id or else the name that the turn gives."""
    fitting = [call for call in open_calls if not message.tool_call_id or call.id in ("", message.tool_call_id)]
    if message.name and not message.tool_call_id:
        fitting = [call for call in fitting if call.name == message.name]
    if fitting:
        return fitting[0]
    result = f"the result of {message.tool_call_id or message.name or 'a tool'}"
    waiting = ", ".join(_named(call) for call in open_calls[:5]) or "no call"
    hint = "put each result behind its call, with the id of the call as tool_call_id"
    raise BadRow(f"turn {number} is {result[:_LONGEST_NAME]}, but {waiting} waits for a result", hint)


def _named(call: ToolCall) -> str:
    return f"the call {call.id[:40]} of {call.name[:40]}" if call.id else f"the call of {call.name[:40]}"


def _check_call(call: ToolCall, tools: Toolset, where: str) -> None:
    validator = tools.validators.get(call.name)
    if validator is None and all(tool["function"]["name"] != call.name for tool in tools.functions):
        offered = [tool["function"]["name"] for tool in tools.functions]
        declared = _listed(offered) if offered else "the row has no column tools"
        raise BadRow(
            f"{where} is of {call.name[:40]!r}, which is not declared; {declared}",
            "declare it in tools, or correct the name of the call",
        )
    problem = _schemas().problem_of_value(call.arguments, validator) if validator is not None else None
    if problem:
        raise BadRow(f"{where} of {call.name[:40]}: arguments{problem}", _ARGUMENTS_HINT)


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    return f"the row declares {', '.join(name[:40] for name in shown[:20])}{', ...' if len(shown) > 20 else ''}"
