"""From the markets of a path set to the export windows of one chip under one policy and scope.

P paths, T periods of the chip from its own start to the horizon, H steps after the origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from forecasting.frequencies import DAYS_PER_WEEK, Frequency
from forecasting.panel.history import Bools, Floats
from forecasting.policy.eligibility import duty_rate, in_effect
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Cap
from forecasting.reference.chips import Chip, catalogue, chip
from forecasting.saturation.chunks import join_paths, map_path_chunks
from forecasting.saturation.market import H100E_CHIP, WORKERS, Market, counted_shipments, right_aligned
from forecasting.windows.revenue import price_per_unit, revenue_at_stake, successors_launched
from forecasting.windows.windows import WindowInputs, WindowPaths, WindowSummary, export_windows, summarise


@dataclass(frozen=True, kw_only=True)
class ExportTerms:
    """What stands between one chip and its export besides the US market, in units as of now.

    Each is one number, or one for each path [P] where it is known as a range. `stock_abroad_h100e` is the
    stock of AI hardware in countries of concern in H100-equivalents, their own production included; None
    where it is not stated.
    """

    unsold_stock: Floats | float = 0.0
    exported_so_far: Floats | float = 0.0
    licence_limit: Floats | float | None = None
    stock_abroad_h100e: Floats | float | None = None

    @property
    def licence_left(self) -> Floats | float | None:
        """Units that the licences still allow."""
        if self.licence_limit is None:
            return None
        return np.maximum(np.subtract(self.licence_limit, self.exported_so_far), 0.0)


@dataclass(frozen=True, kw_only=True)
class PriceTerms:
    """Price of an accelerator over its life: USD per H100e at launch, half-life, factor per successor.

    Each is one number, or one for each path [P] where it is known as a range. `import_value_share` is the
    value declared on import, on which duty is due, over the export price.
    """

    launch_usd_per_h100e: Floats | float
    half_life_periods: Floats | float
    successor_factor: Floats | float
    import_value_share: Floats | float = 1.0


@dataclass(frozen=True, kw_only=True)
class EstimatorSettings:
    """What is asked of the estimator, and what it must be given besides the paths.

    Attributes
    ----------
    policies : tuple of Policy
    catalogue : mapping of str to Chip
        Chips that the figures may speak of.
    frequency : Frequency
        Of the paths.
    confidence : float
        From which a period counts as open.
    quantile_levels : tuple of float
        Of dates, units and values.
    exports : mapping of str to ExportTerms
        Stock, exports and licences by chip; none where a chip is not named.
    prices : mapping of str to PriceTerms
        Price assumptions by vendor; no value without one.
    """

    policies: tuple[Policy, ...]
    catalogue: Mapping[str, Chip]
    frequency: Frequency
    confidence: float
    quantile_levels: tuple[float, ...]
    exports: Mapping[str, ExportTerms]
    prices: Mapping[str, PriceTerms]


@dataclass(frozen=True, kw_only=True)
class MarketsOfChip:
    """The markets that decide over a chip's exports: its own, its scope's, and the one the cap counts.

    `us_hardware` is that of all vendors, where the policy limits the stock abroad.
    """

    product: Market
    scope: Market
    counted: Market
    us_hardware: Market | None = None


@dataclass(frozen=True, kw_only=True)
class ExportEstimate:
    """Windows of one chip on every path, and what they sum up to."""

    paths: WindowPaths
    summary: WindowSummary


def estimate_windows(
    exported: Chip,
    policy: Policy,
    markets: MarketsOfChip,
    terms: ExportTerms,
    *,
    now_step: int,
    confidence: float,
    quantile_levels: tuple[float, ...],
) -> ExportEstimate:
    """Export windows of an eligible chip after `now_step`; `policy.cap` gives the cap's reading.

    What is over is over: nothing is exported in periods between the origin and now.
    """
    product = markets.product
    met = right_aligned(markets.scope.demand_met(policy.supply), product.periods) > 0
    counted = (
        product.shipments
        if policy.cap is None
        else counted_shipments(exported, policy.cap.counts, markets.counted, product)
    )
    effective, licence = in_effect(policy, product.all_timestamps), terms.licence_left
    room = stock_room(exported, policy, markets, terms)

    def windows_of(
        surplus: Floats,
        us_shipments: Floats,
        confirmed: Bools,
        stock: Floats,
        exported: Floats,
        left: Floats,
        room: Floats | None = None,
    ) -> WindowPaths:
        inputs = WindowInputs(
            surplus=surplus,
            us_shipments=us_shipments,
            saturated_confirmed=confirmed,
            eligible=True,
            in_effect=effective,
            unsold_stock=stock[:, 0],
            exported_so_far=exported[:, 0],
            licence_limit=None if licence is None else left[:, 0],
            stock_room=room,
            first_step=product.origin_column + now_step + 1,
        )
        return export_windows(inputs, policy.cap, periods_per_year=round(product.frequency.periods_per_year))

    known = (terms.unsold_stock, terms.exported_so_far, 0.0 if licence is None else licence)
    columns = [np.broadcast_to(_column(each), (len(met), 1)) for each in known]
    arrays = [product.flow.surplus, counted, met, *columns, *([] if room is None else [room])]
    parts = map_path_chunks(windows_of, *arrays, workers=WORKERS)
    paths = join_paths(parts)
    return ExportEstimate(
        paths=paths, summary=summarise(paths, confidence=confidence, quantile_levels=quantile_levels)
    )


def stock_room(exported: Chip, policy: Policy, markets: MarketsOfChip, terms: ExportTerms) -> Floats | None:
    """Units [P, T] of a chip by which the stock abroad may still grow, before anything more is exported.

        ratio x H100e shipped to US customers so far - H100e abroad, over the H100e of the chip

    None where the policy sets no such limit. What countries of concern make themselves after now is not
    added, which makes the limit lenient.

    Raises
    ------
    ValueError
        If the stock abroad or the US hardware is not known.
    """
    if policy.stock_limit is None:
        return None
    if markets.us_hardware is None or terms.stock_abroad_h100e is None:
        raise ValueError("a limit on the stock abroad needs that stock and the US hardware")
    product = markets.product
    us_stock = right_aligned(markets.us_hardware.shipments.cumsum(axis=1), product.periods)
    per_unit = exported.required_tpp() / chip(H100E_CHIP).required_tpp()
    return (policy.stock_limit.ratio * us_stock - _column(terms.stock_abroad_h100e)) / per_unit


def _column(known: Floats | float) -> Floats:
    """One number as [1, 1], one for each path as [P, 1]."""
    return np.asarray(known, dtype=np.float64).reshape(-1, 1)


def cap_units(exported: Chip, cap: Cap, markets: MarketsOfChip, *, step: int) -> Floats:
    """Units [P] that a cap allows in all, before anything is exported, in the period `step` after the origin.

    Since launch: of all US shipments up to then; trailing twelve months: of the last year's; same period: of
    that period's.
    """
    product = markets.product
    shipped = counted_shipments(exported, cap.counts, markets.counted, product)
    last = product.origin_column + step + 1
    span = {
        "since_launch": last,
        "trailing_12m": round(product.frequency.periods_per_year),
        "same_period": 1,
    }[cap.period]
    return np.asarray(cap.ratio * shipped[:, max(last - span, 0) : last].sum(axis=1))


def value_at_stake(
    exported: Chip,
    policy: Policy,
    product: Market,
    units: Floats,
    price: PriceTerms,
    *,
    chips: Mapping[str, Chip] | None = None,
) -> Floats:
    """Revenue [P] in USD of the units [P, K] exported in the last K periods of the horizon, net of duty.

    `chips` is where the launch dates of successors are looked up, by default the catalogue.
    """
    stamps = product.timestamps(product.horizon - units.shape[1] + 1)
    weeks = np.array([(end - exported.launch_quarter_end).days / DAYS_PER_WEEK for end in stamps])
    h100e = exported.required_tpp() / chip(H100E_CHIP).required_tpp()
    per_unit = price_per_unit(
        _column(price.launch_usd_per_h100e) * h100e,
        age_periods=weeks / product.frequency.weeks,
        half_life_periods=_column(price.half_life_periods),
        successors=successors_launched(exported, stamps, catalogue() if chips is None else chips),
        successor_price_factor=_column(price.successor_factor),
    )
    return revenue_at_stake(
        units,
        per_unit,
        duty_rate=duty_rate(exported, policy),
        import_value_share=price.import_value_share,
    )
