"""From tokenised rows to files: each row is written and counted, or dropped where cutting left nothing to learn."""

from __future__ import annotations

from collections.abc import Mapping

from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data import prepared
from lora_trainer.data.objective.row_objective import EncodedRow
from lora_trainer.data.preference_tally import PreferenceTally
from lora_trainer.data.profile import Segment, Tally
from lora_trainer.data.splits import Split
from lora_trainer.data.template import masking
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.data.template.stop_tokens import StopTokens
from lora_trainer.data.writer import RowWriter


class KeptRows:
    """Writes tokenised rows to the files of their splits and remembers what it saw."""

    def __init__(
        self, spec: LoRAFineTuneSpec, template: ChatTemplate, writers: Mapping[Split, RowWriter], longest: int
    ) -> None:
        """`writers` are open; whoever gives them closes them. `longest`: the most tokens that a row may have."""
        self.tally = Tally(longest)
        self.preferences = PreferenceTally()
        self.stops = StopTokens(template)
        #: The first training row; empty before there is one.
        self.first_example: list[Segment] = []
        self.test_rows_with_tools = 0
        self._template = template
        self._writers = writers
        self._numbers = {name: number for number, name in enumerate(spec.dataset.source_names)}

    def add(self, row: EncodedRow, source: str) -> None:
        """Write and count a row of a source, whose name is empty where it is of none."""
        tokens = row.tokens
        if not tokens.targets.any():
            self.tally.drop(tokens.full_length)
            return
        self.tally.add(
            row.split, tokens.targets, tokens.full_length, last=row.last, source=source, weights=tokens.weights
        )
        number = self._numbers.get(source, prepared.NO_SOURCE)
        writer = self._writers[row.split]
        writer.add(tokens, row.prompt, row.reference, row.tool_calls, number, preference=row.preference)
        self.preferences.add(row.split, tokens.targets, row.preference)
        self.test_rows_with_tools += row.split == "test" and row.tool_calls is not None
        if row.rendered is not None:
            self.stops.add(row.rendered.text, row.rendered.prompt, row.rendered.spans)
        if not self.first_example and row.split == "train":
            self.first_example = masking.segments(self._template, tokens)
