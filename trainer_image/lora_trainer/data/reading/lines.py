"""Lines of a text file, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from lora_trainer.data.reading.files import DataFile
from lora_trainer.data.rows import Place
from lora_trainer.errors import bad_data

#: Longest line, field or element, bytes.
MAX_ROW_BYTES = 1 << 20
#: A longer line is passed over only up to here, bytes: a file of one line would be read to its end for one message.
_MAX_SKIPPED_BYTES = 256 << 20
#: Empty lines are passed over, but a file of them alone would take minutes.
_MAX_EMPTY_LINES = 10_000
TOO_LONG = "is longer than 1 MiB; split the row, or leave out columns that are not used"
UNREADABLE_HINT = "correct the file; rows behind this place cannot be read"
#: Not onBadRows: Skip: the rows that happen to have such a letter would be missing.
UTF8_HINT = "write the whole file anew as UTF-8, for instance with iconv; other rows with such letters are bad as well"
BOM = b"\xef\xbb\xbf"
NUL_BYTES = "holds NUL bytes, which no text has: it may be UTF-16, or damaged"
NUL_HINT = "write the file anew as UTF-8, for instance with iconv; where it is UTF-8, upload it again"


def bounded_lines(file: DataFile, stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield lines with their numbers from 1; None stands for a line beyond the bound, which is passed over."""
    number = empty = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(BOM)
        if len(line) <= MAX_ROW_BYTES:
            empty += line in (b"\n", b"\r\n")
            if empty > _MAX_EMPTY_LINES:
                raise bad_data(
                    f"{file.name} has more than {_MAX_EMPTY_LINES} empty lines", param=file.name, hint="remove them"
                )
            yield number, line
            continue
        skipped = len(line)
        while line and not line.endswith(b"\n"):
            line = stream.readline(MAX_ROW_BYTES)
            skipped += len(line)
            if skipped > _MAX_SKIPPED_BYTES:
                place = Place(file.name, number)
                raise bad_data(
                    f"{place}: has no end within {skipped >> 20} MiB", param=place.short, hint=UNREADABLE_HINT
                )
        yield number, None


def not_utf8(error: UnicodeDecodeError) -> str:
    """Say which byte is not UTF-8, and what to do."""
    byte = error.object[error.start]
    utf16 = "; it looks like UTF-16 or UTF-32" if byte in (0xFE, 0xFF) else ""
    return f"is not UTF-8 (byte 0x{byte:02x} at position {error.start + 1}{utf16}); save the file as UTF-8"


def is_cut_character(error: UnicodeDecodeError) -> bool:
    """Tell whether the bytes end inside a character, which is right as far as it goes."""
    return error.reason == "unexpected end of data" and error.end == len(error.object)
