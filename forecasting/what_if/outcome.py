"""The outcome for one chip: a few figures, and the values on every path, so that two cases can be paired.

P paths, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forecasting.errors import InputError
from forecasting.panel.history import Floats
from forecasting.policy.eligibility import eligibility
from forecasting.policy.policy import Policy
from forecasting.reference.chips import Chip
from forecasting.saturation.first_passage import first_passage, never, quantile_steps
from forecasting.windows.estimate import (
    ExportTerms,
    MarketsOfChip,
    PriceTerms,
    estimate_windows,
    value_at_stake,
)

MEDIAN_LEVEL = 0.5


@dataclass(frozen=True, kw_only=True)
class OutcomeSettings:
    """How an outcome is summarised: the step that is "now", the confidence of a window, Q quantile levels."""

    now_step: int
    confidence: float
    quantile_levels: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """When US demand is met and how much may then be exported, for one chip, policy and scope.

    Attributes
    ----------
    passage : int array [P]
        First passage in steps from the origin; `steps` where that is not within the horizon.
    units : array [P]
        Units exported from now to the horizon.
    value_usd : array [P] or None
        Their value net of the duty; None where no price is assumed for the vendor.
    steps : int
        Steps looked at, the origin included.
    quantile_levels : tuple of Q floats
    """

    passage: npt.NDArray[np.int64]
    units: Floats
    value_usd: Floats | None
    steps: int
    quantile_levels: tuple[float, ...]

    @property
    def p_saturated(self) -> float:
        """P(saturated by the end of the horizon)."""
        return 1.0 - float(never(self.passage, self.steps))

    @property
    def p_any_window(self) -> float:
        """Share of paths on which anything is exported."""
        return float((self.units > 0).mean())

    @property
    def saturated_steps(self) -> Floats:
        """Quantiles [Q] of the first passage; NaN where censored."""
        return np.asarray(quantile_steps(self.passage, self.quantile_levels, self.steps))

    @property
    def units_quantiles(self) -> Floats:
        """Quantiles [Q] of the units."""
        return np.quantile(self.units, self.quantile_levels)

    @property
    def figures(self) -> dict[str, float]:
        """What a sensitivity compares: mean units, P(any window), P(saturated by the horizon), mean value.

        The mean of the units moves with whatever bears on them: how probable a window is, how much is left
        over, what cap, stock and licences allow. A median stays 0 while most paths have no window.
        """
        figures = {
            "units_mean": float(self.units.mean()),
            "p_any_window": self.p_any_window,
            "p_saturated": self.p_saturated,
        }
        if self.value_usd is not None:
            figures["value_usd_mean"] = float(self.value_usd.mean())
        return figures


def estimate_outcome(
    exported: Chip,
    policy: Policy,
    markets: MarketsOfChip,
    *,
    terms: ExportTerms,
    price: PriceTerms | None,
    reading: OutcomeSettings,
    chips: Mapping[str, Chip] | None = None,
) -> Outcome:
    """Work out the outcome for an eligible chip from the markets that determine it.

    Parameters
    ----------
    exported : Chip
    policy : Policy
    markets : MarketsOfChip
    terms : ExportTerms
    price : PriceTerms, optional
    reading : OutcomeSettings
    chips : mapping of chip_id to Chip, optional
        Where the launch dates of successors are looked up; by default the catalogue.

    Raises
    ------
    InputError
        If the chip is not eligible under the policy.
    """
    verdict = eligibility(exported, policy, chips=None if chips is None else chips.values())
    if not verdict.eligible:
        raise InputError(
            "the chip is not eligible under the policy",
            found="; ".join(verdict.reasons),
            where=f"policy {policy.name}, chip {exported.chip_id}",
        )
    met = markets.scope.demand_met(policy.supply)
    estimate = estimate_windows(
        exported,
        policy,
        markets,
        terms,
        now_step=reading.now_step,
        confidence=reading.confidence,
        quantile_levels=reading.quantile_levels,
    )
    units = estimate.paths.units
    return Outcome(
        passage=np.asarray(first_passage(met, markets.scope.origin_column)),
        units=units.sum(axis=1),
        value_usd=None
        if price is None
        else value_at_stake(exported, policy, markets.product, units, price, chips=chips),
        steps=markets.scope.horizon + 1,
        quantile_levels=reading.quantile_levels,
    )
