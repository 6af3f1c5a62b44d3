"""docs/kubectl-lora.md shows what the commands print, and every command is in it."""

from __future__ import annotations

from lora_cli.__main__ import app
from support.cli_page import PAGE, current


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == current(), "make docs-cli"


def test_every_command_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [command.name for command in app.registered_commands if f"kubectl lora {command.name}" not in page]
    assert missing == []
