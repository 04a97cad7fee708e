"""`forecast.csv`: the quantiles with a column for each level, as spreadsheets and pandas like them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from forecasting.errors import InputError
from pipelines.runtime.files.artifacts import check_own, write_atomic

TWIN = "forecast.csv"


def wide_quantiles(quantiles: pl.DataFrame) -> pl.DataFrame:
    """One row per series and date, one column per level: `0.1`, `0.5`, `0.9`."""
    keys = [name for name in quantiles.columns if name not in ("quantile_level", "value")]
    named = quantiles.with_columns(pl.col("quantile_level").map_elements(_name, return_dtype=pl.String))
    return named.pivot("quantile_level", index=keys, values="value", sort_columns=False)


def _name(level: float) -> str:
    return f"{level:.10g}"


def write_twin(folder: Path, quantiles: pl.DataFrame) -> None:
    """Write `forecast.csv`."""
    write_atomic(folder / TWIN, lambda beside: beside.write_text(_text(quantiles), encoding="utf-8"))


def check_own_twin(folder: Path, *, command: str) -> None:
    """Refuse to replace or remove a `forecast.csv` that is not what the quantiles beside it say.

    Raises
    ------
    InputError
        With its name.
    """
    path, table = folder / TWIN, folder / "quantiles.parquet"
    if not (path.exists() or path.is_symlink()):
        return
    if path.is_file() and not path.is_symlink() and table.is_file():
        check_own(table, command=command)
        if path.read_text(encoding="utf-8", errors="replace") == _text(pl.read_parquet(table)):
            return
    raise InputError(
        f"a file that `overspill {command}` did not write, or that was changed since, would be lost",
        expected="another --out, or the file moved away",
        found=path.name,
        where=str(path.parent),
    )


def _text(quantiles: pl.DataFrame) -> str:
    return midnights_as_dates(wide_quantiles(quantiles)).write_csv()


def midnights_as_dates(table: pl.DataFrame) -> pl.DataFrame:
    """The table for a reader: timestamps without a zone that are all midnights as dates."""
    stamps = [name for name, dtype in table.schema.items() if dtype == pl.Datetime("us")]
    if not all(bool((table[name] == table[name].dt.truncate("1d")).all()) for name in stamps):
        return table
    return table.with_columns(pl.col(stamps).dt.date())
