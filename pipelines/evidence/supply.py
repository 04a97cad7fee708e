"""The conditions of a policy on US supply and on the amount, held against the sampled paths. P paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from forecasting.panel.history import Bools, Floats
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Cap, Scope, SupplyRule
from forecasting.reference.chips import Chip
from forecasting.saturation.backlog import fill_rate
from forecasting.saturation.first_passage import first_passage, never, quantile_steps
from forecasting.saturation.market import Market, cap_item, counted_shipments, scope_item
from forecasting.windows.cap import CapRoom
from forecasting.windows.estimate import MarketsOfChip
from forecasting.windows.schema import q
from forecasting.windows.tables import Estimator
from forecasting.windows.windows import MIN_UNITS
from pipelines.evidence.conditions import condition
from pipelines.evidence.figure_records import Condition, Dates, Figures, Finding
from pipelines.evidence.verdicts import NOT_SHOWN, by_probability, plain, quantiles_of, term
from pipelines.figures.number_format import percent

Judge: TypeAlias = "Callable[[Estimator, Market, SupplyRule], _Share]"

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
        why, rows = _lacking(estimator, item), (f"panel/{item}",)
        return Finding(chip=chip.chip_id, scope=scope, verdict=NOT_SHOWN, why=why, rows=rows)
    share = judge(estimator, estimator.markets[item], policy.supply)
    return share.finding(estimator, chip, scope=scope, rows=rows_of(item))


def _lacking(estimator: Estimator, item: str) -> str:
    return f"{item} is not forecast: {estimator.missing.get(item, 'not in the panel')}."


def rows_of(item: str) -> tuple[str, ...]:
    """Names of the row sets behind an item's paths."""
    return (f"panel/{item}", f"paths/{item}")


def _lead_time(estimator: Estimator, of: Market, rule: SupplyRule) -> _Share:
    column = of.origin_column + estimator.now_step
    limit = rule.normal_lead_time_weeks / of.frequency.weeks
    short = of.flow.backlog[:, column] <= limit * of.capacity[:, column]
    weeks = quantiles_of(of.lead_time[:, estimator.now_step], estimator.levels, method="inverted_cdf")
    return _share(short, weeks, what="the backlog is that short")


def _fill_rate(estimator: Estimator, of: Market, rule: SupplyRule) -> _Share:
    rates = fill_rate(of.orders, of.flow, rule.normal_lead_time_weeks / of.frequency.weeks)
    now: Floats = np.asarray(rates)[:, of.origin_column + estimator.now_step]
    quantiles = quantiles_of(now, estimator.levels)
    return _share(now >= rule.fill_rate_min, quantiles, what="enough is shipped in time")


def _held(estimator: Estimator, of: Market, rule: SupplyRule) -> _Share:
    met = of.demand_met(rule)
    passage, steps, stamps = first_passage(met, of.origin_column), of.horizon + 1, of.timestamps(0)
    when = quantile_steps(passage, estimator.levels, steps)
    dates: Dates = {
        q(level): None if np.isnan(step) else stamps[int(step)]
        for level, step in zip(estimator.levels, when, strict=True)
    }
    now = met[:, of.origin_column + estimator.now_step]
    share = _share(now, dates, what="US demand is met, for long enough")
    late = f" By {stamps[-1]} it has not come about on {percent(float(never(passage, steps)), digits=1)}."
    return replace(share, why=share.why + late)


@dataclass(frozen=True, kw_only=True)
class _Share:
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


def _share(holds: Bools, quantiles: Figures | Dates, *, what: str) -> _Share:
    share = float(np.mean(holds))
    why = f"On {percent(share, digits=1)} of {len(holds):,} paths {what}."
    return _Share(probability=share, why=why, quantiles=quantiles)


SHIPPED = {
    "public": "up to the origin as drawn from the published estimates",
    "order_book": "up to the origin as recorded in the order book",
}
"""Where the US shipments of the past come from, by `data.kind`."""


def cap_condition(
    estimator: Estimator, policy: Policy, cap: Cap, chips: Sequence[Chip], *, data: str
) -> Condition:
    """Whether the cap leaves room for a unit in the first period after now, for each eligible chip."""
    period = {
        "since_launch": "since the chip's launch",
        "trailing_12m": "over the last twelve months",
        "same_period": "in the same period",
    }[cap.period]
    counts = {
        "product": "the same product",
        "family": "the product's family",
        "us_hardware": "all advanced chips",
    }[cap.counts]
    end = _next_end(estimator)
    return condition(
        "cap",
        f"Exports stay within {percent(cap.ratio, digits=None)} of the TPP of {counts} shipped to US "
        f"customers, {period}.",
        policy=policy,
        terms=[term(policy, f"cap.{name}", getattr(cap, name)) for name in ("ratio", "period", "counts")],
        how=(
            f"US shipments on each path, {SHIPPED[data]}, times "
            "the ratio, less what was exported so far (an assumption below). Figure: units of the chip "
            f"that the cap leaves in the period that ends on {end}; met means at least one. What other "
            "readings of the cap allow stands in the table of readings."
            if chips
            else NONE_ELIGIBLE
        ),
        findings=list(_cap_findings(estimator, policy, cap, chips)),
    )


def _next_end(estimator: Estimator) -> str:
    any_market = next(iter(estimator.markets.values()))
    return any_market.timestamps(estimator.now_step + 1)[0].isoformat()


def _cap_findings(estimator: Estimator, policy: Policy, cap: Cap, chips: Sequence[Chip]) -> Iterator[Finding]:
    for chip in chips:
        items = list(dict.fromkeys([chip.chip_id, cap_item(chip, cap.counts)]))
        lacking = [item for item in items if item not in estimator.markets]
        if lacking:
            why = " ".join(_lacking(estimator, item) for item in lacking)
            rows = tuple(f"panel/{item}" for item in items)
            yield Finding(chip=chip.chip_id, verdict=NOT_SHOWN, why=why, rows=rows)
            continue
        markets = estimator.markets_of(chip, policy, "product")
        room = cap_room(estimator, chip, cap, markets)
        share = _share(
            room >= MIN_UNITS,
            quantiles_of(room, estimator.levels),
            what="the cap leaves at least one unit",
        )
        rows = tuple(row for item in items for row in rows_of(item))
        yield share.finding(estimator, chip, scope=None, rows=rows)


def cap_room(estimator: Estimator, chip: Chip, cap: Cap, markets: MarketsOfChip) -> Floats:
    """Units [P] that the cap leaves in the first period after now, as the windows step counts them."""
    product = markets.product
    counted = counted_shipments(chip, cap.counts, markets.counted, product)
    first = product.origin_column + estimator.now_step + 1
    room = CapRoom(
        cap,
        counted[:, :first],
        exported_so_far=estimator.terms(chip).exported_so_far,
        periods_per_year=round(product.frequency.periods_per_year),
    )
    return np.maximum(room.after_us_shipments(counted[:, first]), 0.0)
