"""What becomes of each conversation with each published chat template, as docs/templates.md shows it.

`python -m support.template_table` (with tests and the product on the path; `make docs-templates`) writes the page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from lora_trainer.data.conversations import conversation
from lora_trainer.data.rows import BadRow
from lora_trainer.data.template import masking, tool_call_form, unrolling
from lora_trainer.data.template.masking import Encoded
from lora_trainer.data.template.template_refusal import TemplateRefusal
from lora_trainer.data.template.unrolling import AnswerNotFound
from support.published_templates import CASES, FOR_PICTURES, Case, names, template

PAGE = Path(__file__).parents[2] / "docs" / "templates.md"
_HEAD = """# Chat templates

What becomes of a conversation with the chat templates of well-known models, as their authors publish them and the TRL
package brings them along. `make docs-templates` writes this page, and the test that compares each row with what a
server is asked (`tests/unit/data/test_every_template.py`) fails when it is not current.

Each answer is trained behind exactly the tokens that a server gives to the model to ask for it. A number says how many
rows the conversation becomes: more than one where the template rewrites earlier turns, for example leaves out earlier
reasoning. A letter says why the row is refused, with file, line and turn, instead of being trained without a part of
it; `dataset.ignoreKeys` leaves out a key on purpose. The last column says whether the calls in generated answers can be
read back and judged.

"""
_TAIL = """
Templates that take no text without a picture ({pictures}) are refused before any row is read.
"""


def rows_of(name: str, case: Case) -> list[Encoded]:
    """The rows that a conversation becomes.

    Raises:
        BadRow, TemplateRefusal, AnswerNotFound: it is refused.
    """
    talk = conversation.check(case.messages, list(case.tools))
    rendered = list(unrolling.unroll(template(name), talk, "assistant"))
    return masking.encode(template(name), rendered, 1 << 20)


def page() -> str:
    """The page."""
    notes: dict[str, str] = {}
    lines = [f"| template | {' | '.join(CASES)} | calls read |", f"|---|{'---|' * len(CASES)}---|"]
    for name in names():
        cells = [_cell(name, case, notes) for case in CASES.values()]
        lines.append(f"| {name} | {' | '.join(cells)} | {_read_back(name)} |")
    explained = [f"- **{letter}**: {words}" for words, letter in notes.items()]
    return _HEAD + "\n".join([*lines, "", *explained]) + "\n" + _TAIL.format(pictures=", ".join(FOR_PICTURES))


def _read_back(name: str) -> str:
    """Whether calls in answers can be told and judged; a dash where the template shows no tools."""
    if not (template(name).tools.offered and template(name).tools.calls):
        return "-"
    return "yes" if tool_call_form.find(template(name)) else "no"


def _cell(name: str, case: Case, notes: dict[str, str]) -> str:
    try:
        return str(len(rows_of(name, case)))
    except (BadRow, TemplateRefusal, AnswerNotFound) as error:
        words = f"the template raises: {error}" if isinstance(error, TemplateRefusal) else str(error)
        words = re.sub(r"turn \d+", "a turn", words).replace(f"chat template of {name}", "chat template")
        return notes.setdefault(words, chr(ord("a") + len(notes)))


if __name__ == "__main__":
    if "--check" in sys.argv and PAGE.read_text() != page():
        sys.exit(f"{PAGE} is not current: make docs-templates")
    PAGE.write_text(page())
