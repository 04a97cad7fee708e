"""Fan charts of somebody's own series: what was observed, what may come, what was forecast of the past."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from forecasting.errors import InputError
from forecasting.panel.long_table import LongTable
from pipelines.figures.chart import Band, Chart, Line, Mark, Panel
from pipelines.figures.page import FOLDER, PAGE, write_figures
from pipelines.figures.theme import Tone, format_figure
from pipelines.runtime.files.artifacts import read_table

SHOWN = 12  # series, where none are named
HEADING = "Forecasts of"
PAST_PER_STEP = 6  # steps of history shown for each step of the forecast
LEAST_PAST = 24
NOTE = "solid line: observed; band: {band} of the forecast; dashed line: its median"


@dataclass(frozen=True, kw_only=True)
class Fan:
    """One series: the dates and values observed, and the forecasts, each from its origin on."""

    name: str
    past: pl.DataFrame
    forecasts: tuple[pl.DataFrame, ...]
    models: str


def read_fans(folder: Path, table: LongTable, *, id_column: str, time_column: str) -> list[Fan]:
    """Fans of all series of a folder that `predict` or `backtest` wrote, the backtest's of its best model.

    Raises
    ------
    InputError
        If the folder holds no forecast, or the forecast is not of that table.
    """
    quantiles = folder / "quantiles.parquet"
    if quantiles.exists():
        wide, models = _predicted(read_table(quantiles)), ""
    elif (folder / "backtest_quantiles.parquet").exists():
        best = read_table(folder / "leaderboard.parquet")["model"][0]
        wide = read_table(folder / "backtest_quantiles.parquet").filter(pl.col("model") == best)
        wide, models = wide.rename({"q10": "low", "q50": "middle", "q90": "high"}), str(best)
        wide = wide.with_columns(band=pl.lit("10 to 90 %"))
    else:
        raise InputError(
            "the folder holds no forecast to be drawn",
            expected="quantiles.parquet of `overspill predict`, or the tables of `overspill backtest TABLE`",
            where=str(folder),
        )
    wide = wide.rename({id_column: "unique_id", time_column: "ds"}, strict=False)
    keys = [name for name in ("unique_id", "variate") if name in wide.columns]
    past = table.rows.select(
        *(pl.col(name).cast(pl.String) for name in keys), "y", moment=_moment(table.rows["ds"])
    )
    wide = wide.with_columns(pl.col(keys).cast(pl.String), moment=_moment(wide["ds"]))
    return list(_fans(past, wide, keys, models, str(folder)))


def _fans(
    past: pl.DataFrame, wide: pl.DataFrame, keys: Sequence[str], models: str, where: str
) -> Iterator[Fan]:
    origin = ["origin"] if "origin" in wide.columns else []
    for names, rows in wide.sort(*keys, "moment").group_by(keys, maintain_order=True):
        same = [pl.col(key) == name for key, name in zip(keys, names, strict=True)]
        own = past.filter(*same).sort("moment")
        if own.is_empty():
            raise InputError(
                "the forecast is of another table", found=", ".join(map(str, names)), where=where
            )
        parts = rows.partition_by(origin, maintain_order=True) if origin else [rows]
        yield Fan(name=", ".join(map(str, names)), past=own, forecasts=tuple(parts), models=models)


def _predicted(quantiles: pl.DataFrame) -> pl.DataFrame:
    """Rows of quantiles as the outermost pair of levels that belong together, and the middle one."""
    levels = quantiles["quantile_level"].unique().sort().to_list()
    low, high, middle = levels[0], levels[-1], min(levels, key=lambda level: abs(level - 0.5))
    keys = [name for name in quantiles.columns if name not in ("quantile_level", "value")]
    chosen = {"low": low, "middle": middle, "high": high}
    found = quantiles.group_by(keys, maintain_order=True).agg(
        pl.col("value").filter(pl.col("quantile_level") == level).first().alias(name)
        for name, level in chosen.items()
    )
    return found.with_columns(band=pl.lit(f"{100 * low:.10g} to {100 * high:.10g} %"))


def _moment(stamps: pl.Series) -> pl.Series:
    if isinstance(stamps.dtype, pl.String):
        stamps = stamps.str.slice(0, 19).str.to_datetime(time_unit="us")
    if isinstance(stamps.dtype, pl.Datetime) and stamps.dtype.time_zone is not None:
        stamps = stamps.dt.replace_time_zone(None)
    return stamps.cast(pl.Datetime("us"))


def fan_charts(fans: Sequence[Fan]) -> list[Chart]:
    """A chart for each series."""
    return [_chart(fan, place) for place, fan in enumerate(fans)]


def _chart(fan: Fan, place: int) -> Chart:
    kept = max(LEAST_PAST, PAST_PER_STEP * fan.forecasts[-1].height)
    first = fan.forecasts[0]["moment"].min()
    before = fan.past.filter(pl.col("moment") < first).tail(kept)
    since = fan.past.filter(pl.col("moment") >= first)
    moments = [
        *before["moment"],
        *sorted({*since["moment"], *(moment for part in fan.forecasts for moment in part["moment"])}),
    ]
    at = {moment: x for x, moment in enumerate(moments)}
    seen = pl.concat([before, since]).drop_nulls("y")
    marks: list[Mark] = []
    band = fan.forecasts[0]["band"][0]
    for part in fan.forecasts:
        x = [at[moment] for moment in part["moment"]]
        low, high = part["low"].to_list(), part["high"].to_list()
        marks.append(Band(name=f"forecast, {band}", x=x, low=low, high=high, tone=Tone.SAND))
        marks.append(Line(name="forecast, median", x=x, y=part["middle"].to_list(), dash="dash"))
    marks.append(
        Line(
            name="observed",
            x=[at[moment] for moment in seen["moment"]],
            y=seen["y"].to_list(),
            tone=Tone.DEEP,
            points=len(moments) <= 2 * LEAST_PAST,
        )
    )
    panel = Panel(
        title="",
        x_title="",
        y_title="value",
        marks=tuple(marks),
        ticks=tuple(_label(moment) for moment in moments),
        kind="number",
        split=len(before) - 1,
    )
    return Chart(name=f"fan-{place}", title=_finding(fan), note=NOTE.format(band=band), panels=(panel,))


def _label(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d}" if moment.time() == dt.time() else f"{moment:%Y-%m-%d %H:%M}"


def _finding(fan: Fan) -> str:
    last = fan.forecasts[-1].row(-1, named=True)
    low, middle, high = (format_figure(last[name], "number") for name in ("low", "middle", "high"))
    if fan.models:
        inside, known = _covered(fan)
        return f"{fan.name}: {inside} of {known} past values lay within the band of {fan.models}"
    return f"{fan.name}: {middle} on {_label(last['moment'])} ({last['band']}: {low} to {high})"


def _covered(fan: Fan) -> tuple[int, int]:
    rows = pl.concat(fan.forecasts).drop_nulls("actual")
    inside = rows.filter(pl.col("actual").is_between(pl.col("low"), pl.col("high")))
    return inside.height, rows.height


def write_fans(out: Path, fans: Sequence[Fan], *, source: str) -> list[str]:
    """Write `figures/figures.html` and a PNG per series into a folder; return their relative paths.

    Raises
    ------
    InputError
        If figures of something else would be lost.
    StepError
        If the folder cannot be written.
    """
    page = out / FOLDER / PAGE
    if page.exists() and f"<title>{HEADING}" not in page.read_text(encoding="utf-8", errors="replace")[:300]:
        raise InputError(
            "a page of something else would be lost", expected="another --out", found=PAGE, where=str(out)
        )
    return write_figures(out, fan_charts(fans), heading=f"{HEADING} {source}")
