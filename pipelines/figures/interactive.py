"""Charts drawn by Plotly, for the browser."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipelines.figures.chart import Band, Bars, Cells, Chart, Line, Mark, Note, Panel
from pipelines.figures.theme import FONT, GRID, SCALE, TEXT, Tone, format_figure, wrap_names

TICKS = 12  # at most this many names beside each other


def draw(chart: Chart) -> go.Figure:
    """Plotly figure of a chart, `chart.height` pixels high; the page holds title and note, and wraps them."""
    figure = make_subplots(
        rows=chart.rows,
        cols=chart.columns,
        subplot_titles=[chart.broken(panel.title, to="<br>") for panel in chart.panels],
        vertical_spacing=0.36 / chart.rows if chart.rows > 1 else 0,
        horizontal_spacing=0.1,
    )
    shown: set[str] = set()
    for place, panel in enumerate(chart.panels):
        row, column = place // chart.columns + 1, place % chart.columns + 1
        for mark in panel.marks:
            for trace in _traces(mark, panel):
                trace.showlegend = bool(trace.showlegend) and trace.name not in shown
                shown |= {trace.name} if trace.showlegend else set()
                figure.add_trace(trace, row=row, col=column)
        _axes(figure, panel, row, column, most=TICKS // chart.columns)
        if panel.split is not None:
            figure.add_vline(
                x=panel.split, line={"color": TEXT, "width": 1, "dash": "dot"}, row=row, col=column
            )
    figure.update_layout(
        template="plotly_white",
        font={"family": FONT, "size": 12, "color": TEXT},
        margin={"l": 70, "r": 30, "t": 50, "b": 50},
        barmode="overlay",
        height=chart.height,
        hovermode="closest",
        legend={"orientation": "h", "y": -0.09 if chart.rows > 1 else -0.25, "x": 0},
    )
    figure.update_annotations(font_size=12)
    return figure


def _axes(figure: go.Figure, panel: Panel, row: int, column: int, *, most: int) -> None:
    at = {"row": row, "col": column, "gridcolor": GRID}
    x: dict[str, Any] = {"title_text": panel.x_title}
    if panel.ticks:
        every = -(-len(panel.ticks) // most)
        x |= {
            "tickvals": list(range(0, len(panel.ticks), every)),
            "ticktext": wrap_names(panel.ticks[::every], to="<br>"),
        }
    elif panel.share_x:
        x |= {"tickformat": ".0%"}
    y: dict[str, Any] = {"title_text": panel.y_title}
    if any(isinstance(mark, Cells) for mark in panel.marks):
        y |= {"autorange": "reversed", "automargin": True}
    elif panel.kind == "share":
        y |= {"tickformat": ".0%", "range": [0, 1.02]}
    elif panel.kind == "units":
        y |= {"tickformat": "~s", "rangemode": "tozero"}
    figure.update_xaxes(**x, **at, tickangle=0, title_font_size=11, title_standoff=4)
    figure.update_yaxes(**y, **at, title_font_size=11, title_standoff=4)


def _traces(mark: Mark, panel: Panel) -> list[Any]:
    if isinstance(mark, Line):
        return [_line(mark, panel)]
    if isinstance(mark, Band):
        return _band(mark, panel)
    if isinstance(mark, Bars):
        return [_bars(mark, panel)]
    if isinstance(mark, Cells):
        return [_cells(mark, panel)]
    return [_note(mark)]


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
        legendgroup=mark.name,
        showlegend=bool(mark.name),
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
    red, green, blue = (int(mark.tone[place : place + 2], 16) for place in (1, 3, 5))
    x = list(mark.x)
    edge = {"x": x, "mode": "lines", "line": {"width": 0}, "legendgroup": mark.name, "hoverinfo": "text"}
    texts = [
        _hover(panel, mark.name, at, f"{format_figure(low, panel.kind)} to {format_figure(high, panel.kind)}")
        for at, low, high in zip(mark.x, mark.low, mark.high, strict=True)
    ]
    fill = {"fill": "tonexty", "fillcolor": f"rgba({red},{green},{blue},0.45)"}
    return [
        go.Scatter(**edge, y=list(mark.low), name=f"{mark.name}, low", showlegend=False, hovertext=texts),
        go.Scatter(**edge, **fill, y=list(mark.high), name=mark.name, showlegend=True, hovertext=texts),
    ]


def _bars(mark: Bars, panel: Panel) -> Any:  # noqa: ANN401
    return go.Bar(
        x=list(mark.x),
        y=list(mark.size),
        base=list(mark.base),
        name=mark.name,
        legendgroup=mark.name,
        showlegend=bool(mark.name),
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
        colorbar={"title": {"text": mark.name}, "tickformat": ".0%"},
    )


def _note(mark: Note) -> Any:  # noqa: ANN401
    return go.Scatter(
        x=[mark.x],
        y=[mark.y],
        text=[mark.text],
        name="",
        mode="text",
        textposition="middle left",
        showlegend=False,
        hoverinfo="skip",
        textfont={"color": str(Tone.INK)},
    )
