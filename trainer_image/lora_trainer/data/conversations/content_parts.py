"""The content of a turn in parts, as the APIs of servers take it: text is joined, anything else is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lora_trainer.data.json_values import json_type
from lora_trainer.data.rows import BadRow

_TEXT = frozenset({"text", "input_text", "output_text"})
#: Kinds of parts, by what people call them.
_MEDIA = {
    "an image": ("image", "image_url", "input_image", "image_base64"),
    "audio": ("audio", "audio_url", "input_audio"),
    "a video": ("video", "video_url", "input_video"),
    "a file": ("file", "input_file", "document"),
}
#: Columns beside a conversation in which files for models with eyes and ears keep what is no text.
_MEDIA_COLUMNS = {
    "images": ("image", "images"),
    "audio": ("audio", "audios"),
    "videos": ("video", "videos"),
}
_NAMES = {kind: name for name, kinds in _MEDIA.items() for kind in kinds}
_LONGEST_KIND = 40
_LEAVE_OUT = "leave such rows out, or leave the part out where the text alone makes sense"
#: Parts that are read in another form, and which.
_OTHER_FORMS = {
    "tool_use": "write the call as tool_calls of the turn",
    "tool_result": "write the result as a turn with the role tool",
    "thinking": "write what it holds as reasoning_content of the turn",
}


def joined(parts: list[Any], number: int) -> str:
    """Join the parts of turn `number` by line breaks, as vLLM does for templates that want a text.

    Raises:
        BadRow: naming the turn and the kind of the first part that is no text.
    """
    return "\n".join(
        text_of(part, f"turn {number}, part {index} of its content") for index, part in enumerate(parts, start=1)
    )


def refuse_media(row: Mapping[str, Any], unread: Collection[str], ignored: Collection[str]) -> None:
    """Refuse a row that has images and the like in a column; `unread` are its columns without text.

    Raises:
        BadRow: naming the column, unless it is in `ignored`.
    """
    for called, names in _MEDIA_COLUMNS.items():
        for name in names:
            if name not in ignored and (name in unread or row.get(name) not in (None, "", [], {})):
                raise BadRow(
                    f"has {called} in the column {name!r}; only text can be trained on",
                    f"leave such rows out, or set dataset.ignoreKeys: [{name}] where the text alone makes sense",
                )


def text_of(part: Any, where: str) -> str:
    """Read the text of a part.

    Raises:
        BadRow: naming `where` the part stands, and what it is instead.
    """
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise BadRow(f"{where} is {json_type(part)}, expected a text or an object with type and text")
    given = {key: value for key, value in part.items() if value not in (None, "", [], {})}
    kind = str(given.get("type", "text"))
    if kind not in _TEXT:
        called = _NAMES.get(kind, f"of the kind {kind[:_LONGEST_KIND]!r}")
        raise BadRow(f"{where} is {called}; only text can be trained on", _OTHER_FORMS.get(kind, _LEAVE_OUT))
    text = part.get("text")
    if not isinstance(text, str):
        raise BadRow(f"{where}: text is {json_type(text)}, expected a text")
    unknown = ", ".join(str(key)[:_LONGEST_KIND] for key in list(given)[:20] if key not in ("type", "text"))
    if unknown:
        raise BadRow(
            f"{where} has {unknown} beside type and text, which would be dropped", "remove what has no meaning"
        )
    return text
