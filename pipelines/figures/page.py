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

from pipelines.figures import interactive, picture
from pipelines.figures.chart import Band, Bars, Chart, Line, Mark
from pipelines.figures.theme import FONT, TEXT
from pipelines.runtime.files.artifacts import write_atomic

FOLDER = "figures"
PAGE, BACKTEST_PAGE = "figures.html", "backtest.html"
WIDEST = 1860  # pixels
STYLE = (
    f"body{{font:14px {FONT};color:{TEXT};max-width:{WIDEST}px;margin:.5em auto;padding:0 1em}}"
    "h1{font-size:20px}h2{font-size:16px;margin:.6em 0 .2em}h3{font-size:13px;margin:.6em 0 .1em}"
    "p{margin:0 0 .3em;color:#444;font-size:12px}details a{display:block;margin:.2em 0}"
    "section{margin:1em 0;border-top:1px solid #ccc}"
    ".panels{display:grid;gap:0 24px;--own:max(600px,(100% - 24px*(var(--most) - 1))/var(--most))}"
    ".panels{grid-template-columns:repeat(auto-fit,minmax(min(100%,var(--own)),1fr))}"
    ".panels>div{min-width:0}.legend{display:flex;flex-wrap:wrap;gap:.2em 1.2em;font-size:12px}"
    ".legend span{white-space:nowrap}.legend svg{vertical-align:middle;margin-right:.4em}"
    "@media print{details{display:none}section{break-inside:avoid}.panels{display:block}}"
)


@functools.cache
def plotly_script() -> str:
    """Plotly's JavaScript, compressed, as text."""
    script = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, mtime=0)).decode()


def write_figures(
    folder: Path, charts: Iterable[Chart], *, heading: str, page: str = PAGE, pictures: bool = True
) -> list[str]:
    """Write a page of all charts and a PNG of each into `figures/` of a folder; return their relative paths.

    Parameters
    ----------
    folder : Path
        Of a run.
    charts : iterable of Chart
    heading : str
    page : str
        File name of the page: two steps may publish into one folder.
    pictures : bool
        Whether to draw the PNGs.

    Raises
    ------
    StepError
        If the folder cannot be written.
    """
    drawn = list(charts)
    names = [f"{FOLDER}/{page}"]
    write_atomic(
        folder / names[0], lambda beside: beside.write_text(_page(drawn, heading=heading), encoding="utf-8")
    )
    for chart in drawn if pictures else ():
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
    parts += map(_section, charts)
    unpack = (files("pipelines.figures") / "unpack.js").read_text(encoding="utf-8")
    plotly = f'<script type="text/plain" id="plotly">{plotly_script()}</script>'
    return "".join([*parts, plotly, f"<script>{unpack}</script></body></html>"])


def _section(chart: Chart) -> str:
    panels = []
    for number, (panel, figure) in enumerate(zip(chart.panels, interactive.draw(chart), strict=True)):
        height = chart.panel_height(panel)
        place = f'<div class="panel" id="panel-{chart.name}-{number}" style="height:{height}px">'
        panels.append(f"<div><h3>{html.escape(panel.title)}</h3>{place}</div>{_content(figure)}</div>")
    most = 2 if len(panels) == 4 else min(len(panels), 3)
    source = f'<p class="source">{html.escape(chart.source)}</p>' if chart.source else ""
    return (
        f'<section id="{chart.name}"><h2>{html.escape(chart.title)}</h2><p>{html.escape(chart.note)}</p>'
        f'{_legend(chart)}<div class="chart panels" id="chart-{chart.name}" style="--most:{most}">'
        f"{''.join(panels)}</div>{source}</section>"
    )


def _legend(chart: Chart) -> str:
    """Names of the marks with the colours that they have in all panels."""
    keys = {mark.name: _key(mark) for panel in chart.panels for mark in panel.marks if mark.name}
    entries = "".join(f"<span>{key}{html.escape(name)}</span>" for name, key in keys.items() if key)
    return f'<div class="legend">{entries}</div>' if entries else ""


def _key(mark: Mark) -> str:
    if isinstance(mark, Line):
        dash = {"solid": "", "dash": ' stroke-dasharray="6 3"', "dot": ' stroke-dasharray="2 2"'}[mark.dash]
        drawn = f'<path d="M0 6H26" stroke="{mark.tone}" stroke-width="2.5"{dash}/>'
    elif isinstance(mark, Band | Bars):
        drawn = f'<rect width="26" height="12" fill="{mark.tone}"/>'
    else:
        return ""
    return f'<svg width="26" height="12" aria-hidden="true">{drawn}</svg>'


def _content(figure: interactive.Json) -> str:
    """Traces and layout as JSON that no browser takes for the end of the element."""
    text = json.dumps(figure, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'
