"""The model that MLflow loads and serves (models from code): a long table in, quantiles and paths out.

MLflow runs this file, which travels with each registered model beside the code that it imports.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from forecasting.frequencies import Frequency
from forecasting.panel.long_table import check_long_table
from models.inference.forecaster import NetworkForecaster
from pipelines.forecast.long_table import ForecastOptions, ForecastTables, forecast_long_table
from pipelines.forecast.network import NetworkPathForecaster


class ServedModel(PythonModel):
    """Answers a table `unique_id, ds, y[, variate]` with rows of quantiles, and of paths where asked for.

    Parameters of a request: `horizon`, `freq` (as `--freq` of `overspill predict`; empty to find it in the
    dates), `quantile_levels`, `paths`, `seed`, `floor` (auto, 0 or none).
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network of the checkpoint that was registered."""
        folder = Path(context.artifacts["checkpoint"])
        self.forecaster = NetworkPathForecaster(NetworkForecaster.load(folder))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow hands it over
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Rows `unique_id, ds, variate, quantile_level, path, value`: of a level, or of a path's number.

        `ds` are timestamps; what does not apply to a row is None, which JSON writes as null.
        """
        asked = params or {}
        given = pl.DataFrame({name: _column(model_input[name]) for name in model_input.columns})
        if "variate" in given.columns and given["variate"].null_count() == given.height:
            given = given.drop("variate")
        freq = asked.get("freq")
        table = check_long_table(
            given,
            frequency=Frequency.parse(freq, where="freq") if freq else None,
            where="the request",
        )
        options = ForecastOptions(
            horizon=asked["horizon"],
            quantile_levels=[float(level) for level in asked["quantile_levels"]],
            paths=asked["paths"],
            seed=asked["seed"],
            floor=asked.get("floor", "auto"),
        )
        forecaster = replace(self.forecaster, floor=options.floor)
        return _rows(forecast_long_table(table, forecaster, options))


def _column(values: pd.Series) -> pl.Series:
    """A column of a request: timestamps as they are, everything else as plain values."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pl.Series(values=values)
    return pl.Series(values.tolist())


def _rows(given: ForecastTables) -> pd.DataFrame:
    """Both tables in one, None where a column does not apply."""
    together = pl.concat([given.quantiles, given.paths], how="diagonal")
    if "variate" not in together.columns:
        together = together.with_columns(pl.lit(None, pl.String).alias("variate"))
    rows = together.select(
        pl.col("unique_id").cast(pl.String), "ds", "variate", "quantile_level", "path", "value"
    ).cast({pl.Date: pl.Datetime("us")})
    plain = {
        name: pd.Series(rows[name].to_list(), dtype=object) for name in ("variate", "quantile_level", "path")
    }
    return rows.to_pandas().assign(**plain)


set_model(ServedModel())
