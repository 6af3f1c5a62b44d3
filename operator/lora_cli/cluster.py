"""The calls of the command line, with the rights of the user's kubeconfig."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kubernetes import client, config

from lora_contract import names
from lora_contract.status import LoRAFineTuneStatus


class CommandError(Exception):
    """What the user asked for could not be done; the text says why and what to do."""


@dataclass(frozen=True)
class FineTune:
    """A LoRAFineTune as found."""

    name: str
    namespace: str
    spec: dict[str, Any]
    status: LoRAFineTuneStatus


class Cluster:
    """The LoRAFineTunes of one namespace of the cluster that a context of the kubeconfig names."""

    def __init__(self, namespace: str | None, context: str | None) -> None:
        try:
            api = config.new_client_from_config(context=context)
            contexts, active = config.list_kube_config_contexts()
        except config.ConfigException as error:
            raise CommandError(f"The kubeconfig cannot be used: {error}") from error
        chosen = next((item for item in contexts if item["name"] == context), active)
        self.namespace: str = namespace or chosen["context"].get("namespace") or "default"
        self._api = client.CustomObjectsApi(api)

    def get(self, name: str) -> FineTune:
        """Read one.

        Raises:
            CommandError: there is none of this name, or the API server refuses.
        """
        return _finetune(self._call("get_namespaced_custom_object", name))

    def patch(self, name: str, spec: dict[str, Any]) -> FineTune:
        """Merge into the spec of one; the object after that.

        Raises:
            CommandError: there is none of this name, or the API server refuses.
        """
        return _finetune(self._call("patch_namespaced_custom_object", name, {"spec": spec}))

    def _call(self, function: str, name: str, *body: dict[str, Any]) -> dict[str, Any]:
        where = (names.GROUP, names.VERSION, self.namespace, names.PLURAL, name)
        try:
            answer: dict[str, Any] = getattr(self._api, function)(*where, *body)
        except client.ApiException as error:
            raise CommandError(f"{self.namespace}/{name}: {_message(error)}") from error
        return answer


def _finetune(body: dict[str, Any]) -> FineTune:
    metadata = body["metadata"]
    status = LoRAFineTuneStatus.model_validate(body.get("status") or {})
    return FineTune(metadata["name"], metadata["namespace"], body.get("spec") or {}, status)


def _message(error: client.ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
