"""Forecasters side by side on the embedded panel's rolling backtest: `python benchmarks/forecasters.py`.

The contenders of `overspill backtest`, and the statistical forecaster with no, half or all of its paths
walking at random (docs/decisions/0005). Prints one table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import polars as pl

from forecasting.forecasters.base import PathForecaster
from forecasting.forecasters.statistical import StatisticalForecaster
from forecasting.panel.history import Floats, History
from pipelines.backtest.origins import backtest_origins
from pipelines.backtest.scores import score_origin
from pipelines.backtest.step import rank
from pipelines.etl.step import public_panel
from pipelines.forecast.forecasters import backtest_forecasters
from pipelines.runtime.config.loader import resolve

WALK_SHARES = (0.0, 0.5, 1.0)


@dataclass
class Named:
    """A forecaster under another name."""

    forecaster: PathForecaster
    name: str

    def fit(self, history: History) -> Self:
        """Fit it."""
        self.forecaster.fit(history)
        return self

    def sample(self, horizon: int, paths: int, seed: int) -> Floats:
        """Sample from it."""
        return self.forecaster.sample(horizon, paths, seed)


def main() -> None:
    """Score and print."""
    settings = resolve()
    origins = backtest_origins(public_panel(settings.data)[0], settings)
    walking = [
        Named(StatisticalForecaster(replace(settings.statistical, walk_share=share)), f"walk share {share:g}")
        for share in WALK_SHARES
    ]
    rows = [
        row
        for origin in origins
        for forecaster in [*backtest_forecasters(settings), *walking]
        for row in score_origin(origin, forecaster, settings)[0]
    ]
    with pl.Config(tbl_rows=20, tbl_cols=20, tbl_width_chars=160, tbl_hide_dataframe_shape=True):
        print(rank(pl.DataFrame(rows), baselines=settings.statistical.candidates))


if __name__ == "__main__":
    main()
