"""Charts drawn by matplotlib: a PNG for each interactive figure.

Matplotlib comes with MLflow and needs no browser; Plotly's own export (kaleido) starts a Chrome, which a node
of a cluster does not have.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pipelines.figures.chart import Band, Bars, Cells, Chart, Line, Mark, Panel
from pipelines.figures.theme import GRID, SCALE, TEXT, WIDTH, Tone, format_figure, wrap_names

DOTS = 80  # dots per inch
TICKS = 9
DASHES = {"solid": "-", "dash": "--", "dot": ":"}
LEGEND_COLUMNS = 5
# Pixels. Constrained layout finds such distances by drawing all once more, which took half of the time;
# here the texts are known, and their sizes are fixed.
LETTER, LINE, TITLE_LINE = 6.2, 13, 16
LEFT, RIGHT, MARGIN = 72, 18, 8


def save(chart: Chart, path: Path) -> None:
    """Draw a chart into a PNG file of the page's width."""
    figure = Figure(figsize=(WIDTH / DOTS, chart.height / DOTS), dpi=DOTS)
    axes = figure.subplots(chart.rows, chart.columns, squeeze=False)
    places = list(axes.flat)
    for place, panel in zip(places, chart.panels, strict=False):
        _panel(place, panel)
        place.set_title(chart.broken(panel.title, to="\n"), loc="left", fontsize=9)
    for place in places[len(chart.panels) :]:
        place.set_axis_off()
    title = textwrap.fill(chart.title, 105)
    below = MARGIN / chart.height
    figure.suptitle(
        title, x=0.01, y=1 - below, ha="left", va="top", fontsize=11, fontweight="bold", color=TEXT
    )
    handles, names = _legend(places[: len(chart.panels)])
    if names:
        figure.legend(
            handles,
            names,
            loc="lower left",
            bbox_to_anchor=(0, 0),
            ncols=LEGEND_COLUMNS,
            frameon=False,
            fontsize=8,
            title=chart.source,
            title_fontsize=8,
            alignment="left",
        )
    elif chart.source:
        figure.text(0.01, below, chart.source, ha="left", va="bottom", fontsize=8, color=TEXT)
    foot = LINE * bool(chart.source) + (LINE + 3) * -(-len(names) // LEGEND_COLUMNS) + MARGIN
    _arrange(figure, chart, top=MARGIN + TITLE_LINE * len(title.splitlines()), bottom=foot)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=DOTS, metadata={"Description": chart.note})


def _arrange(figure: Figure, chart: Chart, *, top: float, bottom: float) -> None:
    """Place the panels between the title and the legend, with room for their own titles and names.

    Parameters
    ----------
    figure : Figure
    chart : Chart
    top, bottom : float
        Pixels that title and legend take.
    """
    rows, columns, panels = chart.rows, chart.columns, chart.panels
    titles = [chart.broken(panel.title, to="\n").count("\n") + 1 for panel in panels]
    names = [name for panel in panels for name in wrap_names(panel.ticks, to="\n")]
    named = [row for panel in panels for mark in panel.marks if isinstance(mark, Cells) for row in mark.rows]
    above = LINE * max(titles) + 2 * MARGIN
    under = LINE * (1 + max((name.count("\n") for name in names), default=0)) + LINE + 2 * MARGIN
    left = MARGIN + LETTER * max(map(len, named)) if named else LEFT
    height = (chart.height - top - bottom) / rows - above - under
    width = (WIDTH - left - RIGHT - (columns - 1) * (left + RIGHT)) / columns
    figure.subplots_adjust(
        left=left / WIDTH,
        right=1 - RIGHT / WIDTH,
        top=1 - (top + above) / chart.height,
        bottom=(bottom + under) / chart.height,
        wspace=(left + RIGHT) / width,
        hspace=(above + under) / height,
    )


def _legend(places: Sequence[Axes]) -> tuple[list[Artist], list[str]]:
    found: dict[str, Artist] = {}
    for place in places:
        for handle, name in zip(*place.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    return list(found.values()), list(found)


def _panel(axes: Axes, panel: Panel) -> None:
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for mark in panel.marks:
        _mark(axes, mark)
    axes.set_xlabel(panel.x_title, fontsize=8)
    axes.set_ylabel(panel.y_title, fontsize=8)
    axes.tick_params(labelsize=8)
    if panel.ticks:
        every = -(-len(panel.ticks) // TICKS)
        axes.set_xticks(range(0, len(panel.ticks), every), wrap_names(panel.ticks[::every], to="\n"))
    elif panel.share_x:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: format_figure(x, "share")))
    if any(isinstance(mark, Cells) for mark in panel.marks):
        axes.grid(visible=False)
        return
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: format_figure(y, panel.kind)))
    if panel.kind == "share":
        axes.set_ylim(0, 1.04)
    elif panel.kind == "units":
        axes.set_ylim(0, panel.top)
    if panel.split is not None:
        axes.axvline(panel.split, color=TEXT, linewidth=0.8, linestyle=":")
    if panel.observed is not None:
        axes.axvline(panel.observed, color=TEXT, linewidth=0.8, linestyle="--")


def _mark(axes: Axes, mark: Mark) -> None:
    if isinstance(mark, Line):
        axes.plot(
            mark.x,
            mark.y,
            color=mark.tone,
            linestyle=DASHES[mark.dash],
            linewidth=1.6,
            marker="o" if mark.points else "",
            markersize=4,
            drawstyle="steps-post" if mark.steps else "default",
            label=mark.name,
        )
    elif isinstance(mark, Band):
        axes.fill_between(mark.x, mark.low, mark.high, color=mark.tone, linewidth=0, label=mark.name)
    elif isinstance(mark, Bars):
        axes.bar(mark.x, mark.size, bottom=mark.base, color=mark.tone, edgecolor="white", label=mark.name)
        for x, size, base, text in zip(mark.x, mark.size, mark.base, mark.texts, strict=False):
            axes.text(x, base + max(size, 0), text, ha="center", va="bottom", fontsize=8, color=TEXT)
    else:
        _cells(axes, mark)


def _cells(axes: Axes, mark: Cells) -> None:
    shares = np.array([[np.nan if s is None else s for s in row] for row in mark.values], dtype=np.float64)
    scale = LinearSegmentedColormap.from_list("shares", [str(colour) for colour in SCALE])
    axes.imshow(shares, cmap=scale, vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(mark.rows)), mark.rows)
    for row, texts in enumerate(mark.texts):
        for column, text in enumerate(texts):
            dark = text and shares[row, column] > 0.55
            axes.text(
                column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else Tone.INK
            )
