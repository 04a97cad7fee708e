"""What `evidence.json` holds, declared as frozen records, from which its JSON Schema is generated."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter

from pipelines.evidence.figure_records import (
    Attestation,
    Basis,
    CapReading,
    Certainty,
    Condition,
    Count,
    Duty,
    Headline,
    Json,
    Number,
    Overall,
    Record,
    Row,
    RowSet,
    Scope,
    Sha256,
)

FORMAT: Literal["overspill-evidence-4"] = "overspill-evidence-4"
MANIFEST_FORMAT: Literal["overspill-evidence-manifest-2"] = "overspill-evidence-manifest-2"


class Cover(Record):
    """Who applies, who prepared the evidence, and for which licence, as they said; None where not said."""

    applicant: str | None = None
    preparer: str | None = None
    licence_number: str | None = None
    date: dt.date | None = None


class Reading(Record):
    """Whose US orders the text of the policy means, as far as it can be told."""

    scope: Scope
    certainty: Certainty
    certainty_says: str
    reason: str


class PolicySummary(Record):
    """The policy that the evidence is about; `effective_date` is null for a bill that is not law."""

    name: str
    title: str
    source: str
    effective_date: dt.date | None
    reading: Reading | None
    review: Literal["case_by_case", "denial"]


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

    format: Literal["overspill-evidence-4"]
    made_at: AwareDatetime
    signed_by: Sha256 | None
    cover: Cover
    notice: Annotated[tuple[str, ...], Field(min_length=1)]
    limits: Annotated[tuple[str, ...], Field(min_length=1)]
    question: str
    policy: PolicySummary
    basis: Basis
    headline: tuple[Headline, ...]
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)]
    overall: Overall
    attestations: tuple[Attestation, ...]
    duty: Duty
    cap_readings: tuple[CapReading, ...]
    row_sets: tuple[RowSet, ...]
    priority_inversions: Inversions
    statements: tuple[Row, ...] = ()
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
