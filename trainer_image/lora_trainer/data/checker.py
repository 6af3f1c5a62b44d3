"""From raw rows to ones to tokenise: each is understood, checked, compared with those before and given to a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.finetune.dataset import DataSource
from lora_contract.status import AnswersStatus
from lora_trainer.data import splits
from lora_trainer.data.conversations import (
    content_parts,
    conversation,
    foreign_marks,
    formats,
    plain_rows,
    preferences,
    turns,
)
from lora_trainer.data.conversations.plain_rows import Document, TokenRow
from lora_trainer.data.conversations.row_shape import Shape
from lora_trainer.data.findings import Findings
from lora_trainer.data.guard import CpuTimeExceeded, Guard, Phase, TooSlow
from lora_trainer.data.json_values import without_nulls
from lora_trainer.data.objective.row_objective import ReadyRow, RowObjective
from lora_trainer.data.profile import sample
from lora_trainer.data.reading.dataset import Dataset, read_rows
from lora_trainer.data.rows import BadRow, Conversation, Place, RawRow
from lora_trainer.data.source_splits import SourceSplits
from lora_trainer.data.splits import Bounds, Split
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.template_refusal import TemplateRefusal
from lora_trainer.data.template.unrolling import AnswerNotFound
from lora_trainer.errors import TrainerError, bad_data, unsupported

_LESS_WORK = (
    "write each row once, split conversations of very many turns, simplify the schemas of tools; or store the files"
    " with less compression"
)
_SIMPLER_SCHEMAS = "simplify the patterns in the schemas of tools"


@dataclass
class RowChecker:
    """Turns raw rows into ones that can be tokenised and remembers what it saw."""

    spec: LoRAFineTuneSpec
    template: ChatTemplate
    objective: RowObjective
    guard: Guard = field(default_factory=Guard)
    #: The shape of the rows of the file that is read.
    shape: Shape | None = None
    found: Findings = field(init=False)
    _shapes: dict[int, Shape] = field(default_factory=dict)
    _answers: Counter[str] = field(default_factory=Counter)
    #: File, row and split, by what a row is known by.
    _seen: dict[bytes, tuple[int, int, Split]] = field(default_factory=dict)
    _files: list[tuple[Split | None, str]] = field(default_factory=list)
    #: The row that is read, and the stored bytes of all files so far.
    _place: Place = field(init=False)
    _stored: int = 0
    #: Where the file that is read comes from.
    _source: DataSource = field(init=False)
    #: Where the splits of a source end, by its name, if not where the shares that are held out say.
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    splits: SourceSplits = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the first source, and nothing found."""
        self.found = Findings(self.spec.dataset)
        self._source = self.spec.dataset.data_sources[0]

    @property
    def formats(self) -> list[str]:
        """The words for the shapes of all files so far."""
        return list(dict.fromkeys(str(shape) for shape in self._shapes.values()))

    @property
    def answers(self) -> AnswersStatus:
        """The answers so far by whether they count."""
        return AnswersStatus(**self._answers)

    def rows(self, dataset: Dataset) -> Iterator[ReadyRow]:
        """Yield all rows that are good and new, in the order of the files."""
        sources = {source.name: source for source in self.spec.dataset.data_sources}
        of_none = DataSource("", "spec.dataset", "", self.spec.dataset.without_sources)
        self.splits = SourceSplits(self.spec.dataset, dataset, self.bounds)
        self.guard.begin_data()
        for index, (part, file) in enumerate(dataset.parts()):
            self._files.append((part, file.name))
            self._source = sources.get(file.source, of_none)
            self.shape = None
            self.found.rows_read[file.name] = 0
            self._stored += file.path.stat().st_size
            self.guard.note(Phase.READING, file=index, row=0)
            for raw in read_rows(file):
                self.found.rows_read[file.name] += 1
                self.guard.note(Phase.READING, row=raw.place.element or raw.place.number)
                self._place = raw.place
                self.check_effort()
                yield from self._checked(raw, part)

    def check_effort(self) -> None:
        """End where the rows so far took more processor time than their files may take.

        Raises:
            TrainerError: naming the last row.
        """
        try:
            self.guard.check_data(self._stored)
        except TooSlow as error:
            place = self._place
            raise bad_data(f"{place}: the rows up to here {error}", param=place.short, hint=_LESS_WORK) from error

    def _checked(self, raw: RawRow, part: Split | None) -> list[ReadyRow]:
        """Give the rows that a row becomes: none where it repeats another, or is bad and may be left out."""
        try:
            return self._check(raw, part)
        except BadRow as error:
            self.bad(raw.place, error)
        except TemplateRefusal as error:
            problem = f"is refused by the chat template of {self.template.model}: {error}"
            if error.of_row and self.spec.dataset.on_bad_rows == "Skip":
                self.bad(raw.place, BadRow(problem))
                return []
            hint = "change the row, or use a model whose chat template accepts it"
            raise unsupported(f"{raw.place}: {problem}", param=raw.place.short, hint=hint) from error
        except AnswerNotFound as error:
            if self.spec.dataset.on_bad_rows == "Skip":
                self.bad(raw.place, BadRow(str(error)))
                return []
            raise unsupported(f"{raw.place}: {error}", param=raw.place.short, hint=error.hint) from error
        except (CpuTimeExceeded, TooSlow) as error:
            problem = f"rendering with the chat template of {self.template.model} {error}"
            hint = "change or remove such conversations, or use another model"
            raise unsupported(f"{raw.place}: {problem}", param=raw.place.short, hint=hint) from error
        return []

    def _check(self, raw: RawRow, part: Split | None) -> list[ReadyRow]:
        if not raw.value:
            raise BadRow("is an empty object" if raw.value == {} else raw.problem or "cannot be read", raw.hint)
        if not self._source.settings.is_chat:
            return self._plain(raw, raw.value, part)
        talk = self._conversation(raw, raw.value)
        key, marked = splits.keys(talk)
        if self._repeats(key, marked, raw.place, part):
            self.found.duplicates[self._source.name] += 1
            return []
        if talk.asked and (opposite := self._seen.get(splits.opposite(talk))) is not None:
            self.found.contradicts(raw.place, raw.place._replace(file=self._files[opposite[0]][1], number=opposite[1]))
        if (mark := foreign_marks.find((*talk.messages, *talk.rejected))) is not None:
            self.found.marked(raw.place, mark)
        if self.found.wants_samples:
            self.found.samples.append(sample(talk))
        if self.spec.dataset.system_prompt and talk.messages[0].role not in ("system", "developer"):
            talk = talk.behind(self.spec.dataset.system_prompt)
        with self.guard.rendering():
            examples = self.objective.examples(talk)
        self._answers.update(self.objective.answers(talk, examples))
        split = part or self._assign(key)
        self._seen[key] = self._seen[marked] = (len(self._files) - 1, raw.place.number, split)
        return [ReadyRow(split, example, example is examples[-1], self._source.name, raw.place) for example in examples]

    def _plain(self, raw: RawRow, row: dict[str, Any], part: Split | None) -> list[ReadyRow]:
        """Read the document in a row, or its tokens: one row to tokenise, or none: it is empty, or repeats another."""
        shape = self._shape_of(raw, row)
        content: Document | TokenRow | None
        if shape.text is not None:
            content = plain_rows.read_document(row, shape.text, self.template)
        else:
            read = {name: value for name, value in row.items() if name not in self.spec.dataset.ignore_keys}
            content = plain_rows.read_tokens(read, len(self.template.tokenizer))
        if content is None:
            self.found.empty_documents += 1
            return []
        if self._repeats(content.key, content.key, raw.place, part):
            self.found.duplicates[self._source.name] += 1
            return []
        if self.found.wants_samples:
            self.found.samples.append(plain_rows.sample(self.template, content))
        split = part or self._assign(content.key)
        self._seen[content.key] = (len(self._files) - 1, raw.place.number, split)
        return [ReadyRow(split, content, last=True, source=self._source.name)]

    def _conversation(self, raw: RawRow, row: dict[str, Any]) -> Conversation:
        """Read the conversation in a row, with the tools that it offers."""
        offered, ignored = self._tools_column(row), self.spec.dataset.ignore_keys
        shape = self._shape_of(raw, row, offered)
        content_parts.refuse_media(row, raw.unread, ignored)
        formats.refuse_unread(shape, raw.unread, ignored)
        tools = row.get(offered) if offered else None
        check: Callable[[Any], Conversation]
        if self.spec.method is None:
            messages = turns.read(row, shape, ignored)
            if raw.place.unit == "row":  # Arrow writes null for each key of an object that another row has
                messages, tools = without_nulls(messages), without_nulls(tools)
            check = partial(conversation.check, messages)
        else:
            given = preferences.read(row, shape, ignored)
            if raw.place.unit == "row":
                given, tools = given.without_nulls, without_nulls(tools)
            check, tools = partial(preferences.check, given), given.tools or tools
        if tools is None:
            return check(None)
        try:
            with self.guard.checking():
                talk = check(tools)
        except CpuTimeExceeded as error:
            raise BadRow(f"checking the calls of its tools {error}", _SIMPLER_SCHEMAS) from error
        except TooSlow as error:
            problem = f"checking the calls of tools against their schemas {error}"
            raise bad_data(f"{raw.place}: {problem}", param=raw.place.short, hint=_SIMPLER_SCHEMAS) from error
        self.found.note(talk.tools.schema_notes)
        return talk

    def _shape_of(self, raw: RawRow, row: dict[str, Any], also_read: str | None = None) -> Shape:
        """Find the shape of the rows of the file that is read, and remember the columns that nothing reads."""
        dataset = self._source.settings
        if self.shape is None:
            try:
                method = self.spec.method
                self.shape = (
                    formats.detect(row, dataset) if method is None else preferences.detect(row, dataset, method.name)
                )
            except TrainerError as error:
                unread = f"; without text, so not read: {', '.join(raw.unread[:20])}" if raw.unread else ""
                named = self._source.named
                message = f"{raw.place.file}: {named(error.message)}{unread}"
                raise bad_data(
                    message, param=error.param and named(error.param), hint=error.hint and named(error.hint)
                ) from error
        self.shape = self._shapes[len(self._files)] = formats.completed(self.shape, row, dataset.ignore_keys)
        given = (name for name, value in row.items() if value is not None)
        for name in (*given, *raw.unread):
            read = name in self.shape.columns or name == also_read or name in dataset.ignore_keys
            if not read:
                self.found.ignore(name)
        return self.shape

    def _tools_column(self, row: Mapping[str, Any]) -> str | None:
        """Find the column of a row with the tools it offers; None: it offers none."""
        dataset = self._source.settings
        names = [dataset.columns.tools] if dataset.columns.tools else formats.TOOLS
        return next((name for name in names if row.get(name) and name not in dataset.ignore_keys), None)

    def _assign(self, key: bytes) -> Split:
        """Find the split of a row: that of an earlier one with its fingerprint, though it may be of another source."""
        before = self._seen.get(key)
        return self.splits.assign(self._source.name, key) if before is None else before[2]

    def _repeats(self, key: bytes, marked: bytes, place: Place, part: Split | None) -> bool:
        """Tell whether the row was seen in the same part; one seen in another part would leak, and is refused.

        `key` is what it says, `marked` that with the answers that count: other answers of the same conversation may
        count in another row.
        """
        before = self._seen.get(key)
        if before is None:
            return False
        other, file = self._files[before[0]]
        if other != part:
            first = place._replace(file=file, number=before[1])
            repeats = "repeats the row" if self.spec.method is None else "has the prompt of the row"
            raise BadRow(
                f"{repeats} at {first.short}: a row must be in one of the training, validation and test files",
                "remove it from one of them, or the evaluation would be of rows that were trained on",
            )
        return marked in self._seen

    def bad(self, place: Place, error: BadRow) -> None:
        """Leave a bad row out and count it, where that is allowed.

        Raises:
            TrainerError: it is not, or there were too many.
        """
        self.found.bad(place, error, any_good=bool(self._seen))
