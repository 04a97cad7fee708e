"""Scores of a forecast of a panel, and how they compare over panels.

Shapes: N series, P paths, H horizon steps, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from panels import Panel
from peers import LEVELS, Forecast

from forecasting.evaluation.scores import energy_score, mase, naive_scale, quantile_loss, variogram_score, wql

SCORED_PATHS = 200
MARGINAL = ("wql", "sql", "mase")
JOINT = ("energy", "variogram")
Scores = Mapping[str, float]


def panel_scores(panel: Panel, forecast: Forecast) -> dict[str, float]:
    """Scores of one forecast; those of paths only where it has any.

    `wql`: twice the quantile loss over the levels, summed over the panel, over summed |actual|.
    `sql`: the same loss of each series over its in-sample error of the seasonal naive forecast, averaged over
    the series. `mase`: likewise the absolute error of the median. `coverage`: share of actuals between the
    0.1 and 0.9 quantiles. `energy`, `variogram`: of the H steps as one vector, each series over the same
    in-sample error, averaged over the series.
    """
    levels, actual = np.array(LEVELS), panel.actual
    scale = np.array([naive_scale(history, panel.season_length) for history in panel.histories])
    loss = quantile_loss(np.moveaxis(forecast.quantiles, -1, 0), actual, levels)
    medians = forecast.quantiles[..., LEVELS.index(0.5)]
    inside = (forecast.quantiles[..., 0] <= actual) & (actual <= forecast.quantiles[..., -1])
    scores = {
        "wql": wql(np.moveaxis(forecast.quantiles, -1, 0), actual, levels),
        "sql": float((2 * loss.mean(axis=(0, 2)) / scale).mean()),
        "mase": float(
            np.mean(
                [
                    mase(median, truth, history, panel.season_length)
                    for median, truth, history in zip(medians, actual, panel.histories, strict=True)
                ]
            )
        ),
        "coverage": float(inside.mean()),
    }
    if forecast.paths is None:
        return scores
    scaled = forecast.paths[:, :SCORED_PATHS] / scale[:, None, None]
    pairs = list(zip(scaled, actual / scale[:, None], strict=True))
    return {
        **scores,
        "energy": float(np.mean([energy_score(paths, truth) for paths, truth in pairs])),
        "variogram": float(np.mean([variogram_score(paths, truth) for paths, truth in pairs])),
    }


def relative(scores: Scores, baseline: Scores, name: str) -> float:
    """A score over the baseline's, NaN where the forecaster has no such score."""
    return scores[name] / baseline[name] if name in scores else float("nan")


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean; NaN if a value is.

    >>> round(geometric_mean([0.5, 2.0]), 3)
    1.0
    """
    return float(np.exp(np.mean(np.log(values))))
