"""`overspill plot`: fans of one's own series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.terminal.console import print_result, report_errors
from pipelines.cli.terminal.options import Json
from pipelines.cli.terminal.series_options import (
    CalendarFile,
    Encoding,
    Freq,
    IdCol,
    Separator,
    TargetCol,
    TimeCol,
    one_byte,
    table_columns,
)


def plot(
    table: Annotated[Path, typer.Argument(help="Table of series that was given to predict or backtest.")],
    forecast: Annotated[
        Path, typer.Option("--from", help="Folder that `predict` or `backtest TABLE` wrote.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder that receives figures/; without it, the folder of --from."),
    ] = None,
    *,
    series: Annotated[
        str, typer.Option("--series", help="Ids to draw, comma-separated; without it, the first 12.")
    ] = "",
    freq: Freq = None,
    id_col: IdCol = "unique_id",
    time_col: TimeCol = "ds",
    target_col: TargetCol = "y",
    calendar: CalendarFile = None,
    encoding: Encoding = None,
    separator: Separator = None,
    as_json: Json = False,
) -> None:
    """Draw fans of forecasts, or of a backtest, over what was observed: one page, and a PNG per series."""
    with report_errors():
        from rich.console import Console

        from forecasting.errors import InputError
        from forecasting.frequencies import Frequency
        from pipelines.backtest.fans import SHOWN, read_fans, write_fans
        from pipelines.forecast.source import TableSource

        source = TableSource(
            source=table,
            frequency=None if freq is None else Frequency.parse(freq),
            columns=table_columns(
                id_col=id_col, time_col=time_col, target_col=target_col, covariates="", statics=""
            ),
            calendar=calendar,
            encoding=encoding,
            separator=one_byte(separator),
        )
        checked, _ = source.read(Console(quiet=True))
        fans = read_fans(forecast, checked, id_column=id_col, time_column=time_col)
        wanted = [name.strip() for name in series.split(",") if name.strip()]
        known = {fan.name.split(", ")[0] for fan in fans}
        for name in wanted:
            if name not in known:
                raise InputError("no such series in the forecast", found=name, where="--series")
        chosen = [fan for fan in fans if fan.name.split(", ")[0] in wanted] if wanted else fans[:SHOWN]
        written = write_fans(out or forecast, chosen, source=table.name)
        figures = {"series": len(chosen), "of": len(fans), "page": str((out or forecast) / written[0])}
        print_result(figures, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plot)
