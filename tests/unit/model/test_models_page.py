"""The page of models names the families that the tests train."""

from __future__ import annotations

from support import models_page


def test_the_page_of_models_is_current() -> None:
    assert models_page.PAGE.read_text(encoding="utf-8") == models_page.page(), "run `make docs-models`"
