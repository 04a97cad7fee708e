"""The figures and verdicts of the evidence, declared as frozen records: what derivation gives."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Json: TypeAlias = dict[str, Any]
Verdict: TypeAlias = Literal["met", "not met", "cannot be shown from data", "attested", "open"]
Kind: TypeAlias = Literal["computed", "attested", "open"]
Certainty: TypeAlias = Literal["H", "M", "L", "open"] | None
Scope: TypeAlias = Literal["product", "portfolio"]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Number: TypeAlias = int | float
Sha256: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Level: TypeAlias = Annotated[str, Field(pattern=r"^q[0-9.]+$")]  # q10 is the 10 % quantile over paths
Figures: TypeAlias = dict[Level, Number | None]  # null where infinite
Dates: TypeAlias = dict[Level, dt.date | None]  # null where censored at the horizon
Row: TypeAlias = dict[str, str | bool | Number | None]


class Record(BaseModel):
    """Base of all records: immutable, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Basis(Record):
    """What all figures have in common."""

    now: dt.date
    next_period: dt.date
    origin: dt.date
    horizon_end: dt.date
    frequency: str
    paths: Annotated[int, Field(ge=1)]
    known_until: dt.date
    data: Literal["public", "order_book"]
    confidence: Share
    verdict_threshold: Share
    quantile_levels: tuple[Share, ...]
    verdict_rule: str


class Step(Record):
    """One period of one chip and scope."""

    timestamp: dt.date
    p_open: Share
    units: Figures
    stock_units: Figures
    new_units: Figures
    binding: dict[str, Share]


class Headline(Record):
    """One chip in one scope: a row of windows.parquet; null where there is no estimate."""

    policy: str
    chip: str
    scope: Scope
    scope_item: str
    eligible: bool
    reason: str
    no_estimate: str | None = None
    now: dt.date | None = None
    now_is: str | None = None
    observed_until: dt.date | None = None
    p_saturated_now: Share | None = None
    p_never: Share | None = None
    p_supply_ended: Share | None = None
    p_any_window: Share | None = None
    window_opens: dt.date | None = None
    window_closes: dt.date | None = None
    binding: str | None = None
    binding_share: Share | None = None
    new_share: Share | None = None
    duty_rate: Share | None = None
    outside_duty_bands: bool | None = None
    saturated: Dates | None
    opening: Dates | None
    closing: Dates | None
    units: Figures | None
    units_mean: Number | None = None
    first_window_units: Figures | None
    stock_units: Figures | None
    new_units: Figures | None
    tpp: Figures | None
    value_usd: Figures | None
    first_window_value_usd: Figures | None
    steps: tuple[Step, ...]
    headroom_next_period: Figures | None
    computed_next_period: Verdict | None
    all_conditions_next_period: Verdict | None


class PolicyElement(Record):
    """One element of a policy: how sure it is, where it stands, and what a reader must know."""

    element: str
    certainty: Certainty
    certainty_says: str
    section: str | None
    note: str | None


class Term(PolicyElement):
    """One threshold of a policy."""

    value: JsonValue


class Finding(Record):
    """What was found on one case (chip and scope; neither for the policy as a whole)."""

    chip: str | None = None
    scope: Scope | None = None
    verdict: Verdict
    why: str
    figure: Number | str | None = None
    quantiles: Figures | Dates | None = None
    probability: Share | None = None
    rows: tuple[str, ...] = ()


class Attestation(Record):
    """Somebody's word on a condition, and the document behind it.

    `checked`: the document was at hand when the evidence was written, and its SHA-256 is the stated one.
    """

    condition: str
    statement: str
    by: str
    date: dt.date
    document: str
    sha256: Sha256
    checked: bool


class Condition(Record):
    """One condition in words, with kind, citation, terms, method and findings."""

    condition: str
    kind: Kind
    words: str
    citation: Annotated[str, Field(min_length=1)]
    section: str | None
    certainty: Certainty
    certainty_says: str
    terms: tuple[Term, ...]
    note: str | None
    how: str
    attestation: Attestation | None = None
    findings: tuple[Finding, ...]


class Overall(Record):
    """All conditions counted, by kind, in numbers and in a sentence."""

    conditions: Count
    computed: Count
    attested: Count
    open: Count
    sentence: str


class Band(Record):
    """One band of a duty."""

    rate: Share
    tpp_low: Number
    tpp_high: Number
    bandwidth_low: Number
    bandwidth_high: Number


class Rate(Record):
    """The duty on one chip; `outside_bands` where the policy has bands and the chip lies in none of them."""

    chip: str
    rate: Share
    outside_bands: bool


class Duty(PolicyElement):
    """What the policy charges on each chip that it lets through."""

    value: tuple[Band, ...]
    rates: tuple[Rate, ...]


class CapReading(Record):
    """What one reading of the cap allows."""

    policy: str
    chip: str
    counts: str
    period: str
    stated: bool
    cap_units: Figures
    units: Figures


class RowSet(Record):
    """Rows that findings name: artifact, selection, number, and digest of their content."""

    name: str
    artifact: str
    selection: str
    rows: Count
    sources: tuple[str, ...]
    content_sha256: Sha256


class DerivedFigures(Record):
    """The figures and verdicts: what follows from panel, paths and settings."""

    basis: Basis
    headline: tuple[Headline, ...]
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)]
    overall: Overall
    attestations: tuple[Attestation, ...]
    duty: Duty
    cap_readings: tuple[CapReading, ...]
    row_sets: tuple[RowSet, ...]
