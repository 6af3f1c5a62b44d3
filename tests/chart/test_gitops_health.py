"""Argo CD and Flux find an object healthy, failed or under way as it is: at every phase, and with every condition."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lora_contract.conditions import Condition, ConditionType
from lora_contract.status import Phase
from lora_contract.sweep import SweepPhase
from support import gitops_files
from support.gitops_objects import Case, run_cases, sweep_cases
from support.judge import (
    CUSTOMIZATIONS,
    GITOPS,
    KINDS,
    UNTIL_ACCEPTED,
    UNTIL_COMPLETE,
    Verdict,
    expressions_of,
    judge,
    scripts_of_the_repository,
)

CASES = {f"{kind} {case.name}": case for kind, cases in zip(KINDS, (run_cases(), sweep_cases()), strict=True)
         for case in cases}  # fmt: skip
OBJECTS = {name: case.make() for name, case in CASES.items()}


def verdicts(kustomization: Any) -> dict[str, Verdict]:
    found = judge(list(OBJECTS.values()), scripts_of_the_repository(), expressions_of(kustomization))
    return dict(zip(OBJECTS, found, strict=True))


@pytest.fixture(scope="module")
def until_complete() -> dict[str, Verdict]:
    return verdicts(UNTIL_COMPLETE)


@pytest.fixture(scope="module")
def until_accepted() -> dict[str, Verdict]:
    return verdicts(UNTIL_ACCEPTED)


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES)
def test_each_tool_finds_an_object_as_it_is(
    name: str, case: Case, until_complete: dict[str, Verdict], until_accepted: dict[str, Verdict]
) -> None:
    assert until_complete[name]["argocd"]["status"] == case.health.argocd
    assert until_complete[name]["flux"] == case.health.flux_complete
    assert until_accepted[name]["flux"] == case.health.flux_accepted
    assert until_complete[name]["kstatus"] == case.health.kstatus


@pytest.mark.parametrize(("kind", "phases"), [("LoRAFineTune", Phase), ("LoRASweep", SweepPhase)])
def test_the_cases_have_every_phase(kind: str, phases: type[Phase] | type[SweepPhase]) -> None:
    seen = {body["status"].get("phase") for name, body in OBJECTS.items() if name.startswith(kind)}
    assert seen >= {str(phase) for phase in phases}


def test_the_cases_have_every_condition_as_true_and_as_false() -> None:
    seen = {
        (condition["type"], condition["status"])
        for body in OBJECTS.values()
        for condition in body["status"].get("conditions", [])
    }
    wanted = {(str(kind), status) for kind in ConditionType for status in ("True", "False")}
    assert wanted - seen == {("InputsDrifted", "True"), ("InputsDrifted", "False")}, "said only once it is asked for"


def test_drifted_inputs_change_no_verdict() -> None:
    body = OBJECTS["LoRAFineTune complete"]
    drifted = Condition(
        type=ConditionType.INPUTS_DRIFTED,
        status="True",
        reason="DatasetChanged",
        message="The dataset changed.",
        last_transition_time="2026-01-02T03:04:05Z",
        observed_generation=1,
    )
    conditions = [*body["status"]["conditions"], drifted.dump()]
    (found,) = judge(
        [body | {"status": body["status"] | {"conditions": conditions}}],
        scripts_of_the_repository(),
        expressions_of(UNTIL_COMPLETE),
    )
    assert (found["argocd"]["status"], found["flux"], found["kstatus"]) == ("Healthy", "Current", "Current")


def test_argo_cd_shows_why_a_run_is_where_it_is(until_complete: dict[str, Verdict]) -> None:
    messages = {name: verdict["argocd"]["message"] for name, verdict in until_complete.items()}
    assert messages["LoRAFineTune waiting_in_queue"] == "Queued: Waiting in queue team-a."
    assert messages["LoRAFineTune refused"].startswith("SpecInvalid: spec.lora.r: ")
    assert messages["LoRAFineTune new"] == "Waiting for lora-operator"


def test_the_files_for_argo_cd_are_current() -> None:
    texts = gitops_files.of_the_script()
    assert not [path for path, text in texts.items() if path.read_text(encoding="utf-8") != text], "run `make gitops`"


@pytest.mark.parametrize(("kind", "cases"), [("LoRAFineTune", run_cases()), ("LoRASweep", sweep_cases())])
def test_the_tests_for_argo_cds_repository_pass_and_have_every_case(kind: str, cases: list[Case]) -> None:
    folder = CUSTOMIZATIONS / kind
    tests = yaml.safe_load((folder / "health_test.yaml").read_text(encoding="utf-8"))["tests"]
    assert [test["inputPath"] for test in tests] == [f"testdata/{case.name}.yaml" for case in cases], (
        "run `make gitops`"
    )
    assert {path.name for path in folder.glob("testdata/*")} == {f"{case.name}.yaml" for case in cases}

    objects = [yaml.safe_load((folder / test["inputPath"]).read_text(encoding="utf-8")) for test in tests]
    found = judge(objects, scripts_of_the_repository(), expressions_of(UNTIL_COMPLETE))
    assert [verdict["argocd"] for verdict in found] == [test["healthStatus"] for test in tests]


def test_the_config_map_of_argo_cd_has_the_tested_script_for_each_kind() -> None:
    data = yaml.safe_load((GITOPS / "argocd-cm.yaml").read_text(encoding="utf-8"))["data"]
    for kind, script in scripts_of_the_repository().items():
        assert data[f"resource.customizations.health.lora-operator.dev_{kind}"] == script
