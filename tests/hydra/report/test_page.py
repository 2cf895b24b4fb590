"""The page as text: complete, self-contained, bounded, and safe whatever the run holds."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hydra.errors import RunError
from hydra.report import render, write
from hydra.runs import (
    Culprit,
    EventWriter,
    Exit,
    MetricsWriter,
    RunDirectory,
    StateFile,
    write_json,
    write_yaml,
)

VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """The tags of a page, checked to be well nested, and the text of each element that has an id."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[tuple[str, str | None]] = []
        self.text: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, key in self.open:
            if key is not None:
                self.text[key] = self.text.get(key, "") + data

    def count(self, tag: str, **attributes: str) -> int:
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}.items()
        return sum(name == tag and wanted <= found.items() for name, found in self.tags)

    def ids(self) -> list[str]:
        return [str(found["id"]) for _, found in self.tags if "id" in found]


def test_every_part_is_there(full_run: RunDirectory) -> None:
    page = Page(render(full_run))
    sections = ["curves", "samples", "events", "checkpoints", "manifest", "environment"]
    assert [key for key in page.ids() if key in sections] == sections
    charts = ["loss", "bits-per-byte", "lr", "grad-norm", "throughput"]
    assert [key for key in page.ids() if key.startswith("chart-")] == [f"chart-{key}" for key in charts]
    assert len(set(page.ids())) == len(page.ids())
    assert page.count("a", href="#samples") == 1
    assert "manifests/default.yaml:16" in page.text["manifest"]
    assert "--set" in page.text["manifest"]
    assert "[0.9, 0.95]betas-of-the-file" in page.text["manifest"]
    assert "2.13.0" in page.text["environment"]


def test_the_header_tells_how_it_went(full_run: RunDirectory) -> None:
    text = render(full_run)
    header = re.sub(r"<[^>]+>", " ", text[text.index("<header>") : text.index("</header>")])
    for fact in ("completed", "400", "of 400", "1.35M", "in 3 attempts", "cpu", "± 0.031; 8.02 at step 0", "1.64M"):
        assert fact in header, fact
    # three attempts of 85, 75 and 50 seconds; the hour between them does not count
    assert "3 min" in header


def test_charts_can_be_read_without_seeing_them(full_run: RunDirectory) -> None:
    page = Page(render(full_run))
    drawings = [found for name, found in page.tags if name == "svg"]
    assert len(drawings) == 8  # five charts, three of them also with a logarithmic scale
    for found in drawings:
        assert found["role"] == "img"
        title, description = str(found["aria-labelledby"]).split()
        assert {title, description} <= set(page.ids())
        assert page.text[title]
        assert re.search(r"\d", page.text[description])


def test_nothing_in_the_page_points_outside(full_run: RunDirectory) -> None:
    text = render(full_run)
    page = Page(text)
    policy = next(found["content"] for _, found in page.tags if found.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'")
    assert "unsafe" not in str(policy)
    for _, found in page.tags:
        assert "src" not in found
        assert "style" not in found
        assert not any(key.startswith("on") for key in found)
        assert str(found.get("href", "#")).startswith(("#", "data:,"))
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_hostile_text_stays_text(full_run: RunDirectory, author: Any) -> None:
    page = Page(render(full_run))
    shown = author.hostile.replace("\x00", "␀").replace("\x1b", "␛")
    for section in ("samples", "events", "environment"):
        assert shown in page.text[section]
    executable = [found for name, found in page.tags if name == "script" and found.get("type") != "application/json"]
    assert len(executable) == 1
    assert page.count("img") == 0


def test_hostile_names_in_files_stay_text(author: Any) -> None:
    document = author.document(10)
    document["manifest"][author.hostile] = {author.hostile: author.hostile}
    document["name"] = document["manifest"]["notes"] = author.hostile
    document["resolved"]["device"] = author.hostile
    write_yaml(author.run.manifest, document)
    write_json(author.run.environment, {author.hostile: [{author.hostile: author.hostile}]})
    page = Page(render(author.run))
    assert page.count("img") == 0
    assert page.count("script") == 1


def test_a_run_that_has_not_started_gives_a_page(author: Any) -> None:
    page = Page(render(author.run))
    assert "No step has been recorded yet" in page.text["curves"]
    assert page.count("svg") == 0
    assert "samples" not in page.ids()


def test_a_run_with_only_the_evaluation_at_its_start(author: Any) -> None:
    with EventWriter(author.run.events, 1, clock=author.clock) as events:
        events.append("eval.summary", step=0, data={"eval.bits_per_byte": 8.0, "eval.loss": 5.5})
    page = Page(render(author.run))
    assert page.count("figure") == 2


def test_a_single_step(author: Any) -> None:
    author.attempt(1, range(1, 2), 10)
    assert Page(render(author.run)).count("figure", id="chart-loss") == 1


def test_values_that_are_not_numbers_break_the_curve_and_are_marked(author: Any) -> None:
    def spoil(row: dict[str, object]) -> dict[str, object]:
        return {**row, "loss": math.nan, "skipped": True} if row["step"] == 20 else row

    author.attempt(1, range(1, 41), 40, spoil)
    text = render(author.run)
    loss = text[text.index('id="chart-loss"') : text.index('id="chart-lr"')]
    path = re.search(r'curve main"><path d="([^"]*)"', loss)
    assert path is not None
    assert path[1].count("M") == 2
    assert "nan" not in path[1].lower()
    assert 'class="nonfinite"' in loss
    assert 'class="skipped"' in loss
    data = json.loads(re.search(r'application/json">(.*?)</script>', loss)[1])  # type: ignore[index] # it is there
    assert data[0]["y"][data[0]["x"].index(20)] is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_run_without_one_finite_value(author: Any, value: float) -> None:
    numbers = ("loss", "grad_norm", "lr", "tokens_per_s", "mfu_full", "eval.loss", "eval.bits_per_byte")
    author.attempt(1, range(1, 60), 60, lambda row: row | dict.fromkeys(numbers, value))
    page = Page(render(author.run))
    assert "no finite value" in page.text["chart-loss"]
    assert page.count("figure") == 6


def test_resumes_are_marked_and_steps_taken_back_left_out(full_run: RunDirectory) -> None:
    text = render(full_run)
    assert "attempt 2 continued from step 150" in text
    assert "attempt 3 continued from step 300" in text
    assert text.count("attempt 2 continued") == 8
    with EventWriter(full_run.events, 4) as events:
        events.append("run.resumed", step=350, data={"step": 350})
    assert "50 steps are left out" in Page(render(full_run)).text["curves"]


def test_a_failed_run_says_why(author: Any) -> None:
    state = StateFile(author.run.state, author.run.id, 1, clock=author.clock)
    culprit = Culprit(rank=3, exception="OutOfMemoryError", message=f"tried to allocate 2 GiB {author.hostile}")
    state.enter("failed", exit=Exit(code=5, kind="DeviceMemoryError", culprit=culprit, retry=True))
    text = render(author.run)
    for part in ("failed", "exit code 5", "DeviceMemoryError", "rank 3: OutOfMemoryError tried to allocate 2 GiB"):
        assert part in text
    assert '<div class="trouble" role="alert">' in text


def test_utilisation_gets_a_chart_where_it_is_measured(author: Any) -> None:
    author.attempt(1, range(1, 9), 8, lambda row: {**row, "mfu_full": 0.608, "mfu_causal": 0.516})
    assert "median full 60.8 %, causal 51.6 %" in render(author.run)


def test_an_incomplete_checkpoint_is_named(full_run: RunDirectory) -> None:
    text = Page(render(full_run)).text["checkpoints"]
    assert re.findall(r"(\d{3})48\.8 KiB[\d.]+(yes|no)", text) == [("400", "yes"), ("350", "no"), ("300", "yes")]
    assert "yeslatest" in text
    assert "yesbest" in text


def test_a_damaged_file_is_an_error(full_run: RunDirectory) -> None:
    full_run.manifest.write_text("a: [", encoding="utf-8")
    with pytest.raises(RunError, match="not YAML"):
        render(full_run)


def test_it_is_written_into_the_run_or_where_asked(full_run: RunDirectory, tmp_path: Path) -> None:
    assert write(full_run) == full_run.path / "report.html"
    assert write(full_run, tmp_path / "x.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.fixture(scope="module")
def long_run(author_of: Any) -> RunDirectory:
    """100,000 steps, thousands of events and samples, each far larger than usual."""
    author, total = author_of(), 100_000
    run: RunDirectory = author.run
    pool = [author.row(step, total) | {"mfu_full": 0.6, "mfu_causal": 0.5} for step in range(1, 2001)]
    with MetricsWriter(run.metrics, 1, author.clock) as metrics:
        for step in range(1, total + 1):
            row = {**pool[step % len(pool)], "step": step, "eval.bits_per_byte": 2.0, "eval.loss": 1.4}
            metrics.append(row | {"loss": math.nan, "skipped": True} if step % 3 == 0 else row)
    with EventWriter(run.events, 1, clock=author.clock) as events:
        for step in range(2_000):
            events.append("guard.spike", level="warning", step=step, data={"text": "<&>" * 3_000})
    author.samples(range(1, 300), "<&>" * 10_000)
    document = author.document(total)
    document["manifest"]["model"]["blocks"] = [{"id": f"block.{n}", "notes": "<&>" * 500} for n in range(400)]
    write_yaml(run.manifest, document)
    return run


def test_a_long_run_gives_a_small_page(long_run: RunDirectory) -> None:
    text = render(long_run)
    assert len(text.encode()) < 2_000_000
    page = Page(text)
    assert page.count("figure") == 6
    assert "80 of 598 texts from 40 of 299 rounds" in page.text["samples"]
    assert "400 of 2000" in page.text["events"]
