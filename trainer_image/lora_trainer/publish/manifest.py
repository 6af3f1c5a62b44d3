"""What stands in manifest.json and in the pointer of an identity."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import Field, field_validator

from lora_contract.base import StatusModel
from lora_contract.identity import RECIPE_VERSION
from lora_contract.layout import MANIFEST, REPORT
from lora_contract.lineage import MOST_ANCESTORS, Ancestor
from lora_contract.outside import shorten
from lora_contract.serving import MOST_SERVERS, ServingStatus
from lora_contract.status import ArtifactStatus, MetricsStatus
from lora_trainer.digests import FileDigest
from lora_trainer.publish.figures import with_numbers, with_texts

_MOST_WARNINGS = 256


class Provenance(StatusModel):
    """Where an adapter comes from and how good it is: everything in the manifest but the files."""

    run_id: str = Field(description="Identity of the result.")
    spec_hash: str = Field(description="Hash of the training-relevant spec.")
    recipe_version: int = Field(RECIPE_VERSION, description="Version of the recipe.")
    base_model: str = Field(description="Name of the base model to serve it on.")
    model_commit: str = Field(description="Commit, or digest of the files, of the base model.")
    dataset_digest: str = Field(description="sha256 over the content of the dataset.")
    template_date: str | None = Field(None, description="Date that the chat template wrote into every row.")
    required_max_lora_rank: int = Field(description="Rank the server must allow.")
    serving: list[ServingStatus] | None = Field(
        None, description="Which servers load the adapter as it is, and how.", max_length=MOST_SERVERS
    )
    method: dict[str, Any] | None = Field(
        None, description="Method of preference tuning with its settings; absent: supervised fine-tuning."
    )
    metrics: MetricsStatus | None = Field(None, description="Losses.")
    gate_failed: str | None = Field(None, description="The limit that the adapter missed, in words.")
    warnings: list[str] = Field([], description="Things to know that did not stop the run.")
    created_at: str = Field(description="When it was published, RFC 3339.")
    ancestors: list[Ancestor] | None = Field(
        None, description="The adapters that it descends from, the parent first.", max_length=MOST_ANCESTORS
    )

    @field_validator("metrics", mode="before")
    @classmethod
    def _read_numbers(cls, metrics: object) -> object:
        return with_texts(metrics)

    @field_validator("gate_failed")
    @classmethod
    def _cut(cls, text: str | None) -> str | None:
        """Cut what another run's manifest says and make it harmless: it ends in terminals and in other manifests."""
        return text and shorten(text)

    @field_validator("warnings")
    @classmethod
    def _cut_all(cls, warnings: list[str]) -> list[str]:
        return [shorten(warning) for warning in warnings[:_MOST_WARNINGS]]


class Manifest(Provenance):
    """manifest.json: the commit marker of a published adapter."""

    version: Literal[1] = 1
    files: dict[str, FileDigest] = Field(description="Every other file of the folder by name.")

    def encoded(self) -> bytes:
        """Return the bytes of manifest.json."""
        document = self.dump()
        if "metrics" in document:
            document["metrics"] = with_numbers(document["metrics"])
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode()

    def artifact(self, prefix: str, content: bytes) -> ArtifactStatus:
        """Return what the status says of the adapter below `prefix`; `content` is manifest.json as stored."""
        return ArtifactStatus(
            uri=prefix,
            manifest_digest=hashlib.sha256(content).hexdigest(),
            size_bytes=sum(file.size for file in self.files.values()) + len(content),
            base_model=self.base_model,
            required_max_lora_rank=self.required_max_lora_rank,
            report_uri=f"{prefix}/{REPORT}" if REPORT in self.files else None,
            serving=self.serving,
        )


class Pointer(StatusModel):
    """From an identity to its published manifest."""

    version: Literal[1] = 1
    manifest: str = Field(description="Address of manifest.json.")
    sha256: str = Field(description="sha256 of manifest.json.")

    @property
    def prefix(self) -> str:
        """Prefix of the adapter's files."""
        return self.manifest.removesuffix(f"/{MANIFEST}")

    def encoded(self) -> bytes:
        """Return the bytes of the pointer."""
        return self.model_dump_json(by_alias=True).encode()
