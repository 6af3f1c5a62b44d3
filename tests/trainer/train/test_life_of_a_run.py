"""A run from prepared rows to the published adapter, undisturbed, killed, stopped and fenced off."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from lora_cli.curves import parse_curves
from lora_contract.exit_codes import ExitCode
from lora_contract.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MANIFEST, METRICS, MODEL_CARD, REPORT
from support.seaweedfs import SeaweedFS
from support.train_runs import STEPS, Ended, TrainRun, prepared_run


@pytest.fixture(scope="module")
def undisturbed(
    s3_server: SeaweedFS, sources: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainRun, Ended]:
    run = prepared_run(s3_server, tmp_path_factory.mktemp("undisturbed"), *sources)
    return run, run.finish()


def assert_like(run: TrainRun, undisturbed: TrainRun) -> None:
    """The adapter is the same to the bit, and each step stands once in the history with the same figures."""
    assert run.adapter() == undisturbed.adapter()
    assert run.metrics() == undisturbed.metrics()


def test_a_run_ends_with_a_published_adapter_and_true_figures(undisturbed: tuple[TrainRun, Ended]) -> None:
    # A run that nothing disturbed
    run, ended = undisturbed
    # It ended well and said so
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    report = ended.report
    assert report is not None
    assert report.artifact is not None
    assert report.error is None
    # All files are there, the work is cleared away, and nothing else lies in the output
    prefix = run.layout.published("tiny")
    assert report.artifact.uri == prefix
    names = {uri.removeprefix(f"{prefix}/") for uri in run.objects(prefix)}
    assert {ADAPTER_CONFIG, ADAPTER_WEIGHTS, MANIFEST, METRICS, MODEL_CARD, REPORT, "tokenizer.json"} <= names
    assert "chat_template.jinja" in names
    assert run.objects(run.layout.work) == []
    # The adapter names its base as it is served, its modules and its precision
    config = json.loads(run.store.read(f"{prefix}/{ADAPTER_CONFIG}"))
    assert config["base_model_name_or_path"] == "example/tiny"
    assert config["target_modules"] == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert b'"BF16"' in run.adapter()[:4000]
    # It learned, and the best evaluation is the lowest of the history
    assert report.metrics is not None
    assert float(report.metrics.test_loss or 0) < float(report.metrics.base_test_loss or 0)
    # What it unlearned is known
    assert report.metrics.general_loss != report.metrics.base_general_loss
    assert float(report.metrics.base_general_loss or 0) > 0
    history = run.metrics()[:-1]
    evaluations = {entry["step"]: entry["eval_loss"] for entry in history if "eval_loss" in entry}
    assert list(evaluations) == [3, 6, 9, 12]
    # The command line draws its curves from the same file
    curves = parse_curves(run.store.read(f"{prefix}/{METRICS}"))
    assert [point.step for point in curves.training] == [entry["step"] for entry in history if "loss" in entry]
    assert {point.step: point.value for point in curves.evaluation} == evaluations
    assert report.metrics.best_step == min(evaluations, key=evaluations.__getitem__)
    # Each step was logged once
    assert [entry["step"] for entry in history] == list(range(1, STEPS + 1))
    # and says what it took
    lines = run.metric_lines()
    assert isinstance(lines[-1]["final"]["testLoss"], float)
    assert all(line["tokens"] > 0 and line["seconds"] > 0 and line["peak_memory_bytes"] > 0 for line in lines[:-1])
    timing = report.timing
    assert timing is not None
    assert (timing.from_step, timing.last_step, timing.lost_steps) == (0, STEPS, 0)
    assert timing.tokens_per_second > 0
    assert 0 < timing.seconds_before_first_step < 300
    # The saved adapter was loaded on a fresh base and compared before it was published
    assert ended.log.index("answers like the trained one") < ended.log.index("published s3://")


def test_killed_at_every_step_it_gives_the_same_adapter(
    s3_server: SeaweedFS, sources: tuple[str, str], tmp_path: Path, undisturbed: tuple[TrainRun, Ended]
) -> None:
    # A run that is killed at each of its steps: between checkpoints and evaluations, at them, at the last one
    run = prepared_run(s3_server, tmp_path, *sources)
    for step in range(1, STEPS + 1):
        assert run.finish(killAt=step).code == -signal.SIGKILL
    # It is started once more
    ended = run.finish()
    # It starts from the last checkpoint, says what was lost, and the result is the same
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.timing is not None
    assert ended.report.timing.from_step == 8
    assert ended.report.timing.lost_steps <= 4
    assert_like(run, undisturbed[0])


@pytest.mark.parametrize("step", [5, 6, 12])
def test_sigterm_loses_no_step(
    step: int, s3_server: SeaweedFS, sources: tuple[str, str], tmp_path: Path, undisturbed: tuple[TrainRun, Ended]
) -> None:
    # A run that gets SIGTERM: between evaluations, where an evaluation is due, at the last step
    run = prepared_run(s3_server, tmp_path, *sources)
    ended = run.finish(termAt=step)
    # It ends as checkpointed and says how far it came, and its checkpoint is in S3
    assert ended.code == ExitCode.CHECKPOINTED, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.timing is not None
    assert (ended.report.timing.from_step, ended.report.timing.last_step) == (0, step)
    assert ended.report.timing.seconds_before_first_step > 0
    assert any(f"step-{step:08d}/manifest.json" in uri for uri in run.objects(run.layout.checkpoints))
    # It goes on
    ended = run.finish()
    # It goes on after that very step, and the result is the same
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.timing is not None
    assert ended.report.timing.from_step == step
    assert ended.report.timing.lost_steps == 0
    assert_like(run, undisturbed[0])


def test_sigterm_before_the_first_step_ends_at_once(
    s3_server: SeaweedFS, sources: tuple[str, str], tmp_path: Path
) -> None:
    # A process that is still loading
    run = prepared_run(s3_server, tmp_path, *sources)
    attempt = run.start()
    attempt.wait_for("took claim")
    # It gets SIGTERM
    attempt.send(signal.SIGTERM)
    # It ends as checkpointed
    assert attempt.end(seconds=30).code == ExitCode.CHECKPOINTED


def test_a_process_that_was_cut_off_is_fenced_off_and_overwrites_nothing(
    s3_server: SeaweedFS, sources: tuple[str, str], tmp_path: Path, undisturbed: tuple[TrainRun, Ended]
) -> None:
    # A process that stands still after step 5, and a second one of the same run that goes to the end
    run = prepared_run(s3_server, tmp_path, *sources)
    gate = tmp_path / "go-on"
    zombie = run.start(pauseAt=5, pauseUntil=str(gate))
    zombie.wait_for("step 5 done")
    assert run.finish().code == ExitCode.DONE
    before = {info.uri: info.etag for info in run.store.list(run.order.spec.output.uri)}
    # The first one comes back
    gate.touch()
    ended = zombie.end()
    # It stops, and nothing has changed
    assert ended.code == ExitCode.CHECKPOINTED, ended.log[-3000:]
    assert {info.uri: info.etag for info in run.store.list(run.order.spec.output.uri)} == before
    assert_like(run, undisturbed[0])


def test_a_run_that_was_published_is_adopted(undisturbed: tuple[TrainRun, Ended]) -> None:
    run, first = undisturbed
    again = run.finish()
    assert again.code == ExitCode.DONE
    assert again.report is not None
    assert first.report is not None
    assert again.report.adopted
    assert again.report.artifact == first.report.artifact
