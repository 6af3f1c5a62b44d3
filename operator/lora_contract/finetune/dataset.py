"""spec.dataset: where the rows are, how they read and how they are split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import StringConstraints

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune.fields import DNS_LABEL, DataUri, Matches, documented
from lora_contract.uri import claim_of

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
RowFormat = Literal["auto", "messages", "prompt-completion", "instruction", "text", "tokens"]
SourceName = Annotated[
    str,
    StringConstraints(max_length=40),
    Matches(DNS_LABEL, "must be lower-case letters, digits and '-', such as support-2026"),
]
#: Formats whose rows no chat template renders.
_PLAIN = ("text", "tokens")
#: The status names each source, and the termination message that carries it is short.
MAX_SOURCES = 16
#: How far the sum of shares may be from 1: 0.333, 0.333 and 0.333 are meant as thirds.
_SHARES_TOLERANCE = 0.005


class ColumnsSpec(SpecModel):
    """Names of the columns, where they differ from the usual ones."""

    messages: ColumnName | None = documented(None, "Column with the list of chat messages.", "conversation")
    prompt: ColumnName | None = documented(None, "Column with the prompt or instruction.", "question")
    input: ColumnName | None = documented(None, "Column with additional input of an instruction.", "context")
    completion: ColumnName | None = documented(None, "Column with the answer to learn.", "answer")
    chosen: ColumnName | None = documented(None, "Column with the preferred answer, for method dpo.", "better")
    rejected: ColumnName | None = documented(None, "Column with the other answer, for method dpo.", "worse")
    label: ColumnName | None = documented(None, "Column that says whether an answer is wanted, for kto.", "liked")
    text: ColumnName | None = documented(None, "Column with the document, for format text.", "content")
    tools: ColumnName | None = documented(None, "Column with the tools that are offered; usually tools.", "functions")


class SplitSpec(SpecModel):
    """A seeded split of one dataset. Rows that are equal after normalising never lie in two splits."""

    validation: float = documented(
        0.1, "Share of the rows held out for evaluation during training, 0 to 0.5.", 0.1, ge=0, le=0.5
    )
    test: float = documented(
        0.1, "Share of the rows held out for the final comparison with the base model, 0 to 0.5.", 0.1, ge=0, le=0.5
    )
    seed: int = documented(42, "Seed of the split; the same seed gives the same split.", 42, ge=0, le=2**31 - 1)


class SourceSpec(SpecModel):
    """One of several sources of rows."""

    name: SourceName = documented(
        ..., "Name of the source in status, report and messages; each has its own.", "support-2026"
    )
    uri: DataUri = documented(..., "Where its rows are; as dataset.uri.", "s3://datasets/support/")
    format: RowFormat | None = documented(None, "Shape of its rows; absent: dataset.format.", "messages")
    columns: ColumnsSpec | None = documented(
        None, "Names of its columns where they differ from the usual; absent: dataset.columns.", {"prompt": "q"}
    )
    share: float | None = documented(
        None,
        "Share of the training rows of an epoch that come from this source; all sources have one, or none. The source"
        " that is largest for its share passes once an epoch, the others are repeated.",
        0.2,
        gt=0,
        le=1,
    )
    repeats: int | None = documented(
        None, "Times that each training row of this source comes in an epoch; absent: once.", 3, ge=1, le=100
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.share) || !has(self.repeats)",
            message="a source of dataset.sources has share or repeats, not both; remove one of them",
            holds=lambda s: s.share is None or s.repeats is None,
        ),
    )


class DataSource(NamedTuple):
    """Where rows that are to be split come from, and how they read: `dataset.uri`, or one of `dataset.sources`."""

    #: Empty for `dataset.uri`.
    name: str
    #: Field of the spec, such as `spec.dataset.sources[1]`.
    path: str
    uri: str
    #: The settings of the dataset with the format and the columns of the source.
    settings: DatasetSpec

    @property
    def label(self) -> str:
        """What messages put before the names of its files."""
        return f'{self.path.removeprefix("spec.dataset.")} "{self.name}": ' if self.name else ""

    def named(self, text: str) -> str:
        """Name in a text about format or columns of the dataset the fields of this source, which has its own."""
        path = self.path.removeprefix("spec.")
        return text.replace("dataset.columns", f"{path}.columns").replace("dataset.format", f"{path}.format")


#: CEL: the claims of all addresses of data, each as often as it is named.
_CEL_CLAIMS = (
    "([has(self.uri) ? self.uri : '', has(self.validationUri) ? self.validationUri : '', "
    "has(self.testUri) ? self.testUri : ''] + (has(self.sources) ? self.sources.map(s, s.uri) : []))"
    ".filter(u, u.startsWith('pvc://')).map(u, u.split('/')[2])"
)


def _shares_of_all(sources: Sequence[SourceSpec] | None) -> bool:
    return not sources or len({source.share is None for source in sources}) == 1


def _shares_add_up(sources: Sequence[SourceSpec] | None) -> bool:
    shares = [source.share for source in sources or () if source.share is not None]
    return not shares or abs(sum(shares) - 1) <= _SHARES_TOLERANCE


class DatasetSpec(SpecModel):
    """The training data."""

    uri: DataUri | None = documented(
        None,
        "File or folder with jsonl, json, csv or parquet files, plain or gz or zst: s3://bucket/key, on the Hugging"
        " Face Hub hf://datasets/OWNER/NAME@COMMIT/SPLIT, on a volume of the namespace pvc://CLAIM/PATH. Files that are"
        " named as a validation or test split, as on the Hub, are that split. Exactly one of uri and sources.",
        "s3://datasets/triage.jsonl",
    )
    sources: list[SourceSpec] | None = documented(
        None,
        "Several sources of rows, mixed in one order that follows from training.seed. Exactly one of uri and sources.",
        [{"name": "support", "uri": "s3://datasets/support/", "repeats": 3}],
        min_length=1,
        max_length=MAX_SOURCES,
    )
    format: RowFormat = documented(
        "auto",
        "Shape of a row; auto detects conversations from the columns and reports what it found. text: documents, of"
        " which every token is learned, as in pre-training; tokens: input_ids, with labels where not all count. These"
        " two need no chat template.",
        "messages",
    )
    columns: ColumnsSpec = documented(ColumnsSpec(), "Column names where they differ from the usual.", {"prompt": "q"})
    system_prompt: Annotated[str, StringConstraints(max_length=8192)] = documented(
        "", "System message put before every conversation that has none; at most 8192 characters.", "You are a nurse."
    )
    split: SplitSpec = documented(SplitSpec(), "Held-out shares, where no own URI is given.", {"validation": 0.1})
    validation_uri: DataUri | None = documented(
        None, "Rows for evaluation during training, instead of split.validation.", "s3://datasets/validation.jsonl"
    )
    test_uri: DataUri | None = documented(
        None, "Rows for the final comparison, instead of split.test.", "s3://datasets/test.jsonl"
    )
    ignore_keys: list[ColumnName] = documented(
        [],
        "Keys of messages, and columns, that mean nothing for training and are left out. Any other key with a value"
        " that is not understood makes a row bad.",
        ["annotations"],
        max_length=64,
    )
    on_bad_rows: Literal["Fail", "Skip"] = documented(
        "Fail", "Fail: the first bad row ends the run before a GPU is asked for. Skip: leave bad rows out.", "Fail"
    )
    max_bad_rows: int = documented(
        100, "With onBadRows Skip: rows that may be left out before the run fails.", 100, ge=0, le=1_000_000
    )

    @property
    def is_chat(self) -> bool:
        """Whether rows are conversations, which a chat template renders; of several sources: the rows of any."""
        held_out = () if self.validation_uri is None and self.test_uri is None else (self.format,)
        formats = [source.format or self.format for source in self.sources or ()] or [self.format]
        return any(each not in _PLAIN for each in (*formats, *held_out))

    @property
    def data_sources(self) -> tuple[DataSource, ...]:
        """Where rows that are to be split come from: sources by name, whatever their order in the spec."""
        if self.sources is None:
            return (DataSource("", "spec.dataset", self.uri or "", self),)
        found = [
            DataSource(source.name, f"spec.dataset.sources[{index}]", source.uri, self._settings_of(source))
            for index, source in enumerate(self.sources)
        ]
        return tuple(sorted(found, key=lambda source: source.name))

    @property
    def claims(self) -> tuple[str, ...]:
        """The PersistentVolumeClaims that data are read from, by name; a rule allows one."""
        found = {claim for address in self.addresses.values() if (claim := claim_of(address)) is not None}
        return tuple(sorted(found))

    @property
    def source_names(self) -> tuple[str, ...]:
        """The names of the sources in their order; none where `uri` says where the rows are."""
        return tuple(source.name for source in self.data_sources if source.name)

    def _settings_of(self, source: SourceSpec) -> DatasetSpec:
        own = {"format": source.format or self.format, "columns": source.columns or self.columns}
        return self.without_sources.model_copy(update=own)

    @property
    def without_sources(self) -> DatasetSpec:
        """The settings with which rows are read that belong to no source."""
        return self.model_copy(update={"sources": None, "validation_uri": None, "test_uri": None})

    @property
    def addresses(self) -> dict[str, str]:
        """Every address of data, by the field of the spec that names it."""
        named = {f"{source.path}.uri": source.uri for source in self.data_sources}
        held_out = {"spec.dataset.validationUri": self.validation_uri, "spec.dataset.testUri": self.test_uri}
        return named | {path: address for path, address in held_out.items() if address is not None}

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.uri) != has(self.sources)",
            message="set exactly one of dataset.uri and dataset.sources",
            holds=lambda d: (d.uri is None) != (d.sources is None),
        ),
        Rule(
            cel="!has(self.sources) || self.sources.all(s, self.sources.exists_one(t, t.name == s.name))",
            message="dataset.sources must not have two sources of one name; rename one of them",
            holds=lambda d: d.sources is None or len({source.name for source in d.sources}) == len(d.sources),
        ),
        Rule(
            cel="!has(self.sources) || self.sources.all(s, has(s.share)) || self.sources.all(s, !has(s.share))",
            message="give every source of dataset.sources a share, or none of them; repeats stands where no source"
            " has a share",
            holds=lambda d: _shares_of_all(d.sources),
        ),
        Rule(
            cel="!has(self.sources) || !self.sources.all(s, has(s.share)) || "
            f"(self.sources.map(s, s.share).sum() >= {1 - _SHARES_TOLERANCE} && "
            f"self.sources.map(s, s.share).sum() <= {1 + _SHARES_TOLERANCE})",
            message="the shares of dataset.sources must add up to 1",
            holds=lambda d: not _shares_of_all(d.sources) or _shares_add_up(d.sources),
        ),
        Rule(
            cel=f"{_CEL_CLAIMS}.all(a, {_CEL_CLAIMS}.all(b, a == b))",
            message="the data of a run come from one PersistentVolumeClaim at most; put them on one volume",
            holds=lambda d: len(d.claims) <= 1,
        ),
        Rule(
            cel="self.systemPrompt == '' || (has(self.sources) ? self.sources.exists(s, "
            "!((has(s.format) ? s.format : self.format) in ['text', 'tokens'])) : "
            "!(self.format in ['text', 'tokens']))",
            message="dataset.systemPrompt has no place in rows of the formats text and tokens; remove it",
            holds=lambda d: not d.system_prompt or any(source.settings.is_chat for source in d.data_sources),
        ),
        Rule(
            cel="self.split.validation + self.split.test < 1.0",
            message="dataset.split.validation + dataset.split.test must be below 1; leave rows to train on",
            holds=lambda d: d.split.validation + d.split.test < 1,
        ),
    )
