"""Rows with a natural spread of lengths that every machine has: the documentation strings of Python's library."""

from __future__ import annotations

import importlib
import inspect
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SYSTEM_PROMPT = "You are a helpful assistant that explains the standard library of Python."
_MODULES = """
argparse ast asyncio base64 bisect calendar codecs collections configparser contextlib copy csv datetime decimal
difflib email.message enum fractions functools glob gzip hashlib heapq html http.client inspect io ipaddress itertools
json logging math mimetypes os os.path pathlib pickle platform pprint random re sched secrets shlex shutil signal socket
sqlite3 statistics string struct subprocess tarfile tempfile textwrap threading time timeit tokenize traceback typing
unittest urllib.parse uuid warnings weakref xml.etree.ElementTree zipfile zlib
"""
#: Shorter ones are single sentences; conversations that people fine-tune on are longer.
_SHORTEST = 250
#: Answers of pairs are never cut, so each fits a row with its prompt.
_LONGEST_OF_PAIRS = 1200


def write(folder: Path, *, train: int, held_out: int, seed: int = 7) -> tuple[Path, Path]:
    """Write training and held-out rows as JSON lines, the same for the same Python; their two paths."""
    known = sorted(set(_documented()))
    random.Random(seed).shuffle(known)
    if len(known) < train + held_out:
        raise ValueError(f"this Python documents only {len(known)} things; ask for fewer rows")
    paths = folder / "train.jsonl", folder / "held_out.jsonl"
    for path, part in zip(paths, (known[:train], known[train : train + held_out]), strict=True):
        path.write_text("".join(json.dumps(_conversation(*pair)) + "\n" for pair in part), encoding="utf-8")
    return paths


def write_pairs(folder: Path, count: int, seed: int = 7) -> Path:
    """Write pairs as JSON lines: what a thing does is preferred to what another one does; the path."""
    known = sorted({(name, text) for name, text in _documented() if len(text) <= _LONGEST_OF_PAIRS})
    random.Random(seed).shuffle(known)
    if len(known) <= count:
        raise ValueError(f"this Python documents only {len(known)} things; ask for fewer pairs")
    pairs = (
        {"prompt": f"What does `{name}` do?", "chosen": text, "rejected": known[number + 1][1]}
        for number, (name, text) in enumerate(known[:count])
    )
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    return path


def _conversation(name: str, text: str) -> dict[str, Any]:
    turns = (("user", f"What does `{name}` do?"), ("assistant", text))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def _documented() -> Iterator[tuple[str, str]]:
    """Names and documentation strings of functions, classes and methods, each text once."""
    seen: set[str] = set()
    for module in _MODULES.split():
        for name, thing in _things(importlib.import_module(module), module):
            text = inspect.getdoc(thing) or ""
            if len(text) >= _SHORTEST and text not in seen:
                seen.add(text)
                yield name, text


def _things(module: Any, name: str) -> Iterator[tuple[str, Any]]:
    for key, thing in sorted(vars(module).items()):
        if key.startswith("_") or not callable(thing):
            continue
        yield f"{name}.{key}", thing
        if inspect.isclass(thing):
            parts = sorted(vars(thing).items())
            yield from ((f"{name}.{key}.{k}", part) for k, part in parts if not k.startswith("_") and callable(part))
