"""The whole content of `evidence.json` from the stored artifacts: once to write it, again to verify it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Self

from forecasting.policy.policy import Policy
from pipelines.evidence import facts
from pipelines.evidence.derive import DerivedEvidence, EvidenceInputs
from pipelines.evidence.records import (
    FORMAT,
    Cover,
    Evidence,
    LineageEntry,
    PolicySummary,
    Reading,
    RunEntry,
    Software,
)
from pipelines.evidence.stored import INVERSIONS, STATEMENTS, SUMMARY, StoredArtifacts
from pipelines.evidence.verdicts import certainty_says


@dataclass(frozen=True, kw_only=True)
class RecordedFacts:
    """What does not follow from the artifacts: who wrote the evidence, for whom, when, and from which runs.

    Only a signature protects these.
    """

    made_at: dt.datetime
    signed_by: str | None
    store: str
    evidence_run_id: str
    runs: tuple[RunEntry, ...]
    software: Software
    cover: Cover = field(default_factory=Cover)

    @classmethod
    def stated(cls, content: Evidence) -> Self:
        """As the evidence itself states them."""
        return cls(
            made_at=content.made_at,
            signed_by=content.signed_by,
            store=content.lineage.store,
            evidence_run_id=content.lineage.evidence_run_id,
            runs=content.lineage.runs,
            software=content.software,
            cover=content.cover,
        )


def _reading(policy: Policy) -> Reading | None:
    found = policy.reading
    if found is None:
        return None
    return Reading(
        scope=found.scope,
        certainty=found.certainty,
        certainty_says=certainty_says(found.certainty),
        reason=" ".join(found.reason.split()),
    )


def build_evidence(
    artifacts: StoredArtifacts, inputs: EvidenceInputs, derived: DerivedEvidence, recorded: RecordedFacts
) -> Evidence:
    """Everything that `evidence.json` holds."""
    policy = inputs.only_policy()
    return Evidence(
        format=FORMAT,
        made_at=recorded.made_at,
        signed_by=recorded.signed_by,
        cover=recorded.cover,
        notice=facts.NOTICE,
        limits=facts.limits(inputs.settings),
        question=facts.QUESTION,
        policy=PolicySummary(
            name=policy.name,
            title=policy.title,
            source=" ".join(policy.source.split()),
            effective_date=policy.begins,
            reading=_reading(policy),
            review=policy.review,
        ),
        **dict(derived.figures),
        priority_inversions=facts.inversions(artifacts.path_if_recorded("etl", INVERSIONS)),
        assumptions=facts.assumptions(artifacts),
        statements=facts.statements(artifacts.path_if_recorded("etl", STATEMENTS)),
        sources=facts.sources(inputs.panel),
        model=facts.model(artifacts),
        calibration=facts.calibration(artifacts),
        lineage=LineageEntry(
            store=recorded.store,
            evidence_run_id=recorded.evidence_run_id,
            raw_files=facts.raw_files(artifacts.path_if_recorded("etl", SUMMARY)),
            runs=recorded.runs,
        ),
        software=recorded.software,
    )
