"""The page as a whole: one HTML file that needs nothing from anywhere.

Style and script are inlined and named by their hashes in the page's own content policy, which forbids everything else:
no request can leave the page, and a script that got into it by way of a sample would not run.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from hydra.report import sections, settings
from hydra.report.chart import figure
from hydra.report.contents import Contents, read
from hydra.report.curves import charts, marks, step_range
from hydra.report.header import header
from hydra.report.markup import Markup, join, tag
from hydra.runs import RunDirectory, write_text

#: Name of the page inside a run directory.
FILE_NAME = "report.html"


def render(run: RunDirectory) -> str:
    """The report of a run as HTML. Raises RunError if a file of the run is damaged."""
    contents = read(run)
    style, script = _asset("page.css"), _asset("page.js")
    parts = [
        ("curves", "Curves", _curves(contents)),
        ("samples", "Samples", sections.samples(contents.samples)),
        ("events", "Events", sections.events(contents.events)),
        ("checkpoints", "Checkpoints", sections.checkpoints(contents)),
        ("manifest", "Manifest", settings.manifest(contents.manifest)),
        ("environment", "Environment", settings.environment(contents)),
    ]
    present = [(key, title, part) for key, title, part in parts if part is not None]
    navigation = tag("nav", *(tag("a", title, href=f"#{key}") for key, title, _ in present), aria_label="Sections")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"{contents.name} · Hydra"),
        tag("style", style),
    )
    main = tag("main", header(contents), navigation, *(part for _, _, part in present))
    body = tag("body", main, tag("script", script))
    return join([Markup("<!doctype html>\n"), tag("html", head, body, lang="en"), Markup("\n")])


def write(run: RunDirectory, out: Path | None = None) -> Path:
    """Write the report of a run, by default into its own directory, and return where it is."""
    path = run.path / FILE_NAME if out is None else out
    write_text(path, render(run))
    return path


def _curves(contents: Contents) -> Markup:
    rows = contents.rows
    figures = []
    if rows:
        happened, steps = marks(rows, contents.resumed), step_range(rows)
        figures = [figure(chart, happened, steps) for chart in charts(rows)]
    empty = tag("p", "No step has been recorded yet.", class_="note")
    stale = len(contents.metrics.stale)
    note = tag("p", f"{stale:,} steps are left out: a resume took them back.", class_="note") if stale else None
    grid = tag("div", *figures, class_="charts") if figures else empty
    return tag("section", tag("h2", "Curves"), note, grid, id="curves")


def _asset(name: str) -> Markup:
    return Markup(files("hydra.report").joinpath(name).read_text("utf-8"))


def _policy(style: str, script: str) -> str:
    nothing = "default-src 'none'; base-uri 'none'; form-action 'none'"
    return f"{nothing}; img-src data:; style-src {_source(style)}; script-src {_source(script)}"


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
