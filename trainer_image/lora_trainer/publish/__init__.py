"""Publication: readers see nothing or everything, and the first of several publishers wins."""

from __future__ import annotations

from lora_trainer.publish.adoption import Adopted, adopt, adopted_report
from lora_trainer.publish.manifest import Manifest, Provenance
from lora_trainer.publish.parent_adapter import ParentAdapter, find_parent
from lora_trainer.publish.publisher import clean_up, publish
from lora_trainer.publish.reader import find_published, published_manifest

__all__ = [
    "Adopted",
    "Manifest",
    "ParentAdapter",
    "Provenance",
    "adopt",
    "adopted_report",
    "clean_up",
    "find_parent",
    "find_published",
    "publish",
    "published_manifest",
]
