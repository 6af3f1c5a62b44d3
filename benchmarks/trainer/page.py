"""Writes the measured figures into the page about the trainer's speed: between two marks, and the chart beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.trainer.chart import Panel, draw

_BEGIN, _END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
_COLUMNS = (
    ("useful tokens/s", "tokens_per_second", "{:.0f}", 1.0),
    ("fastest step, tokens/s", "fastest_step", "{:.0f}", 1.0),
    ("peak memory, GiB", "peak_mib", "{:.2f}", 1 / 1024),
    ("held-out loss", "held_out_loss", "{:.4f}", 1.0),
    ("outside matrix products", "share_outside_products", "{:.0f} %", 100.0),
)
_RATIOS = (
    ("speed to the recipe", "speed_to_recipe", "6 at least"),
    ("speed to TRL's best", "speed_to_best_trl", "2 at least"),
    ("fastest step to the recipe's", "fastest_step_to_recipe", "6 at least"),
    ("fastest step to TRL's best", "fastest_step_to_best_trl", "2 at least"),
    ("peak memory to TRL packed", "peak_to_trl_packed", "1.25 at most"),
    ("held-out loss to TRL unpacked", "loss_to_trl_unpacked", "0.995 to 1.005"),
    ("foretold to measured peak", "estimated_to_measured_peak", "1 at least"),
)


def write(
    page: Path,
    names: dict[str, str],
    medians: dict[str, dict[str, Any]],
    ratios: dict[str, Any],
    run: dict[str, Any],
) -> None:
    """Replace figures and chart; `names` are the variants in words, the product's last.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {_BEGIN.strip()} and {_END.strip()}")
    body = f"{_setting(run)}\n\n{_table(names, medians)}\n\n{_ratio_table(ratios)}\n"
    page.write_text(before + begin + body + end + after, encoding="utf-8")
    page.with_suffix(".svg").write_text(_chart(names, medians), encoding="utf-8")


def _setting(run: dict[str, Any]) -> str:
    low, high = min(run["loads"]), max(run["loads"])
    return (
        f"Medians of {run['rounds']} round(s) on {run['cores']} cores of an {run['cpu']}, load before a run"
        f" {low:.1f} to {high:.1f};\n{run['rows']} training rows with {run['tokens']} tokens, {run['target_tokens']} of"
        " them targets."
    )


def _table(names: dict[str, str], medians: dict[str, dict[str, Any]]) -> str:
    head = "| variant | " + " | ".join(title for title, *_ in _COLUMNS) + " |"
    lines = [head, "|---" * (len(_COLUMNS) + 1) + "|"]
    for key, words in names.items():
        values = (form.format(medians[key][name] * scale) for _, name, form, scale in _COLUMNS)
        lines.append(f"| {words} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def _ratio_table(ratios: dict[str, Any]) -> str:
    rows = "\n".join(f"| {words} | {ratios[name]:.3g} | {aim} |" for words, name, aim in _RATIOS)
    return f"| lora-operator | measured | aim |\n|---|---|---|\n{rows}"


def _chart(names: dict[str, str], medians: dict[str, dict[str, Any]]) -> str:
    def panel(title: str, name: str, form: str, scale: float = 1.0) -> Panel:
        return Panel(title, {words: medians[key][name] * scale for key, words in names.items()}, form)

    panels = [
        panel("Useful tokens a second (more is better)", "tokens_per_second", "{:.0f}"),
        panel("Peak memory in GiB (less is better)", "peak_mib", "{:.1f}", 1 / 1024),
        panel("Share of a step outside matrix products", "share_outside_products", "{:.0f} %", 100),
    ]
    return draw(panels, ours=list(names.values())[-1])
