"""The prepare stage: everything that can fail without a GPU fails here, in words; what was done before is found."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lora_contract import identity, layout, spec_paths
from lora_contract.changes import with_estimate
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.layout import RunLayout
from lora_contract.order import Order
from lora_contract.report import Report
from lora_contract.status import PlanStatus
from lora_trainer import model_files
from lora_trainer.data import prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.ledger.claims import await_turn
from lora_trainer.model_files import StagedModel
from lora_trainer.model_files.safetensors_header import Tensor
from lora_trainer.model_files.shape import holds_transposed
from lora_trainer.planning import memory_estimate, run_time, run_time_records
from lora_trainer.prepare import (
    chat_source,
    data_process,
    data_warnings,
    dataset_files,
    gates,
    model_check,
    parent_check,
    quantised_base,
    source_tokens,
    template_date,
)
from lora_trainer.prepare.access import check_output
from lora_trainer.prepare.data_process import DataProcess
from lora_trainer.prepare.dataset_files import FetchedDataset
from lora_trainer.prepare.plan import plan_of
from lora_trainer.publish import adopt, adopted_report, find_published
from lora_trainer.store import about
from lora_trainer.store.protocol import Store

log = logging.getLogger(__name__)


def prepare(order: Order, store: Store, *, stall_seconds: float = data_process.STALL_SECONDS) -> Report:
    """Check access, model and data; tokenise; plan. Or find that it was all done before.

    Data, template or tokenizer that keep the process which reads them from moving for `stall_seconds` end the stage.

    Raises:
        TrainerError: with the exit code and words for the user.
    """
    check_output(order, store)
    Path(order.scratch).mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="prepare-", dir=order.scratch) as folder,
        data_process.running(Path(folder), stall_seconds=stall_seconds) as reader,
    ):
        return _Preparation(order, store, Path(folder), reader).run()


class _Preparation:
    def __init__(self, order: Order, store: Store, folder: Path, reader: DataProcess) -> None:
        self._order = order
        self._spec: LoRAFineTuneSpec = order.spec
        self._store = store
        self._folder = folder
        self._reader = reader

    def run(self) -> Report:
        if self._order.run_id is not None and (published := self._published(self._order.run_id)) is not None:
            return published
        self._parent = parent_check.find(self._order, self._store)
        data_folder = self._folder / "data"
        data_folder.mkdir()
        data = dataset_files.fetch(self._order, self._store, data_folder)
        self._notes = data.notes
        log.info("dataset: %d files, %d bytes", len(data.files), sum(file.size_bytes for file in data.files))
        self._chat, self._template_digest = chat_source.fetch(self._order, self._store)
        staged = model_files.stage(self._order, self._store, self._folder / "model", self._check_model)
        if self._parent is not None:
            parent_check.check(self._parent, self._as_child(staged))
        run_id, today = self._identity(staged.commit, data.digest)
        run_layout = RunLayout(self._spec.output.uri, run_id)
        with about(spec_paths.OUTPUT_URI):
            # Where an identical run trains now, its adapter is waited for here, where no GPU is held.
            await_turn(self._store, run_layout, self._order.uid, lambda: find_published(self._store, run_layout))
            plan = self._existing_plan(run_layout)
            found = adopt(self._store, run_layout)
        if found is not None:
            report = adopted_report("prepare", run_id, plan, found)
            return report.model_copy(update={"parent": None if self._parent is None else self._parent.status})
        if plan is not None:
            log.info("run %s was prepared before", run_id)
            warnings = self._warnings(plan, self._existing_profile(run_layout))
            return self._report(run_id, plan, warnings)
        adapted = model_check.adapted_modules(self._tensors, self._spec, self._config)
        model_check.check_files(self._spec, self._config, self._tensors, staged.path, self._tokenizer.without_embedding)
        profile = self._read_rows(data, today, staged.content)
        gates.check(self._spec, profile, self._folder / "prepared")
        longest = profile.longest_sequence(self._spec.training.max_length)
        model_check.check_context(self._spec, self._config, self._tensors, longest)
        model_check.check_tokens(prepared.largest_token(self._folder / "prepared"), self._spec, self._config)
        preferences = profile.preferences
        needed = memory_estimate.estimate(
            self._spec,
            self._config,
            self._tensors,
            adapted,
            row_tokens=longest if preferences is None else profile.longest_row,
            targets=None if preferences is None else preferences.most_targets,
        )
        plan = plan_of(self._spec, profile, data, staged.commit, needed)
        plan = plan.model_copy(update={"template_date": None if today is None else today.isoformat()})
        noted = {"files": list(data.files), "warnings": self._warnings(plan, profile)}
        plan = self._hand_over(run_layout, plan, profile.model_copy(update=noted))
        return self._report(run_id, plan, self._warnings(plan, profile))

    def _read_rows(self, data: FetchedDataset, today: date | None, model: str) -> DataProfile:
        """Tokenise the dataset, as far as no earlier prepare did with the same source."""
        named = source_tokens.keys(
            self._spec,
            data.files,
            model=model,
            template=self._tokenizer.template,
            template_date=today,
        )
        tokens = source_tokens.fetch(self._store, self._spec.output.uri, named, self._folder)
        started = time.monotonic()
        output = self._folder / "prepared"
        output.mkdir()
        profile, made = self._reader.read_rows(self._spec, data.dataset, output, today, tokens)
        for source, count in made.items():
            log.info("source %s: %d rows were tokenised, the others were known", source, count)
        source_tokens.keep(self._store, self._spec.output.uri, named, tokens)
        seconds = time.monotonic() - started
        rows = sum(profile.rows_read.values())
        log.info("%d rows read and tokenised in %.1f s (%.0f rows/s)", rows, seconds, rows / seconds)
        return profile

    def _report(self, run_id: str, plan: PlanStatus, warnings: list[str]) -> Report:
        parent = None if self._parent is None else self._parent.status
        plan = with_estimate(
            plan, run_time.estimate(self._spec, plan, run_time_records.earlier(self._store, self._spec, plan))
        )
        return Report(stage="prepare", run_id=run_id, parent=parent, plan=plan, warnings=warnings)

    def _as_child(self, staged: StagedModel) -> parent_check.Child:
        """Collect what the parent is compared with."""
        template = self._tokenizer.template
        if not self._spec.dataset.is_chat:
            template = parent_check.template_of_model(staged.path, self._spec.model.id)
        return parent_check.Child(
            self._spec,
            model_commit=staged.commit,
            modules=model_check.adapted_modules(self._tensors, self._spec, self._config),
            template=template,
            transposed=holds_transposed(self._config),
        )

    def _published(self, run_id: str) -> Report | None:
        """Find the adapter of a run that was prepared before, whatever became of its data and model since."""
        run_layout = RunLayout(self._spec.output.uri, run_id)
        with about(spec_paths.OUTPUT_URI):
            found = adopt(self._store, run_layout)
        return None if found is None else adopted_report("prepare", run_id, None, found)

    def _warnings(self, plan: PlanStatus, profile: DataProfile | None) -> list[str]:
        longest = None if profile is None else profile.longest_sequence(self._spec.training.max_length)
        return [
            *self._notes,
            *parent_check.warnings(self._parent),
            *data_warnings.about(self._spec, plan, profile),
            *model_check.warnings(self._spec, self._config, self._tensors, longest),
        ]

    def _check_model(self, folder: Path, tensors: dict[str, Tensor]) -> None:
        """Judge the small files before weights are read."""
        self._config: dict[str, Any] = model_check.check_config(folder, self._spec)
        self._tensors = quantised_base.with_original_shapes(tensors, self._config, self._spec.model.id)
        embeddings = self._config["vocab_size"]
        self._tokenizer = self._reader.check_model(
            folder, self._spec.model.id, embeddings, self._chat, renders=self._spec.dataset.is_chat
        )

    def _identity(self, model_commit: str, dataset_digest: str) -> tuple[str, date | None]:
        """Return the identity of the run, and the date pinned for its chat template, where that reads the clock."""
        run_id = partial(
            identity.run_id,
            spec_hash=identity.spec_hash(self._spec),
            model_commit=model_commit,
            dataset_digest=dataset_digest,
            run_token=self._spec.run_token,
            template_digest=self._template_digest,
            parent_digest=None if self._parent is None else self._parent.digest,
        )
        if not self._tokenizer.reads_clock:
            return run_id(), None
        with about(spec_paths.OUTPUT_URI):
            today = template_date.pinned(self._store, RunLayout(self._spec.output.uri, run_id()))
        log.info("the chat template writes the date; in this run it is %s", today)
        return run_id(template_date=today.isoformat()), today

    def _existing_plan(self, run_layout: RunLayout) -> PlanStatus | None:
        """Read the plan of an earlier prepare of the same run, which wrote it last."""
        raw = self._store.read_if_exists(f"{run_layout.prepared}/{layout.PLAN}")
        if raw is None or self._store.info(f"{run_layout.prepared}/{prepared.TRAIN}") is None:
            return None
        try:
            return PlanStatus.model_validate_json(raw)
        except ValidationError:
            return None

    def _existing_profile(self, run_layout: RunLayout) -> DataProfile | None:
        """Read what an earlier prepare of the same run saw of the data; None where that was an older version of it."""
        raw = self._store.read_if_exists(f"{run_layout.prepared}/{prepared.PROFILE}")
        try:
            return None if raw is None else DataProfile.model_validate_json(raw)
        except ValidationError:
            return None

    def _hand_over(self, run_layout: RunLayout, plan: PlanStatus, profile: DataProfile) -> PlanStatus:
        """Upload the rows, then the plan; where another prepare of the same run was first, its plan holds."""
        with about(spec_paths.OUTPUT_URI):
            for path in sorted((self._folder / "prepared").iterdir()):
                self._store.upload(path, f"{run_layout.prepared}/{path.name}")
            content = profile.model_dump_json(by_alias=True).encode()
            self._store.write(f"{run_layout.prepared}/{prepared.PROFILE}", content, content_type="application/json")
            address = f"{run_layout.prepared}/{layout.PLAN}"
            content = plan.model_dump_json(by_alias=True, exclude_none=True).encode()
            if not self._store.create(address, content, content_type="application/json"):
                plan = self._existing_plan(run_layout) or plan
                self._store.write(address, content, content_type="application/json")
        shutil.rmtree(self._folder / "prepared")
        return plan
