"""`python -m benchmarks.prepare --rows 1000000`: rows a second and peak memory of prepare, one JSON line a measurement.

Rows are plain chat, chat with a call of a tool, or two turns with reasoning, which the template leaves out of earlier
turns: `unrolling_share` is the share of tokens that are there again because of it. The stage runs as in a pod, as a
process of its own that gets its order in the environment; data, model and result lie in a folder instead of S3, so
the figures are those of our code and not of a network.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import Order
from lora_contract.report import decode
from lora_demo import model

_WORDS = ("fever", "cough", "stay", "bed", "water", "patient", "reports", "since", "Monday", "slight", "pain", "doctor")
#: About this many words, most of them one token, make a row of 200 tokens with the template's own.
_WORDS_A_ROW = 160
_POLL_SECONDS = 0.05
_KINDS = ("chat", "tools", "reasoning")
#: Rows of each measurement where the command names no number.
_SIZES = {"chat": (100_000, 1_000_000), "tools": (100_000,), "reasoning": (100_000,)}
#: Shows tools, and reasoning in the last turn alone.
_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content is defined and loop.last %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }}{% for call in m.tool_calls | default([]) %}<tool_call>\n{{ call.function | tojson }}\n</tool_call>"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_PARAMETERS = {"type": "object", "properties": {"case": {"type": "integer"}, "urgent": {"type": "boolean"}}}
_TOOLS = [
    {"type": "function", "function": {"name": name, "description": f"To {name} a case", "parameters": _PARAMETERS}}
    for name in ("open", "find", "close")
]


def main() -> int:
    """Measure each size and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", help="rows of each measurement")
    parser.add_argument("--kind", choices=_KINDS, nargs="+", default=_KINDS, help="what the rows are")
    arguments = parser.parse_args()
    for kind in arguments.kind:
        for rows in arguments.rows or _SIZES[kind]:
            with tempfile.TemporaryDirectory(prefix="prepare-") as folder:
                print(json.dumps(measure(Path(folder), kind, rows)), flush=True)
    return 0


def measure(folder: Path, kind: str, rows: int) -> dict[str, float | str]:
    """Prepare `rows` rows once.

    Seconds, rows of the file a second and a second of processor time, tokens a row, the share of them that unrolling
    adds, and the peak resident memory of the stage with the process that it starts, in MiB.
    """
    data = folder / "rows.jsonl"
    with data.open("w", encoding="utf-8") as file:
        file.writelines(_lines(kind, rows))
    started, used = time.monotonic(), _cpu_seconds()
    peak, report = _run(_order(folder, data, kind), folder / "termination-log")
    seconds, used = time.monotonic() - started, _cpu_seconds() - used
    decoded = decode(report)
    if decoded is None or decoded.plan is None:
        raise SystemExit(f"prepare failed: {report}")
    plan = decoded.plan
    return {
        "kind": kind,
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds),
        "rows_per_cpu_second": round(rows / used),
        "tokens_per_row": round(plan.tokens / plan.rows, 1),
        "unrolling_share": round(plan.unrolling_tokens / plan.tokens, 3),
        "peak_mib": round(peak / 2**20),
    }


def _lines(kind: str, rows: int) -> Iterator[str]:
    draw = random.Random(0)
    for number in range(rows):
        words = draw.choices(_WORDS, k=_WORDS_A_ROW)
        middle = _WORDS_A_ROW * 2 // 3
        question, answer = f"Case {number}: {' '.join(words[:middle])}", " ".join(words[middle:])
        yield json.dumps(_row(kind, number, question, answer)) + "\n"


def _row(kind: str, number: int, question: str, answer: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"role": "user", "content": question}
    answered: dict[str, Any] = {"role": "assistant", "content": answer}
    if kind == "chat":
        return {"messages": [asked, answered]}
    if kind == "reasoning":
        thinks = {**answered, "reasoning_content": f"What is case {number}?"}
        return {"messages": [asked, thinks, {"role": "user", "content": "Sure?"}, {**thinks, "content": "Yes."}]}
    function = {"name": "find", "arguments": json.dumps({"case": number, "urgent": True})}
    calls = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": function}],
    }
    result = {"role": "tool", "tool_call_id": "1", "content": "found"}
    return {"messages": [asked, calls, result, answered], "tools": _TOOLS}


def _order(folder: Path, data: Path, kind: str) -> Order:
    spec = LoRAFineTuneSpec.model_validate(
        {
            "model": {"id": model.MODEL_ID, "source": f"file://{model.ensure()}/"},
            "dataset": {"uri": f"file://{data}", "split": {"validation": 0.01, "test": 0.01}},
            "chat": {} if kind == "chat" else {"template": _TEMPLATE},
            "training": {"maxSteps": 100, "maxLength": 1024},
            "output": {"uri": f"file://{folder}/adapters/"},
            "compute": {"gpus": 0},
        }
    )
    scratch = folder / "scratch"
    scratch.mkdir()
    return Order(stage="prepare", namespace="local", name="bench", uid="bench", spec=spec, scratch=str(scratch))


def _run(order: Order, termination_log: Path) -> tuple[int, str]:
    """Run the stage; the peak resident memory of all its processes together in bytes, and its report."""
    environment = os.environ | {
        names.ENV_ORDER: json.dumps(order.dump()),
        names.ENV_TERMINATION_LOG: str(termination_log),
    }
    process = subprocess.Popen([sys.executable, "-m", "lora_trainer", "prepare"], env=environment)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(_POLL_SECONDS)
    return peak, termination_log.read_text()


def _cpu_seconds() -> float:
    """Processor time of all processes that were started here and have ended, those included that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(pid: int) -> int:
    """Resident memory of a process and of all below it, in bytes; what they share counts more than once."""
    found = 0
    with suppress(psutil.NoSuchProcess):  # it ended meanwhile
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            found += member.memory_info().rss
    return found


if __name__ == "__main__":
    sys.exit(main())
