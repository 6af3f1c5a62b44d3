"""The report and the model card: what they show, and that hostile data stays text."""

from __future__ import annotations

import dataclasses
import re

import pytest
import yaml

from lora_pages.charts import thinned
from lora_pages.drawing import nice_ticks, tick_labels
from lora_trainer.report import Bar, Comparison, Curves, DataSection, Point, Sample, TextPart, render, render_model_card
from support.html_page import HtmlPage
from support.reports import STEPS, example_report

HOSTILE = "</p><script>alert(1)</script><img src=x onerror=alert(1)> & \" ' {{ 7 * 7 }} | **x** [a](javascript:x)"
TWO_MEGABYTES = 2_000_000


def test_the_report_shows_the_run_without_scripts_or_network() -> None:
    html = render(example_report())
    page = HtmlPage(html)

    for shown in ("triage", "0.8127", "-66.2 %", "30 min 34 s", "Published: step", "9,120", "Checkpointed", "maxSteps"):
        assert shown in html
    assert page.tags.count("svg") == 3
    assert page.loads == []
    assert "default-src 'none'" in html


def test_the_report_can_be_read_by_ear_and_moved_by_keys() -> None:
    html = render(example_report())
    page = HtmlPage(html)

    scrolled = page.values("div", "class").count("scroll")
    labels = page.values("div", "aria-label")
    assert scrolled > 5
    assert len(page.values("div", "tabindex")) == len(labels) == len(set(labels)) == scrolled
    assert page.tags.count("th") == len(page.values("th", "scope"))
    assert re.search(r"<th[^>]*></th>", html) is None
    tiles = re.search(r'<dl class="tiles">(.*?)</dl>', html, re.DOTALL)
    assert tiles is not None
    assert "small" not in re.sub(r"<dd>.*?</dd>", "", tiles[1], flags=re.DOTALL)


def test_hostile_data_stays_text() -> None:
    report = dataclasses.replace(
        example_report(),
        samples=(Sample(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
        warnings=(HOSTILE,),
        gate_failed=HOSTILE,
        hardware=HOSTILE,
        versions={HOSTILE: HOSTILE},
        comparisons=(Comparison(HOSTILE, 1.0, 2.0),),
        data=DataSection(
            (Bar(0, 8, 1),),
            (TextPart(HOSTILE, True), TextPart(HOSTILE, False), TextPart(HOSTILE, True, 0.5)),
            {HOSTILE: HOSTILE},
        ),
        attempts=tuple(dataclasses.replace(attempt, outcome=HOSTILE) for attempt in example_report().attempts),
    )

    page = HtmlPage(render(report))

    assert page.loads == []
    assert "{{ 7 * 7 }}" in render(report)
    card = render_model_card(report)
    assert "<script" not in card
    assert "[a](" not in card


def test_what_counts_less_is_told_by_its_weight_and_by_a_lighter_colour() -> None:
    # given a first row of which a part has a weight
    parts = (TextPart("question", False), TextPart("rough answer", True, 0.25), TextPart("good answer", True))
    html = render(dataclasses.replace(example_report(), data=DataSection(first_example=parts)))
    # then the part is marked in another way than what counts fully, with its weight as text
    assert 'question<mark class="part">rough answer</mark><sup>0.25</sup><mark>good answer</mark>' in html
    assert "what counts less" in html
    # and without such a part the legend says nothing of weights
    assert "what counts less" not in render(example_report())


def test_a_huge_run_stays_below_two_megabytes() -> None:
    curve = tuple(Point(step, 2 + step % 7) for step in range(1, 200_001))
    sample = Sample(*["&𝄞'" * 50_000] * 4)
    report = dataclasses.replace(
        example_report(),
        total_steps=200_000,
        curves=Curves(curve, curve, curve, 1000),
        samples=(sample,) * 100,
        warnings=("&" * 10_000,) * 1000,
        attempts=example_report().attempts * 1000,
        data=DataSection(first_example=(TextPart("&" * 1_000_000, True),) * 3),
    )

    assert len(render(report).encode()) < TWO_MEGABYTES


def test_an_empty_answer_is_told() -> None:
    silent = dataclasses.replace(example_report().samples[0], adapter="")

    assert "(empty answer)" in render(dataclasses.replace(example_report(), samples=(silent,)))
    assert "(empty answer)" not in render(example_report())


def test_a_run_without_evaluation_samples_or_curves_is_shown_all_the_same() -> None:
    report = dataclasses.replace(
        example_report(),
        curves=Curves(train_loss=(Point(1, float("nan")),)),
        comparisons=(Comparison("Test loss", None, 2.1),),
        samples=(),
        attempts=(),
        data=DataSection(),
        tokens=0,
        total_steps=0,
        warnings=(),
        versions={},
    )

    page = HtmlPage(render(report))

    assert "svg" not in page.tags
    assert "not compared" in render_model_card(dataclasses.replace(report, comparisons=()))


def test_the_model_card_names_base_model_data_and_limits() -> None:
    card = render_model_card(example_report())
    front_matter = yaml.safe_load(card.split("---")[1])

    assert front_matter["base_model"] == "microsoft/Phi-4-mini-instruct"
    assert front_matter["library_name"] == "peft"
    assert front_matter["license"] == "mit"
    for shown in ("c4" * 32, "a" * 40, "| Test loss | 2.401 | 0.8127 | -66.2 % |", "--max-lora-rank 16", "## Limits"):
        assert shown in card


@pytest.mark.parametrize(
    ("longest", "row"), [(120, "| Longest row | 120 tokens |"), (9000, "| Longest row | 9,000 tokens, cut at 512 |")]
)
def test_the_longest_row_is_told_as_it_is(longest: int, row: str) -> None:
    assert row in render_model_card(dataclasses.replace(example_report(), longest_row=longest))


def test_the_model_card_tells_where_answers_end() -> None:
    known = dataclasses.replace(example_report(), stop_tokens=("<|im_end|>",))
    told = dataclasses.replace(known, unserved_stops={"<|im_end|>": 5})

    assert "Answers end at &lt;\\|im\\_end\\|&gt;.\n\n## Quality" in render_model_card(known)
    assert "generation-config" not in render_model_card(known)
    card = render_model_card(told)
    for shown in (
        'model.generation_config = GenerationConfig.from_pretrained("path/to/this/folder")',
        "--generation-config path/to/this/folder --lora-modules",
        "stop_token_ids: [5]",
    ):
        assert shown in card


@pytest.mark.parametrize(("rank", "served"), [(1, 1), (4, 8), (8, 8), (12, 16), (300, 320), (512, 512)])
def test_the_command_of_the_model_card_names_a_rank_that_vllm_takes(rank: int, served: int) -> None:
    report = example_report()
    spec = report.spec.model_copy(update={"lora": report.spec.lora.model_copy(update={"r": rank})})

    assert f"--max-lora-rank {served} " in render_model_card(dataclasses.replace(report, spec=spec))


def test_the_model_card_loads_the_commit_that_was_trained_on() -> None:
    report = example_report()
    model = report.spec.model
    mirror = report.spec.model_copy(update={"model": model.model_copy(update={"source": "s3://models/phi"})})
    hub = report.spec.model_copy(update={"model": model.model_copy(update={"source": None})})

    card = render_model_card(dataclasses.replace(report, spec=hub))
    assert f'revision="{report.model_commit}", dtype="auto")' in card
    assert f"vllm serve {model.id} --revision {report.model_commit} --enable-lora" in card
    assert "| Model commit |" in card
    assert "revision" not in render_model_card(dataclasses.replace(report, spec=mirror))


def test_what_is_no_commit_is_not_called_one() -> None:
    report = example_report()
    digest = report.spec.model.model_copy(update={"source": "s3://models/phi", "revision": None})
    report = dataclasses.replace(report, spec=report.spec.model_copy(update={"model": digest}))

    for document in (render_model_card(report), render(report)):
        assert "ommit" not in document.replace("commit below", "")
    assert "Digest of the model's files" in render_model_card(report)


def test_the_command_of_the_model_card_serves_the_template_of_the_run() -> None:
    report = example_report()
    own = report.spec.model_copy(
        update={"chat": report.spec.chat.model_copy(update={"template_args": {"think": "no"}})}
    )

    assert "--chat-template" not in render_model_card(report)
    card = render_model_card(dataclasses.replace(report, spec=own))
    assert "--chat-template path/to/this/folder/chat_template.jinja --lora-modules" in card


def test_an_unknown_license_is_said() -> None:
    card = render_model_card(dataclasses.replace(example_report(), model_license=None))

    assert yaml.safe_load(card.split("---")[1])["license"] == "unknown"
    assert "states no license" in card


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.62, 2.7, ["0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]),
        (0, 1900, ["0", "500", "1,000", "1,500", "2,000"]),
        (0, 2e-4, ["0", "5.0e-05", "1.0e-04", "1.5e-04", "2.0e-04"]),
        (1.0, 1.0, ["0.90", "0.95", "1.00", "1.05", "1.10"]),
    ],
)
def test_axes_have_round_numbers_that_enclose_the_values(low: float, high: float, labels: list[str]) -> None:
    ticks = nice_ticks(low, high)

    assert ticks[0] <= low
    assert high <= ticks[-1] + 1e-12
    assert tick_labels(ticks) == labels


def test_long_curves_are_averaged_to_fewer_points() -> None:
    points = thinned([Point(step, float(step)) for step in range(1, STEPS + 1)], most=100)

    assert [points[0], points[-1]] == [Point(3, 2.0), Point(300, 299.0)]
    assert len(points) == 100
