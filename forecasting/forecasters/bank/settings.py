"""What the bank assumes beforehand, beside its catalogue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BankSettings:
    """Settings of the bank, the same for every series.

    Attributes
    ----------
    temper : float
        Exponent of the likelihood: below 1, hypotheses that explain a history less well keep more weight, as
        none of them is the truth (Grünwald and van Ommen 2017, Bayesian Analysis 12:1069).
    prior_freedom : float
        Observations that the prior of the scale, centred on the one-step move of the series, counts as.
    logs : float
        Probability beforehand that a positive series is one of logarithms.
    growth : float
        Mean of the drift of logarithms beforehand, in its standard deviations: positive series tend to grow.
        Nine of ten panels of M1, M3 and tourism do, by 0.03 to 0.9 of a one-step move.
    kept : int
        Hypotheses kept per series, the likeliest.
    window : int
        Newest differences that are read, or `window_seasons` of the longest season if these are more.
    window_seasons : float
    """

    temper: float = 0.5
    prior_freedom: float = 2.0
    logs: float = 0.5
    growth: float = 0.5
    kept: int = 128
    window: int = 150
    window_seasons: float = 3.0
