"""A made-up run for tests of report and model card."""

from __future__ import annotations

import math

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.serving import ServingStatus
from lora_trainer.report import (
    Attempt,
    Bar,
    Comparison,
    Curves,
    DataSection,
    Point,
    ReportInput,
    Sample,
    TextPart,
)

STEPS = 300


def example_report() -> ReportInput:
    """A run of 300 steps that went well, with a preemption in its middle."""
    spec = LoRAFineTuneSpec.model_validate(
        {
            "model": {"id": "microsoft/Phi-4-mini-instruct", "revision": "a" * 40},
            "dataset": {"uri": "s3://datasets/triage.jsonl"},
            "training": {"maxSteps": STEPS},
            "output": {"uri": "s3://adapters/team-a/"},
        }
    )
    train = tuple(
        Point(s, 0.62 + 2.1 * math.exp(-s / 45) + 0.09 * math.sin(s * 12.9898) * math.cos(s * 3.3))
        for s in range(1, STEPS + 1)
    )
    evaluations = tuple(
        Point(s, 0.78 + 1.6 * math.exp(-s / 50) + 0.0000035 * max(s - 200, 0) ** 2) for s in range(10, STEPS + 1, 10)
    )
    rates = tuple(
        Point(s, 2e-4 * (s / 9 if s < 9 else 0.5 * (1 + math.cos(math.pi * (s - 9) / (STEPS - 9)))))
        for s in range(1, STEPS + 1)
    )
    best = min(evaluations, key=lambda point: point.value)
    return ReportInput(
        name="triage",
        run_id="7c1e0f5a9b3d4c2e8f6a1b0d9c7e5f31",
        spec_hash="3f" * 32,
        spec=spec,
        model_commit="a" * 40,
        dataset_digest="c4" * 32,
        created_at="2026-03-14T09:26:53Z",
        rows={"train": 9120, "validation": 1140, "test": 1140},
        tokens=1_812_340,
        target_tokens=402_118,
        total_steps=STEPS,
        duration_seconds=1834.2,
        tokens_per_second=3920.4,
        curves=Curves(train, evaluations, rates, best.step),
        comparisons=(
            Comparison("Test loss", 2.4013, 0.8127),
            Comparison("Token accuracy", 0.5312, 0.7921, lower_is_better=False),
            Comparison("Valid JSON", 0.41, 0.998, lower_is_better=False),
            Comparison("General text loss", 2.911, 2.934),
        ),
        samples=(
            Sample(
                prompt="A 54-year-old reports chest pain since this morning that spreads to the left arm.",
                reference='{"urgency": "immediate", "unit": "cardiology"}',
                base="Chest pain can have many causes. It would be a good idea to see a doctor soon, especially if"
                " the pain gets worse. In the meantime, rest and drink enough water.",
                adapter='{"urgency": "immediate", "unit": "cardiology"}',
            ),
            Sample(
                prompt="Small cut on the finger, bleeding stopped after two minutes.",
                reference='{"urgency": "routine", "unit": "general"}',
                base="Clean the cut with water.\nPut a plaster on it.",
                adapter='{"urgency": "routine", "unit": "general"}',
            ),
        ),
        data=DataSection(
            token_histogram=tuple(
                Bar(low, low + 32, round(1900 * math.exp(-(((low - 170) / 110) ** 2)))) for low in range(0, 512, 32)
            ),
            first_example=(
                TextPart("<|user|>Small cut on the finger.<|end|><|assistant|>", counts=False),
                TextPart('{"urgency": "routine", "unit": "general"}<|end|>', counts=True),
            ),
            facts={"Format": "messages, detected", "Files": "triage.jsonl", "Duplicates left out": "12"},
        ),
        attempts=(
            Attempt(1, "2026-03-14T08:50:01Z", "2026-03-14T09:02:40Z", 0, 120, "Checkpointed: preempted"),
            Attempt(2, "2026-03-14T09:06:12Z", "2026-03-14T09:26:50Z", 120, STEPS, "Done"),
        ),
        warnings=("2 rows were cut at training.maxLength 512",),
        serving=(
            ServingStatus(server="vLLM", loads="Yes", advice="--enable-lora --max-lora-rank 32"),
            ServingStatus(
                server="Ollama", loads="No", advice="it imports adapters for Llama, Mistral and Gemma 2 alone"
            ),
        ),
        hardware="NVIDIA L4, 24 GB",
        versions={"lora-operator": "0.1.0", "transformers": "5.23.0", "peft": "0.21.2", "torch": "2.13.0"},
        files={"adapter_model.safetensors": "9a" * 32, "adapter_config.json": "0b" * 32},
        target_modules=("q_proj", "k_proj", "v_proj", "o_proj"),
        trainable_parameters=11_534_336,
        peak_memory_bytes=9_800_000_000,
        model_license="mit",
    )
