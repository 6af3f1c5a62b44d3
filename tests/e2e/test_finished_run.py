"""A run that ended well: what is in S3, what is on the object, and that nothing done is done twice."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from e2e.conftest import Finished
from lora_contract import layout
from lora_contract.reasons import Reason
from lora_demo import model
from lora_demo.platform import OPERATOR_NAMESPACE
from lora_demo.run import is_adopted
from lora_demo.samples import samples
from support import e2e
from support.e2e import NAMESPACE, Rig, resource

#: Answers prompts with nothing but transformers and peft, as a server would; the adapter's folder tells all it needs.
_ANSWER = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
base, adapter, prompts, tokens = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
quantization = BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32
)
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, quantization_config=quantization)
model = model.dequantize()  # the same numbers, many times faster on a CPU
model = PeftModel.from_pretrained(model, adapter).eval()
tokenizer = AutoTokenizer.from_pretrained(adapter)
answers = []
for messages in prompts:
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        out = model.generate(**ids, max_new_tokens=tokens, do_sample=False)
    answers.append(tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True))
print(json.dumps(answers))
"""


def test_the_status_tells_the_whole_run(finished: Finished) -> None:
    status = finished.status
    assert status.phase == "Complete"
    assert status.plan is not None
    assert status.plan.total_steps == e2e.STEPS
    assert status.progress is not None
    assert (status.progress.step, status.progress.percent) == (e2e.STEPS, 100)
    assert status.metrics is not None
    assert float(status.metrics.test_loss or "inf") < float(status.metrics.base_test_loss or "0")
    assert status.artifact is not None
    assert status.artifact.uri == f"s3://adapters/e2e/undisturbed/{status.run_id}"
    assert [attempt.exit_code for attempt in status.attempts if attempt.stage == "train"] == [0]
    assert status.usage is not None
    assert status.usage.lost_steps == 0


def test_every_published_file_is_in_the_manifest_with_its_digest(rig: Rig, finished: Finished, tmp_path: Path) -> None:
    artifact = finished.status.artifact
    assert artifact is not None
    folder = rig.download(artifact.uri, tmp_path)
    content = (folder / layout.MANIFEST).read_bytes()
    assert hashlib.sha256(content).hexdigest() == artifact.manifest_digest
    listed = {name: file["sha256"] for name, file in json.loads(content)["files"].items()}
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    there.pop(layout.MANIFEST)
    assert there == listed
    needed = {layout.ADAPTER_CONFIG, layout.ADAPTER_WEIGHTS, layout.MODEL_CARD, layout.REPORT, layout.METRICS}
    assert needed <= set(there)
    assert json.loads((folder / layout.ADAPTER_CONFIG).read_text())["base_model_name_or_path"] == artifact.base_model


def test_nothing_is_left_of_the_work_once_the_adapter_is_published(rig: Rig, finished: Finished) -> None:
    run_layout = layout.RunLayout("s3://adapters/e2e/", finished.status.run_id or "")
    assert rig.files(run_layout.checkpoints) == {}
    assert rig.files(run_layout.prepared) == {}


def test_plain_peft_loads_the_adapter_and_answers_as_the_report_says(
    rig: Rig, finished: Finished, tmp_path: Path
) -> None:
    artifact = finished.status.artifact
    assert artifact is not None
    folder = rig.download(artifact.uri, tmp_path)
    told = samples((folder / layout.REPORT).read_text(encoding="utf-8"))
    assert len(told) == 2
    prompts = [_messages(sample["Prompt"]) for sample in told]
    command = [sys.executable, "-c", _ANSWER, str(model.ensure()), str(folder), json.dumps(prompts), "24"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert [answer.strip() for answer in answers] == [sample["Adapter"].strip() for sample in told]


def test_a_second_apply_of_the_same_file_starts_nothing(rig: Rig, finished: Finished) -> None:
    before, jobs = finished.run.read(), {job["metadata"]["uid"] for job in finished.run.jobs()}
    rig.kubernetes.apply([resource("undisturbed")])
    after = finished.run.read()
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert {job["metadata"]["uid"] for job in finished.run.jobs()} == jobs
    assert finished.run.status().phase == "Complete"


def test_a_copy_under_another_name_is_adopted_without_a_train_job(rig: Rig, finished: Finished) -> None:
    copy = rig.create("copy")
    status = copy.wait_finished(e2e.REACTION_SECONDS)
    assert is_adopted(status), status.error
    assert copy.train_jobs() == []
    assert status.artifact == finished.status.artifact


def test_kubectl_shows_the_run_in_one_line(rig: Rig, finished: Finished) -> None:
    table = rig.kubernetes.run("get", "lft", finished.run.name, f"--namespace={NAMESPACE}")
    header, line = table.splitlines()
    assert header.split()[:5] == ["NAME", "PHASE", "PROGRESS", "LOSS", "ETA"]
    assert "Complete" in line
    assert "100" in line


def test_kubectl_describe_tells_the_story_once(rig: Rig, finished: Finished) -> None:
    described = rig.kubernetes.run("describe", "lft", finished.run.name, f"--namespace={NAMESPACE}")
    assert finished.status.artifact is not None
    assert finished.status.artifact.uri in described
    events = rig.kubernetes.get(
        "events", f"--namespace={NAMESPACE}", f"--field-selector=involvedObject.name={finished.run.name}"
    )["items"]
    reasons = [event["reason"] for event in events]
    assert Reason.ADAPTER_PUBLISHED in reasons
    assert len(reasons) == len(set(reasons)), reasons


def test_kubectl_explain_documents_a_field_with_its_example(rig: Rig) -> None:
    explained = rig.kubernetes.run("explain", "lorafinetune.spec.training.learningRate")
    assert "Peak learning rate" in explained


def test_no_pod_of_a_run_can_use_the_api(rig: Rig, finished: Finished) -> None:
    for pod in rig.pods(finished.run, "train"):
        assert pod["spec"]["automountServiceAccountToken"] is False


def _messages(prompt: str) -> list[dict[str, str]]:
    """The conversation behind a prompt as the report prints it: roles and contents line by line."""
    lines = prompt.splitlines()
    assert [lines[0], lines[2]] == ["system", "user"], prompt
    return [{"role": "system", "content": lines[1]}, {"role": "user", "content": lines[3]}]


def test_the_watches_of_the_operator_never_ended(rig: Rig, finished: Finished) -> None:
    # without them it would still get along by looking at everything again and again
    said = rig.kubernetes.run("logs", "deployment/lora-operator", f"--namespace={OPERATOR_NAMESPACE}", "--tail=-1")
    assert "kopf ended" not in said
