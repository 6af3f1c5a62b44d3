"""What the site has that does not lie in docs/: the README as its first page, and the files that pages link to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
#: Pages that lie beside docs/.
_OTHER_PAGES = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "cluster/README.md")
#: A link to a file: from a page in docs/ to one beside that folder, and from a page beside it.
_OUT, _BESIDE = re.compile(r"\[(?P<text>[^\]]*)\]\(\.\./(?P<path>[^)#]+)\)"), re.compile(r"\]\((?P<path>[^):#]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the README, the other pages beside docs/, and every file that a page links to."""
    pages = {"index.md": "README.md", **{name: name for name in _OTHER_PAGES}}
    texts = {name: (ROOT / path).read_text(encoding="utf-8") for name, path in pages.items()}
    wanted = {
        match["path"] for file in files if file.is_documentation_page() for match in _OUT.finditer(file.content_string)
    }
    for name, text in texts.items():
        folder = (ROOT / pages[name]).parent.relative_to(ROOT)
        wanted |= {(folder / match["path"]).as_posix() for match in _BESIDE.finditer(text)}
        up = "../" * len(folder.parts)
        files.append(File.generated(config, name, content=re.sub(r"\]\((?:\.\./)*docs/", f"]({up}", text)))
    for path in sorted(wanted):
        for file in _files(ROOT / path):
            name = file.relative_to(ROOT).as_posix()
            if not name.startswith("docs/") and name not in texts:
                files.append(File.generated(config, name, abs_src_path=str(file)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to files beside docs/ lead to their copies; a folder is only named."""
    del page
    return _OUT.sub(_copied, markdown)


def _copied(match: re.Match[str]) -> str:
    return match["text"] if (ROOT / match["path"]).is_dir() else f"[{match['text']}]({match['path']})"


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in sorted(path.rglob("*")) if file.is_file()]
    return [path] if path.is_file() else []
