"""How healthy Argo CD, Flux and kstatus find an object, asked of the engines that they are made of."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any, TypedDict

import yaml

from lora_cluster import tools
from support.chart import CHART

GITOPS = CHART / "gitops"
CUSTOMIZATIONS = GITOPS / "resource_customizations" / "lora-operator.dev"
KINDS = ("LoRAFineTune", "LoRASweep")
UNTIL_ACCEPTED = GITOPS / "flux-until-accepted.yaml"
UNTIL_COMPLETE = GITOPS / "flux-until-complete.yaml"


class Verdict(TypedDict):
    """What the three find."""

    argocd: dict[str, str]
    flux: str
    kstatus: str


def judge(objects: Sequence[dict[str, Any]], scripts: dict[str, str], expressions: dict[str, Any]) -> list[Verdict]:
    """Ask about each object, with a Lua script and Flux's expressions for each kind."""
    tools.build(("judge",))
    question = {"objects": objects, "lua": scripts, "flux": expressions}
    done = subprocess.run(
        [tools.binary("judge")], input=json.dumps(question), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    verdicts: list[Verdict] = json.loads(done.stdout)
    return verdicts


def scripts_of_the_repository() -> dict[str, str]:
    """The script of each kind, as Argo CD's own repository would hold it."""
    return {kind: (CUSTOMIZATIONS / kind / "health.lua").read_text(encoding="utf-8") for kind in KINDS}


def expressions_of(kustomization: Any) -> dict[str, Any]:
    """The expressions of each kind in a file with a Kustomization."""
    listed = yaml.safe_load(kustomization.read_text(encoding="utf-8"))["spec"]["healthCheckExprs"]
    return {item["kind"]: {key: item[key] for key in ("failed", "current")} for item in listed}
