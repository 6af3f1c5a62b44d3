"""Brings a base model to this machine: whole or only its small files, verified, once for all runs of a cache."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from lora_contract import spec_paths
from lora_contract.identity import digest
from lora_contract.names import STAGE_TRAIN
from lora_contract.order import Order
from lora_trainer.digests import sha256_of, verified_sha256
from lora_trainer.errors import bad_config
from lora_trainer.model_files import contents
from lora_trainer.model_files.cache import ModelCache, StagedModel, record
from lora_trainer.model_files.safetensors_header import Tensor, read_header
from lora_trainer.model_files.source import LocalSource, ModelSource, StoreSource
from lora_trainer.store import about
from lora_trainer.store.protocol import Store

log = logging.getLogger(__name__)

#: Judges a model: the folder with its small files, and its tensors by name.
Check = Callable[[Path, dict[str, Tensor]], None]


def open_source(order: Order, store: Store) -> ModelSource:
    """Open where the model of this order comes from.

    Raises:
        TrainerError: there is no such model, or no access to it.
    """
    model = order.spec.model
    if model.source is not None:
        with about(spec_paths.MODEL_SOURCE):
            stays = model.source.startswith("file://") and order.cache is None
            return (LocalSource if stays else StoreSource)(store, model.source, model.revision, model.id)
    from lora_trainer.model_files.hub import HubSource  # noqa: PLC0415 - its imports take half a second

    planned = order.plan.model_commit if order.plan else None
    return HubSource(
        model.id,
        planned or model.revision,  # a branch may have moved since the run was prepared
        order.unavailable_budget_seconds,
        worked_before=order.stage == STAGE_TRAIN,
    )


def stage(order: Order, store: Store, into: Path, check: Check | None = None) -> StagedModel:
    """Stage the model below the cache or `into`.

    The whole model is staged for training, and wherever there is a cache; otherwise its small files alone. `check`
    judges the folder with the small files, and type and shape of every tensor, before any weights are read.

    Raises:
        TrainerError: the model is missing, unusable, not what was prepared for, or `check` refused it.
    """
    source = open_source(order, store)
    with about(spec_paths.MODEL_SOURCE if order.spec.model.source else spec_paths.MODEL_ID):
        contents.check_listing({file.name: file.size for file in source.files()}, order.spec.model.id)
        staging = _Staging(source, order.spec.model.id, check)
        if order.cache is not None:
            staged = staging.cached(ModelCache(Path(order.cache) / "models"))
        elif order.stage == STAGE_TRAIN:
            staged = staging.whole(into)
        else:
            staged = staging.small(into)
    planned = order.plan.model_commit if order.plan else None
    if planned is not None and planned != staged.commit:
        raise bad_config(
            f"the files of {order.spec.model.id} changed since the run was prepared",
            param=spec_paths.MODEL_SOURCE,
            hint="start a new run: change spec.runToken under updatePolicy Rerun",
        )
    return staged


class _Staging:
    def __init__(self, source: ModelSource, model: str, check: Check | None) -> None:
        self._source = source
        self._model = model
        self._check = check
        self._files = {file.name: file for file in source.files()}

    def small(self, into: Path) -> StagedModel:
        """Stage configuration and tokenizer alone; weights are read only where their digest is the revision."""
        weights = self._fetch_small(into)
        commit = self._source.commit()
        if commit is None:
            digests = self._small_digests(into)
            for name in weights:
                digests[name] = self._source.sha256(name)
            commit = digest(digests)
        return StagedModel(into, commit, self._source.key())

    def whole(self, into: Path, cache: ModelCache | None = None) -> StagedModel:
        """Stage every file that is used, each with the size and digest that the source states."""
        weights = self._fetch_small(into)
        needed = sum(self._files[name].size for name in weights)
        if cache is not None:
            cache.make_room(needed)
        if self._source.takes_room:
            _check_room(into, needed, self._model)
        for name in weights:
            log.info("fetching %s (%d MiB)", name, self._files[name].size >> 20)
            self._source.fetch(name, into)
        digests = self._small_digests(into)
        for name in weights:
            file = self._files[name]
            digests[name] = verified_sha256(into / name, f"{name} of {self._model}", size=file.size, sha256=file.sha256)
        shutil.rmtree(into / ".cache", ignore_errors=True)  # where the Hub's client keeps notes
        return StagedModel(into, self._source.commit() or digest(digests), self._source.key())

    def cached(self, cache: ModelCache) -> StagedModel:
        """Find the model in a cache that runs share; the first run stages it, others wait for it and use it."""
        key = self._source.key()
        with cache.locked(key):
            staged = cache.find(key)
            if staged is not None:
                log.info("using the model in the cache: %s", key)
                self._judge(staged.path, contents.weight_files(staged.path, self._files, self._model))
                return staged
            with cache.staging(key) as folder:
                commit = self.whole(folder, cache).commit
                record(folder, commit)
        return StagedModel(folder.with_name(key), commit, key)

    def _fetch_small(self, into: Path) -> list[str]:
        """Fetch the small files, let them be checked, and tell which files hold the weights."""
        into.mkdir(parents=True, exist_ok=True)
        for name in contents.small_files(self._files):
            self._source.fetch(name, into)
        weights = contents.weight_files(into, self._files, self._model)
        self._judge(into, weights)
        return weights

    def _judge(self, folder: Path, weights: list[str]) -> None:
        """Let the model be checked by its small files in `folder` and by the headers of its weights."""

        def header(name: str) -> dict[str, Tensor]:
            path = folder / name
            if not path.is_file():
                return self._source.tensors(name)
            with path.open("rb") as stream:
                return read_header(stream, path.stat().st_size, name, self._model)

        if self._check is not None:
            self._check(folder, contents.read_weights(folder, weights, header, self._model))

    def _small_digests(self, folder: Path) -> dict[str, str]:
        return {name: sha256_of(folder / name) for name in contents.small_files(self._files)}


def _check_room(folder: Path, needed: int, model: str) -> None:
    """Say so before hours of download when the volume is too small; `needed` in bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise bad_config(
            f"the weights of {model} take {needed >> 20} MiB, but only {free >> 20} MiB are free for them",
            param=spec_paths.MODEL_CACHE,
            hint="name a larger claim in spec.model.cache; models in it that no run uses were removed already",
        )
