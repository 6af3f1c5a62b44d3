"""`kubectl lora validate -f FILE`: what the cluster would refuse, said on the desk."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from lora_cli.__main__ import app
from support.api_server import as_yaml, manifest
from support.specs import BASE, changed


def validate(*files: Path | str, standard_input: str = "") -> tuple[int, list[str]]:
    """Exit code and lines of the command."""
    arguments = [argument for file in files for argument in ("--filename", str(file))]
    result = CliRunner().invoke(app, ["validate", *arguments], input=standard_input)
    return result.exit_code, result.output.splitlines()


def test_a_good_file_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "triage.yaml"
    file.write_text(as_yaml({"apiVersion": "v1", "kind": "Secret"}, manifest("triage", BASE)))

    assert validate(file) == (0, [f"{file}: LoRAFineTune triage is valid"])


def test_every_fault_of_every_file_has_a_line(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(as_yaml(manifest("triage", BASE)))
    bad.write_text(as_yaml(manifest("Triage", changed({"training.max_steps": 9})), manifest("other", BASE)))

    code, lines = validate(good, bad)

    assert code == 1
    assert lines == [
        f"{good}: LoRAFineTune triage is valid",
        f"{bad}: LoRAFineTune Triage: spec.training.max_steps: unknown field; write maxSteps",
        f"{bad}: LoRAFineTune Triage: metadata.name: must be lower-case letters, digits and '-', beginning and ending"
        " with a letter or digit",
        f"{bad}: LoRAFineTune other is valid",
    ]


def test_the_standard_input_is_a_file_too() -> None:
    assert validate("-", standard_input=as_yaml(manifest("triage", BASE))) == (
        0,
        ["the standard input: LoRAFineTune triage is valid"],
    )


def test_a_list_is_judged_by_what_is_in_it() -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [manifest("triage", BASE), {"kind": "Secret"}]}

    assert validate("-", standard_input=as_yaml(listed)) == (
        0,
        ["the standard input: LoRAFineTune triage is valid"],
    )


def test_a_folder_is_judged_by_what_kubectl_would_apply(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(as_yaml(manifest("triage", BASE)))
    (tmp_path / "b.yml").write_text(as_yaml({"apiVersion": "v1", "kind": "Secret"}))
    (tmp_path / "notes.md").write_text("kind: LoRAFineTune")

    assert validate(tmp_path) == (0, [f"{tmp_path / 'a.yaml'}: LoRAFineTune triage is valid"])

    (tmp_path / "a.yaml").unlink()
    assert validate(tmp_path) == (1, [f"{tmp_path}: has no LoRAFineTune and no LoRASweep"])


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary, empty, twice = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    binary.write_bytes(b"\xff\xfe")
    empty.write_text("kind: Secret")
    twice.write_text("kind: LoRAFineTune\nspec: {}\nspec: {}")

    code, lines = validate(binary, empty, twice, tmp_path / "none")

    assert code == 1
    assert lines == [
        f"{binary}: is not UTF-8 text",
        f"{empty}: has no LoRAFineTune and no LoRASweep",
        f"{twice}: line 3, column 1: key spec stands here and in line 2; remove one of them",
        f"{tmp_path / 'none'}: cannot be read: No such file or directory",
    ]


def test_words_of_a_file_move_no_terminal(tmp_path: Path) -> None:
    file = tmp_path / "triage.yaml"
    file.write_text(as_yaml(manifest("triage", changed({"training": {"\x1b[2J[red]": 1}}))))

    code, lines = validate(file)

    assert code == 1
    assert "\x1b" not in "".join(lines)
    assert "[red]: unknown field" in "".join(lines)
