"""What a user does to runs and sees of them, in words for scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubernetes import client

from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.status import LoRAFineTuneStatus
from support.api_server import FineTunes, eventually
from support.pods import Pods, prepared, trained
from support.specs import changed


@dataclass(frozen=True)
class Runs:
    """The runs of one namespace, their pods, and what the API server says of them."""

    api: client.ApiClient
    namespace: str

    @property
    def finetunes(self) -> FineTunes:
        """The resources."""
        return FineTunes(self.api, self.namespace)

    @property
    def pods(self) -> Pods:
        """The pods."""
        return Pods(self.api, self.namespace)

    def apply(self, name: str, **changes: Any) -> None:
        """Create a run. `retries=0` sets spec.retries; paths are written with `__` for the dot."""
        self.finetunes.create(name, changed({path.replace("__", "."): value for path, value in changes.items()}))

    def patch(self, name: str, spec: dict[str, Any]) -> None:
        """Merge into the spec, as `kubectl patch` does."""
        client.CustomObjectsApi(self.api).patch_namespaced_custom_object(
            names.GROUP, names.VERSION, self.namespace, names.PLURAL, name, {"spec": spec}
        )

    def names(self) -> list[str]:
        """The names of all runs."""
        where = (names.GROUP, names.VERSION, self.namespace, names.PLURAL)
        found = client.CustomObjectsApi(self.api).list_namespaced_custom_object(*where)["items"]
        return [body["metadata"]["name"] for body in found]

    def status(self, name: str) -> LoRAFineTuneStatus:
        """The status of a run."""
        return LoRAFineTuneStatus.model_validate(self.finetunes.get(name).get("status") or {})

    def is_true(self, name: str, condition: ConditionType) -> bool:
        """Whether a condition holds."""
        found = self.status(name).condition(condition)
        return found is not None and found.status == "True"

    def is_because(self, name: str, reason: str) -> bool:
        """Whether a reason is given for where the run is."""
        ready = self.status(name).condition(ConditionType.READY)
        return ready is not None and ready.reason == reason

    def reaches(self, name: str, condition: ConditionType, *, seconds: float = 60) -> LoRAFineTuneStatus:
        """Wait for a condition; the status then."""
        eventually(f"{name} is {condition}", lambda: self.is_true(name, condition), seconds=seconds)
        return self.status(name)

    def in_phase(self, name: str, phase: str, *, seconds: float = 60) -> LoRAFineTuneStatus:
        """Wait for a phase; the status then."""
        eventually(f"{name} is {phase}", lambda: self.status(name).phase == phase, seconds=seconds)
        return self.status(name)

    def jobs(self, name: str) -> list[client.V1Job]:
        """The Jobs of a run."""
        jobs = client.BatchV1Api(self.api).list_namespaced_job(
            self.namespace, label_selector=f"{names.LABEL_FINETUNE}={name}"
        )
        return list(jobs.items)

    def stages(self, name: str) -> list[str]:
        """The stages for which there are Jobs, in the order of their names."""
        return sorted(job.metadata.labels[names.LABEL_STAGE] for job in self.jobs(name))

    def events(self, name: str) -> list[tuple[str, str]]:
        """Type and reason of the Events about a run, oldest first."""
        selector = f"involvedObject.kind={names.KIND},involvedObject.name={name}"
        events = client.CoreV1Api(self.api).list_namespaced_event(self.namespace, field_selector=selector).items
        return [(event.type, event.reason) for event in sorted(events, key=lambda event: event.event_time)]

    def completes(self, name: str) -> LoRAFineTuneStatus:
        """Play both pods of a plain run to the end; the status then."""
        self.pods.run(name, names.STAGE_PREPARE, prepared(name))
        self.pods.run(name, names.STAGE_TRAIN, trained())
        return self.reaches(name, ConditionType.COMPLETE)
