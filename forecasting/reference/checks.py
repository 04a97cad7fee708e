"""Checks of the reference tables beyond one table's schema: sources, chips, sums, gaps and fixed ratios.

Each check takes the frames it judges, so that a spoiled copy can be judged too; `run_checks` loads them.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from forecasting import reference
from forecasting.errors import InputError
from forecasting.reference.chips import total_processing_performance
from forecasting.reference.reconcile import CELL, reconciled

TPP_TOLERANCE = 0.005
"""Relative; the two rates of a data sheet (989.4 and 1,979 TFLOPS) are rounded on their own."""

QUARTER_SUM_TOLERANCE = 0.15
"""Relative. Owners and totals are medians of one simulation, and medians do not add up; three figures for xAI
are public counts laid over it. Measured on the edition of April 2026: at worst 14.3 % (Trainium2, 2024Q1)."""

RUN_SUM_TOLERANCE = 0.055
"""Relative, over all quarters of a chip pool. Measured on the same edition: at worst 5.0 % (A100)."""

RECONCILED_TOLERANCE = 0.001
"""Relative; what is left is rounding. More means that the counted owners alone exceed the total."""

RATIO_TOLERANCE = 0.015
"""Relative; the widest departure is a rounded public count for xAI (2.50 against 2.53 H100e per B200)."""

RATIO_ROUNDING_H100E = 3.0
"""Absolute; units and H100e are each rounded to whole numbers, and a unit counts up to 2.5 H100e."""


@dataclass(frozen=True)
class Check:
    """Outcome of one rule on one table.

    Attributes
    ----------
    table, rule : str
    passed : bool
    detail : str
        The offending rows, or how near the worst row came to offending.
    """

    table: str
    rule: str
    passed: bool
    detail: str


def run_checks(known_sources: frozenset[str]) -> list[Check]:
    """Check the packaged tables.

    Parameters
    ----------
    known_sources : frozenset of str
        Source ids that `sources.yaml` describes.

    Returns
    -------
    list of Check
        If a table breaks its schema, the schema checks alone: the others have nothing sound to judge.
    """
    checks = [check_schema(name, reference.read(name)) for name in reference.table_names()]
    if not all(check.passed for check in checks):
        return checks
    tables = {name: reference.load(name).collect() for name in reference.table_names()}
    chips, total, by_owner = (tables[name] for name in ("chips", "shipments_total", "shipments_by_owner"))
    checks += [check_sources(name, frame, known_sources) for name, frame in tables.items()]
    checks.append(check_published_tpp(chips))
    checks += [
        check_chips_known("chips", chips["successor_chip_id"], chips),
        check_chips_known("shipments_total", total["chip_pool"], chips),
        check_chips_known("shipments_by_owner", by_owner["chip_pool"], chips),
        check_chips_known("prices", tables["prices"]["chip_id"], chips),
        *(
            check_chips_known(name, frame["chip_pool"], chips)
            for name, frame in tables.items()
            if name.startswith(reference.EDITIONS)
        ),
    ]
    checks += [check_quarter_sums(by_owner, total), check_run_sums(by_owner, total), check_no_gaps(total)]
    checks += [check_counted_once(by_owner, total)]
    checks += [
        check_h100e_ratio("shipments_total", total, total),
        check_h100e_ratio("shipments_by_owner", by_owner, total),
    ]
    return checks


def check_schema(table: str, text: pl.DataFrame) -> Check:
    """Every field is readable and every rule of the schema holds; `text` holds the columns as text."""
    try:
        rows = reference.conform(table, text).height
    except InputError as error:
        return Check(table, "schema", passed=False, detail=str(error))
    return Check(table, "schema", passed=True, detail=f"{rows} rows")


def check_sources(table: str, frame: pl.DataFrame, known_sources: frozenset[str]) -> Check:
    """Every row names a source that is described."""
    unknown = sorted(set(frame["source_id"]) - known_sources)
    detail = "unknown: " + ", ".join(unknown) if unknown else f"{frame['source_id'].n_unique()} sources"
    return Check(table, "every source is known", passed=not unknown, detail=detail)


def check_published_tpp(chips: pl.DataFrame) -> Check:
    """TPP computed from the dense rates agrees with the published figure, within `TPP_TOLERANCE`."""
    departures = {}
    for row in chips.filter(pl.col("tpp_published").is_not_null()).iter_rows(named=True):
        rates = {name: row[f"{name}_dense_tflops"] for name in ("fp16", "fp8", "fp6", "fp4")}
        computed = total_processing_performance(**rates)
        departures[row["chip_id"]] = abs((computed or 0.0) / row["tpp_published"] - 1)
    worst = max(departures, key=departures.__getitem__)
    return Check(
        "chips",
        "computed TPP is the published TPP",
        passed=departures[worst] <= TPP_TOLERANCE,
        detail=f"worst {departures[worst]:.2%} ({worst}), tolerance {TPP_TOLERANCE:.1%}",
    )


def check_chips_known(table: str, names: pl.Series, chips: pl.DataFrame) -> Check:
    """Every chip that a table names, alone or in a pool joined by `/`, stands in the catalogue."""
    named = {chip for name in names.drop_nulls().unique() for chip in name.split("/")}
    unknown = sorted(named - set(chips["chip_id"]))
    detail = "unknown: " + ", ".join(unknown) if unknown else f"{len(named)} chips"
    return Check(table, "every chip is in the catalogue", passed=not unknown, detail=detail)


def check_quarter_sums(by_owner: pl.DataFrame, total: pl.DataFrame) -> Check:
    """Median units of all owners add up to the total of each chip pool and quarter."""
    keys = ["chip_pool", "quarter_end"]
    rule = "owners add up to the total of the quarter"
    return _check_sums(by_owner, total, keys=keys, rule=rule, tolerance=QUARTER_SUM_TOLERANCE)


def check_counted_once(by_owner: pl.DataFrame, total: pl.DataFrame) -> Check:
    """With public counts counted once, owners add up to the total of each chip pool and quarter."""
    rule = "owners add up to the total once public counts are counted once"
    whole = reconciled(by_owner, total)
    return _check_sums(whole, total, keys=CELL, rule=rule, tolerance=RECONCILED_TOLERANCE)


def check_run_sums(by_owner: pl.DataFrame, total: pl.DataFrame) -> Check:
    """Median units of all owners and quarters add up to the total of each chip pool."""
    rule = "owners add up to the total of all quarters"
    return _check_sums(by_owner, total, keys=["chip_pool"], rule=rule, tolerance=RUN_SUM_TOLERANCE)


def check_no_gaps(total: pl.DataFrame) -> Check:
    """Between its first and its last quarter a chip pool has a row for every quarter."""
    number = pl.col("quarter_end").dt.year() * 4 + pl.col("quarter_end").dt.quarter().cast(pl.Int32)
    runs = total.group_by("chip_pool").agg(
        missing=number.max() - number.min() + 1 - pl.col("quarter_end").n_unique().cast(pl.Int32)
    )
    gaps = sorted(runs.filter(pl.col("missing") > 0).iter_rows())
    detail = ", ".join(f"{pool} lacks {missing}" for pool, missing in gaps) or f"{runs.height} chip pools"
    return Check("shipments_total", "no quarter is missing inside a run", passed=not gaps, detail=detail)


def check_h100e_ratio(table: str, shipments: pl.DataFrame, total: pl.DataFrame) -> Check:
    """H100-equivalents are units times one ratio per chip pool, the one that `total` implies."""
    ratios = total.group_by("chip_pool").agg(ratio=pl.col("h100e_p50").sum() / pl.col("units_p50").sum())
    joined = shipments.join(ratios, on="chip_pool", how="left")
    tails = [
        joined.select("chip_pool", "quarter_end", "ratio", units=f"units_{tail}", h100e=f"h100e_{tail}")
        for tail in ("p05", "p50", "p95")
    ]
    expected = pl.col("ratio") * pl.col("units")
    allowed = pl.max_horizontal(RATIO_TOLERANCE * expected, RATIO_ROUNDING_H100E)
    share = ((pl.col("h100e") - expected).abs() / allowed).alias("share")
    worst = pl.concat(tails).drop_nulls("units").with_columns(share.fill_null(float("inf"))).sort("share")
    pool, quarter, used = worst.select("chip_pool", "quarter_end", "share").row(-1)
    return Check(
        table,
        "H100e per unit is constant for a chip pool",
        passed=used <= 1.0,
        detail=f"worst uses {used:.0%} of the tolerance ({pool}, {quarter})",
    )


def _check_sums(
    by_owner: pl.DataFrame, total: pl.DataFrame, *, keys: list[str], rule: str, tolerance: float
) -> Check:
    """Compare sums of `units_p50` over owners with those of the totals; a key on one side alone fails."""
    sums = by_owner.group_by(keys).agg(owners=pl.col("units_p50").sum())
    totals = total.group_by(keys).agg(total=pl.col("units_p50").sum())
    departure = (pl.col("owners") / pl.col("total") - 1).fill_null(float("inf")).alias("departure")
    joined = sums.join(totals, on=keys, how="full", coalesce=True).with_columns(departure)
    *key, owned, stated, worst = (
        joined.sort(pl.col("departure").abs()).select(*keys, "owners", "total", "departure").row(-1)
    )
    both = f"owners {owned or 0:,.0f}, total {stated or 0:,.0f}"
    return Check(
        "shipments_by_owner",
        rule,
        passed=abs(worst) <= tolerance,
        detail=f"worst {worst:+.1%} ({', '.join(map(str, key))}: {both}), tolerance {tolerance:.1%}",
    )
