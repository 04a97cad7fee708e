"""The evidence step: a windows run and one of its policies to a folder that stands on its own."""

from __future__ import annotations

import datetime as dt
import math
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import polars as pl

from forecasting.errors import StepError
from pipelines.evidence import facts
from pipelines.evidence.derive import DerivedEvidence, EvidenceInputs, derive
from pipelines.evidence.document import render, template_digest
from pipelines.evidence.folder import check_replaceable, replaced
from pipelines.evidence.lineage import Lineage, lineage
from pipelines.evidence.manifest import ARTIFACTS, DOCUMENT, EVIDENCE, MANIFEST, json_text, write_manifest
from pipelines.evidence.verdicts import Plain
from pipelines.runtime.config.loader import dump
from pipelines.runtime.files.artifacts import check_writable
from pipelines.runtime.store.address import masked
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG, Tracker

FORMAT = "overspill-evidence-1"
COPIED = {
    "etl": ("panel.parquet",),
    "forecast": ("paths.parquet", "choices.parquet"),
    "windows": (
        "windows.parquet",
        "window_steps.parquet",
        "saturation.parquet",
        "lead_time.parquet",
        "cap_readings.parquet",
    ),
    "backtest": ("leaderboard.parquet", "reliability.parquet"),
}
"""Artifacts that go into the folder, by step: what the figures are derived from, and what they are held "
"against."""

SETTINGS, SCHEMA = "settings-windows.yaml", "schema.json"
CLOSE = 1e-9  # relative; the same arithmetic on another processor may differ in the last digits


@dataclass(frozen=True, kw_only=True)
class EvidenceResult:
    """What the step leaves: its run, the folder, the manifest's seal, and the content of `evidence.json`."""

    run_id: str
    out: Path
    seal: str
    content: Plain


def write_evidence(
    tracker: Tracker, out: Path, *, windows_run_id: str | None = None, policy: str | None = None
) -> EvidenceResult:
    """Gather, derive and write the evidence for one policy of a windows run, and record the run.

    Parameters
    ----------
    tracker : Tracker
    out : Path
        Replaced as a whole.
    windows_run_id : str, optional
        By default the newest finished one.
    policy : str, optional
        By default the first that the windows run applied.

    Raises
    ------
    InputError
        If a run, an artifact or the policy is not in order, or `out` holds other files.
    StepError
        If this version does not derive the figures that the windows run recorded, or nothing can be written.
    """
    out = out.resolve()
    check_replaceable(out)
    check_writable(out.parent)
    with lineage(tracker, windows_run_id or tracker.newest("windows")) as of:
        stored = stored_inputs(of, policy)
        derived = derive(stored)
        check_agrees(derived, of.windows.table("windows"), policy=stored.policy)
        with (
            tracker.step("evidence", upstream_run_id=of.windows.run_id) as run,
            replaced(out) as folder,
        ):
            content = _content(of, stored, derived, store=tracker.shown, run_id=run.run_id)
            (folder / EVIDENCE).write_text(json_text(content), encoding="utf-8")
            (folder / DOCUMENT).write_text(render(content), encoding="utf-8")
            (folder / SCHEMA).write_bytes((files("pipelines.evidence") / SCHEMA).read_bytes())
            _copy_artifacts(of, folder / ARTIFACTS)
            seal = write_manifest(folder)
            run.set_tags({"overspill.evidence_seal": seal, "overspill.policy": stored.policy})
            for name in (DOCUMENT, EVIDENCE, MANIFEST):
                run.log_file(folder / name)
            run.describe(f"Evidence for the policy {stored.policy}; its manifest is sealed by {seal}.")
    return EvidenceResult(run_id=run.run_id, out=out, seal=seal, content=content)


def stored_inputs(of: Lineage, policy: str | None) -> EvidenceInputs:
    """What the figures are derived from, each table checked against what its run recorded."""
    settings = of.windows.settings()
    return EvidenceInputs(
        settings=settings,
        policy=policy or settings.policies[0].name,
        paths=of.forecast.table("paths"),
        choices=of.forecast.table("choices"),
        panel=of.etl.table("panel"),
        known_until=dt.date.fromisoformat(of.forecast.tags[KNOWN_UNTIL_TAG]),
    )


def check_agrees(derived: DerivedEvidence, recorded: pl.DataFrame, *, policy: str) -> None:
    """Refuse to testify to figures that are not those of the windows run.

    Raises
    ------
    StepError
        Naming the first figure that differs.
    """
    rows = recorded.filter(pl.col("policy") == policy).to_dicts()
    for mine, theirs in zip(derived.windows, rows, strict=True):
        for key, value in theirs.items():
            if not _alike(mine.get(key), value):
                where = f"{theirs['chip']}, {theirs['scope']}, {key}"
                raise StepError(
                    "the windows run's figures are not derived again from its paths by this version: "
                    f"{where}: recorded {value}, derived {mine.get(key)}"
                )


def _alike(mine: object, theirs: object) -> bool:
    if isinstance(mine, float) and isinstance(theirs, float):
        return math.isclose(mine, theirs, rel_tol=CLOSE)
    return mine == theirs


def _content(
    of: Lineage, stored: EvidenceInputs, derived: DerivedEvidence, *, store: str, run_id: str
) -> Plain:
    """Everything that `evidence.json` holds."""
    policy = stored.only_policy()
    return {
        "format": FORMAT,
        "made_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        **facts.notices_and_limits(stored.settings),
        "question": "When is US demand saturated, and how much may then be exported?",
        "policy": {
            "name": policy.name,
            "title": policy.title,
            "source": " ".join(policy.source.split()),
            "effective_date": policy.effective_date.isoformat(),
            "review": policy.review,
        },
        **derived.figures,
        "priority_inversions": facts.inversions(of),
        "assumptions": facts.assumptions(of),
        "sources": facts.sources(stored.panel),
        "model": facts.model(of),
        "calibration": facts.calibration(of),
        "lineage": {
            "store": store,
            "evidence_run_id": run_id,
            "raw_files": facts.raw_files(of),
            "runs": [run.told() for run in of.runs()],
        },
        "software": facts.software() | {"template_sha256": template_digest()},
    }


def _copy_artifacts(of: Lineage, target: Path) -> None:
    """Copy what verification needs; of the settings a copy without the store's password."""
    target.mkdir()
    for run in of.runs():
        for name in COPIED[run.step]:
            shutil.copyfile(run.path(name), target / name)
    settings = of.windows.settings()
    uri = settings.tracking.uri
    if uri is None or uri == masked(uri):
        shutil.copyfile(of.windows.path(SETTINGS), target / SETTINGS)
    else:
        (target / SETTINGS).write_text(dump(settings), encoding="utf-8")
