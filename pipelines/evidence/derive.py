"""The figures of the evidence, derived from the stored artifacts: once to write them, again to verify."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from forecasting import reference
from forecasting.errors import InputError
from forecasting.forecasters.path_table import from_table
from forecasting.panel.schema import content_digest, latest
from forecasting.policy.eligibility import CHINESE_VENDORS, duty_rate
from forecasting.policy.policy import Policy
from forecasting.reference.chips import Chip
from forecasting.windows.schema import q
from forecasting.windows.tables import Estimator, Row
from pipelines.evidence.conditions import CHINESE, effective, eligibility_conditions, review
from pipelines.evidence.supply import cap_condition, supply_conditions
from pipelines.evidence.verdicts import Plain, by_probability, plain, quantiles_of, rule_of_verdicts, term
from pipelines.runtime.config.settings import Settings
from pipelines.windows.estimator import build_estimator

DATES = ("saturated", "opening", "closing")
FIGURES = ("units", "first_window_units", "tpp", "value_usd", "first_window_value_usd")
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
    """

    settings: Settings
    policy: str
    paths: pl.DataFrame
    choices: pl.DataFrame
    panel: pl.DataFrame
    known_until: dt.date

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
    """Rows of the windows step for one policy, and the figures of the evidence as JSON holds them."""

    windows: list[Row]
    figures: Plain


def derive(stored: EvidenceInputs) -> DerivedEvidence:
    """Derive every figure of the evidence from what is stored."""
    policy = stored.only_policy()
    settings = stored.settings.model_copy(update={"policies": (policy,)})
    paths = from_table(stored.paths, frequency=settings.data.panel_frequency, where="paths.parquet")
    missing = dict(stored.choices.drop_nulls("reason").select("item_id", "reason").iter_rows())
    estimator = build_estimator(settings, paths, missing, stored.known_until)
    rows = list(estimator.window_rows())
    chips = estimator.chips()
    let_through = {row["chip"] for row, _ in rows if row["eligible"]}
    passed = [chip for chip in chips if chip.chip_id in let_through]
    basis = _basis(estimator, stored)
    conditions = [
        review(policy),
        effective(policy, dt.date.fromisoformat(basis["next_period"])),
        *eligibility_conditions(policy, chips, settings.data.catalogue.values()),
        *supply_conditions(estimator, policy, passed),
        *([] if policy.cap is None else [cap_condition(estimator, policy, policy.cap, passed)]),
    ]
    figures = {
        "basis": basis,
        "headline": [_headline(estimator, policy, row, steps) for row, steps in rows],
        "conditions": conditions,
        "duty": _duty(policy, passed),
        "cap_readings": plain(
            [nested(row, ("cap_units", "units"), estimator.levels) for row in estimator.cap_rows()]
        ),
        "row_sets": list(row_sets(conditions, stored)),
    }
    return DerivedEvidence(windows=[row for row, _ in rows], figures=figures)


def _basis(estimator: Estimator, stored: EvidenceInputs) -> Plain:
    """What all figures have in common."""
    any_market = next(iter(estimator.markets.values()))
    stamps, confidence = any_market.timestamps(0), estimator.settings.confidence
    figures = {
        "now": estimator.now,
        "next_period": stamps[estimator.now_step + 1],
        "origin": any_market.origin,
        "horizon_end": stamps[-1],
        "frequency": str(estimator.settings.frequency),
        "paths": len(any_market.orders),
        "known_until": stored.known_until,
        "confidence": confidence,
        "quantile_levels": estimator.levels,
        "verdict_rule": rule_of_verdicts(confidence),
    }
    return dict(plain(figures))


def _headline(estimator: Estimator, policy: Policy, row: Row, steps: Sequence[Row]) -> Plain:
    """One chip and scope: the row of the windows table, P(open) by period, headroom, and the verdict."""
    told = nested(row, (*DATES, *FIGURES), estimator.levels)
    told["steps"] = [_step(step, estimator.levels) for step in steps]
    told["headroom_next_period"] = told["all_conditions_next_period"] = None
    if steps:
        chip = next(chip for chip in estimator.chips() if chip.chip_id == row["chip"])
        estimate = estimator.estimate(chip, policy, estimator.markets_of(chip, policy, row["scope"]))
        told["headroom_next_period"] = quantiles_of(estimate.paths.headroom[:, 0], estimator.levels)
        confidence = estimator.settings.confidence
        told["all_conditions_next_period"] = by_probability(steps[0]["p_open"], confidence)
    return dict(plain(told))


def _step(step: Row, levels: Sequence[float]) -> Plain:
    """One period: P(open), units, and the share of paths on which each condition binds."""
    told = nested(step, ("units",), levels)
    binding = {key.removeprefix("binding_"): told[key] for key in told if key.startswith("binding_")}
    return {key: told[key] for key in ("timestamp", "p_open", "units")} | {"binding": binding}


def nested(row: Row, columns: Sequence[str], levels: Sequence[float]) -> Row:
    """Gather the quantile columns of a row by what they are of; None where it has none of them."""
    names = [q(level) for level in levels]
    flat = {f"{column}_{name}" for column in columns for name in names}
    told: Row = {key: value for key, value in row.items() if key not in flat}
    for column in columns:
        known = any(f"{column}_{name}" in row for name in names)
        told[column] = {name: row.get(f"{column}_{name}") for name in names} if known else None
    return told


def _duty(policy: Policy, chips: Sequence[Chip]) -> Plain:
    """What the policy charges on each chip that it lets through."""
    return {
        **term(policy, "tariff", [plain(vars(band)) for band in policy.tariff]),
        "rates": [{"chip": chip.chip_id, "rate": duty_rate(chip, policy)} for chip in chips],
    }


def row_sets(conditions: Sequence[Plain], stored: EvidenceInputs) -> Iterator[Plain]:
    """Rows that the findings name: artifact, selection, number, and digest of their content."""
    named = [name for each in conditions for found in each["findings"] for name in found["rows"]]
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
        yield {
            "name": name,
            "artifact": artifact,
            "selection": selection,
            "rows": table.height,
            "sources": sorted(table["source_id"].unique()) if "source_id" in table.columns else [],
            "content_sha256": content_digest(table),
        }


def _chip_table(item: str, catalogue: Mapping[str, Chip]) -> tuple[str, pl.DataFrame, str]:
    """Where one chip, or all of vendors seated in China, stand; their rows; the selection in words."""
    chips, where = reference.load("chips").collect(), "forecasting/reference/chips.csv"
    if item == CHINESE:
        vendors = sorted(CHINESE_VENDORS)
        return where, chips.filter(pl.col("vendor").is_in(vendors)), f"vendor in {', '.join(vendors)}"
    if item not in chips["chip_id"]:  # a chip of the user's own
        return "settings-windows.yaml", pl.DataFrame([vars(catalogue[item])]), f"data.chips.{item}"
    return where, chips.filter(pl.col("chip_id") == item), f"chip_id = {item}"
