"""The artifacts beside the evidence: which run each is of, and whether they are what those runs recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from forecasting.errors import InputError, StepError
from forecasting.panel.schema import content_digest
from pipelines.evidence.derive import EvidenceInputs
from pipelines.evidence.records import RunEntry
from pipelines.runtime.config.loader import load_settings
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.files.artifacts import file_digest, read_table
from pipelines.runtime.registry.weights import CARD

WINDOWS_TABLES = ("windows", "window_steps", "saturation", "lead_time", "cap_readings", "headroom")
SUMMARY, INVERSIONS, KNOWN_CASE = "summary.json", "priority_inversions.parquet", "known_case.parquet"
STATEMENTS = "statements.parquet"
COPIED = {
    "etl": ("panel.parquet", "settings-etl.yaml"),
    "backtest": ("scores.parquet", "leaderboard.parquet", "reliability.parquet", "settings-backtest.yaml"),
    "forecast": ("paths.parquet", "choices.parquet", "settings-forecast.yaml"),
    "windows": (*(f"{name}.parquet" for name in WINDOWS_TABLES), "settings-windows.yaml"),
}
COPIED_IF_RECORDED = {
    "etl": (SUMMARY, INVERSIONS, STATEMENTS),
    "backtest": (KNOWN_CASE,),
    "forecast": (CARD,),
}
READS = {"backtest": ("panel", "etl"), "forecast": ("panel", "etl"), "windows": ("paths", "forecast")}


def copied_names(run: RunEntry) -> list[str]:
    """Artifacts of a run that go into the folder: what the evidence is derived from or compared with."""
    recorded = {each.name for each in run.artifacts}
    return [
        *COPIED[run.step],
        *(name for name in COPIED_IF_RECORDED.get(run.step, ()) if name in recorded),
    ]


@dataclass(frozen=True)
class StoredArtifacts:
    """A folder with the artifacts of the runs behind the evidence; `runs` is what their store recorded."""

    folder: Path
    runs: tuple[RunEntry, ...]

    @cached_property
    def steps(self) -> dict[str, RunEntry]:
        """Each run by its step."""
        return {run.step: run for run in self.runs}

    def names(self) -> list[str]:
        """All files that the folder must hold."""
        return [name for run in self.runs for name in copied_names(run)]

    def names_of(self, step: str) -> list[str]:
        """Those of one run."""
        return copied_names(self.steps[step])

    def path_if_recorded(self, step: str, name: str) -> Path | None:
        """File of an artifact that not every run has; None where this one has none."""
        run = self.steps.get(step)
        return self.folder / name if run is not None and name in copied_names(run) else None

    def settings(self, step: str) -> Settings:
        """Settings of a run."""
        return load_settings(self.folder / f"settings-{step}.yaml")

    def table(self, name: str) -> pl.DataFrame:
        """Read a table."""
        return read_table(self.folder / f"{name}.parquet")

    def inputs(self, policy: str | None, verdict_threshold: float | None = None) -> EvidenceInputs:
        """What the figures are derived from; by default of the first policy, and the run's own confidence.

        Raises
        ------
        InputError
            If the forecast run does not say what was known.
        """
        settings, known_until = self.settings("windows"), self.steps["forecast"].known_until
        if known_until is None:
            raise InputError(
                "the run does not say what had been published",
                where=f"run {self.steps['forecast'].run_id}",
            )
        return EvidenceInputs(
            settings=settings,
            policy=policy or settings.policies[0].name,
            paths=self.table("paths"),
            choices=self.table("choices"),
            panel=self.table("panel"),
            known_until=known_until,
            verdict_threshold=verdict_threshold,
        )

    def check(self) -> None:
        """Refuse a folder that is not in order.

        Raises
        ------
        StepError
            Naming the file or run that does not fit.
        """
        for fault in self.faults():
            raise StepError(f"{self.folder}: {fault}")

    def faults(self) -> Iterator[str]:
        """What does not fit: files that are not those of the listed runs, runs that read something else."""
        yield from self._wrong_chain()
        yield from self._wrong_files()
        yield from self._wrong_contents()

    def _wrong_chain(self) -> Iterator[str]:
        found = [run.step for run in self.runs]
        expected = [step for step in COPIED if step != "backtest" or step in found]
        if found != expected:
            yield f"the runs are {', '.join(found)}; expected {', '.join(expected)}"
            return
        for step, before in (("forecast", "etl"), ("windows", "forecast")):
            run, upstream = self.steps[step], self.steps[before]
            if run.upstream_run_id != upstream.run_id:
                yield f"the {step} run does not read from the {before} run that is listed"
        if self.steps["forecast"].known_until != self.steps["etl"].known_until:
            yield "the forecast run knew something else than the etl run"
        for step, (table, before) in READS.items():
            if step in found:
                read = self.steps[step].content_sha256.get(table)
                if read is None or read != self.steps[before].content_sha256.get(table):
                    yield f"the {step} run did not read the {table} of the {before} run"

    def _wrong_files(self) -> Iterator[str]:
        for run in self.runs:
            listed = {each.name: each.sha256 for each in run.artifacts}
            for name in copied_names(run):
                if not (self.folder / name).is_file():
                    yield f"{name}: the file is missing"
                elif file_digest(self.folder / name) != listed.get(name):
                    yield f"{name}: the file is not the artifact of the {run.step} run that is listed"

    def _wrong_contents(self) -> Iterator[str]:
        for run in self.runs:
            for name in copied_names(run):
                table, suffix = Path(name).stem, Path(name).suffix
                hashed = suffix == ".parquet" and name != INVERSIONS  # which is written without a digest
                if hashed and content_digest(self.table(table)) != run.content_sha256.get(table):
                    yield f"{name}: its content is not what the {run.step} run recorded"
