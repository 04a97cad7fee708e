"""The rule by which a newly trained network takes the champion's place, or does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import polars as pl

from forecasting.evaluation.rolling_origin import skill
from pipelines.runtime.store.tags import CHALLENGER, CHAMPION

# Sampling noise: a date that is 1 % sure by mistake at ten steps costs 0.001 in censored CRPS.
NEGLIGIBLE = 1e-3


def promotion_score(scores: pl.DataFrame) -> float:
    """The one score that decides; smaller is better.

    The geometric mean of two means over the forecasts of a backtest: the scaled CRPS of orders and capacity,
    and the censored CRPS of the date on which demand is met. So a tenth less of the one makes up for a tenth
    more of the other, whatever their units: flows that are right on their own may give dates that are quite
    wrong (docs/decisions/0006). Neither counts as less than `NEGLIGIBLE`.

    Parameters
    ----------
    scores : DataFrame
        One row per forecast, with `crps` and `date_crps`.

    >>> promotion_score(pl.DataFrame({"crps": [0.9, 1.1], "date_crps": [0.0, 0.5]}))
    0.5
    """
    parts = [max(float(scores[name].to_numpy().mean()), NEGLIGIBLE) for name in ("crps", "date_crps")]
    return math.sqrt(math.prod(parts))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a candidate did beside the incumbent on the same forecasts.

    Attributes
    ----------
    incumbent : str
        Label of the champion, or of the shipped weights where there is no champion.
    candidate_score, incumbent_score : float
        `promotion_score` of each.
    """

    incumbent: str
    candidate_score: float
    incumbent_score: float

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        """The verdict that a version's tags tell of."""
        return cls(
            incumbent=tags["overspill.incumbent"],
            candidate_score=float(tags["overspill.score"]),
            incumbent_score=float(tags["overspill.incumbent_score"]),
        )

    @property
    def skill(self) -> float:
        """Share of the incumbent's score that the candidate saves."""
        return skill(self.candidate_score, self.incumbent_score)

    @property
    def decision(self) -> str:
        """`champion` where the candidate saves anything at all, else `challenger`: the alias it gets."""
        return CHAMPION if self.skill > 0 else CHALLENGER

    @property
    def sentence(self) -> str:
        """The decision as it is reported."""
        scores = f"score {self.candidate_score:.4f} against {self.incumbent_score:.4f} of {self.incumbent}"
        if self.decision == CHAMPION:
            return f"promoted to champion: {scores} (skill {self.skill:+.1%})"
        return f"not promoted, it is the challenger: {scores} (skill {self.skill:+.1%})"

    def figures(self) -> dict[str, str | float]:
        """The decision for machines."""
        return {
            "decision": self.decision,
            "incumbent": self.incumbent,
            "score": self.candidate_score,
            "incumbent_score": self.incumbent_score,
            "skill": self.skill,
        }

    def tags(self) -> dict[str, str]:
        """The decision as it is recorded on the run and the version."""
        return {
            f"overspill.{name}": value if isinstance(value, str) else f"{value:.6g}"
            for name, value in self.figures().items()
        }
