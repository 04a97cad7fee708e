"""The answer as rows: each policy, chip and scope held against the sampled markets.

P paths, H steps after the origin; quantile columns are named by their level (q10, q50, q90).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.frequencies import period_end, periods_between
from forecasting.panel.history import Floats
from forecasting.policy.eligibility import Eligible, duty_rate, eligibility, is_outside_duty_bands
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Cap, CapCounts, CapPeriod
from forecasting.reference.chips import Chip
from forecasting.saturation.first_passage import first_passage, never, probability_by_step, quantile_steps
from forecasting.saturation.market import US_PORTFOLIO, Market, cap_item, market, scope_item
from forecasting.windows.estimate import (
    EstimatorSettings,
    ExportEstimate,
    ExportTerms,
    MarketsOfChip,
    PriceTerms,
    cap_units,
    estimate_windows,
    value_at_stake,
)
from forecasting.windows.schema import Standing, q
from forecasting.windows.windows import Binding, first_window, first_window_units

Row = dict[str, Any]
CAP_PERIODS: tuple[CapPeriod, ...] = ("since_launch", "trailing_12m", "same_period")


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """Holds the markets of a path set and turns them into rows."""

    settings: EstimatorSettings
    markets: dict[str, Market]
    missing: Mapping[str, str]
    now_step: int
    observed_until: Mapping[str, dt.date] = field(default_factory=dict)

    @property
    def now(self) -> dt.date:
        """Period end that "now" means."""
        return next(iter(self.markets.values())).timestamps(0)[self.now_step]

    def standing(self, item_id: str, step: int) -> Standing:
        """Whether an item's figure `step` periods after the origin is observed, a nowcast or a forecast."""
        if step > 0:
            return "forecast"
        of = self.markets[item_id]
        end = of.timestamps(step)[0]
        return "observed" if end <= self.observed_until.get(item_id, of.origin) else "nowcast"

    @property
    def levels(self) -> tuple[float, ...]:
        """Quantile levels of dates, units and values."""
        return self.settings.quantile_levels

    def chips(self) -> list[Chip]:
        """Chips on sale to third parties for which the panel has, or had, a US market."""
        known = set(self.markets) | set(self.missing)
        catalogue = self.settings.catalogue
        return [chip for chip_id, chip in sorted(catalogue.items()) if chip.merchant and chip_id in known]

    def verdict(self, exported: Chip, policy: Policy) -> Eligible:
        """Whether a policy lets a chip through, among the chips that the figures may speak of."""
        return eligibility(exported, policy, chips=self.settings.catalogue.values())

    def window_rows(self) -> Iterator[tuple[Row, list[Row]]]:
        """Each row of `windows` with its rows of `steps`."""
        for policy in self.settings.policies:
            for exported in self.chips():
                for scope in policy.supply.scopes:
                    yield self._window_row(policy, exported, scope)

    def _window_row(self, policy: Policy, exported: Chip, scope: str) -> tuple[Row, list[Row]]:
        verdict = self.verdict(exported, policy)
        row: Row = {
            "policy": policy.name,
            "chip": exported.chip_id,
            "scope": scope,
            "scope_item": scope_item(exported, scope),
            "eligible": verdict.eligible,
            "reason": "; ".join(verdict.reasons),
            **_duty(exported, policy, eligible=verdict.eligible),
        }
        row |= self._saturation_summary(policy, row["scope_item"])
        lacking = self.lacking(policy, exported, row["scope_item"])
        if lacking:
            row["no_estimate"] = "; ".join(lacking)
        if lacking or not verdict.eligible:
            return row, []
        markets = self.markets_of(exported, policy, scope)
        estimate = self.estimate(exported, policy, markets)
        row |= self._window_summary(exported, policy, markets.product, estimate)
        return row, list(self._step_rows(row, markets.product, estimate))

    def lacking(self, policy: Policy, exported: Chip, item_id: str) -> list[str]:
        """What an estimate of a chip would need and is not known, with the reason."""
        needed = [exported.chip_id, item_id]
        needed += [cap_item(exported, policy.cap.counts)] if policy.cap else []
        needed += [US_PORTFOLIO] if policy.stock_limit else []
        lacking = [item for item in dict.fromkeys(needed) if item not in self.markets]
        said = [f"{item}: {self.missing.get(item, 'not in the panel')}" for item in lacking]
        if policy.stock_limit and self.terms(exported).stock_abroad_h100e is None:
            said.append("stock abroad: not stated (data.stock_abroad_h100e)")
        return said

    def estimate(self, exported: Chip, policy: Policy, markets: MarketsOfChip) -> ExportEstimate:
        """Export windows of an eligible chip on these markets."""
        return estimate_windows(
            exported,
            policy,
            markets,
            self.terms(exported),
            now_step=self.now_step,
            confidence=self.settings.confidence,
            quantile_levels=self.levels,
        )

    def markets_of(self, exported: Chip, policy: Policy, scope: str) -> MarketsOfChip:
        """The markets that decide over a chip under a policy and scope."""
        product = self.markets[exported.chip_id]
        counted = self.markets[cap_item(exported, policy.cap.counts)] if policy.cap else product
        return MarketsOfChip(
            product=product,
            scope=self.markets[scope_item(exported, scope)],
            counted=counted,
            us_hardware=self.markets.get(US_PORTFOLIO),
        )

    def terms(self, exported: Chip) -> ExportTerms:
        """Stock, exports and licences of a chip."""
        return self.settings.exports.get(exported.chip_id, ExportTerms())

    def price(self, exported: Chip) -> PriceTerms | None:
        """Price assumptions for a chip's vendor, if there are any."""
        return self.settings.prices.get(exported.vendor)

    def _saturation_summary(self, policy: Policy, item_id: str) -> Row:
        if item_id not in self.markets:
            return {}
        of = self.markets[item_id]
        met = of.demand_met(policy.supply)
        passage = first_passage(met, of.origin_column)
        steps = of.horizon + 1
        stamps = of.timestamps(0)
        dates = [_date(stamps, step) for step in quantile_steps(passage, self.levels, steps)]
        return {
            "now": stamps[self.now_step],
            "now_is": self.standing(item_id, self.now_step),
            "observed_until": self.observed_until.get(item_id, of.origin),
            "p_saturated_now": float(met[:, of.origin_column + self.now_step].mean()),
            "p_never": float(never(passage, steps)),
            "p_supply_ended": of.supply_ended(self.now_step + 1),
            **{f"saturated_{q(level)}": date for level, date in zip(self.levels, dates, strict=True)},
        }

    def _window_summary(
        self, exported: Chip, policy: Policy, product: Market, estimate: ExportEstimate
    ) -> Row:
        summary, stamps = estimate.summary, product.timestamps(self.now_step + 1)
        row: Row = {
            "p_any_window": summary.p_any,
            "units_mean": float(estimate.paths.units.sum(axis=1).mean()),
        }
        if summary.windows:
            start, stop = summary.windows[0]
            row["window_opens"] = stamps[start]
            row["window_closes"] = stamps[stop] if stop < len(stamps) else None
        price = self.price(exported)
        values: dict[str, Floats] = {}
        if price is not None:
            first = first_window_units(estimate.paths, first_window(estimate.paths.open))
            for name, units in (("value_usd", estimate.paths.units), ("first_window_value_usd", first)):
                values[name] = value_at_stake(
                    exported, policy, product, units, price, chips=self.settings.catalogue
                )
        for place, level in enumerate(self.levels):
            row[f"opening_{q(level)}"] = _date(stamps, summary.opening_steps[place])
            row[f"closing_{q(level)}"] = _date(stamps, summary.closing_steps[place])
            row[f"units_{q(level)}"] = float(summary.total_units[place])
            row[f"first_window_units_{q(level)}"] = float(summary.first_window_units[place])
            row[f"stock_units_{q(level)}"] = float(summary.stock_units[place])
            row[f"new_units_{q(level)}"] = float(summary.new_units[place])
            row[f"tpp_{q(level)}"] = float(summary.total_units[place]) * exported.required_tpp()
            for name, value in values.items():
                row[f"{name}_{q(level)}"] = float(np.quantile(value, level))
        row["new_share"] = _finite(summary.new_share)
        row |= _binding(estimate)
        return row

    def _step_rows(self, row: Row, product: Market, estimate: ExportEstimate) -> Iterator[Row]:
        summary = estimate.summary
        amounts = {
            "units": estimate.paths.units,
            "stock_units": estimate.paths.from_stock,
            "new_units": estimate.paths.newly_made,
        }
        quantiles = {what: np.quantile(each, self.levels, axis=0) for what, each in amounts.items()}
        for step, end in enumerate(product.timestamps(self.now_step + 1)):
            yield {
                **{key: row[key] for key in ("policy", "chip", "scope")},
                "step": self.now_step + step + 1,
                "timestamp": end,
                "standing": self.standing(product.item_id, self.now_step + step + 1),
                "p_open": float(summary.p_open[step]),
                **{
                    f"{what}_{q(level)}": float(found[n, step])
                    for what, found in quantiles.items()
                    for n, level in enumerate(self.levels)
                },
                **{
                    f"binding_{term.name.lower()}": float(summary.binding_shares[step, term])
                    for term in Binding
                },
            }

    def saturation_rows(self) -> Iterator[Row]:
        """Probability that demand is saturated, and has been reached, per policy, item and step."""
        for policy in self.settings.policies:
            for item_id, of in self.markets.items():
                met = of.demand_met(policy.supply)
                reached = probability_by_step(first_passage(met, of.origin_column), of.horizon + 1)
                for step, end in enumerate(of.timestamps(0)):
                    yield {
                        "policy": policy.name,
                        "item_id": item_id,
                        "step": step,
                        "timestamp": end,
                        "standing": self.standing(item_id, step),
                        "p_saturated": float(met[:, of.origin_column + step].mean()),
                        "p_reached_by": float(reached[step]),
                    }

    def lead_time_rows(self) -> Iterator[Row]:
        """Weeks that US buyers wait (backlog over capacity), and the backlog itself, per item and step."""
        for item_id, of in self.markets.items():
            backlog = of.flow.backlog[:, of.origin_column :]
            weeks = np.quantile(of.lead_time, self.levels, axis=0, method="inverted_cdf")
            waiting = np.quantile(backlog, self.levels, axis=0)
            for step, end in enumerate(of.timestamps(0)):
                yield {
                    "item_id": item_id,
                    "step": step,
                    "timestamp": end,
                    "standing": self.standing(item_id, step),
                    **{f"weeks_{q(level)}": _finite(weeks[n, step]) for n, level in enumerate(self.levels)},
                    **{f"backlog_{q(level)}": float(waiting[n, step]) for n, level in enumerate(self.levels)},
                }

    def cap_rows(self) -> Iterator[Row]:
        """What each reading of a cap allows by now and over the horizon, in product scope."""
        for policy in self.settings.policies:
            for exported in self.chips():
                if policy.cap is not None and self.verdict(exported, policy).eligible:
                    for cap in readings(policy.cap):
                        if not self.lacking(replace(policy, cap=cap), exported, exported.chip_id):
                            yield self._cap_row(policy, cap, exported)

    def _cap_row(self, policy: Policy, cap: Cap, exported: Chip) -> Row:
        reading = replace(policy, cap=cap)
        markets = self.markets_of(exported, reading, "product")
        allowed = np.quantile(cap_units(exported, cap, markets, step=self.now_step), self.levels)
        exportable = self.estimate(exported, reading, markets).summary.total_units
        return {
            "policy": policy.name,
            "chip": exported.chip_id,
            "counts": cap.counts,
            "period": cap.period,
            "stated": cap == policy.cap,
            **{f"cap_units_{q(level)}": float(x) for level, x in zip(self.levels, allowed, strict=True)},
            **{f"units_{q(level)}": float(x) for level, x in zip(self.levels, exportable, strict=True)},
        }


def readings(cap: Cap) -> list[Cap]:
    """Every reading of a cap: its three periods; a cap on "the same product" also as its family."""
    counts: tuple[CapCounts, ...] = ("product", "family") if cap.counts == "product" else (cap.counts,)
    return [replace(cap, counts=c, period=p) for c in counts for p in CAP_PERIODS]


def _duty(exported: Chip, policy: Policy, *, eligible: bool) -> Row:
    """Duty on a chip, and whether it is let through though it lies outside every duty band."""
    if exported.tpp is None or exported.memory_bandwidth_gb_per_s is None:
        return {}
    outside = is_outside_duty_bands(exported, policy) if policy.tariff else None
    return {
        "duty_rate": duty_rate(exported, policy),
        "outside_duty_bands": outside if outside is None else outside and eligible,
    }


def _date(stamps: Sequence[dt.date], step: float) -> dt.date | None:
    return None if np.isnan(step) else stamps[int(step)]


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def _binding(estimate: ExportEstimate) -> Row:
    """The condition that most often closes or limits the next window's first period, else the next period."""
    summary = estimate.summary
    step = summary.windows[0][0] if summary.windows else 0
    shares = summary.binding_shares[step]
    most = Binding(int(np.argmax(shares)))
    return {"binding": most.name.lower(), "binding_share": float(shares[most])}


def estimator_of(
    settings: EstimatorSettings,
    paths: PathSet,
    missing: Mapping[str, str],
    published: dt.date,
    observed_until: Mapping[str, dt.date] = MappingProxyType({}),
) -> Estimator:
    """Build the estimator; "now" is the last period that had ended when the newest figure was published.

    `observed_until` is the last period of each item that is no nowcast, by default the origin.
    """
    markets = {item_id: market(paths, item_id) for item_id in paths.item_ids}
    first = next(iter(markets.values()))
    step = period_end(published, first.frequency)
    ended = max(periods_between(first.origin, step, first.frequency) - (0 if step == published else 1), 0)
    if ended >= paths.horizon:
        raise InputError(
            "the horizon must reach beyond the last period that has ended",
            expected=f"more than {ended} periods after {first.origin}",
            found=str(paths.horizon),
            where="forecast.horizon",
        )
    return Estimator(
        settings=settings,
        markets=markets,
        missing=missing,
        now_step=ended,
        observed_until=observed_until,
    )
