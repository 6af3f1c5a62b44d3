"""Reading Kubernetes YAML as kubectl does."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which by YAML 1.1 would read `2e-4` as text where kubectl reads a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def documents(text: str) -> list[Any]:
    """The documents of a YAML file.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    return list(yaml.load_all(text, Loader=_Loader))
