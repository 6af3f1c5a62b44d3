"""The before/after answers of a run's HTML report."""

from __future__ import annotations

from html.parser import HTMLParser


def samples(report: str) -> list[dict[str, str]]:
    """Return every sample of a report as label and text: Prompt, Base, Adapter, Reference."""
    reader = _Reader()
    reader.feed(report)
    return reader.found


class _Reader(HTMLParser):
    """Collects the paragraphs `label` and `text` within the blocks `sample`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self._kind = ""
        self._label = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = (dict(attrs).get("class") or "").split()
        if "sample" in classes:
            self.found.append({})
        self._kind = next((kind for kind in ("label", "text") if tag == "p" and kind in classes), "")
        if self._kind == "label":
            self._label = ""

    def handle_data(self, data: str) -> None:
        if not self.found:
            return
        if self._kind == "label":
            self._label += data
        elif self._kind == "text" and self._label:
            self.found[-1][self._label] = self.found[-1].get(self._label, "") + data

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self._label = "" if self._kind == "text" else self._label
            self._kind = ""
