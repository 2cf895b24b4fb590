"""The page in a real browser: it asks nobody for anything, draws its curves, and its script works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from hydra.report import write
from hydra.runs import RunDirectory

LOOKS = [("light", 1280), ("dark", 1280), ("light", 375), ("dark", 375)]


@pytest.fixture
def browser(chromium: Path) -> Iterator[Browser]:
    """A headless browser; without one on the machine the test is skipped."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium)
        yield running
        running.close()


class Visit:
    """A page that was opened, with everything that it said and asked for."""

    def __init__(self, browser: Browser, path: Path, scheme: Any = "light", width: int = 1280) -> None:
        self.said: list[str] = []
        self.requests: list[str] = []
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_it_opens_quietly_and_shows_its_curves(
    browser: Browser, full_run: RunDirectory, tmp_path: Path, scheme: str, width: int
) -> None:
    path = write(full_run)
    visit = Visit(browser, path, scheme, width)
    page = visit.page
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert visit.said == []
    assert visit.requests == [path.as_uri()]
    for figure in page.locator("figure.chart").all():
        drawn = figure.locator("svg:visible")
        assert drawn.count() == 1
        box = drawn.locator(".curve path").last.bounding_box()
        assert box is not None
        assert box["width"] > width * 0.3
        assert box["height"] > 5
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    text = page.locator("svg:visible text").first
    assert text.evaluate("element => element.getBoundingClientRect().height") >= 9
    shot = page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    assert len(shot) > 20_000


def test_colours_follow_the_system(browser: Browser, full_run: RunDirectory) -> None:
    path = write(full_run)
    grounds = [
        Visit(browser, path, scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(", "))) for ground in grounds)
    assert light > 600
    assert dark < 150


def test_the_pointer_reads_values_out(browser: Browser, full_run: RunDirectory) -> None:
    page = Visit(browser, write(full_run)).page
    chart = page.locator("#chart-lr")
    drawing = chart.locator("svg.linear")
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    assert box is not None
    # the plot lies between 56 and 540 of the drawing's 560 units; step 200 of 0 to 400 is in its middle
    page.mouse.move(box["x"] + box["width"] * 298 / 560, box["y"] + box["height"] / 2)
    assert chart.locator("output").text_content() == "step 200: learning rate 0.003"
    assert float(str(drawing.locator(".cursor").get_attribute("x1"))) == pytest.approx(298, abs=0.1)
    page.mouse.move(0, 0)
    assert chart.locator("output").text_content() == ""
    assert chart.locator(".summary").is_visible()


def test_the_keyboard_reads_values_out(browser: Browser, full_run: RunDirectory) -> None:
    page = Visit(browser, write(full_run)).page
    chart = page.locator("#chart-bits-per-byte")
    chart.locator("svg").focus()
    page.keyboard.press("Home")
    assert chart.locator("output").text_content() == "step 0: held out 8.02"
    page.keyboard.press("ArrowRight")
    assert str(chart.locator("output").text_content()).startswith("step 50: held out ")
    page.keyboard.press("End")
    assert str(chart.locator("output").text_content()).startswith("step 400: ")


def test_switches_work_without_the_script(browser: Browser, full_run: RunDirectory) -> None:
    page = Visit(browser, write(full_run)).page
    chart = page.locator("#chart-loss")
    chart.locator(".log-scale").click()
    assert chart.locator("svg.log").is_visible()
    assert not chart.locator("svg.linear").is_visible()
    page.locator("#manifest summary", has_text="training").click()
    row = page.locator("#manifest tr.default", has_text="training.clip")
    assert row.is_visible()
    page.get_by_text("only what somebody set").click()
    assert not row.is_visible()
    assert page.locator("#manifest tr", has_text="training.steps").is_visible()


def test_a_script_that_got_into_the_page_would_not_run(browser: Browser, full_run: RunDirectory) -> None:
    """Behind the escaping stands the page's own policy: it names its script by hash and refuses all else."""
    path = write(full_run)
    hostile = '<script>console.log("ran")</script><img src="https://example.com/x.png" onerror="console.log(1)">'
    path.write_text(path.read_text("utf-8").replace("</main>", f"{hostile}</main>"), encoding="utf-8")
    visit = Visit(browser, path)
    assert "ran" not in visit.said
    assert all("Content Security Policy" in line for line in visit.said)
    assert len(visit.said) >= 2
