"""What the commands say of a cluster, and where they cannot say anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from lora_cli import __main__ as program
from lora_contract import names
from support.cli import Plugin
from support.cli_demo import complete, condition, run
from support.stub_cluster import StubCluster

ADAPTER = "s3://adapters/team-a/triage/2d5658b126f01b81e5403dd84286bc18"


def column(lines: str, index: int = 0) -> list[str]:
    """The words of a column below its head."""
    return [line.split()[index] for line in lines.splitlines()[1:]]


def test_a_list_shows_the_runs_of_the_namespace_of_the_context(kubectl_lora: Plugin) -> None:
    assert column(kubectl_lora("list").out) == ["broken", "triage", "triage-v2"]
    assert column(kubectl_lora("list", "-n", "team-b").out) == ["summaries"]
    assert column(kubectl_lora("list", "-A").out, 1) == ["broken", "triage", "triage-v2", "summaries"]


def test_a_list_is_filtered_and_sorted(kubectl_lora: Plugin) -> None:
    assert column(kubectl_lora("list", "--phase", "failed", "--phase", "Running").out) == ["broken", "triage-v2"]
    assert column(kubectl_lora("list", "--sort", "age").out) == ["broken", "triage-v2", "triage"]
    assert column(kubectl_lora("list", "--sort", "loss").out) == ["triage", "triage-v2", "broken"]
    assert column(kubectl_lora("list", "--sort", "gpu-time").out) == ["triage", "triage-v2", "broken"]


def test_a_run_that_nobody_has_looked_at_yet_is_found_by_the_phase_that_is_shown(
    kubectl_lora: Plugin, cluster: StubCluster
) -> None:
    cluster.runs.append(run("new", {}))

    assert column(kubectl_lora("list", "--phase", "Pending").out) == ["new"]


def test_a_list_of_several_pages_is_whole(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    cluster.runs += [run(f"run-{number:04d}", {}) for number in range(1200)]

    assert len(column(kubectl_lora("list").out)) == 1203


def test_a_wide_list_has_the_whole_address(kubectl_lora: Plugin) -> None:
    assert ADAPTER in kubectl_lora("list", "-o", "wide").out.split()


def test_lists_for_programs(kubectl_lora: Plugin) -> None:
    listed: Any = json.loads(kubectl_lora("list", "-o", "json").out)
    assert [item["kind"] for item in listed["items"]] == [names.KIND] * 3
    assert listed["items"][1] == complete()
    assert yaml.safe_load(kubectl_lora("list", "-o", "yaml").out) == listed
    assert kubectl_lora("list", "--phase", "failed", "-o", "name").out == "lorafinetune.lora-operator.dev/broken\n"
    assert yaml.safe_load(kubectl_lora("status", "triage", "-o", "yaml").out) == complete()


def test_an_empty_list_says_where_it_looked(kubectl_lora: Plugin) -> None:
    assert kubectl_lora("list", "-n", "empty") == (0, "", "There are no runs in namespace empty.\n")


def test_a_page_about_a_run_has_what_a_person_asks(kubectl_lora: Plugin) -> None:
    page = kubectl_lora("status", "triage-v2").out

    for words in (
        "[############------------] step 12 of 24 (50 %), about 2 min 34 s left, 12,177 tokens/s",
        "0.0425 in training, 0.0511 in evaluation (best 0.0511 at step 10)",
        "1 x nvidia.com/gpu on gpu-node-2",
        "2 steps done again",
        "gpu-node-1 is gone; it goes on from step 5.",
        "2 min 50 s so far",
    ):
        assert words in page
    assert f"{ADAPTER}/report.html" in kubectl_lora("status", "triage").out.split()
    assert "team-b, place 3, since 60 min ago: Pending" in kubectl_lora("status", "summaries", "-n", "team-b").out


def test_a_run_that_was_just_created_has_a_page_too(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    cluster.runs.append(run("new", {}, age=1) | {"status": None})

    assert "Pending" in kubectl_lora("status", "new").out


def test_who_may_not_read_events_sees_the_rest(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    cluster.refusals["/events"] = (403, {"message": "events is forbidden"})

    assert "step 12 of 24" in kubectl_lora("status", "triage-v2").out


def test_a_failure_is_explained_to_its_end(kubectl_lora: Plugin) -> None:
    page = kubectl_lora("explain-failure", "broken").out

    for words in (
        "BadData",
        "malformed.jsonl, line 3: is not JSON",
        "The dataset has a malformed row",
        "set dataset.onBadRows: Skip to leave bad rows out",
        "broken-prepare-77aa01bc-0-x1x2x",
        "reading s3://datasets/malformed.jsonl",
        "kubectl lora rerun broken --namespace team-a",
    ):
        assert words in page


def test_what_has_not_failed_is_told_as_what_it_is(kubectl_lora: Plugin) -> None:
    page = kubectl_lora("explain-failure", "summaries", "-n", "team-b").out

    assert "Queued; it has not failed" in page
    assert "Wait, or read waiting in a queue." in page


def test_the_pods_of_a_run_speak_in_order_and_the_gone_one_is_named(kubectl_lora: Plugin) -> None:
    said = kubectl_lora("logs", "triage-v2")

    assert said.out.splitlines()[1:3] == ["363 rows, 28,131 tokens", "going on from step 5"]
    assert [line.split()[1:3] for line in said.err.splitlines()] == [
        ["prepare", "triage-v2-prepare-1f0c2d3e-0-aaaaa"],
        ["train", "triage-v2-train-1f0c2d3e-0-k2v7p"],
        ["train", "triage-v2-train-1f0c2d3e-0-9xw4m"],
    ]
    assert "is gone (NodeLost)" in said.err
    assert kubectl_lora("logs", "triage-v2", "--stage", "prepare").out.splitlines()[0].startswith("reading")


def test_a_run_without_pods_has_no_log(kubectl_lora: Plugin) -> None:
    assert kubectl_lora("logs", "summaries", "-n", "team-b").err == "summaries has no pod with a log yet.\n"


def test_runs_are_compared_by_what_differs(kubectl_lora: Plugin) -> None:
    page = kubectl_lora("compare", "triage", "triage-v2").out
    rows = {line.split("   ")[0]: line.split()[-2:] for line in page.splitlines() if "   " in line}

    assert rows["lora.r"] == ["16", "32"]
    assert rows["training.learningRate"] == ["0.0002", "0.0001"]
    assert "model.id" not in rows
    assert "Lowest loss" not in page  # only one has been tested


def test_losses_of_other_rows_are_not_held_against_each_other(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    other = complete()
    other["metadata"] = {**other["metadata"], "name": "other", "uid": "uid-other"}
    cluster.runs.append(other)
    assert "Lowest loss on the test rows" in kubectl_lora("compare", "triage", "other").out

    other["status"]["plan"] = {**other["status"]["plan"], "datasetDigest": "f" * 64}
    page = kubectl_lora("compare", "triage", "other").out
    assert "cannot be held against each other" in page
    assert "Lowest loss" not in page


def test_gpus_are_added_up_by_namespace(kubectl_lora: Plugin) -> None:
    head, team_a, team_b, everybody = kubectl_lora("top").out.splitlines()

    assert head.split("   ")[0] == "NAMESPACE"
    assert " ".join(team_a.split()) == "team-a 3 1 0 1 12 min 30 s 1 min 1 s 8.1 % 0.36 EUR"
    assert team_b.split() == ["team-b", "1", "0", "1", "0", "0", "s", "0", "s"]
    assert everybody.split()[:5] == ["all", "4", "1", "1", "1"]
    assert "team-b" not in kubectl_lora("top", "-n", "team-a").out


def test_steering_patches_the_spec(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    assert "is being suspended" in kubectl_lora("suspend", "triage-v2").out
    assert "runs again" in kubectl_lora("rerun", "triage").out
    assert "runs again" in kubectl_lora("rerun", "triage-v2", "--yes").out
    assert "is read again" in kubectl_lora("check-inputs", "triage").out

    assert [body["spec"] for _, _, body in cluster.written] == [
        {"suspend": True},
        {"runToken": "20260302T143000"},
        {"runToken": "20260302T143000"},
        {"checkToken": "20260302T143000"},
    ]


def test_nothing_is_steered_where_it_would_do_nothing_or_harm(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    assert "has ended (Complete)" in kubectl_lora("suspend", "triage").err
    assert "is not suspended" in kubectl_lora("resume", "triage-v2").out
    assert "Say --yes if so." in kubectl_lora("rerun", "triage-v2").err
    assert cluster.written == []


def test_a_watched_run_ends_with_its_page_and_its_code(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    assert kubectl_lora("watch", "triage").code == 0
    assert kubectl_lora("watch", "broken").code == 1

    refused = condition("Accepted", "False", "SpecInvalid", "lora.r: too large")
    cluster.runs.append(run("refused", {"phase": "Failed", "conditions": [refused]}))
    said = kubectl_lora("watch", "refused")
    assert said.code == 1
    assert "lora.r: too large" in said.out


def test_words_complete_for_kubectl(
    kubectl_lora: Plugin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def words(*typed: str) -> list[str]:
        monkeypatch.setattr("sys.argv", ["kubectl_complete-lora", *typed])
        program.complete()
        return capsys.readouterr().out.splitlines()

    assert words("stat") == ["status", ":4"]
    assert words("status", "tri") == ["triage", "triage-v2", ":4"]
    assert words("status", "-n", "team-b", "") == ["summaries", ":4"]
    assert words("list", "-o", "") == ["json", "yaml", "wide", "name", ":4"]


@pytest.mark.parametrize(("shell", "words"), [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete --c")])
def test_there_is_a_script_for_each_shell(kubectl_lora: Plugin, shell: str, words: str) -> None:
    said = kubectl_lora("completion", shell)

    assert said.code == 0
    assert words in said.out
    assert "_KUBECTL_LORA_COMPLETE=complete_" in said.out
