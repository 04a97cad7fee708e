"""The figures of the evidence, derived from the stored artifacts: once to write them, again to verify."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from forecasting import reference
from forecasting.errors import InputError
from forecasting.forecasters.path_table import from_table
from forecasting.panel.schema import content_digest, latest
from forecasting.policy.eligibility import CHINESE_VENDORS, duty_rate, is_outside_duty_bands
from forecasting.policy.policy import Policy
from forecasting.reference.chips import Chip
from forecasting.windows.schema import q
from forecasting.windows.tables import Estimator, Row
from pipelines.evidence.condition_order import computed_verdict, ordered_conditions, overall
from pipelines.evidence.conditions import CHINESE
from pipelines.evidence.figure_records import (
    Attestation,
    Band,
    Basis,
    CapReading,
    Condition,
    DerivedFigures,
    Duty,
    Headline,
    Rate,
    RowSet,
    Step,
)
from pipelines.evidence.verdicts import (
    by_probability,
    certainty_of,
    plain,
    quantiles_of,
    rule_of_verdicts,
    together,
)
from pipelines.runtime.config.settings import Settings
from pipelines.windows.estimator import build_estimator, last_observed
from pipelines.windows.step import windows_tables

DATES = ("saturated", "opening", "closing")
FIGURES = (
    "units",
    "first_window_units",
    "stock_units",
    "new_units",
    "tpp",
    "value_usd",
    "first_window_value_usd",
)
SOURCE_VARIATES = ("orders", "capacity", "shipments")


@dataclass(frozen=True, kw_only=True)
class EvidenceInputs:
    """What the figures are derived from.

    Attributes
    ----------
    settings : Settings
        Of the windows run.
    policy : str
        Name of one of its policies.
    paths, choices, panel : DataFrame
        `paths.parquet` and `choices.parquet` of the forecast run, `panel.parquet` of the etl run.
    known_until : date
        Newest publication that the etl run knew.
    verdict_threshold : float, optional
        Share of the paths on which a condition must hold to be met; None takes the windows run's confidence.
    attestations : tuple of Attestation
        What somebody attests of the policy's conditions.
    """

    settings: Settings
    policy: str
    paths: pl.DataFrame
    choices: pl.DataFrame
    panel: pl.DataFrame
    known_until: dt.date
    verdict_threshold: float | None = None
    attestations: tuple[Attestation, ...] = ()

    @property
    def threshold(self) -> float:
        """The threshold of verdicts."""
        return self.settings.windows.confidence if self.verdict_threshold is None else self.verdict_threshold

    def only_policy(self) -> Policy:
        """The policy.

        Raises
        ------
        InputError
            If the windows run did not apply it.
        """
        named = {policy.name: policy for policy in self.settings.policies}
        if self.policy not in named:
            raise InputError(
                "the windows run did not apply this policy",
                expected="one of " + ", ".join(named),
                found=repr(self.policy),
                where="--policy",
            )
        return named[self.policy]


@dataclass(frozen=True, kw_only=True)
class DerivedEvidence:
    """Every table of the windows step, and the figures of the evidence for one policy."""

    tables: dict[str, pl.DataFrame]
    figures: DerivedFigures


def derive(stored: EvidenceInputs) -> DerivedEvidence:
    """Derive every table and figure of the evidence from what is stored."""
    policy = stored.only_policy()
    paths = from_table(stored.paths, frequency=stored.settings.data.panel_frequency, where="paths.parquet")
    missing = dict(stored.choices.drop_nulls("reason").select("item_id", "reason").iter_rows())
    observed = last_observed(stored.choices)
    every = build_estimator(stored.settings, paths, missing, stored.known_until, observed)
    all_rows = list(every.window_rows())
    only = replace(every, settings=replace(every.settings, policies=(policy,), confidence=stored.threshold))
    rows = [(row, steps) for row, steps in all_rows if row["policy"] == policy.name]
    return DerivedEvidence(
        tables=windows_tables(every, all_rows), figures=_figures(only, policy, rows, stored)
    )


def _figures(
    estimator: Estimator, policy: Policy, rows: Sequence[tuple[Row, list[Row]]], stored: EvidenceInputs
) -> DerivedFigures:
    let_through = {row["chip"] for row, _ in rows if row["eligible"]}
    passed = [chip for chip in estimator.chips() if chip.chip_id in let_through]
    basis = _basis(estimator, stored)
    conditions = ordered_conditions(
        estimator,
        policy,
        passed=passed,
        among=stored.settings.data.catalogue.values(),
        basis=basis,
        attestations=stored.attestations,
    )
    readings = (nested(row, ("cap_units", "units"), estimator.levels) for row in estimator.cap_rows())
    return DerivedFigures(
        basis=basis,
        headline=tuple(_headline(estimator, policy, row, steps, conditions) for row, steps in rows),
        conditions=tuple(conditions),
        overall=overall(conditions),
        attestations=stored.attestations,
        duty=_duty(policy, passed),
        cap_readings=tuple(CapReading.model_validate(plain(reading)) for reading in readings),
        row_sets=tuple(row_sets(conditions, stored)),
    )


def _basis(estimator: Estimator, stored: EvidenceInputs) -> Basis:
    """What all figures have in common."""
    any_market = next(iter(estimator.markets.values()))
    stamps = any_market.timestamps(0)
    return Basis(
        now=estimator.now,
        next_period=stamps[estimator.now_step + 1],
        origin=any_market.origin,
        horizon_end=stamps[-1],
        frequency=str(estimator.settings.frequency),
        paths=len(any_market.orders),
        known_until=stored.known_until,
        data=stored.settings.data.kind,
        confidence=stored.settings.windows.confidence,
        verdict_threshold=stored.threshold,
        quantile_levels=estimator.levels,
        verdict_rule=rule_of_verdicts(stored.threshold, data=stored.settings.data.kind),
    )


def _headline(
    estimator: Estimator, policy: Policy, row: Row, steps: Sequence[Row], conditions: Sequence[Condition]
) -> Headline:
    """One chip and scope: the row of the windows table, P(open) by period, headroom, and the verdicts."""
    headroom = computed = verdict = None
    if steps:
        chip = next(chip for chip in estimator.chips() if chip.chip_id == row["chip"])
        estimate = estimator.estimate(chip, policy, estimator.markets_of(chip, policy, row["scope"]))
        headroom = quantiles_of(estimate.paths.headroom[:, 0], estimator.levels)
        by_paths = by_probability(steps[0]["p_open"], estimator.settings.confidence)
        computed = computed_verdict(conditions, row["chip"], row["scope"], by_paths=by_paths)
        verdict = together([computed], open_conditions=overall(conditions).open)
    return Headline.model_validate(
        {
            **plain(nested(row, (*DATES, *FIGURES), estimator.levels)),
            "steps": [_step(step, estimator.levels) for step in steps],
            "headroom_next_period": headroom,
            "computed_next_period": computed,
            "all_conditions_next_period": verdict,
        }
    )


def _step(step: Row, levels: Sequence[float]) -> Step:
    """One period: P(open), units, and the share of paths on which each condition binds."""
    gathered = nested(step, ("units", "stock_units", "new_units"), levels)
    return Step(
        timestamp=gathered["timestamp"],
        p_open=gathered["p_open"],
        units=plain(gathered["units"]),
        stock_units=plain(gathered["stock_units"]),
        new_units=plain(gathered["new_units"]),
        binding={
            key.removeprefix("binding_"): gathered[key] for key in gathered if key.startswith("binding_")
        },
    )


def nested(row: Row, columns: Sequence[str], levels: Sequence[float]) -> Row:
    """Gather the quantile columns of a row by what they are of; None where it has none of them."""
    names = [q(level) for level in levels]
    flat = {f"{column}_{name}" for column in columns for name in names}
    gathered: Row = {key: value for key, value in row.items() if key not in flat}
    for column in columns:
        known = any(f"{column}_{name}" in row for name in names)
        gathered[column] = {name: row.get(f"{column}_{name}") for name in names} if known else None
    return gathered


def _duty(policy: Policy, chips: Sequence[Chip]) -> Duty:
    """What the policy charges on each chip that it lets through."""
    return Duty(
        **certainty_of(policy, "tariff"),
        value=tuple(Band(**vars(band)) for band in policy.tariff),
        rates=tuple(
            Rate(
                chip=chip.chip_id,
                rate=duty_rate(chip, policy),
                outside_bands=is_outside_duty_bands(chip, policy),
            )
            for chip in chips
        ),
    )


def row_sets(conditions: Sequence[Condition], stored: EvidenceInputs) -> Iterator[RowSet]:
    """Rows that the findings name: artifact, selection, number, and digest of their content."""
    named = [name for each in conditions for found in each.findings for name in found.rows]
    flows = latest(stored.panel.lazy()).filter(pl.col("variate").is_in(SOURCE_VARIATES)).collect()
    newest = f"variate in {', '.join(SOURCE_VARIATES)}; newest published_at of each"
    for name in dict.fromkeys(named):  # each once, in the order of the findings
        kind, _, item = name.partition("/")
        if kind == "chips":
            artifact, table, selection = _chip_table(item, stored.settings.data.catalogue)
        elif kind == "panel":
            artifact, selection = "panel.parquet", f"item_id = {item}; {newest}"
            table = flows.filter(pl.col("item_id") == item)
        else:
            artifact, selection = "paths.parquet", f"item_id = {item}"
            table = stored.paths.filter(pl.col("item_id") == item)
        yield RowSet(
            name=name,
            artifact=artifact,
            selection=selection,
            rows=table.height,
            sources=tuple(sorted(table["source_id"].unique())) if "source_id" in table.columns else (),
            content_sha256=content_digest(table),
        )


def _chip_table(item: str, catalogue: Mapping[str, Chip]) -> tuple[str, pl.DataFrame, str]:
    """Where one chip, or all of vendors seated in China, stand; their rows; the selection in words."""
    chips, where = reference.load("chips").collect(), "forecasting/reference/chips.csv"
    if item == CHINESE:
        vendors = sorted(CHINESE_VENDORS)
        return where, chips.filter(pl.col("vendor").is_in(vendors)), f"vendor in {', '.join(vendors)}"
    if item not in chips["chip_id"]:  # a chip of the user's own
        return "settings-windows.yaml", pl.DataFrame([vars(catalogue[item])]), f"data.chips.{item}"
    return where, chips.filter(pl.col("chip_id") == item), f"chip_id = {item}"
