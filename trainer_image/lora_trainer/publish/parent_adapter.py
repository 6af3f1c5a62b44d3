"""The published adapter that a run goes on from, read with the run's own rights. Nothing of it is believed unseen.

Each file that is used is held against the sha256 in manifest.json, and that against the digest that the run saw first.
Of the weights only safetensors are ever read: no file of a parent can run code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import ValidationError

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MANIFEST
from lora_contract.lineage import MOST_ANCESTORS, Ancestor
from lora_contract.status import ParentStatus
from lora_trainer.digests import FileDigest, is_plain_name, sha256_of
from lora_trainer.errors import TrainerError, bad_config
from lora_trainer.model_files.safetensors_header import PREFIX_BYTES, Tensor, read_header
from lora_trainer.publish.manifest import Manifest
from lora_trainer.publish.publisher import ALLOWED
from lora_trainer.store import Store, about

#: Largest manifest.json, adapter_config.json or chat template that is read, in bytes.
_MOST_BYTES = 1 << 20
_MOST_FILES = 256
_BLOCK_BYTES = 1 << 20
#: No adapter that learned anything has a weight near it.
_LARGEST_WEIGHT = 1e6
_HINT = "name an adapter as a run published it, the address in its status.artifact.uri"


@dataclass(frozen=True)
class ParentAdapter:
    """An adapter whose manifest was read. `field` of the spec names it."""

    store: Store
    field: str
    uri: str
    manifest: Manifest
    digest: str

    @property
    def status(self) -> ParentStatus:
        """What the status says of it."""
        return ParentStatus(uri=self.uri, manifest_digest=self.digest)

    @property
    def lineage(self) -> list[Ancestor]:
        """The ancestors of its children: this adapter, and those above it."""
        manifest = self.manifest
        this = Ancestor(
            uri=self.uri,
            manifest_digest=self.digest,
            run_id=manifest.run_id,
            dataset_digest=manifest.dataset_digest,
            created_at=manifest.created_at,
        )
        return [this, *(manifest.ancestors or ())][:MOST_ANCESTORS]

    def read(self, name: str) -> bytes | None:
        """Read a small file of the adapter; None: it has none of this name.

        Raises:
            TrainerError: it is not what the manifest says, or too large.
        """
        stated = self.manifest.files.get(name)
        if stated is None:
            return None
        self._check_size(name, stated)
        if stated.size > _MOST_BYTES:
            raise self.refused(f"{name} has {counted(stated.size, 'byte')}, where {_MOST_BYTES} are the most")
        with about(self.field):
            content = self.store.read(f"{self.uri}/{name}")
        if hashlib.sha256(content).hexdigest() != stated.sha256:
            raise self._changed(name)
        return content

    def tensors(self) -> Mapping[str, Tensor]:
        """Read type and shape of each tensor of the weights, from the header alone."""
        stated = self.manifest.files[ADAPTER_WEIGHTS]
        self._check_size(ADAPTER_WEIGHTS, stated)
        with about(self.field), self.store.open(f"{self.uri}/{ADAPTER_WEIGHTS}") as stream:
            return read_header(stream, stated.size, ADAPTER_WEIGHTS, self.uri, self._broken)

    def check_weights(self) -> None:
        """Read the weights once: hold them against the manifest, and refuse values that nothing can be computed with.

        All are float32: their types were compared before.
        """
        found, sound = hashlib.sha256(), True
        with about(self.field), self.store.open(f"{self.uri}/{ADAPTER_WEIGHTS}") as stream:
            header, left = None, b""
            while block := stream.read(_BLOCK_BYTES):
                found.update(block)
                left += block
                if header is None and len(left) >= PREFIX_BYTES:
                    header = PREFIX_BYTES + int.from_bytes(left[:PREFIX_BYTES], "little")
                if header is not None:
                    passed = min(header, len(left))
                    header, end = header - passed, len(left) - (len(left) - passed) % 4
                    values = np.frombuffer(left[passed:end], dtype="<f4")
                    sound = sound and bool((np.abs(values) <= _LARGEST_WEIGHT).all())  # no value that is NaN is
                    left = left[end:]
        if found.hexdigest() != self.manifest.files[ADAPTER_WEIGHTS].sha256:
            raise self._changed(ADAPTER_WEIGHTS)
        if not sound:
            problem = f"{ADAPTER_WEIGHTS} has weights that are not finite, or beyond {_LARGEST_WEIGHT:.0e}"
            raise self.refused(problem, "name an adapter whose training did not diverge")

    def download_weights(self, path: Path) -> None:
        """Bring the weights to this machine, and hold them against the manifest."""
        stated = self.manifest.files[ADAPTER_WEIGHTS]
        self._check_size(ADAPTER_WEIGHTS, stated)
        with about(self.field):
            self.store.download(f"{self.uri}/{ADAPTER_WEIGHTS}", path)
        if sha256_of(path) != stated.sha256:
            raise self._changed(ADAPTER_WEIGHTS)

    def refused(self, problem: str, hint: str = _HINT) -> TrainerError:
        """Make the error for an adapter that cannot be gone on from."""
        return bad_config(f"the adapter at {self.uri} cannot be gone on from: {problem}", param=self.field, hint=hint)

    def _check_size(self, name: str, stated: FileDigest) -> None:
        with about(self.field):
            found = self.store.info(f"{self.uri}/{name}")
        if found is None or found.size != stated.size:
            raise self._changed(name)

    def _changed(self, name: str) -> TrainerError:
        return self.refused(f"{name} is missing, or is not the file that {MANIFEST} names; somebody changed it")

    def _broken(self, _: str, name: str, problem: str) -> TrainerError:
        return self.refused(f"{name} {problem}")


def find_parent(store: Store, spec: LoRAFineTuneSpec, known: ParentStatus | None) -> ParentAdapter | None:
    """Find the adapter that spec.from names; None: the run begins with a fresh one. `known`: as the run saw it first.

    Raises:
        TrainerError: there is none, it is not the one that was seen, or not one that a run published.
    """
    if spec.parent is None:
        return None
    field = spec_paths.FROM_ADAPTER if spec.parent.run is None else spec_paths.FROM_RUN
    address = spec.parent.adapter if known is None else known.uri
    if address is None:
        raise bad_config(
            f"from.run names the run {spec.parent.run} of a cluster, and there is none here",
            param=field,
            hint="name its adapter in from.adapter",
        )
    uri = address.rstrip("/")
    with about(field):
        found = store.info(f"{uri}/{MANIFEST}")
        if found is None:
            message = f"there is no published adapter at {uri}: it has no {MANIFEST}"
            raise TrainerError(ExitCode.INPUT_MISSING, message, param=field, hint=_HINT)
        if found.size > _MOST_BYTES:
            raise bad_config(f"{uri}/{MANIFEST} is larger than any manifest", param=field, hint=_HINT)
        content = store.read(f"{uri}/{MANIFEST}")
    digest = hashlib.sha256(content).hexdigest()
    if known is not None and digest != known.manifest_digest:
        raise bad_config(
            f"the adapter at {uri} is not the one that this run saw first: the sha256 of its {MANIFEST} is not that of"
            " status.parent.manifestDigest",
            param=field,
            hint="find out who changed it; to go on from what is there now, change spec.runToken",
        )
    try:
        parent = ParentAdapter(store, field, uri, Manifest.model_validate_json(content), digest)
        _ = parent.lineage  # what this run will publish of it is in bounds too
    except ValidationError as error:
        raise bad_config(f"{uri}/{MANIFEST} is no manifest of an adapter", param=field, hint=_HINT) from error
    _check_files(parent)
    return parent


def _check_files(parent: ParentAdapter) -> None:
    files = parent.manifest.files
    if len(files) > _MOST_FILES:
        raise parent.refused(f"its {MANIFEST} names {counted(len(files), 'file')}, where {_MOST_FILES} are the most")
    for name in files:
        if "/" in name or not is_plain_name(name) or PurePosixPath(name).suffix not in ALLOWED:
            raise parent.refused(f"its {MANIFEST} names {name[:80]!r}; only flat files without code are published")
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if name not in files:
            raise parent.refused(f"its {MANIFEST} names no {name}")
