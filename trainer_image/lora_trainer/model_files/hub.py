"""A base model on the Hugging Face Hub. No code of a repository is ever fetched."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

from huggingface_hub import hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from lora_contract import spec_paths
from lora_trainer.model_files.hub_access import HubAccess, Named
from lora_trainer.model_files.safetensors_header import MOST_BYTES, Tensor, read_header
from lora_trainer.model_files.source import ModelFile


class HubSource:
    """One revision of a repository. The token comes from the environment (HF_TOKEN)."""

    takes_room = True

    def __init__(self, model: str, revision: str | None, budget_seconds: float, *, worked_before: bool = False) -> None:
        """`revision` None takes what the Hub serves now; see `HubAccess` for the others."""
        named = Named(
            "model",
            model,
            revision,
            field=spec_paths.MODEL_ID,
            revision_field=spec_paths.MODEL_REVISION,
            instead="set spec.model.source to a copy in S3 where the cluster cannot reach the Hub",
        )
        access = HubAccess(named, budget_seconds, worked_before=worked_before)
        self._model = model
        self._revision = revision
        self._api = access.api
        self._patiently = access.patiently

    @cached_property
    def _info(self) -> Any:
        return self._patiently(lambda: self._api.model_info(self._model, revision=self._revision, files_metadata=True))

    def files(self) -> tuple[ModelFile, ...]:
        """See `ModelSource.files`."""
        return tuple(
            ModelFile(sibling.rfilename, sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else None)
            for sibling in self._info.siblings or []
            if "/" not in sibling.rfilename
        )

    def commit(self) -> str | None:
        """See `ModelSource.commit`."""
        return str(self._info.sha)

    def key(self) -> str:
        """See `ModelSource.key`."""
        return f"{self._model.replace('/', '--')}-{self.commit()}"

    def fetch(self, name: str, folder: Path) -> None:
        """See `ModelSource.fetch`."""
        self._patiently(
            lambda: self._api.hf_hub_download(self._model, name, revision=self.commit(), local_dir=str(folder))
        )

    def sha256(self, name: str) -> str:
        """See `ModelSource.sha256`: the Hub states it for weights."""
        return next(file.sha256 or "" for file in self.files() if file.name == name)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """See `ModelSource.tensors`."""
        size = next(file.size for file in self.files() if file.name == name)
        return self._patiently(lambda: self._read_header(name, size))

    def _read_header(self, name: str, size: int) -> dict[str, Tensor]:
        """Read as much of a file as its header takes; the rest stays on the Hub."""
        url = hf_hub_url(self._model, name, revision=self.commit(), endpoint=self._api.endpoint)
        headers = {**build_hf_headers(token=self._api.token), "range": f"bytes=0-{MOST_BYTES - 1}"}
        with get_session().stream("GET", url, headers=headers) as response:
            if response.is_error:
                response.read()  # what the error is about
            hf_raise_for_status(response)
            return read_header(cast("BinaryIO", _Body(response.iter_bytes())), size, name, self._model)


class _Body:
    """The body of an answer, read in pieces of a wanted size."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, amount: int) -> bytes:
        """Read at most so many of the next bytes; none at the end."""
        if not self._left:
            self._left = next(self._chunks, b"")
        data, self._left = self._left[:amount], self._left[amount:]
        return data
