"""What stands beside the figures: assumptions, sources, model, calibration, order book, software, limits."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs
from pydantic import TypeAdapter

import pipelines
from forecasting.errors import InputError
from pipelines.evidence.document import template_digest
from pipelines.evidence.figure_records import Json, Row
from pipelines.evidence.records import (
    AssumptionEntry,
    Calibration,
    Inversions,
    ModelEntry,
    NetworkCard,
    RunEntry,
    Software,
    SourceDescription,
    SourceEntry,
)
from pipelines.evidence.stored import KNOWN_CASE, StoredArtifacts
from pipelines.evidence.verdicts import plain
from pipelines.runtime.config.loader import load_sources
from pipelines.runtime.config.settings import Settings, Source
from pipelines.runtime.files.artifacts import file_digest, read_table
from pipelines.runtime.registry.weights import CARD, TRAINED_UNTIL

QUESTION = "When is US demand saturated, and how much may then be exported?"
NOTICE = (
    "This file is decision support. It is no legal advice and no finding that any transaction is lawful.",
    "It says what was computed from the stated data, assumptions and reading of the policy, and no more.",
    "Check the policy's text before relying on its summary here.",
)
LIMITS = (
    "What a rule asks of the buyer, the end use or testing is attested or open, and not examined here.",
    "Whether a licence will be granted is not forecast.",
    "Probabilities are shares of sampled paths of a statistical model.",
    "Calibration shows how such probabilities compared with past outcomes, for few forecasts.",
    "Stock, licences, past exports and prices are assumed, with ranges that are drawn once for each path.",
)
LIMITS_OF_DATA = {
    "public": (
        "Shipments are estimates by others, not counts.",
        "Orders are observed nowhere. They are inferred from shipments, press and the clouds' obligations.",
        "What was known before the first edition of shipments is hypothetical, in the backtest too.",
        "Where chips stand is not known, only whose they are: US end use is an assumption.",
    ),
    "order_book": (
        "US demand is that of the orders in the vendor's own book. Refused lines enter nothing.",
        "Countries of end use are as the order lines state them.",
    ),
}
"""What each way in of the data cannot know, by `data.kind`."""

GIT_SECONDS = 5
WINDOWS_ASSUME = ("data.exports", "data.revenue", "data.stock_abroad_h100e")


def limits(settings: Settings) -> tuple[str, ...]:
    """What the evidence does not show."""
    return (*LIMITS, *LIMITS_OF_DATA.get(settings.data.kind, ()))


def assumptions(of: StoredArtifacts) -> tuple[AssumptionEntry, ...]:
    """Every assumption with its range, as the step had it into which it enters.

    Prices, stock, exports and licences enter the windows step, the correlation of errors the forecast step,
    all others the panel.
    """
    found = []
    for step, prefixes in (
        ("etl", None),
        ("forecast", ("data.error_correlation",)),
        ("windows", WINDOWS_ASSUME),
    ):
        for name, entry in _ranged(TypeAdapter(Settings).dump_python(of.settings(step), mode="json"), ""):
            later = name.startswith(("data.error_correlation", *WINDOWS_ASSUME))
            if name.startswith(prefixes) if prefixes else not later:
                reason = " ".join(entry["reason"].split())
                found.append(AssumptionEntry(**(entry | {"name": name, "step": step, "reason": reason})))
    return tuple(found)


def _ranged(tree: object, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted names and contents of all assumptions in resolved settings."""
    if isinstance(tree, Mapping):
        if {"value", "low", "high", "unit", "reason"} <= set(tree):
            yield prefix, dict(tree)
            return
        for key, inner in tree.items():
            yield from _ranged(inner, f"{prefix}.{key}" if prefix else str(key))


def sources(panel: pl.DataFrame) -> tuple[SourceEntry, ...]:
    """Sources of the panel's rows, with vintages, licence, cautions and how many rows rest on each."""
    known = load_sources()
    parts = panel.with_columns(pl.col("source_id").str.split("+")).explode("source_id", empty_as_null=True)
    counted = (
        parts.group_by("source_id")
        .agg(
            pl.len().alias("panel_rows"),
            pl.col("published_at").min().alias("first_published"),
            pl.col("published_at").max().alias("last_published"),
            pl.col("published_at").n_unique().alias("vintages"),
        )
        .sort("source_id")
    )
    return tuple(
        SourceEntry(**row, described=_described(known.get(row["source_id"])))
        for row in counted.iter_rows(named=True)
    )


def _described(source: Source | None) -> SourceDescription | None:
    return None if source is None else SourceDescription(**source.model_dump())


def raw_files(summary: Path | None) -> tuple[Row, ...]:
    """Files of an order book as the etl run read them, from its `summary.json`; none for public data."""
    if summary is None:
        return ()
    read = json.loads(summary.read_text(encoding="utf-8"))["files"]
    return tuple(
        {key: value for key, value in each.items() if not isinstance(value, dict | list)} for each in read
    )


def model(of: StoredArtifacts) -> ModelEntry:
    """What drew the paths: the forecaster, its settings, the model of each item, and the network's card."""
    settings = of.settings("forecast")
    return ModelEntry(
        forecaster=settings.forecast.model,
        seed=settings.seed,
        paths=settings.forecast.paths,
        horizon=settings.forecast.horizon,
        statistical=None if settings.forecast.model == "network" else plain(vars(settings.statistical)),
        items=tuple(of.table("choices").with_columns(cs.date().cast(pl.String)).to_dicts()),
        network_card=network_card(of),
    )


def network_card(of: StoredArtifacts) -> NetworkCard | None:
    """Where the weights that drew the paths came from, their digest and their card; None without a network.

    Raises
    ------
    InputError
        The card is missing, or is not the one that the run recorded.
    """
    run = of.steps["forecast"]
    if run.weights_sha256 is None:
        return None
    path, recorded = of.folder / CARD, run.content_sha256.get(Path(CARD).stem)
    found = file_digest(path) if path.is_file() else "no file"
    if found != recorded or run.weights is None:
        raise InputError(
            "the artifact is not what its run wrote",
            expected=f"SHA-256 {recorded}",
            found=found,
            where=f"run {run.run_id}, {CARD}",
        )
    card = json.loads(path.read_text(encoding="utf-8"))
    return NetworkCard(weights=run.weights, weights_sha256=run.weights_sha256, card=card)


def calibration(of: StoredArtifacts) -> Calibration:
    """How the forecaster's probabilities compared with outcomes in the backtest of the same panel, if any."""
    run = of.steps.get("backtest")
    if run is None:
        why = "No backtest run of the same panel is recorded, so calibration is not shown."
        return Calibration(shown=False, why=why)
    forecast, backtest = of.settings("forecast"), of.settings("backtest")
    name = forecast.forecast.model
    mine = pl.col("forecaster") == name
    known_case = of.path_if_recorded("backtest", KNOWN_CASE)
    case = None if known_case is None else read_table(known_case).filter(mine).to_dicts()
    same = (forecast.statistical, forecast.seed) == (backtest.statistical, backtest.seed)
    return Calibration(
        shown=True,
        why=f"Scores of the forecaster {name} standing on past days, with what was known by then."
        + ("" if same else " The backtest was run with other settings of the forecaster or another seed.")
        + of_weights(of.steps["forecast"], run, network_card(of)),
        run_id=run.run_id,
        horizon=backtest.backtest.horizon,
        scores=plain(of.table("leaderboard").to_dicts()),
        reliability=plain(of.table("reliability").filter(mine).to_dicts()),
        known_case=plain(case),
    )


def of_weights(forecast: RunEntry, backtest: RunEntry, card: NetworkCard | None) -> str:
    """A remark where the network in the backtest was not the one that drew the paths; else empty."""
    if card is None:
        return ""
    if forecast.weights_sha256 != backtest.weights_sha256:
        other = backtest.weights or "none that are recorded"
        return f" The backtest was run with other weights of the network: {other}."
    until = card.card.get(TRAINED_UNTIL)
    if until is None:
        return ""
    return f" On days before {until}, which their training had seen, the package's own weights stood in."


def statements(path: Path | None) -> tuple[dict[str, Any], ...]:
    """Dated statements of others that were known, how each was used, and whether the states agree with it."""
    return () if path is None else tuple(read_table(path).with_columns(cs.date().cast(pl.String)).to_dicts())


def inversions(path: Path | None) -> Inversions:
    """Export lines of the order book that overtook waiting US lines; public data cannot show any.

    Parameters
    ----------
    path : Path, optional
        Table of the cases; None where the data holds no order lines.
    """
    if path is None:
        why = "The data holds no order lines. Which order was served first cannot be shown from public data."
        return Inversions(verdict="cannot be shown from data", why=why, cases=None, sha256=None, largest=())
    cases = read_table(path)
    units = "quantity" if "quantity" in cases.columns else cases.columns[-1]
    why = (
        f"Cases among the accepted order lines: {cases.height:,}. In each an export line, requested the same "
        "day or later, was shipped while a US line of the same product was open after its requested day."
        if cases.height
        else "No case was found among the accepted order lines. Refused lines were not looked at."
    )
    return Inversions(
        verdict="found" if cases.height else "none found",
        why=why,
        cases=cases.height,
        sha256=file_digest(path),
        largest=plain(cases.sort(-pl.col(units), pl.exclude(units)).head(20).to_dicts()),
    )


def software() -> Software:
    """Versions of what writes the evidence; each run names the version of overspill that wrote it."""
    names = sorted({_name(text) for text in requires("overspill") or () if "extra ==" not in text})
    return Software(
        overspill=version("overspill"),
        python=platform.python_version(),
        system=platform.platform(),
        packages={name: found for name in names if (found := _version(name)) is not None},
        template_sha256=template_digest(),
        **git_commit(Path(pipelines.__file__).parents[1]),
    )


def _name(requirement: str) -> str:
    """Name of the package in a requirement such as `numpy>=2.1,<3`."""
    found = re.match(r"[\w.-]+", requirement)
    return found[0] if found else requirement


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_commit(root: Path) -> Json:
    """Commit of the code, and whether files differ from it; both None where it was installed without git."""
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top) != root.resolve():
        return {"git_commit": None, "git_differs": None}
    status = _git(root, "status", "--porcelain")
    return {
        "git_commit": _git(root, "rev-parse", "HEAD"),
        "git_differs": None if status is None else status != "",
    }


def _git(root: Path, *arguments: str) -> str | None:
    """Output of a git command; None where git is missing, fails or does not answer."""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
