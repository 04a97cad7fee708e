"""The page with all figures of a run, and a picture of each.

Plotly's JavaScript is embedded in the page once: clusters often have no internet access, and a page that
loaded it from elsewhere would stay blank. It is packed, which takes 2 MB in place of 5; browsers since 2023
unpack it (DecompressionStream).
"""

from __future__ import annotations

import base64
import functools
import gzip
import html
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from plotly.offline import get_plotlyjs

from pipelines.figures import interactive, picture
from pipelines.figures.chart import Chart
from pipelines.figures.theme import FONT, TEXT, WIDTH
from pipelines.runtime.files.artifacts import write_atomic

FOLDER = "figures"
PAGE = "figures.html"
STYLE = (
    f"body{{font:14px {FONT};color:{TEXT};max-width:{WIDTH}px;margin:.5em auto;padding:0 1em}}"
    "h1{font-size:20px}h2{font-size:16px;margin:.6em 0 .2em}p{margin:0;color:#555;font-size:12px}"
    "details a{display:block;margin:.2em 0}section{margin:1em 0;border-top:1px solid #ccc;overflow-x:auto}"
    "section>div{min-width:760px}@media print{details{display:none}section{break-inside:avoid}}"
)


@functools.cache
def plotly_script() -> str:
    """Plotly's JavaScript, compressed, as text."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def write_figures(folder: Path, charts: Iterable[Chart], *, heading: str) -> list[str]:
    """Write `figures/figures.html` and a PNG per chart into a run's folder; return their relative paths.

    Raises
    ------
    StepError
        If the folder cannot be written.
    """
    drawn = list(charts)
    names = [f"{FOLDER}/{PAGE}"]
    write_atomic(
        folder / names[0], lambda beside: beside.write_text(_page(drawn, heading=heading), encoding="utf-8")
    )
    for chart in drawn:
        name = f"{FOLDER}/{chart.name}.png"
        write_atomic(folder / name, functools.partial(picture.save, chart))
        names.append(name)
    return names


def _page(charts: Sequence[Chart], *, heading: str) -> str:
    title = html.escape(heading)
    links = "".join(f'<a href="#{chart.name}">{html.escape(chart.title)}</a>' for chart in charts)
    parts = [
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>",
        f"<details><summary>{len(charts)} figures</summary>{links}</details>",
    ]
    for chart in charts:
        told = f"<h2>{html.escape(chart.title)}</h2><p>{html.escape(chart.note)}</p>"
        place = f'<div class="chart" id="chart-{chart.name}" style="height:{chart.height}px"></div>'
        parts.append(f'<section id="{chart.name}">{told}{place}{_content(chart)}</section>')
    unpack = (files("pipelines.figures") / "unpack.js").read_text(encoding="utf-8")
    plotly = f'<script type="text/plain" id="plotly">{plotly_script()}</script>'
    return "".join([*parts, plotly, f"<script>{unpack}</script></body></html>"])


def _content(chart: Chart) -> str:
    """Traces and layout as JSON that no browser takes for the end of the element."""
    content = json.loads(interactive.draw(chart).to_json())
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'
