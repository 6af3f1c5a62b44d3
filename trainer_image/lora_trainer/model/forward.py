"""From a batch to the hidden states at its targets, with or without padding, whichever the model can do."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lora_trainer.batches.batch import IGNORED, MODEL_INPUTS, Collate, collate_padded, collate_padding_free, to_device
from lora_trainer.model import attention, difference
from lora_trainer.model.loss import head_logits, log_probabilities, loss_sum

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ForwardPass:
    """How this model is run on a batch.

    `padding_free`: rows lie one after another, else they are padded to the longest.
    `own_head`: logits are head(hidden states) with an optional soft cap, so only targets need them.
    """

    padding_free: bool
    own_head: bool
    padding_attention: str
    pad_token_id: int
    autocast: torch.dtype | None
    #: Tokens of one batch of an evaluation, padding included.
    evaluation_tokens: int = 4096

    @property
    def collate(self) -> Collate:
        """Makes a batch of rows for `targets`."""
        if self.padding_free:
            return collate_padding_free
        return lambda rows: collate_padded(rows, self.pad_token_id)

    def loss_sum(self, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """Sum up the losses at the batch's targets, in nats, each times its weight."""
        with self.precision(batch):
            hidden, labels = self.targets(model, batch)
            head, softcap = self.head(model)
            return loss_sum(hidden, labels, head, softcap, weights_of_targets(batch))

    def log_probabilities(self, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """Compute the log-probability of each of the batch's targets, float32 [n], in the order of `targets`."""
        with self.precision(batch):
            hidden, labels = self.targets(model, batch)
            return log_probabilities(hidden, labels, *self.head(model))

    def targets(self, model: nn.Module, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Run the model: states that predict the targets [n, size], logits without `own_head`; and the targets [n]."""
        inputs = {key: batch[key] for key in MODEL_INPUTS if key in batch}
        inner = causal_model(model)
        if self.own_head:
            states = inner.get_decoder()(**inputs, use_cache=False).last_hidden_state
        else:
            states = inner(**inputs, use_cache=False).logits
        labels = batch["labels"][:, 1:]
        wanted = labels != IGNORED
        return states[:, :-1][wanted], labels[wanted]

    def head(self, model: nn.Module) -> tuple[nn.Module, float | None]:
        """Return the output head and the soft cap of its logits."""
        inner = causal_model(model)
        if not self.own_head:
            return nn.Identity(), None
        return inner.get_output_embeddings(), getattr(inner.config, "final_logit_softcapping", None)

    def logits(self, model: nn.Module, rows: list[Any]) -> Tensor:
        """Compute logits at the targets of a few rows, without gradients, in float32 [n, vocabulary]."""
        batch = to_device(self.collate(rows), next(model.parameters()).device)
        with self.evaluating(model, batch):
            hidden, _ = self.targets(model, batch)
            return head_logits(hidden, *self.head(model))

    def install(self, model: nn.Module) -> None:
        """Make a freshly loaded model run by this forward pass."""
        if self.padding_free:
            attention.register()
            causal_model(model).set_attn_implementation(attention.NAME)

    @contextmanager
    def precision(self, batch: Mapping[str, Any]) -> Iterator[None]:
        """Compute in the precision of training, on the device of the batch."""
        if self.autocast is None:
            yield
            return
        with torch.autocast(batch["input_ids"].device.type, self.autocast):
            yield

    @contextmanager
    def evaluating(self, model: nn.Module, batch: Mapping[str, Any]) -> Iterator[None]:
        """Compute without gradients, in the precision of training."""
        with torch.no_grad(), self.precision(batch):
            yield


def weights_of_targets(batch: Mapping[str, Any]) -> Tensor | None:
    """Give the weights of a batch's targets, float32 [n], in the order of `ForwardPass.targets`; None: all are 1."""
    if "weights" not in batch:
        return None
    weights: Tensor = batch["weights"][:, 1:][batch["labels"][:, 1:] != IGNORED]
    return weights


def causal_model(model: nn.Module) -> Any:
    """Return the transformers model inside a PEFT model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def choose(
    model: nn.Module, rows: list[Any], *, pad_token_id: int, autocast: torch.dtype | None
) -> tuple[ForwardPass, list[str]]:
    """Find by trial what the model can do: both ways are run on a few rows and compared with the model's own logits.

    Returns the forward pass and warnings. The model ends with the attention that the forward pass needs.
    """
    attention.register()
    inner = causal_model(model)
    padding_attention = inner.config._attn_implementation or "sdpa"
    sample = [row.cut(64) for row in rows[:3]]
    was_training = model.training
    model.eval()
    plain = ForwardPass(False, False, padding_attention, pad_token_id, autocast)
    reference = plain.logits(model, sample)
    headed = ForwardPass(False, True, padding_attention, pad_token_id, autocast)
    forward_pass, reasons = plain, []
    if _agrees(headed, model, sample, reference) is None:
        forward_pass = headed
        free = ForwardPass(True, True, padding_attention, pad_token_id, autocast)
        inner.set_attn_implementation(attention.NAME)
        if inner.config._attn_implementation == attention.NAME:
            reason = _agrees(free, model, sample, reference)
        else:  # older families, GPT-J for one: right results, but with a mask as large as all rows together squared
            reason = "the model has an attention of its own, which cannot be replaced"
        if reason is None:
            forward_pass = free
        else:
            inner.set_attn_implementation(padding_attention)
            reasons.append(f"rows are padded to the longest of a micro batch, which is slower: {reason}")
    else:
        reasons.append(
            "rows are padded and all logits are computed, which is slower: the model's output head is unusual"
        )
    model.train(was_training)
    log.info(
        "forward pass: padding free %s, logits at targets only %s", forward_pass.padding_free, forward_pass.own_head
    )
    return forward_pass, reasons


def _agrees(forward_pass: ForwardPass, model: nn.Module, rows: list[Any], reference: Tensor) -> str | None:
    """Return None when this forward pass gives the reference logits, else the reason why it cannot be used."""
    try:
        logits = forward_pass.logits(model, rows)
    except attention.NotExpressibleError as error:
        return str(error)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        log.info("the model cannot be run this way", exc_info=True)
        return f"the model does not accept it ({type(error).__name__})"
    if logits.shape != reference.shape:
        return "the model gives logits of another shape"
    found = difference.relative_difference(logits, reference)
    dtype = forward_pass.autocast or next(model.parameters()).dtype
    limit = difference.OF_FORWARD_PASSES.get(dtype, 1e-3)
    return None if found <= limit else f"its results differ by {found:.1e}, more than {limit:.0e}"


@contextmanager
def generating(forward_pass: ForwardPass, model: nn.Module) -> Iterator[None]:
    """Use the model's own attention and cache, for generation; restore what training needs at the end."""
    inner = causal_model(model)
    was_training, use_cache = model.training, inner.config.use_cache
    model.eval()
    inner.config.use_cache = True
    inner.set_attn_implementation(forward_pass.padding_attention)
    try:
        yield
    finally:
        inner.config.use_cache = use_cache
        if forward_pass.padding_free:
            inner.set_attn_implementation(attention.NAME)
        model.train(was_training)
