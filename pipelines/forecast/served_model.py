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

from forecasting.panel.long_table import check_long_table
from forecasting.periods import Frequency
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
    ) -> list[dict[str, Any]]:
        """Rows `unique_id, ds, variate, quantile_level, path, value`: of a level, or of a path's number."""
        asked = params or {}
        given = pl.DataFrame({name: model_input[name].tolist() for name in model_input.columns})
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


def _rows(given: ForecastTables) -> list[dict[str, Any]]:
    """Both tables in one, None where a column does not apply."""
    together = pl.concat([given.quantiles, given.paths], how="diagonal")
    if "variate" not in together.columns:
        together = together.with_columns(pl.lit(None, pl.String).alias("variate"))
    return together.select(
        pl.col("unique_id", "ds").cast(pl.String), "variate", "quantile_level", "path", "value"
    ).to_dicts()


set_model(ServedModel())
