"""The tornado chart: for each assumption the figure at both ends of its range, the widest reach on top.

One HTML file with Plotly's code inside, so that it opens without a network, and one PNG drawn by matplotlib,
which needs no browser.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from pipelines.figures.number_format import percent
from pipelines.figures.theme import FONT, GRID, TEXT, WIDTH, Tone, format_figure
from pipelines.runtime.files.artifacts import write_atomic

SHOWN = 12  # assumptions per panel
BAR, HEAD = 30, 90  # pixels
ENDS = (("at_low", "low end", Tone.SAND), ("at_high", "high end", Tone.INK))


class Shown(NamedTuple):
    """How a figure of the outcome is drawn: its title with the unit, its kind, and its divisor."""

    title: str
    kind: str
    unit: float = 1.0

    def text(self, figure: float) -> str:
        """The figure as axes and titles write it."""
        return (
            percent(figure, digits=1)
            if self.kind == "share"
            else format_figure(figure / self.unit, self.kind)
        )


FIGURES = {
    "units_mean": Shown("exportable units, mean", "units"),
    "p_any_window": Shown("P(any export window)", "share"),
    "p_saturated": Shown("P(saturated by the end of the horizon)", "share"),
    "value_usd_mean": Shown("value net of duty, mean, USD billion", "number", 1e9),
}


def panels(table: pl.DataFrame) -> list[pl.DataFrame]:
    """One part per scope and figure that anything moves; widest bar first, bars of no width left out."""
    parts = table.filter(pl.col("reach") > 0).partition_by(["scope", "figure"], maintain_order=True)
    return [part.sort("rank").head(SHOWN) for part in parts]


def write_tornado(path: Path, table: pl.DataFrame, *, title: str) -> None:
    """Write the chart to `path` (HTML) and beside it as PNG; nothing where no assumption moves anything."""
    parts = panels(table)
    if parts:
        html = _plotly(parts, title).to_html(include_plotlyjs=True, full_html=True)
        write_atomic(path, lambda beside: beside.write_text(html, encoding="utf-8"))
        write_atomic(path.with_suffix(".png"), lambda beside: _png(parts, title, beside))


def heading(part: pl.DataFrame) -> str:
    """The panel's finding: which assumption moves the figure most, and how far."""
    first = part.row(0, named=True)
    shown = FIGURES[first["figure"]]
    figures = [first[column] for column in ("at_low", "base", "at_high")]
    span = f"{shown.text(min(figures))} to {shown.text(max(figures))}"
    return f"{shown.title}, {first['scope']} scope: {first['assumption']} moves it from {span}"


def _heights(parts: list[pl.DataFrame]) -> list[int]:
    return [part.height * BAR + HEAD for part in parts]


def _plotly(parts: list[pl.DataFrame], title: str) -> Any:  # noqa: ANN401 - plotly is untyped
    heights = _heights(parts)
    chart = make_subplots(
        rows=len(parts),
        cols=1,
        row_heights=heights,
        vertical_spacing=min(70 / sum(heights), 0.9 / len(parts)),
        subplot_titles=[heading(part) for part in parts],
    )
    for place, part in enumerate(parts, start=1):
        shown = FIGURES[part["figure"][0]]
        for column, name, tone in ENDS:
            chart.add_bar(
                y=part["assumption"].to_list(),
                x=((part[column] - part["base"]) / shown.unit).to_list(),
                base=(part["base"] / shown.unit).to_list(),
                orientation="h",
                name=name,
                legendgroup=name,
                showlegend=place == 1,
                marker_color=str(tone),
                customdata=_hover(part, column),
                hovertemplate="%{y} = %{customdata[0]}: %{customdata[1]}<extra></extra>",
                row=place,
                col=1,
            )
        chart.update_yaxes(autorange="reversed", row=place, col=1)
        ticks = ".1%" if shown.kind == "share" else "~s"
        chart.update_xaxes(tickformat=ticks, gridcolor=GRID, zeroline=False, row=place, col=1)
        chart.add_vline(x=part["base"][0] / shown.unit, line_width=1, line_color=TEXT, row=place, col=1)
    chart.update_layout(
        title=title,
        barmode="group",
        template="plotly_white",
        font={"family": FONT, "color": TEXT, "size": 12},
        width=WIDTH,
        height=sum(heights) + 120,
        margin={"l": 270, "t": 110},
    )
    chart.update_annotations(font_size=13, xanchor="left", x=0)
    return chart


def _hover(part: pl.DataFrame, column: str) -> list[list[str]]:
    end, shown = column.removeprefix("at_"), FIGURES[part["figure"][0]]
    return [[f"{row[end]:g}", shown.text(row[column])] for row in part.iter_rows(named=True)]


def _png(parts: list[pl.DataFrame], title: str, path: Path) -> None:
    heights = _heights(parts)
    figure = Figure(figsize=(WIDTH / 100, (sum(heights) + 80) / 100), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", color=TEXT)
    axes = figure.subplots(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, part in zip(axes, parts, strict=True):
        shown = FIGURES[part["figure"][0]]
        rows = range(part.height)
        for lane, (column, name, tone) in zip((-0.2, 0.2), ENDS, strict=True):
            sizes = (part[column] - part["base"]).to_list()
            places = [row + lane for row in rows]
            ax.barh(places, sizes, 0.4, left=part["base"].to_list(), color=str(tone), label=name)
        ax.set_yticks(rows, part["assumption"].to_list())
        ax.invert_yaxis()
        ax.axvline(part["base"][0], color=TEXT, linewidth=0.8)
        ax.xaxis.set_major_formatter(lambda figure, _, shown=shown: shown.text(figure))
        ax.set_title(heading(part), fontsize=9, loc="left", color=TEXT)
        ax.tick_params(labelsize=8)
        ax.grid(axis="x", color=GRID)
        ax.set_axisbelow(True)
        ax.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="upper right", ncols=2, frameon=False)
    figure.savefig(path, format="png")
