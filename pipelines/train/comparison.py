"""A candidate against the incumbent, from the same origins, none of which their training had seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import polars as pl

from forecasting.errors import InputError
from models.inference.forecaster import NetworkForecaster
from pipelines.backtest.origins import BacktestOrigin
from pipelines.backtest.scores import score_origin
from pipelines.backtest.step import SCORES
from pipelines.forecast.network import NetworkPathForecaster
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.registry.promotion import Verdict, promotion_score
from pipelines.runtime.registry.registry import Registry, Version
from pipelines.runtime.registry.weights import Weights, shipped_weights

CANDIDATE = "candidate"


class ModelComparison:
    """The last origins of the backtest, at which a candidate is compared with the champion.

    Parameters
    ----------
    origins : sequence of BacktestOrigin, oldest first
    settings : Settings
    registry : Registry
    tell : callable
        Receives a sentence where a champion cannot be used.
    """

    def __init__(
        self,
        origins: Sequence[BacktestOrigin],
        settings: Settings,
        *,
        registry: Registry,
        tell: Callable[[str], None],
    ) -> None:
        self._origins, self._settings, self._registry, self._tell = origins, settings, registry, tell
        self._scores: dict[str, pl.DataFrame] = {}

    @property
    def first_day(self) -> dt.date:
        """The first day of the test; the candidate knows nothing published later."""
        return self._origins[0].as_of

    @property
    def scores(self) -> pl.DataFrame:
        """Scores of every forecast so far."""
        return pl.concat(self._scores.values())

    def incumbent(self, champion: Version | None) -> Weights:
        """The champion's weights; those of the package where there is none, or it cannot be used.

        Raises
        ------
        InputError
            If the champion's training has seen every day of the test.
        """
        device = self._settings.forecast.device
        if champion is None:
            return shipped_weights(device)
        try:
            weights = self._registry.weights(champion, device)
        except InputError as error:
            self._tell(f"{error}; the package's weights take its place in the test")
            return shipped_weights(device)
        self._unseen(weights)
        return weights

    def enter(self, candidate: NetworkForecaster) -> dict[str, float]:
        """Score the candidate on every day; returns its mean scores."""
        self._scores[CANDIDATE] = self._score(CANDIDATE, candidate, self._origins)
        return means(self._scores[CANDIDATE])

    def judge(self, champion: Version | None) -> Verdict:
        """Verdict on the candidate against a champion, at origins that neither had seen in training."""
        weights = self.incumbent(champion)
        origins = self._unseen(weights)
        if weights.label not in self._scores:
            self._scores[weights.label] = self._score(weights.label, weights.network, origins)
        days = [origin.as_of for origin in origins]
        candidate = self._scores[CANDIDATE].filter(pl.col("as_of").is_in(days))
        return Verdict(
            incumbent=weights.label,
            candidate_score=promotion_score(candidate),
            incumbent_score=promotion_score(self._scores[weights.label]),
        )

    def leaderboard(self, incumbent: str) -> pl.DataFrame:
        """Mean scores of both on the days of the verdict, the promotion score last.

        The candidate's alone where an interrupted process has scored the incumbent.
        """
        if incumbent not in self._scores:
            own = self._scores[CANDIDATE]
            return pl.DataFrame([{"network": CANDIDATE, **means(own), "forecasts": own.height}])
        days = self._scores[incumbent]["as_of"].unique().to_list()
        shared = {
            name: self._scores[name].filter(pl.col("as_of").is_in(days)) for name in (CANDIDATE, incumbent)
        }
        return pl.DataFrame(
            [
                {"network": name, **means(scores), "forecasts": scores.height}
                for name, scores in shared.items()
            ]
        )

    def _unseen(self, weights: Weights) -> list[BacktestOrigin]:
        until = weights.trained_until
        origins = [origin for origin in self._origins if until is None or until <= origin.as_of]
        if not origins:
            raise InputError(
                "the champion's training has seen every day of the test",
                expected=f"a panel that reaches beyond {until}, or another champion",
                found=f"a last day of {self._origins[-1].as_of}",
                where=weights.label,
            )
        return origins

    def _score(
        self, name: str, network: NetworkForecaster, origins: Sequence[BacktestOrigin]
    ) -> pl.DataFrame:
        forecaster = NetworkPathForecaster(network)
        rows = [row for origin in origins for row in score_origin(origin, forecaster, self._settings)[0]]
        return pl.DataFrame(rows).with_columns(forecaster=pl.lit(name))


def means(scores: pl.DataFrame) -> dict[str, float]:
    """Mean of each score over the forecasts, and the promotion score."""
    return {
        **scores.select(pl.col(*SCORES).mean()).row(0, named=True),
        "promotion_score": promotion_score(scores),
    }
