"""Where everything of a run lies below `spec.output.uri`.

<output>/<name>/<runId>/            the published adapter: immutable, flat, manifest.json written last
<output>/_runs/<runId>.json         from the identity to the published manifest
<output>/_runs/<runId>.date         date of runs whose chat template reads the clock, by the identity without a date
<output>/_work/<runId>/prepared/    tokenised rows and plan
<output>/_work/<runId>/checkpoints/<claim>/step-<N>/   each with its own manifest, written last
<output>/_work/<runId>/claims/<n>   who may write: the highest number wins
<output>/_work/<runId>/groups/<id>  key of a group of processes on several nodes
<output>/_work/tokens/<key>/        tokens of a source of dataset.sources, for all runs that read it alike
<output>/_work/run-times/<key>/     how long runs took, for estimates of later ones that are like them
<output>/_work/references/<key>/    what the reference model says of prepared rows, for all runs on the same rows
"""

from __future__ import annotations

from dataclasses import dataclass

MANIFEST = "manifest.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
GENERATION_CONFIG = "generation_config.json"
MODEL_CARD = "README.md"
REPORT = "report.html"
METRICS = "metrics.jsonl"
PLAN = "plan.json"


def source_tokens(output: str, key: str | None = None) -> str:
    """Return the prefix of the tokens of a source, whose `key` follows from rows, model and template; or of all."""
    return "/".join([output.rstrip("/"), "_work", "tokens", *([] if key is None else [key])])


def run_times(output: str, key: str | None = None) -> str:
    """Return the prefix of how long runs took that are alike, as `key` says; or of all."""
    return "/".join([output.rstrip("/"), "_work", "run-times", *([] if key is None else [key])])


@dataclass(frozen=True)
class RunLayout:
    """Addresses of one run. `output` is `spec.output.uri`."""

    output: str
    run_id: str

    def _below(self, *parts: str) -> str:
        return "/".join([self.output.rstrip("/"), *parts])

    def published(self, name: str) -> str:
        """Return the prefix of the published adapter."""
        return self._below(name, self.run_id)

    @property
    def pointer(self) -> str:
        """Object that names the published manifest of this identity."""
        return self._below("_runs", f"{self.run_id}.json")

    @property
    def template_date(self) -> str:
        """Object that pins the date for the chat template, where `run_id` is the identity without a date."""
        return self._below("_runs", f"{self.run_id}.date")

    @property
    def work(self) -> str:
        """Prefix of everything that goes away after publication."""
        return self._below("_work", self.run_id)

    @property
    def prepared(self) -> str:
        """Prefix of the tokenised rows and the plan."""
        return f"{self.work}/prepared"

    @property
    def claims(self) -> str:
        """Prefix of the claims."""
        return f"{self.work}/claims"

    @property
    def checkpoints(self) -> str:
        """Prefix of the checkpoints of all claims."""
        return f"{self.work}/checkpoints"

    def reference(self, key: str) -> str:
        """Return the prefix of what the reference model says of rows; `key` follows from rows and model."""
        return self._below("_work", "references", key)

    def group_key(self, key_id: str) -> str:
        """Return the object with the secret that the processes of one group share."""
        return f"{self.work}/groups/{key_id}"

    def claim(self, number: int) -> str:
        """Return the object of one claim."""
        return f"{self.claims}/{number:08d}"

    def checkpoint(self, claim: int, step: int) -> str:
        """Return the prefix of one checkpoint."""
        return f"{self.checkpoints}/{claim:08d}/step-{step:08d}"
