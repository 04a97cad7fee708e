"""The page that holds all figures of a run, and the pictures beside it.

Plotly's JavaScript stands in the page once: clusters are often cut off from the internet, and a page that
asked for it elsewhere would stay blank.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipelines.artifacts import write_atomic
from pipelines.figures import interactive, picture
from pipelines.figures.chart import Chart
from pipelines.figures.theme import FONT, TEXT, WIDTH

FOLDER = "figures"
PAGE = "figures.html"
STYLE = (
    f"body{{font:14px {FONT};color:{TEXT};max-width:{WIDTH}px;margin:.5em auto;padding:0 1em}}"
    "h1{font-size:20px}h2{font-size:16px;margin:.6em 0 .2em}p{margin:0;color:#555;font-size:12px}"
    "details a{display:block;margin:.2em 0}section{margin:1em 0;border-top:1px solid #ccc;overflow-x:auto}"
    "section>div{min-width:760px}@media print{details{display:none}section{break-inside:avoid}}"
)


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
    for place, chart in enumerate(charts):
        body = interactive.draw(chart).to_html(
            full_html=False,
            include_plotlyjs=place == 0,
            div_id=f"chart-{chart.name}",
            default_height=f"{chart.height}px",
            config={"displaylogo": False, "responsive": True},
        )
        told = f"<h2>{html.escape(chart.title)}</h2><p>{html.escape(chart.note)}</p>"
        parts.append(f'<section id="{chart.name}">{told}{body}</section>')
    return "".join([*parts, "</body></html>"])
