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
def test_given_words_when_split_then_kubectl_gets_its_own_untouched(
    words: list[str], own: list[str], others: list[str]
) -> None:
    assert split_kubectl(words) == (own, others)


def test_given_a_name_that_is_no_safe_directory_when_shown_then_one_line_tells_and_no_stack_trace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["status", "--name", "../etc"]) == 1

    assert capsys.readouterr().err.startswith("error: --name '../etc': ")
