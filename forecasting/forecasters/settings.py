"""Settings of the statistical forecaster, apart from it: they are read where no model is fitted."""

from __future__ import annotations

from dataclasses import dataclass

from forecasting.errors import InputError, require_at_least

CANDIDATES = ("AutoETS", "AutoARIMA", "AutoTheta", "SeasonalNaive")  # fitted by `linear_models.fit`


@dataclass(frozen=True, kw_only=True)
class StatisticalSettings:
    """Settings of the statistical forecaster.

    Attributes
    ----------
    candidates : tuple of str
        Names in CANDIDATES, in order of preference on equal scores.
    selection_origins, selection_horizon : int
        Number of origins inside the history, and the steps between them and before the end. The forecast from
        each is scored on all steps that follow; the scores choose the model and the spread.
    min_observations : int
        Shorter series are random walks with the volatility of the whole panel.
    season_length : int, optional
        Steps in a season; None takes that of the frequency.
    walk_share : float
        Share of the paths of orders and capacity that walk at random with the panel's volatility whatever
        was chosen: a dozen good periods of one item say little about a bad one. Plain series have no panel of
        their like and do without.
    """

    candidates: tuple[str, ...] = ("AutoETS", "AutoARIMA", "AutoTheta")
    selection_origins: int = 2
    selection_horizon: int = 4
    min_observations: int = 7
    season_length: int | None = None
    walk_share: float = 0.0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.candidates) - set(CANDIDATES))
        if unknown or not self.candidates:
            raise InputError(
                "unknown candidate model" if unknown else "at least one candidate model is needed",
                expected="some of " + ", ".join(CANDIDATES),
                found=", ".join(unknown) or "none",
            )
        if not 0 <= self.walk_share <= 1:
            raise InputError("walk_share must be a share", expected="0 to 1", found=f"{self.walk_share:g}")
        require_at_least(
            1,
            selection_origins=self.selection_origins,
            selection_horizon=self.selection_horizon,
            min_observations=self.min_observations,
            season_length=1 if self.season_length is None else self.season_length,
        )
