"""The answer of a windows run as people read it: per chip, in one sentence, and what it rests on.

The terminal, the page of the MLflow run, the figures and `answer.html` all take their words from here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from forecasting.frequencies import Frequency, label
from forecasting.policy.policy import Policy
from forecasting.reference.chips import catalogue
from pipelines.figures.number_format import share_of_paths, units_text

ENDED_STATED = 0.1  # a smaller share of paths without supply is not worth a word
NAME_LENGTH = 60  # of what a run's name says about a what-if
OWN, VENDOR = "product", "portfolio"
SCOPES = {OWN: "own orders", VENDOR: "whole vendor"}
SURE = {
    "H": "primary text",
    "M": "one good source",
    "L": "weak or inferred",
    "open": "stated nowhere",
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
    def statements_line(self) -> str:
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
    def now_stated(self) -> str:
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
        clauses = (
            [self._clause(chip.own, "its own US orders are met now", "of paths", by)] if chip.own else []
        )
        if chip.own and chip.whole:
            then = "exports then open" if chip.own.opens is None else by
            clauses.append(self._clause(chip.whole, "those of its whole vendor", "", then))
        elif chip.whole:
            clauses.append(self._clause(chip.whole, "its vendor's US orders are met now", "of paths", by))
        return f"{chip.chip}: {'; '.join(clauses)}."

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

    def _clause(self, reading: Reading, whose: str, of: str, by: str) -> str:
        condition = f"{whose} on {share_of_paths(reading.met_now)} {of}".rstrip()
        if reading.ended >= ENDED_STATED:
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
