"""Letters and their marks as one character."""

from __future__ import annotations

import time

from lora_trainer.data.composed import composed


def test_letters_and_their_marks_become_one_character() -> None:
    assert composed("e\u0301 a\u0323\u0302") == "\u00e9 \u1ead"


def test_marks_without_end_take_no_time_and_stay_as_they_are() -> None:
    text = "a" + "\u0301\u0316" * 100_000
    began = time.process_time()

    assert composed(text) == text
    assert time.process_time() - began < 1  # to put them in order takes far longer
