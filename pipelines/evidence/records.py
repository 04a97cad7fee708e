"""What `evidence.json` holds, as frozen records, from which its JSON Schema is generated."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

FORMAT: Literal["overspill-evidence-2"] = "overspill-evidence-2"
MANIFEST_FORMAT: Literal["overspill-evidence-manifest-2"] = "overspill-evidence-manifest-2"

Json: TypeAlias = dict[str, Any]
Verdict: TypeAlias = Literal["met", "not met", "cannot be shown from data"]
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


class PolicySummary(Record):
    """The policy that the evidence is about."""

    name: str
    title: str
    source: str
    effective_date: dt.date
    review: Literal["case_by_case", "denial"]


class Basis(Record):
    """What all figures have in common."""

    now: dt.date
    next_period: dt.date
    origin: dt.date
    horizon_end: dt.date
    frequency: str
    paths: Annotated[int, Field(ge=1)]
    known_until: dt.date
    confidence: Share
    quantile_levels: tuple[Share, ...]
    verdict_rule: str


class Step(Record):
    """One period of one chip and scope."""

    timestamp: dt.date
    p_open: Share
    units: Figures
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
    p_saturated_now: Share | None = None
    p_never: Share | None = None
    p_any_window: Share | None = None
    window_opens: dt.date | None = None
    window_closes: dt.date | None = None
    binding: str | None = None
    binding_share: Share | None = None
    saturated: Dates | None
    opening: Dates | None
    closing: Dates | None
    units: Figures | None
    first_window_units: Figures | None
    tpp: Figures | None
    value_usd: Figures | None
    first_window_value_usd: Figures | None
    steps: tuple[Step, ...]
    headroom_next_period: Figures | None
    all_conditions_next_period: Verdict | None


class PolicyElement(Record):
    """One element of a policy, with how sure it is and what a reader must know."""

    element: str
    certainty: Certainty
    certainty_says: str
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


class Condition(Record):
    """One condition in words, with citation, terms, method and findings."""

    condition: str
    words: str
    citation: Annotated[str, Field(min_length=1)]
    terms: Annotated[tuple[Term, ...], Field(min_length=1)]
    note: str | None
    how: str
    findings: tuple[Finding, ...]


class Band(Record):
    """One band of a duty."""

    rate: Share
    tpp_low: Number
    tpp_high: Number
    bandwidth_low: Number
    bandwidth_high: Number


class Rate(Record):
    """The duty on one chip."""

    chip: str
    rate: Share


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
    duty: Duty
    cap_readings: tuple[CapReading, ...]
    row_sets: tuple[RowSet, ...]


class Inversions(Record):
    """Export lines of an order book that overtook waiting US lines."""

    verdict: Literal["found", "none found", "cannot be shown from data"]
    why: str
    cases: Count | None
    sha256: Sha256 | None
    largest: tuple[Row, ...]


class AssumptionEntry(Record):
    """One assumption with its range, and the step into which it enters."""

    name: str
    step: str
    value: Number
    low: Number
    high: Number
    unit: str
    reason: str


class SourceDescription(Record):
    """One entry of the packaged list of sources."""

    title: str
    publisher: str
    licence: str
    retrieved: str
    publication_lag_days: Count
    url: str | None
    single_vintage: dt.date | None
    cautions: tuple[str, ...]


class SourceEntry(Record):
    """One source of the panel's rows."""

    source_id: str
    panel_rows: Count
    vintages: Count
    first_published: dt.date
    last_published: dt.date
    described: SourceDescription | None


class NetworkCard(Record):
    """Where the weights that drew the paths came from."""

    weights: str
    weights_sha256: Sha256
    card: Json


class ModelEntry(Record):
    """What drew the paths."""

    forecaster: str
    seed: Count
    paths: Count
    horizon: Count
    statistical: Json | None
    items: tuple[Row, ...]
    network_card: NetworkCard | None


class Calibration(Record):
    """How the forecaster's probabilities compared with outcomes; empty where no backtest is recorded."""

    shown: bool
    why: str
    run_id: str | None = None
    horizon: Count | None = None
    scores: tuple[Row, ...] = ()
    reliability: tuple[Row, ...] = ()
    known_case: tuple[Row, ...] | None = None


class ArtifactEntry(Record):
    """One artifact of a run."""

    name: str
    bytes: Count
    sha256: Sha256


class RunEntry(Record):
    """One run behind the evidence, as its store recorded it."""

    step: str
    run_id: str
    upstream_run_id: str | None
    started: AwareDatetime
    overspill_version: str | None
    git_commit: str | None
    known_until: dt.date | None
    weights: str | None
    weights_sha256: Sha256 | None
    content_sha256: dict[str, Sha256]
    artifacts: tuple[ArtifactEntry, ...]


class LineageEntry(Record):
    """From the evidence back to the raw data."""

    store: str
    evidence_run_id: str
    raw_files: tuple[Row, ...]
    runs: Annotated[tuple[RunEntry, ...], Field(min_length=3)]


class Software(Record):
    """Versions of what wrote the evidence."""

    overspill: str
    python: str
    system: str
    packages: dict[str, str]
    git_commit: str | None
    git_differs: bool | None
    template_sha256: Sha256


class Evidence(Record):
    """What was computed for one policy of a windows run, how, and from which rows.

    Decision support, not legal advice. `signed_by` is the fingerprint of the key that signs the manifest.
    """

    format: Literal["overspill-evidence-2"]
    made_at: AwareDatetime
    signed_by: Sha256 | None
    notice: Annotated[tuple[str, ...], Field(min_length=1)]
    limits: Annotated[tuple[str, ...], Field(min_length=1)]
    question: str
    policy: PolicySummary
    basis: Basis
    headline: tuple[Headline, ...]
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)]
    duty: Duty
    cap_readings: tuple[CapReading, ...]
    row_sets: tuple[RowSet, ...]
    priority_inversions: Inversions
    assumptions: tuple[AssumptionEntry, ...]
    sources: tuple[SourceEntry, ...]
    model: ModelEntry
    calibration: Calibration
    lineage: LineageEntry
    software: Software


class FileEntry(Record):
    """One file of an evidence folder."""

    sha256: Sha256
    bytes: Count


class Manifest(Record):
    """What `manifest.json` holds: every other file, who signs, and the seal over both."""

    format: Literal["overspill-evidence-manifest-2"]
    signed_by: Sha256 | None
    files: dict[str, FileEntry]
    seal: Sha256


def as_json(record: BaseModel) -> Json:
    """A record as JSON holds it."""
    return record.model_dump(mode="json")


def json_schema() -> Json:
    """JSON Schema of `evidence.json`, generated from the records."""
    generated = TypeAdapter(Evidence).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **generated}
