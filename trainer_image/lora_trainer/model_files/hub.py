"""A base model on the Hugging Face Hub. No code of a repository is ever fetched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.names import HUB_TOKEN_KEY
from lora_trainer.backoff import Backoff, Failure
from lora_trainer.errors import TrainerError
from lora_trainer.model_files.safetensors_header import MOST_BYTES, Tensor, read_header
from lora_trainer.model_files.source import ModelFile
from lora_trainer.store.settings import odd_characters

T = TypeVar("T")

_TRANSIENT = (HTTPError, OSError)


class HubSource:
    """One revision of a repository. The token comes from the environment (HF_TOKEN)."""

    takes_room = True

    def __init__(self, model: str, revision: str | None, budget_seconds: float, *, worked_before: bool = False) -> None:
        """`revision` None takes what the Hub serves now; `budget_seconds` is how long the Hub may be away.

        `worked_before`: an earlier pod of the run read this model. As with S3, access that was granted before and is
        refused now is waited for, and then left to a new pod, which reads the token anew.
        """
        _check_token(os.environ.get(HUB_TOKEN_KEY, ""))
        self._model = model
        self._revision = revision
        self._budget = budget_seconds
        self._worked_before = worked_before
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))

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

    def _patiently(self, action: Callable[[], T]) -> T:
        """Return the result of `action`, tried again while the Hub is away and the budget lasts."""
        result = Backoff(first_wait=0.5, longest_wait=15).call(action, _TRANSIENT, self._judge)
        self._worked_before = True
        return result

    def _judge(self, error: BaseException, away: float) -> Failure:
        permanent = self._permanent(error)
        if permanent is not None and not self._worked_before:
            raise permanent from error
        if away >= self._budget or isinstance(error, OfflineModeIsEnabled):
            raise self._away(error, permanent) from error
        return Failure(self._budget - away, f"the Hub does not answer ({type(error).__name__})")

    def _permanent(self, error: BaseException) -> TrainerError | None:
        """Return the words for an answer that will not change by asking again."""
        if isinstance(error, GatedRepoError):
            return self._denied("is gated", "accept its terms on the Hub, and name a Secret with HF_TOKEN")
        if isinstance(error, RevisionNotFoundError):
            return self._missing(f"{self._model} has no revision {self._revision}", spec_paths.MODEL_REVISION)
        if isinstance(error, RepositoryNotFoundError):
            return self._missing(
                f"the Hub has no model {self._model} (or the token may not see it)", spec_paths.MODEL_ID
            )
        status = (
            error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
        )
        if status in (401, 403):
            return self._denied("may not be read with this token", "check HF_TOKEN in the Secret")
        if status is not None and status < 500 and status not in (408, 429):
            return self._missing(f"the Hub refuses a file of {self._model} (HTTP status {status})", spec_paths.MODEL_ID)
        return None

    def _denied(self, problem: str, hint: str) -> TrainerError:
        message = f"{self._model} {problem}"
        return TrainerError(ExitCode.ACCESS_DENIED, message, param=spec_paths.MODEL_TOKEN_SECRET_NAME, hint=hint)

    def _missing(self, message: str, param: str) -> TrainerError:
        return TrainerError(ExitCode.INPUT_MISSING, message, param=param, hint="check the name and the revision")

    def _away(self, error: BaseException, refusal: TrainerError | None) -> TrainerError:
        if refusal is not None:
            return TrainerError(
                ExitCode.UNAVAILABLE,
                f"{refusal.message}, for {self._budget:.0f} s, though it worked before",
                param=refusal.param,
                hint=f"{refusal.hint}; a new pod tries again with what the Secret holds then",
            )
        cause = "offline mode is on" if isinstance(error, OfflineModeIsEnabled) else type(error).__name__
        return TrainerError(
            ExitCode.UNAVAILABLE,
            f"the Hub did not serve {self._model} for {self._budget:.0f} s ({cause})",
            param=spec_paths.MODEL_ID,
            hint="set spec.model.source to a copy in S3 where the cluster cannot reach the Hub",
        )


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


def _check_token(token: str) -> None:
    """Refuse a token that no request can carry; line ends and spaces around it the Hub's client takes away itself."""
    problem = odd_characters(token.replace("\r", "").replace("\n", "").strip())
    if problem is not None:
        raise TrainerError(
            ExitCode.ACCESS_DENIED,
            f"{HUB_TOKEN_KEY} {problem}",
            param=spec_paths.MODEL_TOKEN_SECRET_NAME,
            hint="write the token into the Secret anew",
        )
