"""Lines and tables. A cell is as wide as its text: nothing is cut, so that addresses can be copied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from lora_cli.clean import one_line

Cell = str | Text
#: Styles of words for states.
_STYLES = {
    "Complete": "green",
    "True": "green",
    "Running": "cyan",
    "Publishing": "cyan",
    "Queued": "yellow",
    "Suspended": "yellow",
    "Unknown": "yellow",
    "Warning": "yellow",
    "Failed": "red",
}
_GAP = "   "


def state(word: str) -> Text:
    """Colour a word for a state: red where it needs somebody."""
    return Text(word, style=_STYLES.get(word, ""))


def line(*parts: Cell) -> Text:
    """Join parts to one line."""
    return Text.assemble(*(_cell(part) for part in parts))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: frozenset[int] = frozenset(), head: bool = True
) -> list[Text]:
    """Lay rows out below their heads; a column without any text is left out. `right`: columns of numbers."""
    made = [[_cell(cell) for cell in row] for row in rows]
    shown = [index for index in range(len(heads)) if any(row[index].plain for row in made)]
    lines = [[Text(heads[index], style="bold") for index in shown]] if head else []
    lines += [[row[index] for index in shown] for row in made]
    widths = [max((cell_len(cells[at].plain) for cells in lines), default=0) for at in range(len(shown))]
    return [_row(cells, widths, [index in right for index in shown]) for cells in lines]


def facts(pairs: Iterable[tuple[str, Cell]]) -> list[Text]:
    """Lay titles and what belongs to them out side by side; what is empty is left out."""
    shown = [(title, _cell(text)) for title, text in pairs]
    shown = [(title, text) for title, text in shown if text.plain]
    width = max((cell_len(title) for title, _ in shown), default=0)
    return [Text.assemble((title.ljust(width), "bold"), "  ", text) for title, text in shown]


def _cell(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(one_line(cell))


def _row(cells: Sequence[Text], widths: Sequence[int], right: Sequence[bool]) -> Text:
    parts: list[Text | str] = []
    for at, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - cell_len(cell.plain))
        if right[at]:
            parts += [space, cell]
        else:
            parts += [cell, space]
        parts.append(_GAP)
    row = Text.assemble(*parts)
    row.rstrip()
    return row
