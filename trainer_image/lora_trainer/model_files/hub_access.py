"""What reading from the Hugging Face Hub asks for whatever is read: patience, words for refusals, a sound token."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.names import HUB_TOKEN_KEY
from lora_trainer.backoff import Backoff, Failure
from lora_trainer.errors import TrainerError
from lora_trainer.store.settings import odd_characters

T = TypeVar("T")

_TRANSIENT = (HTTPError, OSError)


@dataclass(frozen=True)
class Named:
    """What a repository is called, and the fields of the spec that name it and its revision.

    `kind` is model or dataset, `instead` what to do where the cluster cannot reach the Hub.
    """

    kind: str
    name: str
    revision: str | None
    field: str
    revision_field: str
    instead: str


class HubAccess:
    """Calls of the Hub about one repository. The token comes from the environment (HF_TOKEN)."""

    def __init__(self, named: Named, budget_seconds: float, *, worked_before: bool = False) -> None:
        """`budget_seconds` is how long the Hub may be away.

        `worked_before`: an earlier pod of the run read this repository. As with S3, access that was granted before and
        is refused now is waited for, and then left to a new pod, which reads the token anew.
        """
        _check_token(os.environ.get(HUB_TOKEN_KEY, ""))
        self._named = named
        self._budget = budget_seconds
        self._worked_before = worked_before
        self.api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))

    def patiently(self, action: Callable[[], T]) -> T:
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
            return self._missing(
                f"{self._named.name} has no revision {self._named.revision}", self._named.revision_field
            )
        if isinstance(error, RepositoryNotFoundError):
            return self._missing(
                f"the Hub has no {self._named.kind} {self._named.name} (or the token may not see it)", self._named.field
            )
        status = (
            error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
        )
        if status in (401, 403):
            return self._denied("may not be read with this token", "check HF_TOKEN in the Secret")
        if status is not None and status < 500 and status not in (408, 429):
            return self._missing(
                f"the Hub refuses a file of {self._named.name} (HTTP status {status})", self._named.field
            )
        return None

    def _denied(self, problem: str, hint: str) -> TrainerError:
        message = f"{self._named.name} {problem}"
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
            f"the Hub did not serve {self._named.name} for {self._budget:.0f} s ({cause})",
            param=self._named.field,
            hint=self._named.instead,
        )


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
