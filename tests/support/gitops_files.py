"""What follows from `health.lua` and from what the operator writes: the files for Argo CD, the table of docs/gitops.md.

`python -m support.gitops_files` (with tests and the product on the path; `make gitops`) writes them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from lora_contract import names
from lora_contract.generated import write_or_check
from support.gitops_objects import Case, run_cases, sweep_cases
from support.judge import CUSTOMIZATIONS, GITOPS, KINDS, UNTIL_COMPLETE, expressions_of, judge

PAGE = Path(__file__).parents[2] / "docs" / "gitops.md"
_TABLE = re.compile(r"(?<=<!-- verdicts: `make gitops` -->\n\n).*?(?=\n<!-- end of verdicts -->)", re.DOTALL)
_SCRIPT = CUSTOMIZATIONS / "LoRAFineTune" / "health.lua"
_CONFIG_MAP = """\
# What Argo CD needs to know of runs and sweeps. Add it to the ConfigMap that Argo CD reads:
#   kubectl -n argocd patch configmap argocd-cm --patch-file charts/lora-operator/gitops/argocd-cm.yaml
# Written by `make gitops` from resource_customizations/lora-operator.dev/LoRAFineTune/health.lua.
"""
#: Where a run is changes every few seconds while it trains: Argo CD need not compare the application each time.
_CHANGES_OFTEN = {"jsonPointers": ["/status/progress", "/status/metrics", "/status/usage"]}


def files() -> dict[Path, str]:
    """Every generated file with its text."""
    texts = of_the_script()
    for kind, cases in zip(KINDS, (run_cases(), sweep_cases()), strict=True):
        texts |= _tests_of(kind, cases, _SCRIPT.read_text(encoding="utf-8"))
    return texts


def of_the_script() -> dict[Path, str]:
    """The files that follow from the script and the verdicts alone; the others also hold the operator's messages."""
    script, page = _SCRIPT.read_text(encoding="utf-8"), PAGE.read_text(encoding="utf-8")
    return {
        GITOPS / "argocd-cm.yaml": _CONFIG_MAP + _dump({"data": _settings(script)}),
        PAGE: _TABLE.sub(lambda _: _table(run_cases()), page),
        **{CUSTOMIZATIONS / kind / "health.lua": script for kind in KINDS},
    }


def _table(cases: list[Case]) -> str:
    """How each tool finds a run, in words."""
    head = ["a run is", "Argo CD", "Flux, until complete", "Flux, until accepted", "kstatus (`flux`, Helm 4)"]
    rows = [head, ["---"] * len(head)]
    for case in cases:
        health = case.health
        rows.append([case.words, health.argocd, health.flux_complete, health.flux_accepted, health.kstatus])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _settings(script: str) -> dict[str, str]:
    settings = {}
    for kind in KINDS:
        settings[f"resource.customizations.health.{names.GROUP}_{kind}"] = script
    settings[f"resource.customizations.ignoreResourceUpdates.{names.GROUP}_{names.KIND}"] = _dump(_CHANGES_OFTEN)
    return settings


def _tests_of(kind: str, cases: list[Case], script: str) -> dict[Path, str]:
    """The tests of a kind in the form that Argo CD's repository asks for."""
    objects = {f"testdata/{case.name}.yaml": case.make() for case in cases}
    verdicts = judge(list(objects.values()), {kind: script}, expressions_of(UNTIL_COMPLETE))
    tests = [
        {"healthStatus": verdict["argocd"], "inputPath": path} for path, verdict in zip(objects, verdicts, strict=True)
    ]
    folder = CUSTOMIZATIONS / kind
    texts = {folder / path: _dump(body) for path, body in objects.items()}
    return texts | {folder / "health_test.yaml": _dump({"tests": tests})}


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _dump(document: Any) -> str:
    return yaml.dump(document, Dumper=_Dumper, width=120, sort_keys=True, allow_unicode=True)


if __name__ == "__main__":
    sys.exit(write_or_check(files(), None, program="support.gitops_files", description=__doc__ or ""))
