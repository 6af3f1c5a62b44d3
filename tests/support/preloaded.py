"""What the processes of `support.forked` have imported before they start."""

from __future__ import annotations

from lora_trainer.command import quick_imports

with quick_imports.importing():
    import lora_trainer.train.stage  # noqa: F401

from support import faulty_trainer, forked  # noqa: F401
