"""The conditions of a policy on US supply, held against the sampled paths. P paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from forecasting.panel.history import Bools, Floats
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Scope, SupplyRule
from forecasting.reference.chips import Chip
from forecasting.saturation.backlog import fill_rate
from forecasting.saturation.first_passage import first_passage, never, quantile_steps
from forecasting.saturation.market import Market, scope_item
from forecasting.windows.schema import q
from forecasting.windows.tables import Estimator
from pipelines.evidence.conditions import condition
from pipelines.evidence.figure_records import Condition, Dates, Figures, Finding
from pipelines.evidence.verdicts import NOT_SHOWN, by_probability, plain, quantiles_of, term
from pipelines.figures.number_format import percent

Judge: TypeAlias = "Callable[[Estimator, Market, SupplyRule], Share]"

NONE_ELIGIBLE = "The policy lets no chip through, so this is not examined."
HOW_PATHS = (
    "On each sampled path of US orders and capacity the backlog follows period by period (what was "
    "ordered and not shipped waits, oldest first). "
)


def supply_conditions(estimator: Estimator, policy: Policy, chips: Sequence[Chip]) -> list[Condition]:
    """Backlog, fill rate and how long both must have held, for each eligible chip and scope."""
    rule, at = policy.supply, estimator.now
    scopes = term(policy, "supply.scopes", list(rule.scopes))
    cases = [(chip, scope) for chip in chips for scope in rule.scopes]
    weeks, least = rule.normal_lead_time_weeks, percent(rule.fill_rate_min, digits=None)
    queue = f"The US backlog is no longer than {weeks:g} weeks of the capacity offered to US customers."
    parts = (
        (
            "supply.normal_lead_time_weeks",
            queue if weeks else "No US order is waiting: there is no backlog.",
            weeks,
            HOW_PATHS + f"Figure: backlog over capacity, in weeks, in the period that ends on {at}; "
            "none where nothing would be left of the capacity.",
            _lead_time,
        ),
        (
            "supply.fill_rate_min",
            f"At least {least} of US orders are shipped within the normal lead time.",
            rule.fill_rate_min,
            HOW_PATHS
            + "Figure: share of the youngest orders whose normal lead time has run out that was shipped "
            f"within it, as known in the period that ends on {at}.",
            _fill_rate,
        ),
        (
            "supply.hold_periods",
            f"Both have held for {rule.hold_periods} period(s) in a row: US demand counts as saturated.",
            rule.hold_periods,
            HOW_PATHS
            + f"Figure: share of paths on which both conditions held in the period that ends on {at} "
            "and for long enough before it. Quantiles: the period by which that is first so with that "
            "probability; none where the horizon is not long enough (censored). The first period looked "
            "at, that of the newest shipments, reads: then or earlier.",
            _held,
        ),
    )
    return [
        condition(
            element,
            words,
            policy=policy,
            terms=[term(policy, element, value), scopes],
            how=how if cases else NONE_ELIGIBLE,
            findings=[_on(estimator, policy, chip, scope, judge) for chip, scope in cases],
        )
        for element, words, value, how, judge in parts
    ]


def _on(estimator: Estimator, policy: Policy, chip: Chip, scope: Scope, judge: Judge) -> Finding:
    item = scope_item(chip, scope)
    if item not in estimator.markets:
        why, rows = lacking_words(estimator, item), (f"panel/{item}",)
        return Finding(chip=chip.chip_id, scope=scope, verdict=NOT_SHOWN, why=why, rows=rows)
    share = judge(estimator, estimator.markets[item], policy.supply)
    return share.finding(estimator, chip, scope=scope, rows=rows_of(item))


def lacking_words(estimator: Estimator, item: str) -> str:
    """Why an item has no paths."""
    return f"{item} is not forecast: {estimator.missing.get(item, 'not in the panel')}."


def rows_of(item: str) -> tuple[str, ...]:
    """Names of the row sets behind an item's paths."""
    return (f"panel/{item}", f"paths/{item}")


def _lead_time(estimator: Estimator, of: Market, rule: SupplyRule) -> Share:
    column = of.origin_column + estimator.now_step
    limit = rule.normal_lead_time_weeks / of.frequency.weeks
    short = of.flow.backlog[:, column] <= limit * of.capacity[:, column]
    weeks = quantiles_of(of.lead_time[:, estimator.now_step], estimator.levels, method="inverted_cdf")
    return share_of(short, weeks, what="the backlog is that short")


def _fill_rate(estimator: Estimator, of: Market, rule: SupplyRule) -> Share:
    rates = fill_rate(of.orders, of.flow, rule.normal_lead_time_weeks / of.frequency.weeks)
    now: Floats = np.asarray(rates)[:, of.origin_column + estimator.now_step]
    quantiles = quantiles_of(now, estimator.levels)
    return share_of(now >= rule.fill_rate_min, quantiles, what="enough is shipped in time")


def _held(estimator: Estimator, of: Market, rule: SupplyRule) -> Share:
    met = of.demand_met(rule)
    passage, steps, stamps = first_passage(met, of.origin_column), of.horizon + 1, of.timestamps(0)
    when = quantile_steps(passage, estimator.levels, steps)
    dates: Dates = {
        q(level): None if np.isnan(step) else stamps[int(step)]
        for level, step in zip(estimator.levels, when, strict=True)
    }
    now = met[:, of.origin_column + estimator.now_step]
    share = share_of(now, dates, what="US demand is met, for long enough")
    late = f" By {stamps[-1]} it has not come about on {percent(float(never(passage, steps)), digits=1)}."
    return replace(share, why=share.why + late)


@dataclass(frozen=True, kw_only=True)
class Share:
    """Share of paths on which something holds, in words too, and the quantiles of what it is judged by."""

    probability: float
    why: str
    quantiles: Figures | Dates

    def finding(
        self, estimator: Estimator, chip: Chip, *, scope: Scope | None, rows: tuple[str, ...]
    ) -> Finding:
        """The finding on one case."""
        return Finding(
            chip=chip.chip_id,
            scope=scope,
            verdict=by_probability(self.probability, estimator.settings.confidence),
            why=self.why,
            figure=plain(self.quantiles[q(0.5)]),
            quantiles=self.quantiles,
            probability=self.probability,
            rows=rows,
        )


def share_of(holds: Bools, quantiles: Figures | Dates, *, what: str) -> Share:
    """Share of paths [P] on which something holds."""
    share = float(np.mean(holds))
    why = f"On {percent(share, digits=1)} of {len(holds):,} paths {what}."
    return Share(probability=share, why=why, quantiles=quantiles)
