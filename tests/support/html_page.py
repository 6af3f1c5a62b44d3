"""A page as a browser reads it: tags, attributes, and where each text stands."""

from __future__ import annotations

from html.parser import HTMLParser


class HtmlPage(HTMLParser):
    """Tags and attributes of a page, and its texts by the tag that they stand in."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[tuple[str, str]] = []
        self._last = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._last = tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._last, data.strip()))

    @property
    def loads(self) -> list[tuple[str, str, str | None]]:
        """What a browser would fetch or run."""
        bad_tags = {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use", "image"}
        found: list[tuple[str, str, str | None]] = [(tag, "", None) for tag in self.tags if tag in bad_tags]
        return found + [
            each for each in self.attributes if each[1] in ("src", "href", "xlink:href") or each[1].startswith("on")
        ]

    def values(self, tag: str, attribute: str) -> list[str | None]:
        """The values of an attribute of all tags of a kind."""
        return [value for of, name, value in self.attributes if of == tag and name == attribute]
