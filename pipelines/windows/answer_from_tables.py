"""The answer of a windows run from its tables, its settings and the runs that it rests on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from forecasting.policy.policy import Policy
from pipelines.runtime.config.deviations import deviations, short_names, what_if
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.registry.weights import ORIGIN_TAG
from pipelines.runtime.step.inputs import has_table, read_input
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG, UPSTREAM_TAG, Tracker, what_if_of
from pipelines.windows.answer import OWN, VENDOR, Answer, Basis, ChipAnswer, Reading

STATEMENTS = "statements"  # table of the etl run
DECIDES = ("seed", "forecast.", "statistical.", "windows.")  # besides data and policies
ENDED_LIMITS = 0.5  # share of paths from which the end of supply is what keeps demand from being met
LIMITS = {
    "not_in_effect": "not in effect",
    "not_eligible": "not eligible",
    "not_saturated": "demand not met",
}
SOURCES = {
    "public": "Epoch AI estimates, filings, US Census M3",
    "order_book": "order book",
}


def answer_of(
    windows: pl.DataFrame,
    settings: Settings,
    *,
    end: dt.date,
    basis: Basis,
    policy: Policy | None = None,
) -> Answer:
    """The answer under a policy.

    Parameters
    ----------
    windows : DataFrame
        `windows` of the windows step.
    settings : Settings
        Those of the run.
    end : date
        Last period of the horizon.
    basis : Basis
    policy : Policy, optional
        By default the first of the settings.
    """
    policy = policy or settings.policies[0]
    rows = windows.filter(pl.col("policy") == policy.name)
    now = rows["now"].drop_nulls()
    by_chip = {str(key): part.to_dicts() for (key,), part in rows.group_by("chip", maintain_order=True)}
    known = {chip: readings for chip, each in by_chip.items() if (readings := dict(_readings(each)))}
    refused = tuple(chip for chip, each in by_chip.items() if not each[0]["eligible"])
    return Answer(
        policy=policy,
        frequency=settings.data.panel_frequency,
        now=now[0] if now.len() else None,
        end=end,
        chips=tuple(
            ChipAnswer(
                chip=chip,
                vendor=settings.data.catalogue[chip].vendor if chip in settings.data.catalogue else "",
                own=readings.get(OWN),
                whole=readings.get(VENDOR),
            )
            for chip, readings in known.items()
        ),
        refused=refused,
        missing=tuple(chip for chip in by_chip if chip not in known and chip not in refused),
        basis=basis,
        deviating=deviating(settings, basis.what_if),
        outside=tuple(chip for chip, each in by_chip.items() if each[0].get("outside_duty_bands")),
    )


def basis_of(tracker: Tracker, forecast_run_id: str, settings: Settings) -> Basis:
    """What a windows run rests on, from the tags of its forecast run."""
    run = tracker.finished(forecast_run_id, "forecast")
    tags = run.data.tags
    etl_run_id = tags.get(UPSTREAM_TAG)
    stated: tuple[Mapping[str, Any], ...] = ()
    if etl_run_id is not None and has_table(tracker, etl_run_id, step="etl", name=STATEMENTS):
        stated = tuple(read_input(tracker, etl_run_id, step="etl", name=STATEMENTS).table.to_dicts())
    return Basis(
        source=SOURCES[settings.data.kind],
        known_until=dt.date.fromisoformat(tags[KNOWN_UNTIL_TAG]),
        weights=tags.get(ORIGIN_TAG),
        what_if=what_if_of(run),
        statements=stated,
    )


def last_period(saturation: pl.DataFrame) -> dt.date:
    """End of the horizon."""
    end = saturation["timestamp"].max()
    if not isinstance(end, dt.date):
        raise TypeError("the table saturation has no periods")
    return end


def deviating(settings: Settings, inherited: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What differs from the defaults and bears on the answer, each as `name = value`.

    Parameters
    ----------
    settings : Settings
        Those of the windows run.
    inherited : mapping, optional
        Settings of data and assumptions in which the run that it reads from deviates.
    """
    assumed = dict(inherited or {}) | what_if(settings)
    found = dict(zip(short_names(assumed), assumed.values(), strict=True))
    for key, (value, default) in deviations(settings).items():
        if key.startswith(DECIDES):
            found[key] = value or "none"
        elif key.startswith("policies.") and value is not None:
            name = key.split(".")[1]
            found[key.removeprefix("policies.") if default is not None else f"policy {name}"] = (
                value if default is not None else "own"
            )
    first, default_first = settings.policies[0].name, resolve().policies[0].name
    if first != default_first and f"policy {first}" not in found:
        found["policy"] = first
    return tuple(f"{name} = {value}" for name, value in found.items())


def _readings(rows: list[dict[str, Any]]) -> Iterator[tuple[str, Reading]]:
    for row in rows:
        if row["eligible"] and row["p_any_window"] is not None:
            yield row["scope"], _reading(row)


def _reading(row: dict[str, Any]) -> Reading:
    binding = row["binding"]
    low, middle, high = (row[f"saturated_{q}"] for q in ("q10", "q50", "q90"))
    ended = row.get("p_supply_ended") or 0.0
    limit = LIMITS.get(binding, binding), row["binding_share"]
    if binding == "not_saturated" and ended >= ENDED_LIMITS:
        limit = "supply ended", ended
    return Reading(
        met_now=row["p_saturated_now"],
        met_by=(low, middle, high),
        never=row["p_never"],
        any_window=row["p_any_window"],
        opens=row["window_opens"],
        closes=row["window_closes"],
        units=(row["units_q10"], row["units_q50"], row["units_q90"]),
        limit=limit[0],
        limit_share=limit[1],
        ended=ended,
        now_is=row.get("now_is") or "observed",
        observed_until=row.get("observed_until"),
    )
