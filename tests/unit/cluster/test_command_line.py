"""What the command line takes for itself and what it hands on."""

import pytest

from lora_cluster.__main__ import main, split_kubectl


@pytest.mark.parametrize(
    ("words", "own", "others"),
    [
        (["up", "--nodes", "2"], ["up", "--nodes", "2"], []),
        (["kubectl", "-n", "a", "get", "pods"], ["kubectl"], ["-n", "a", "get", "pods"]),
        (["kubectl", "--name", "b", "exec", "p", "--", "id"], ["kubectl", "--name", "b"], ["exec", "p", "--", "id"]),
    ],
)
def test_kubectl_gets_its_own_words_untouched(words: list[str], own: list[str], others: list[str]) -> None:
    assert split_kubectl(words) == (own, others)


def test_a_name_that_is_no_safe_directory_ends_in_one_line_without_a_stack_trace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["status", "--name", "../etc"]) == 1

    assert capsys.readouterr().err.startswith("error: --name '../etc': ")
