"""Charts as Plotly in the browser reads them: plain data and layout.

Plotly's own Python objects check each value as it is set, which took six seconds per run; here a test has
them check figures of every kind instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeAlias

from pipelines.figures.chart import Band, Bars, Cells, Chart, Line, Mark, Panel
from pipelines.figures.theme import FEW_NAMES, FONT, GRID, SCALE, TEXT, format_figure, wrap_names

Json: TypeAlias = dict[str, Any]
AXIS: Json = {
    "gridcolor": GRID,
    "linecolor": GRID,
    "zerolinecolor": GRID,
    "zerolinewidth": 2,
    "automargin": True,
    "ticks": "outside",
    "ticklen": 8,
    "tickcolor": GRID,
}


def draw(chart: Chart) -> list[Json]:
    """Plotly figure of each panel, `{"data": ..., "layout": ...}`; titles, legend and notes are the page's.

    `layout.meta.ticks` holds the names on the x axis, of which the page shows as many as there is room for.
    """
    return [_draw(panel, height=chart.panel_height(panel)) for panel in chart.panels]


def _draw(panel: Panel, *, height: int) -> Json:
    uprights = ((panel.split, "dot"), (panel.observed, "dash"))
    layout = {
        "font": {"family": FONT, "size": 12, "color": TEXT},
        "margin": {"l": 60, "r": 24, "t": 12, "b": 44},
        "barmode": "overlay",
        "height": height,
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "showlegend": False,
        "meta": {"ticks": wrap_names(panel.ticks, to="<br>"), "all": len(panel.ticks) <= FEW_NAMES},
        "xaxis": _x_axis(panel),
        "yaxis": _y_axis(panel),
        "shapes": [_upright(at, dash) for at, dash in uprights if at is not None],
    }
    return {"data": [trace for mark in panel.marks for trace in _traces(mark, panel)], "layout": layout}


def _upright(at: float, dash: str) -> Json:
    """A thin line over the whole height."""
    return {
        "type": "line",
        "xref": "x",
        "x0": at,
        "x1": at,
        "yref": "y domain",
        "y0": 0,
        "y1": 1,
        "line": {"color": TEXT, "width": 1, "dash": dash},
    }


def _title(text: str) -> Json:
    return {"text": text, "font": {"size": 11}, "standoff": 4}


def _x_axis(panel: Panel) -> Json:
    axis = AXIS | {"title": _title(panel.x_title), "tickangle": 0}
    if panel.ticks:
        names = wrap_names(panel.ticks, to="<br>")
        return axis | {
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": list(panel.reach),
        }
    return axis | ({"tickformat": ".0%"} if panel.share_x else {})


def _y_axis(panel: Panel) -> Json:
    axis = AXIS | {"title": _title(panel.y_title)}
    if any(isinstance(mark, Cells) for mark in panel.marks):
        return axis | {"autorange": "reversed"}
    if panel.kind == "share":
        return axis | {"tickformat": ".0%", "range": [0, 1.04]}
    return axis | ({"tickformat": "~s", "range": [0, panel.top]} if panel.kind == "units" else {})


def _traces(mark: Mark, panel: Panel) -> list[Json]:
    if isinstance(mark, Line):
        return [_line(mark, panel)]
    if isinstance(mark, Band):
        return _band(mark, panel)
    if isinstance(mark, Bars):
        return [_bars(mark, panel)]
    return [_cells(mark, panel)]


def _hover(panel: Panel, name: str, x: float, figure: str) -> str:
    if panel.ticks:
        where = panel.ticks[min(max(round(x), 0), len(panel.ticks) - 1)]  # marks may stand beside the axis
    else:
        where = format_figure(x, "share" if panel.share_x else "number")
    return f"{name}<br>{where}: {figure}"


def _values(values: Iterable[float | None]) -> list[float | None]:
    """Numbers as JSON has them: what is not a number is null, a gap."""
    return [None if value is None or math.isnan(value) else float(value) for value in values]


def _line(mark: Line, panel: Panel) -> Json:
    shape = "hv" if mark.steps else "linear"
    return {
        "type": "scatter",
        "x": _values(mark.x),
        "y": _values(mark.y),
        "name": mark.name,
        "mode": "lines+markers" if mark.points else "lines",
        "line": {"color": str(mark.tone), "dash": mark.dash, "width": 2, "shape": shape},
        "marker": {"size": 7},
        "hovertext": [
            _hover(panel, mark.name, x, format_figure(y, panel.kind))
            for x, y in zip(mark.x, mark.y, strict=True)
        ],
        "hoverinfo": "text",
    }


def _band(mark: Band, panel: Panel) -> list[Json]:
    texts = [
        _hover(panel, mark.name, at, f"{format_figure(low, panel.kind)} to {format_figure(high, panel.kind)}")
        for at, low, high in zip(mark.x, mark.low, mark.high, strict=True)
    ]
    edge: Json = {
        "type": "scatter",
        "x": _values(mark.x),
        "mode": "lines",
        "line": {"width": 0},
        "hovertext": texts,
        "hoverinfo": "text",
    }
    fill = {"fill": "tonexty", "fillcolor": str(mark.tone)}
    return [
        edge | {"y": _values(mark.low), "name": f"{mark.name}, low"},
        edge | fill | {"y": _values(mark.high), "name": mark.name},
    ]


def _bars(mark: Bars, panel: Panel) -> Json:
    written = {"text": list(mark.texts), "textposition": "outside"} if mark.texts else {}
    return written | {
        "type": "bar",
        "x": _values(mark.x),
        "y": _values(mark.size),
        "base": _values(mark.base),
        "name": mark.name,
        "marker": {"color": str(mark.tone), "line": {"color": "white", "width": 1}},
        "cliponaxis": False,
        "hovertext": [
            _hover(panel, mark.name, x, format_figure(abs(size), panel.kind))
            for x, size in zip(mark.x, mark.size, strict=True)
        ],
        "hoverinfo": "text",
    }


def _cells(mark: Cells, panel: Panel) -> Json:
    hover = [
        [
            "" if share is None else _hover(panel, name, column, format_figure(share, "share"))
            for column, share in enumerate(row)
        ]
        for name, row in zip(mark.rows, mark.values, strict=True)
    ]
    return {
        "type": "heatmap",
        "z": [_values(row) for row in mark.values],
        "y": list(mark.rows),
        "text": [list(row) for row in mark.texts],
        "texttemplate": "%{text}",
        "hovertext": hover,
        "hoverinfo": "text",
        "name": mark.name,
        "colorscale": [[0, SCALE[0]], [1, str(SCALE[1])]],
        "zmin": 0,
        "zmax": 1,
        "xgap": 2,
        "ygap": 2,
        "showscale": False,
    }
