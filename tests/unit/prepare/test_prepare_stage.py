"""The stage on files: what it hands over, what it finds done, what it refuses."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import PLAN
from lora_contract.status import PlanStatus
from lora_trainer.data import prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.claims import take_claim
from lora_trainer.store import from_environment
from support.chat_models import CONFIG, save_model, tensor_shapes, write_safetensors
from support.prepare_orders import Place, place, publish_adapter
from support.prepared_data import chat, lines


def test_a_good_run_hands_over_rows_profile_and_plan(tmp_path: Path) -> None:
    run = place(tmp_path, rows=120)

    report = run.prepare()

    plan = PlanStatus.model_validate_json(run.prepared(report, PLAN).read_bytes())
    assert report.plan == plan
    assert report.error is None
    assert not report.adopted
    assert plan.rows + plan.validation_rows + plan.test_rows == 120
    assert plan.total_steps == 2 * math.ceil(plan.rows / 8)
    assert plan.format == "messages (columns messages)"
    assert len(str(plan.dataset_digest)) == len(str(plan.model_commit)) == 64
    assert plan.memory is not None
    assert plan.memory_bytes == plan.memory.total_bytes > plan.memory.weights_bytes
    train = pq.read_table(run.prepared(report, prepared.TRAIN))
    assert train.schema.equals(prepared.ROW_SCHEMA)
    assert train.num_rows == plan.rows
    assert sum(train["length"].to_pylist()) == plan.tokens
    assert pq.read_schema(run.prepared(report, prepared.TEST)).equals(prepared.TEST_SCHEMA)
    profile = DataProfile.model_validate_json(run.prepared(report, prepared.PROFILE).read_bytes())
    assert [(file.name, file.split) for file in profile.files] == [("rows.jsonl", "dataset")]
    assert not list((tmp_path / "scratch").iterdir())
    assert not [path for path in (tmp_path / "output" / "_work").iterdir() if path.name.startswith("probe")]


def test_evaluations_take_a_fifth_of_the_rows_between_them(tmp_path: Path) -> None:
    # 50 rows a step pair, and more validation rows than a fifth of them
    training = {"epochs": 1, "effectiveBatchSize": 25, "evalSteps": 2}
    run = place(tmp_path, rows=120, training=training, dataset__split={"validation": 0.5, "test": 0})
    # When it is prepared, the plan says how many rows an evaluation takes, and a warning how to have more
    report = run.prepare()
    assert report.plan is not None
    assert report.plan.validation_rows > 40
    assert report.plan.evaluation_rows == 10
    words = f"takes 10 of {report.plan.validation_rows} validation rows"
    assert any(words in warning and "raise training.evalSteps" in warning for warning in report.warnings)


def test_a_run_without_an_evaluation_is_told_until_evaluations_are_more_frequent(tmp_path: Path) -> None:
    training = {"maxSteps": 5, "effectiveBatchSize": 8}

    report = place(tmp_path, training={**training, "evalSteps": 6}).prepare()

    assert any("evalSteps 6 is more than the 5 steps of the run" in warning for warning in report.warnings)
    often = place(tmp_path, training={**training, "evalSteps": 5}).prepare()
    assert not any("nothing is evaluated" in warning for warning in often.warnings)


def test_the_same_run_is_prepared_once(tmp_path: Path) -> None:
    run = place(tmp_path)
    first = run.prepare()
    written = run.prepared(first, prepared.TRAIN).stat().st_mtime_ns

    second = run.prepare()

    assert second.run_id == first.run_id
    assert second.plan == first.plan
    assert run.prepared(second, prepared.TRAIN).stat().st_mtime_ns == written


def test_while_an_identical_run_trains_it_is_waited_for_without_a_gpu_and_its_adapter_adopted(tmp_path: Path) -> None:
    run = place(tmp_path)
    layout = run.layout(run.prepare())
    store = from_environment(2)
    claim = take_claim(store, layout, "another resource")
    with ThreadPoolExecutor() as pool:
        second = pool.submit(run.prepare)
        with pytest.raises(TimeoutError):
            second.result(timeout=2)
        published = publish_adapter(tmp_path, layout, claim)

        report = second.result(timeout=60)

    assert report.adopted
    assert report.artifact == published


def test_what_a_known_run_published_is_found_though_its_data_is_gone(tmp_path: Path) -> None:
    # A run that published its adapter, and data that was deleted since
    run = place(tmp_path)
    first = run.prepare()
    published = publish_adapter(tmp_path, run.layout(first), take_claim(from_environment(2), run.layout(first), "1"))
    (tmp_path / "rows.jsonl").unlink()
    # Prepare is told the identity of the run
    report = Place(tmp_path, run.order.model_copy(update={"run_id": first.run_id})).prepare()
    # It needs neither data nor model to find the adapter
    assert report.adopted
    assert (report.run_id, report.artifact) == (first.run_id, published)


def test_a_known_run_that_published_nothing_is_prepared_again(tmp_path: Path) -> None:
    run = place(tmp_path)
    first = run.prepare()

    second = Place(tmp_path, run.order.model_copy(update={"run_id": first.run_id})).prepare()

    assert second == first


def test_a_run_that_ended_without_an_adapter_is_not_waited_for(tmp_path: Path) -> None:
    run = place(tmp_path)
    first = run.prepare()
    take_claim(from_environment(2), run.layout(first), "another resource").release()

    assert not run.prepare().adopted


def test_a_prepare_that_was_killed_before_its_plan_is_done_again(tmp_path: Path) -> None:
    run = place(tmp_path)
    first = run.prepare()
    run.prepared(first, PLAN).unlink()
    run.prepared(first, prepared.TRAIN).write_bytes(b"half")

    second = run.prepare()

    assert second == first
    assert pq.read_table(run.prepared(second, prepared.TRAIN)).num_rows == second.plan.rows  # type: ignore[union-attr]


SAME_RUN: dict[str, dict[str, object]] = {
    "another address of the same data": {"dataset__uri": "file://{folder}/copy.jsonl"},
    "a mirror of the same model": {"model__source": "file://{folder}/mirror"},
    "another micro batch": {"training__microBatchSize": 4},
    "another node": {"compute": {"memory": "64Gi"}},
}
OTHER_RUN: dict[str, dict[str, object]] = {
    "another learning rate": {"training__learningRate": 1e-3},
    "another run token": {"runToken": "2"},
    "other data": {"dataset__uri": "file://{folder}/other.jsonl"},
    "the same data as validation too": {"dataset__validationUri": "file://{folder}/other.jsonl"},
    "other weights": {"model__source": "file://{folder}/other-model"},
}


def _variants(folder: Path) -> None:
    shutil.copy(folder / "rows.jsonl", folder / "copy.jsonl")
    shutil.copytree(folder / "model", folder / "mirror")
    (folder / "mirror" / "README.md").write_text("A mirror.")
    (folder / "other.jsonl").write_bytes(lines(chat(f"Other {n}?", "Yes.") for n in range(30)))
    shutil.copytree(folder / "model", folder / "other-model")
    weights = folder / "other-model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")


@pytest.mark.parametrize("change", [*SAME_RUN, *OTHER_RUN])
def test_the_identity_follows_from_content_not_from_addresses(change: str, tmp_path: Path) -> None:
    first = place(tmp_path).prepare()
    _variants(tmp_path)
    changes = SAME_RUN.get(change) or OTHER_RUN[change]
    filled = {key: value.format(folder=tmp_path) if isinstance(value, str) else value for key, value in changes.items()}

    second = place(tmp_path, **filled).prepare()

    assert (second.run_id == first.run_id) is (change in SAME_RUN)


def test_a_prefix_is_read_in_the_order_of_its_names_without_markers(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    (folder / "day=2").mkdir(parents=True)
    (folder / "_SUCCESS").write_bytes(b"")
    (folder / "b.csv").write_bytes(b"prompt,completion\nQ,A\n")
    (folder / "day=2" / "a.jsonl").write_bytes(lines([{"prompt": "R", "completion": "B"}]))
    run = place(tmp_path, dataset__uri=f"file://{folder}/", dataset__split={"validation": 0, "test": 0})

    report = run.prepare()

    profile = DataProfile.model_validate_json(run.prepared(report, prepared.PROFILE).read_bytes())
    assert profile.rows_read == {"b.csv": 1, "day=2/a.jsonl": 1}
    assert report.plan is not None
    assert report.plan.rows == 2


def test_what_a_user_should_know_is_in_the_report(tmp_path: Path) -> None:
    rows = [chat("Q", "A"), chat("Q", "A"), chat("R", "A long answer. " * 50)]
    (tmp_path / "rows.jsonl").write_bytes(lines(rows) + b"{oops\n")

    report = place(tmp_path, dataset__onBadRows="Skip", dataset__split__seed=2, training__maxLength=64).prepare()

    first = "1 bad rows were left out (dataset.onBadRows: Skip); the first: rows.jsonl, line 4: is not JSON"
    assert report.warnings[0].startswith(first)
    assert report.plan is not None
    assert report.warnings[1:] == [
        "1 repeated rows were left out",
        f"1 of 2 rows were cut at 64 tokens; raise training.maxLength, to {report.plan.longest_row} for all of them",
        "no row fell into the validation split, as there are few rows: nothing is evaluated during training;"
        " raise dataset.split.validation or set dataset.validationUri",
        "no row fell into the test split, as there are few rows: base and adapter are not compared;"
        " raise dataset.split.test or set dataset.testUri",
    ]


def test_rows_whose_answer_was_cut_away_are_told_until_following_the_advice_keeps_them(tmp_path: Path) -> None:
    # Rows of which some have a question longer than a row may be, and a column that is not read
    rows = [{"prompt": f"{n}? " + "word " * 40 * (n % 2), "completion": "Yes.", "source": "x"} for n in range(20)]
    (tmp_path / "rows.jsonl").write_bytes(lines(rows))
    # They are prepared, now and once more
    training = {"epochs": 1, "maxLength": 64}
    for report in (place(tmp_path, training=training).prepare(), place(tmp_path, training=training).prepare()):
        # Plan and warnings say what was left out
        plan = report.plan
        assert plan is not None
        assert (plan.rows_read, plan.rows_without_target) == (20, 10)
        assert plan.rows + plan.validation_rows + plan.test_rows == 10
        assert "columns that are not used: source" in report.warnings
        (warning,) = [each for each in report.warnings if "nothing of their answers is left" in each]
        assert warning.startswith("10 of 20 rows were left out: cut at training.maxLength 64")
    # With the length that is named there, no row is
    needed = int(re.findall(r"raise training.maxLength, to (\d+) for all of them", warning)[0])
    plan = place(tmp_path, training={"epochs": 1, "maxLength": needed}).prepare().plan
    assert plan is not None
    assert (plan.rows_without_target, plan.truncated_rows, plan.longest_row) == (0, 0, needed)


def _config(**changes: object) -> Callable[[Path], None]:
    return lambda model: (model / "config.json").write_text(json.dumps({**CONFIG, **changes})) and None


def _pickles_only(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def _cut(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def _remove(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


def _write(name: str, content: str) -> Callable[[Path], None]:
    return lambda model: (model / name).write_text(content) and None


BAD_MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickles only": (_pickles_only, "has only pytorch_model.bin, which are pickles and can run code"),
    "no weights": (_remove("model.safetensors"), "has no weights; model.safetensors or model.safetensors.index.json"),
    "no config": (_remove("config.json"), "has no config.json"),
    "config is no JSON": (_write("config.json", "{"), "config.json of microsoft/Phi-4-mini-instruct is not JSON"),
    "config is a list": (_write("config.json", "[]"), "is not a JSON object"),
    "unknown type": (_config(model_type="mystery"), "has the model type 'mystery', which transformers does not know"),
    "code of its own": (
        _config(model_type="mystery", auto_map={"AutoModel": "modeling_mystery.Mystery"}),
        "it needs code from its own repository, which is never run",
    ),
    "foreign attention": (_config(_attn_implementation_internal="x/y"), "sets _attn_implementation_internal"),
    "an encoder": (_config(model_type="bert", architectures=["BertForMaskedLM"]), "is BertForMaskedLM, not a causal"),
    "no sizes": (_config(hidden_size=None), "config.json of microsoft/Phi-4-mini-instruct has no hidden_size"),
    "quantised already": (_config(quantization_config={"quant_method": "gptq"}), "are quantised already"),
    "a mixture of experts": (
        _config(model_type="mixtral", architectures=["MixtralForCausalLM"], num_local_experts=8),
        "is a mixture of 8 experts, which nf4 would leave unquantised",
    ),
    "no tokenizer": (_remove("tokenizer.json"), "has no tokenizer.json"),
    "no chat template": (_remove("chat_template.jinja"), "has no chat template"),
    "broken safetensors": (_write("model.safetensors", "not weights"), "is not a safetensors file"),
    "cut weights": (
        _cut,
        "'lm_head.weight' with a place outside of the file's 102591 bytes of values; it may be cut off",
    ),
    "an index without map": (_write("model.safetensors.index.json", "{}"), "has no weight_map"),
    "an index with names that are none": (
        _write("model.safetensors.index.json", '{"weight_map": {"a": {"b": 1}}}'),
        "has a weight_map that does not name files",
    ),
    "an index that leaves the folder": (
        _write("model.safetensors.index.json", '{"weight_map": {"a": "../../etc/passwd"}}'),
        "names ../../etc/passwd, which is not there",
    ),
    "an index that names what its file does not hold": (
        _write("model.safetensors.index.json", '{"weight_map": {"a": "model.safetensors"}}'),
        "says that model.safetensors holds 'a', which it does not",
    ),
    "an index that names nothing there": (
        _write("model.safetensors.index.json", '{"weight_map": {"a": "b.safetensors"}}'),
        "names b.safetensors, which is not there",
    ),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_model_that_cannot_be_used_is_refused_in_words(case: str, tmp_path: Path) -> None:
    spoil, message = BAD_MODELS[case]
    run = place(tmp_path)
    spoil(tmp_path / "model")

    with pytest.raises(TrainerError) as raised:
        run.prepare()

    assert message in raised.value.message
    assert raised.value.exit_code is ExitCode.UNSUPPORTED
    assert str(raised.value.param).startswith("spec.")
    assert raised.value.hint


def test_code_in_a_model_folder_is_neither_fetched_nor_run(tmp_path: Path) -> None:
    run = place(tmp_path, cache=str(tmp_path / "cache"))
    canary = tmp_path / "canary"
    (tmp_path / "model" / "modeling_llama.py").write_text(f"open({str(canary)!r}, 'w')")
    _config(auto_map={"AutoConfig": "modeling_llama.X", "AutoModelForCausalLM": "modeling_llama.Y"})(tmp_path / "model")

    run.prepare()

    assert not canary.exists()
    assert not list((tmp_path / "cache").rglob("*.py"))


def test_a_module_that_the_model_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(TrainerError) as raised:
        place(tmp_path, lora__targetModules=["q_proj", "qkv_proj"]).prepare()

    assert raised.value.exit_code is ExitCode.BAD_CONFIG
    assert raised.value.param == "spec.lora.targetModules"
    assert "names 'qkv_proj', which microsoft/Phi-4-mini-instruct does not have" in raised.value.message
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in raised.value.message


def test_weights_in_several_files_are_found_through_the_index(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    shapes = tensor_shapes()
    names = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(shapes)}
    for file in set(names.values()):
        write_safetensors(folder / file, {name: shape for name, shape in shapes.items() if names[name] == file})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))

    report = place(tmp_path, lora__targetModules=["q_proj", "model.layers.1.mlp.up_proj"]).prepare()

    assert report.plan is not None


MISSING = {
    "spec.dataset.uri": {"dataset__uri": "file://{folder}/nothing.jsonl"},
    "spec.dataset.validationUri": {"dataset__validationUri": "file://{folder}/nothing/"},
    "spec.dataset.testUri": {"dataset__testUri": "file://{folder}/nothing.jsonl"},
    "spec.model.source": {"model__source": "file://{folder}/nothing"},
}


@pytest.mark.parametrize("param", MISSING)
def test_a_missing_input_names_its_field(param: str, tmp_path: Path) -> None:
    changes = {key: value.format(folder=tmp_path) for key, value in MISSING[param].items()}

    with pytest.raises(TrainerError, match="nothing") as raised:
        place(tmp_path, **changes).prepare()

    assert raised.value.exit_code is ExitCode.INPUT_MISSING
    assert raised.value.param == param
