"""The conditions of a policy on amounts: cap, stock abroad, and what is made anew. P paths, H steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from forecasting.frequencies import label
from forecasting.panel.history import Floats
from forecasting.policy.clauses import FOUNDRY
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Cap, Scope, StockLimit
from forecasting.reference.chips import Chip
from forecasting.saturation.market import US_PORTFOLIO, cap_item, counted_shipments, scope_item
from forecasting.windows.cap import CapRoom
from forecasting.windows.estimate import MarketsOfChip, stock_room
from forecasting.windows.schema import q
from forecasting.windows.tables import Estimator
from forecasting.windows.windows import MIN_UNITS, WindowPaths, new_share
from pipelines.evidence.conditions import condition
from pipelines.evidence.figure_records import Condition, Finding
from pipelines.evidence.us_supply import NONE_ELIGIBLE, lacking_words, rows_of, share_of
from pipelines.evidence.verdicts import MET, NOT_SHOWN, plain, quantiles_of, term
from pipelines.figures.number_format import percent

SHIPPED = {
    "public": "up to the origin as drawn from the published estimates",
    "order_book": "up to the origin as recorded in the order book",
}
"""Where the US shipments of the past come from, by `data.kind`."""


def cap_conditions(
    estimator: Estimator, policy: Policy, chips: Sequence[Chip], *, data: str
) -> list[Condition]:
    """Whether the cap leaves room for a unit in the first period after now, for each eligible chip."""
    return [] if policy.cap is None else [_cap(estimator, policy, policy.cap, chips, data=data)]


def _cap(estimator: Estimator, policy: Policy, cap: Cap, chips: Sequence[Chip], *, data: str) -> Condition:
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
            why = " ".join(lacking_words(estimator, item) for item in lacking)
            rows = tuple(f"panel/{item}" for item in items)
            yield Finding(chip=chip.chip_id, verdict=NOT_SHOWN, why=why, rows=rows)
            continue
        markets = estimator.markets_of(chip, policy, "product")
        room = cap_room(estimator, chip, cap, markets)
        share = share_of(
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


def stock_limit_conditions(estimator: Estimator, policy: Policy, chips: Sequence[Chip]) -> list[Condition]:
    """Whether the limit on the stock abroad leaves room for a unit in the first period after now."""
    return [] if policy.stock_limit is None else [_stock(estimator, policy, policy.stock_limit, chips)]


def _stock(estimator: Estimator, policy: Policy, limit: StockLimit, chips: Sequence[Chip]) -> Condition:
    return condition(
        "stock_limit",
        "With the export the AI hardware in countries of concern stays within "
        f"{percent(limit.ratio, digits=None)} of that in the United States.",
        policy=policy,
        terms=[term(policy, "stock_limit.ratio", limit.ratio)],
        how=(
            "Shipments to US customers on each path up to then, in TPP, times the ratio, less the stock "
            "abroad (an assumption below). Figure: units of the chip that this leaves in the period that "
            f"ends on {_next_end(estimator)}, 0 where the stock is larger already; met means at least one. "
            "What countries of concern will make themselves is not added."
            if chips
            else NONE_ELIGIBLE
        ),
        findings=[_stock_finding(estimator, policy, chip) for chip in chips],
    )


def _stock_finding(estimator: Estimator, policy: Policy, chip: Chip) -> Finding:
    lacking = estimator.lacking(policy, chip, chip.chip_id)
    if lacking:
        return Finding(chip=chip.chip_id, verdict=NOT_SHOWN, why=f"{'; '.join(lacking)}.")
    markets = estimator.markets_of(chip, policy, "product")
    room = stock_room(chip, policy, markets, estimator.terms(chip))
    first = markets.product.origin_column + estimator.now_step + 1
    left = np.maximum(np.asarray(room)[:, first], 0.0)
    share = share_of(
        left >= MIN_UNITS, quantiles_of(left, estimator.levels), what="the limit leaves at least one unit"
    )
    return share.finding(estimator, chip, scope=None, rows=rows_of(US_PORTFOLIO))


HOW_PARTED = (
    "On each path the units that may go up to the horizon are parted into stock on hand now and units made "
    "in the period in which they leave. What a period leaves over is lost if it is not exported, while stock "
    "stays, so the plan takes new production first: this is the most it can hold. Figure: units made "
    "anew. Met means that nothing is made anew on enough of the paths with exports; where something is, the "
    "data does not say whose capacity it takes."
)


def foundry_condition(estimator: Estimator, policy: Policy, chips: Sequence[Chip]) -> Condition:
    """How much of what may go is made anew, for each eligible chip and scope.

    Stock that is on hand takes no foundry capacity, so exports that are wholly stock meet the condition. New
    production may or may not take capacity from US users: that is not in the data.
    """
    cases = [(chip, scope) for chip in chips for scope in policy.supply.scopes]
    return condition(
        FOUNDRY,
        "Production for the export takes no global foundry capacity from similar or more advanced products "
        "for end users in the United States.",
        policy=policy,
        terms=[],
        how=HOW_PARTED if cases else NONE_ELIGIBLE,
        findings=[_foundry_finding(estimator, policy, chip, scope) for chip, scope in cases],
    )


def _foundry_finding(estimator: Estimator, policy: Policy, chip: Chip, scope: Scope) -> Finding:
    lacking = estimator.lacking(policy, chip, scope_item(chip, scope))
    if lacking:
        why = f"{'; '.join(lacking)}."
        return Finding(chip=chip.chip_id, scope=scope, verdict=NOT_SHOWN, why=why)
    paths = estimator.estimate(chip, policy, estimator.markets_of(chip, policy, scope)).paths
    made = paths.newly_made.sum(axis=1)
    goes = paths.units.sum(axis=1) > 0
    rows = rows_of(chip.chip_id)
    if not goes.any():
        why = "Nothing may go on any path, so there is nothing to part."
        return Finding(chip=chip.chip_id, scope=scope, verdict=NOT_SHOWN, why=why, rows=rows)
    from_stock = float(np.mean(made[goes] < MIN_UNITS))
    quantiles = quantiles_of(made, estimator.levels)
    return Finding(
        chip=chip.chip_id,
        scope=scope,
        verdict=MET if from_stock >= estimator.settings.confidence else NOT_SHOWN,
        why=_parted(estimator, paths, from_stock),
        figure=plain(quantiles[q(0.5)]),
        quantiles=quantiles,
        probability=from_stock,
        rows=rows,
    )


def _parted(estimator: Estimator, paths: WindowPaths, from_stock: float) -> str:
    end = next(iter(estimator.markets.values())).timestamps(0)[-1]
    made = new_share(paths)
    return (
        f"Of the units that may go up to {label(end, estimator.settings.frequency)}, "
        f"{percent(made, digits=1)} are made anew and {percent(1 - made, digits=1)} are stock on hand (over "
        f"all paths); on {percent(from_stock, digits=1)} of the paths with exports all of them are stock."
    )
