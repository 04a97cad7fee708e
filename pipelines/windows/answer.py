"""The answer of a windows run as people read it: per chip, in one sentence, and what it rests on.

The terminal, the page of the MLflow run, the figures and `answer.html` all take their words from here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from forecasting.periods import Frequency, label
from forecasting.policy.policy import Policy
from forecasting.reference.chips import catalogue
from pipelines.figures.number_format import share_of_paths, units_text
from pipelines.runtime.config.deviations import deviations, short_names, what_if
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.registry.weights import ORIGIN_TAG
from pipelines.runtime.step.inputs import has_table, read_input
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG, UPSTREAM_TAG, Tracker, what_if_of

STATEMENTS = "statements"  # table of the etl run
DECIDES = ("seed", "forecast.", "statistical.", "windows.")  # besides data and policies
ENDED_TOLD = 0.1  # a smaller share of paths without supply is not worth a word
ENDED_LIMITS = 0.5  # share of paths from which the end of supply is what keeps demand from being met
NAME_LENGTH = 60  # of what a run's name says about a what-if
OWN, VENDOR = "product", "portfolio"
SCOPES = {OWN: "own orders", VENDOR: "whole vendor"}
SURE = {
    "H": "primary text",
    "M": "one good source",
    "L": "weak or inferred",
    "open": "stated nowhere",
}
LIMITS = {
    "not_in_effect": "not in effect",
    "not_eligible": "not eligible",
    "not_saturated": "demand not met",
}
SOURCES = {
    "public": "Epoch AI estimates, filings, US Census M3",
    "order_book": "order book",
}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one reading of the rule gives for a chip: whose US orders must be met before it may be exported.

    `units` are the 10, 50 and 90 % quantiles from now to the horizon; `closes` is None where the window is
    still open there, `opens` where there is none; `ended` is the share of paths on which supply has ended.
    `limit` is what closes or limits the next window's first period, with its share of the paths. `now_is` and
    `observed_until` say what the figures of now rest on.
    """

    met_now: float
    met_by: tuple[dt.date | None, dt.date | None, dt.date | None]
    never: float
    any_window: float
    opens: dt.date | None
    closes: dt.date | None
    units: tuple[float, float, float]
    limit: str
    limit_share: float
    ended: float = 0.0
    now_is: str = "observed"
    observed_until: dt.date | None = None

    @property
    def units_shown(self) -> str:
        """Rounded units, as 0 / 603k / 730k."""
        return " / ".join(units_text(each) for each in self.units)


@dataclass(frozen=True, kw_only=True)
class ChipAnswer:
    """A chip under both readings; a policy may have one of them only."""

    chip: str
    vendor: str
    own: Reading | None
    whole: Reading | None

    @property
    def first(self) -> Reading:
        """The chip's own orders, or its vendor's where the policy knows no other reading."""
        found = self.own or self.whole
        if found is None:
            raise ValueError(f"{self.chip} has no reading")
        return found


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What an answer rests on: the source of its data, the newest publication known, the weights used.

    `what_if` holds the settings of data and assumptions in which the forecast deviates from the defaults,
    `statements` the dated statements of others that were known, with how each was used and whether the states
    of the market agree with it (`public.statements.judged`).
    """

    source: str
    known_until: dt.date
    weights: str | None
    what_if: Mapping[str, str] = field(default_factory=dict)
    statements: tuple[Mapping[str, Any], ...] = ()

    @property
    def statements_told(self) -> str:
        """How many statements there are, bear on the states, and contradict them; empty without any."""
        if not self.statements:
            return ""
        used = sum(each["use"] == "state" for each in self.statements)
        against = sum(each["verdict"] == "contradicts" for each in self.statements)
        return (
            f"dated statements: {len(self.statements)}, of which {used} used, {against} contradict the states"
        )

    @property
    def line(self) -> str:
        """One line under a chart."""
        weights = f"; weights of the network: {self.weights}" if self.weights else "; no network used"
        return f"Source: {self.source}; data as known on {self.known_until}{weights}"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer under one policy, by default the first.

    Attributes
    ----------
    policy : Policy
    frequency : Frequency
    now, end : date
        The period end that "now" means, and the last period of the horizon.
    chips : tuple of ChipAnswer
        Those that are eligible and were forecast.
    refused, missing : tuple of str
        Chips that the policy rules out, and those without a forecast.
    outside : tuple of str
        Chips that are eligible by the letter, but in none of the policy's duty bands.
    basis : Basis
    deviating : tuple of str
        Settings that differ from the defaults, each as `name = value`.
    """

    policy: Policy
    frequency: Frequency
    now: dt.date | None
    end: dt.date
    chips: tuple[ChipAnswer, ...]
    refused: tuple[str, ...]
    missing: tuple[str, ...]
    basis: Basis
    deviating: tuple[str, ...]
    outside: tuple[str, ...] = ()

    def period(self, day: dt.date | None) -> str:
        """Name of the period that ends on a day."""
        return "none" if day is None else label(day, self.frequency)

    @property
    def now_told(self) -> str:
        """What now is, and what it rests on: 2026Q3 (a nowcast; shipments observed to 2026Q2)."""
        readings = [each for chip in self.chips for each in (chip.own, chip.whole) if each]
        ahead = [each.observed_until for each in readings if each.now_is != "observed"]
        if not ahead:
            return self.period(self.now)
        kind = "forecast" if any(each.now_is == "forecast" for each in readings) else "nowcast"
        until = min(day for day in ahead if day is not None)
        return f"{self.period(self.now)} (a {kind}; shipments observed to {self.period(until)})"

    def window(self, reading: Reading) -> str:
        """The next window of a reading: 2026Q4 to 2027Q3, 2026Q4 on; else on how many paths there is any."""
        if reading.opens is None:
            return f"on {share_of_paths(reading.any_window)} of paths"
        if reading.closes is None:
            return f"{self.period(reading.opens)} on"
        return f"{self.period(reading.opens)} to {self.period(reading.closes)}"

    @property
    def leader(self) -> ChipAnswer | None:
        """The newest chip that has a window under its own reading; without one, the newest of all."""
        if not self.chips:
            return None
        known = catalogue()

        def rank(each: ChipAnswer) -> tuple[bool, dt.date]:
            chip = known.get(each.chip)
            return each.first.opens is not None, chip.launch_quarter_end if chip else dt.date.min

        return max(self.chips, key=rank)

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        chip = self.leader
        if chip is None:
            return f"Under {self.policy.name} no chip can be exported."
        by = f"exports open by {self.period(self.end)}"
        told = [self._told(chip.own, "its own US orders are met now", "of paths", by)] if chip.own else []
        if chip.own and chip.whole:
            then = "exports then open" if chip.own.opens is None else by
            told.append(self._told(chip.whole, "those of its whole vendor", "", then))
        elif chip.whole:
            told.append(self._told(chip.whole, "its vendor's US orders are met now", "of paths", by))
        return f"{chip.chip}: {'; '.join(told)}."

    @property
    def supported(self) -> str:
        """Which reading the policy's text supports, and how sure that is; empty if its file is silent."""
        found = self.policy.reading
        if found is None:
            return ""
        return (
            f"reading that the text supports: {SCOPES[found.scope]} "
            f"(certainty {found.certainty}: {SURE[found.certainty]})"
        )

    def _told(self, reading: Reading, whose: str, of: str, by: str) -> str:
        condition = f"{whose} on {share_of_paths(reading.met_now)} {of}".rstrip()
        if reading.ended >= ENDED_TOLD:
            condition += f" (supply has ended on {share_of_paths(reading.ended)})"
        if reading.opens is None:
            return f"{condition}, and {by} on {share_of_paths(reading.any_window)}"
        low, middle, high = (units_text(each) for each in reading.units)
        until = "on" if reading.closes is None else f"to {self.period(reading.closes)}"
        return (
            f"{condition}, and exports open {self.period(reading.opens)} {until}, {middle} units "
            f"({low} to {high} on 80 % of paths)"
        )

    @property
    def name(self) -> str:
        """The answer in a few words, as a run is called: H200 85 % own / 4 % vendor, default."""
        kind = f"what-if: {', '.join(self.deviating)}" if self.deviating else "default"
        kind = kind if len(kind) <= NAME_LENGTH else f"what-if: {len(self.deviating)} settings"
        chip = self.leader
        if chip is None:
            return f"no chip eligible under {self.policy.name}, {kind}"
        shares = [
            f"{share_of_paths(reading.met_now)} {scope}"
            for scope, reading in (("own", chip.own), ("vendor", chip.whole))
            if reading
        ]
        return f"{chip.chip} {' / '.join(shares)}, {kind}"


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
