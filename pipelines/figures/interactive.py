"""Charts drawn by Plotly, for the browser."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from pipelines.figures.chart import Band, Bars, Cells, Chart, Line, Mark, Panel
from pipelines.figures.theme import FEW_NAMES, FONT, GRID, SCALE, TEXT, format_figure, wrap_names


def draw(chart: Chart) -> list[go.Figure]:
    """Plotly figure of each panel; the page holds titles, legend and notes, and wraps them.

    `layout.meta.ticks` holds the names on the x axis, of which the page shows as many as there is room for.
    """
    return [_draw(panel, height=chart.panel_height(panel)) for panel in chart.panels]


def _draw(panel: Panel, *, height: int) -> go.Figure:
    figure = go.Figure()
    for mark in panel.marks:
        for trace in _traces(mark, panel):
            figure.add_trace(trace)
    figure.update_layout(
        template="plotly_white",
        font={"family": FONT, "size": 12, "color": TEXT},
        margin={"l": 60, "r": 24, "t": 12, "b": 44},
        barmode="overlay",
        height=height,
        hovermode="closest",
        showlegend=False,
        meta={"ticks": wrap_names(panel.ticks, to="<br>"), "all": len(panel.ticks) <= FEW_NAMES},
    )
    _axes(figure, panel)
    if panel.split is not None:
        figure.add_vline(x=panel.split, line={"color": TEXT, "width": 1, "dash": "dot"})
    if panel.observed is not None:
        figure.add_vline(x=panel.observed, line={"color": TEXT, "width": 1, "dash": "dash"})
    return figure


def _axes(figure: go.Figure, panel: Panel) -> None:
    x: dict[str, Any] = {"title_text": panel.x_title, "automargin": True}
    if panel.ticks:
        x |= {"tickvals": list(range(len(panel.ticks))), "ticktext": wrap_names(panel.ticks, to="<br>")}
        x["range"] = list(panel.reach)
    elif panel.share_x:
        x |= {"tickformat": ".0%"}
    y: dict[str, Any] = {"title_text": panel.y_title, "automargin": True}
    if any(isinstance(mark, Cells) for mark in panel.marks):
        y |= {"autorange": "reversed"}
    elif panel.kind == "share":
        y |= {"tickformat": ".0%", "range": [0, 1.04]}
    elif panel.kind == "units":
        y |= {"tickformat": "~s", "range": [0, panel.top]}
    figure.update_xaxes(**x, gridcolor=GRID, tickangle=0, title_font_size=11, title_standoff=4)
    figure.update_xaxes(ticks="outside", ticklen=8, tickcolor=GRID)
    figure.update_yaxes(**y, gridcolor=GRID, title_font_size=11, title_standoff=4)


def _traces(mark: Mark, panel: Panel) -> list[Any]:
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


def _line(mark: Line, panel: Panel) -> Any:  # noqa: ANN401 - Plotly is untyped
    return go.Scatter(
        x=list(mark.x),
        y=list(mark.y),
        name=mark.name,
        mode="lines+markers" if mark.points else "lines",
        line={
            "color": str(mark.tone),
            "dash": mark.dash,
            "width": 2,
            "shape": "hv" if mark.steps else "linear",
        },
        marker={"size": 7},
        hovertext=[
            _hover(panel, mark.name, x, format_figure(y, panel.kind))
            for x, y in zip(mark.x, mark.y, strict=True)
        ],
        hoverinfo="text",
    )


def _band(mark: Band, panel: Panel) -> list[Any]:
    x = list(mark.x)
    edge = {"x": x, "mode": "lines", "line": {"width": 0}, "hoverinfo": "text"}
    texts = [
        _hover(panel, mark.name, at, f"{format_figure(low, panel.kind)} to {format_figure(high, panel.kind)}")
        for at, low, high in zip(mark.x, mark.low, mark.high, strict=True)
    ]
    fill = {"fill": "tonexty", "fillcolor": str(mark.tone)}
    return [
        go.Scatter(**edge, y=list(mark.low), name=f"{mark.name}, low", hovertext=texts),
        go.Scatter(**edge, **fill, y=list(mark.high), name=mark.name, hovertext=texts),
    ]


def _bars(mark: Bars, panel: Panel) -> Any:  # noqa: ANN401
    return go.Bar(
        x=list(mark.x),
        y=list(mark.size),
        base=list(mark.base),
        name=mark.name,
        marker={"color": str(mark.tone), "line": {"color": "white", "width": 1}},
        text=list(mark.texts) or None,
        textposition="outside",
        cliponaxis=False,
        hovertext=[
            _hover(panel, mark.name, x, format_figure(abs(size), panel.kind))
            for x, size in zip(mark.x, mark.size, strict=True)
        ],
        hoverinfo="text",
    )


def _cells(mark: Cells, panel: Panel) -> Any:  # noqa: ANN401
    hover = [
        [
            "" if share is None else _hover(panel, name, column, format_figure(share, "share"))
            for column, share in enumerate(row)
        ]
        for name, row in zip(mark.rows, mark.values, strict=True)
    ]
    return go.Heatmap(
        z=[list(row) for row in mark.values],
        y=list(mark.rows),
        text=[list(row) for row in mark.texts],
        texttemplate="%{text}",
        hovertext=hover,
        hoverinfo="text",
        name=mark.name,
        colorscale=[[0, SCALE[0]], [1, str(SCALE[1])]],
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        showscale=False,
    )
