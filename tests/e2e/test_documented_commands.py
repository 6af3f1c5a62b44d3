"""What README and docs/ tell users to type works as written."""

from __future__ import annotations

import pytest

from e2e.conftest import Finished
from support import documented
from support.e2e import NAMESPACE, Rig

#: What a run that ended well has not, so nothing would be printed.
_ABSENT = (".status.error", ".status.queue", ".status.inputs", "InputsDrifted")
COMMANDS = [each for each in documented.reading_commands() if not any(field in each for field in _ABSENT)]


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_says_something_about_a_finished_run(command: str, rig: Rig, finished: Finished) -> None:
    words = documented.arguments(command, run=finished.run.name, namespace=NAMESPACE)
    assert rig.kubernetes.run(*words).strip()
