"""The LoRAFineTune of a trial. It is created once under a name that follows from the sweep, and never re-applied."""

from __future__ import annotations

from typing import Any

from lora_contract import names
from lora_contract.sweep import Trial
from lora_operator.core.sweep.observed_sweep import Sweep
from lora_operator.settings import Settings


def trial_manifest(sweep: Sweep, trial: Trial, settings: Settings) -> dict[str, Any]:
    """Build an ordinary run; the sweep is its controller, so it goes when the sweep is deleted."""
    propagated = {key: sweep.labels[key] for key in settings.propagated_labels if key in sweep.labels}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": trial.name,
            "namespace": sweep.namespace,
            "labels": {
                **propagated,
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_SWEEP: sweep.name,
            },
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.SWEEP_KIND,
                    "name": sweep.name,
                    "uid": sweep.uid,
                    "controller": True,
                }
            ],
        },
        "spec": trial.spec.dump(),
    }
