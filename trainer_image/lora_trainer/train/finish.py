"""After the last step: the best adapter is measured and written."""

from __future__ import annotations

import copy
import gc
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.finetune.model import COMMIT
from lora_contract.finetune.training import GateSpec
from lora_contract.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, GENERATION_CONFIG
from lora_contract.order import TrainOrder
from lora_contract.serving import ServingStatus, servers
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.callbacks.best import adapter_tensors
from lora_trainer.data.prepared import calls_of_text
from lora_trainer.data.template.special_tokens import any_of, special_tokens
from lora_trainer.data.thought import ThoughtForm, said
from lora_trainer.evaluation import tool_calls
from lora_trainer.evaluation.answers import AnswerScores, HeldOutRow, answered, length_ratio, score
from lora_trainer.evaluation.generate import Answer, answer
from lora_trainer.objective import Measured
from lora_trainer.report import Sample
from lora_trainer.train import by_source, parent_weights
from lora_trainer.train.by_source import SourceMeasures
from lora_trainer.train.forgetting import Forgetting, measure_forgetting
from lora_trainer.train.inputs import Inputs
from lora_trainer.train.session import Session

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What the final comparison found."""

    test: Measured | None = None
    base_test: Measured | None = None
    parent_test: Measured | None = None
    scores: AnswerScores | None = None
    base_scores: AnswerScores | None = None
    samples: tuple[Sample, ...] = ()
    forgetting: Forgetting | None = None
    by_source: SourceMeasures = field(default_factory=SourceMeasures)
    gate_failed: str | None = None


def take_best(session: Session) -> None:
    """Give the model the best adapter, in the precision it is published in: what is measured is what is served."""
    if not session.best.restore(session.adapted.model):
        log.info("there was no evaluation: the adapter of the last step is taken")
    for parameter in session.adapted.model.parameters():
        if parameter.requires_grad:
            parameter.data.copy_(parameter.data.to(torch.bfloat16))


def compare(session: Session, order: TrainOrder, inputs: Inputs, alive: Callable[[], None]) -> Result:
    """Measure adapter, base and parent on the test rows, let both answer some of them, and check the gate."""
    wishes, test, validation = order.spec.evaluation, inputs.test, inputs.validation
    forgetting = measure_forgetting(session, alive) if wishes.compare_with_base else None
    found = Result(forgetting=forgetting)
    if test is not None:
        found = replace(_on_test_rows(session, order.spec, inputs, test, alive), forgetting=forgetting)
    names = order.spec.dataset.source_names
    if names and validation is not None:
        adapter, base = by_source.measure(session, inputs, validation, names, alive, with_base=wishes.compare_with_base)
        losses = replace(found.by_source, validation=adapter.of, base_validation={} if base is None else base.of)
        found = replace(found, by_source=losses)
    failed = inputs.objective.gate_failure(
        wishes.gate,
        test=found.test,
        base_test=found.base_test,
        scores=found.scores,
        forgetting_ratio=_forgetting_ratio(wishes.gate, found),
    )
    failed = failed or parent_weights.gate_failure(wishes.gate, found.test, found.parent_test)
    return replace(found, gate_failed=failed)


def _forgetting_ratio(gate: GateSpec, found: Result) -> float | None:
    """Find what the gate holds against maxForgettingRatio: the loss of the adapter by that of the base."""
    if gate.forgetting_source is not None:
        return found.by_source.test_ratio(gate.forgetting_source)
    return None if found.forgetting is None else found.forgetting.ratio


def _on_test_rows(
    session: Session, spec: LoRAFineTuneSpec, inputs: Inputs, test: Rows, alive: Callable[[], None]
) -> Result:
    model, wishes, names = session.adapted.model, spec.evaluation, spec.dataset.source_names
    measured, base_measured = by_source.measure(session, inputs, test, names, alive, with_base=wishes.compare_with_base)
    parent: Measured | None = None
    if inputs.parent is not None:
        with parent_weights.replaced(model, inputs.parent.weights):
            parent = by_source.measure(session, inputs, test, names, alive, with_base=False, role="reference")[0].all
    held_out: Iterable[HeldOutRow] = map(HeldOutRow, test.prompts, test.references, test.tool_calls)
    if len(test.desirable):  # an unwanted answer is no reference
        held_out = compress(held_out, test.desirable)
    chosen = answered(held_out, wishes.samples, spec.training.max_length)
    prompts = [row.prompt for row in chosen]
    thought = ThoughtForm() if inputs.profile is None else inputs.profile.thought_form
    answers = _answers(session, prompts, wishes.max_new_tokens, alive)
    base_answers: list[Answer] | None = None
    if wishes.compare_with_base and chosen:
        with model.disable_adapter():
            base_answers = _answers(session, prompts, wishes.max_new_tokens, alive)
    samples = tuple(
        Sample(
            prompt=session.tokenizer.decode(row.prompt, skip_special_tokens=True).strip(),
            reference=row.reference,
            base=None if base_answers is None else _shown(base_answers[index], thought, session.tokenizer),
            adapter=_shown(answers[index], thought, session.tokenizer),
        )
        for index, row in enumerate(chosen)
    )
    return Result(
        test=measured.all,
        base_test=None if base_measured is None else base_measured.all,
        parent_test=parent,
        by_source=SourceMeasures(test=measured.of, base_test={} if base_measured is None else base_measured.of),
        scores=_scores(session, answers, chosen, inputs),
        base_scores=None if base_answers is None else _scores(session, base_answers, chosen, inputs),
        samples=samples,
    )


def _shown(answer: Answer, thought: ThoughtForm, tokenizer: Any) -> str:
    """Give an answer for the report, with its thought where that can be told from the rest without special tokens."""
    if not thought.content:
        return answer.text
    return said(thought, answer.tokens, any_of(special_tokens(tokenizer))) or answer.text


def _scores(
    session: Session, answers: Sequence[Answer], rows: Sequence[HeldOutRow], inputs: Inputs
) -> AnswerScores | None:
    """Judge what answers to rows say; tool calls where prepare found out how the template writes them."""
    thought = ThoughtForm() if inputs.profile is None else inputs.profile.thought_form
    special = any_of(special_tokens(session.tokenizer))
    texts = [said(thought, answer.tokens, special) for answer in answers]
    references = [row.reference for row in rows]
    scores = score(texts, references)
    if scores is not None:
        scores = replace(scores, length_ratio=length_ratio(texts, references))
    form = inputs.profile.tool_call_form if inputs.profile is not None else None
    if scores is None or form is None:
        return scores
    wanted = [None if row.tool_calls is None else calls_of_text(row.tool_calls) for row in rows]
    return replace(scores, tool_calls=tool_calls.count(form, [answer.tokens for answer in answers], wanted))


def _answers(
    session: Session, prompts: Sequence[Sequence[int]], max_new_tokens: int, alive: Callable[[], None]
) -> list[Answer]:
    return answer(
        session.forward_pass,
        session.adapted.model,
        session.tokenizer,
        prompts,
        max_new_tokens=max_new_tokens,
        stops=session.stops.all,
        alive=alive,
    )


def save_adapter(session: Session, order: TrainOrder, commit: str, folder: Path) -> None:
    """Write the adapter as servers read it: weights in bfloat16, the base by its served name, tokenizer, template.

    generation_config.json is that of the base, with all tokens that end an answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = session.adapted.model
    tensors = {name: value.to(torch.bfloat16) for name, value in adapter_tensors(model).items()}
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    model.peft_config["default"].save_pretrained(str(folder))
    path = folder / ADAPTER_CONFIG
    config: dict[str, Any] = json.loads(path.read_text())
    # peft writes the folder from which the base was loaded.
    config["base_model_name_or_path"] = order.spec.model.id
    config["revision"] = commit if re.fullmatch(COMMIT, commit) else None
    config["target_modules"] = session.adapted.target_modules
    config["inference_mode"] = True
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    session.tokenizer.save_pretrained(str(folder))
    generation = copy.deepcopy(model.get_base_model().generation_config)
    generation.eos_token_id = session.stops.all
    (folder / GENERATION_CONFIG).write_text(json.dumps(generation.to_diff_dict(), indent=2, sort_keys=True) + "\n")


def warnings(session: Session, result: Result) -> list[str]:
    """Tell what did not stop the run but has to be known."""
    forgot = result.forgetting.warnings() if result.forgetting else []
    return [*session.warnings, *forgot, *_unserved_stops(session)]


def serving(session: Session, order: TrainOrder, folder: Path) -> list[ServingStatus]:
    """Tell which servers load the written adapter in `folder` as it is."""
    family = session.adapted.model.get_base_model().config.get_text_config().model_type
    config = json.loads((folder / ADAPTER_CONFIG).read_text())
    return servers(config, family=family, serving_rank=order.spec.lora.serving_rank)


def _unserved_stops(session: Session) -> list[str]:
    """Tell what a server of the base model has to be told so that answers end."""
    unserved = session.stops.unserved
    if not unserved:
        return []
    names = ", ".join(session.tokenizer.convert_ids_to_tokens(unserved))
    return [
        f"answers end at {names}, where servers of the base model do not stop by themselves: start them with the"
        f" adapter's {GENERATION_CONFIG} as its README.md says, or send stop_token_ids {unserved} with each request"
    ]


def release(session: Session) -> None:
    """Free the trained model, to make room for a fresh one."""
    del session.adapted.model
    trainer = session.trainer
    trainer.model = trainer.model_wrapped = trainer.optimizer = trainer.lr_scheduler = None
    trainer.callback_handler.model = trainer.callback_handler.optimizer = None
    trainer.accelerator.free_memory()
    gc.collect()
    if session.hardware.is_cuda:
        torch.cuda.empty_cache()
