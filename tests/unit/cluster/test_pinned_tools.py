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
def test_the_version_of_a_module_is_found_in_go_mod(module: str, version: str) -> None:
    assert module_version(_GO_MOD, module) == version


def test_a_module_that_is_missing_in_go_mod_is_named() -> None:
    with pytest.raises(ClusterError, match=r"example\.org/two"):
        module_version(_GO_MOD, "example.org/two")


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_the_key_of_a_tool_holds_its_name_and_version(name: str) -> None:
    tool = TOOLS[name]

    assert tool.key.startswith(f"{name}-{tool.version}-")
