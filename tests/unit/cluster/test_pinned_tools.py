"""The programs of the cluster are pinned and cached by what they are built from."""

import pytest

from lora_cluster.errors import ClusterError
from lora_cluster.tools import TOOLS, module_version

_GO_MOD = """
module example.org/tools

require example.org/one/v3 v3.1.4

require (
\texample.org/one v1.2.3 // indirect
)
"""


@pytest.mark.parametrize(("module", "version"), [("example.org/one", "1.2.3"), ("example.org/one/v3", "3.1.4")])
def test_given_a_go_mod_when_a_module_is_sought_then_its_version_is_found(module: str, version: str) -> None:
    assert module_version(_GO_MOD, module) == version


def test_given_a_go_mod_without_the_module_when_sought_then_the_message_names_it() -> None:
    with pytest.raises(ClusterError, match=r"example\.org/two"):
        module_version(_GO_MOD, "example.org/two")


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_given_a_committed_go_mod_when_keyed_then_the_key_holds_tool_and_version(name: str) -> None:
    tool = TOOLS[name]

    assert tool.key.startswith(f"{name}-{tool.version}-")
