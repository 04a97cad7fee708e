"""The first step: raw sources to the canonical panel, `panel.parquet`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from forecasting import reference
from forecasting.panel.schema import check_panel, content_digest, latest
from forecasting.public.bookings import DeliveryProfile, check_balance
from forecasting.public.editions import Edition
from forecasting.public.panel import BookSettings, build_panel, portfolio_ratios
from forecasting.public.sources import PublicSources
from forecasting.public.statements import judged
from forecasting.reference.checks import Check, run_checks
from pipelines.etl.order_book.step import run_order_book_etl
from pipelines.runtime.config.data import EditionFile, PublicData
from pipelines.runtime.config.loader import load_sources
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.etl_result import EtlResult
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG

REFERENCE_TABLES = ("cloud", "macro", "capital_expenditure", "vendors", "chips", "statements")


def check_reference() -> list[Check]:
    """Run the checks of the packaged reference tables."""
    return run_checks(frozenset(load_sources()))


def public_sources(data: PublicData) -> PublicSources:
    """The tables that the settings name, with the publication lag of each source."""
    return PublicSources(
        editions=tuple(_edition(edition) for edition in data.editions),
        cloud=reference.load("cloud"),
        macro=reference.load("macro"),
        capital_expenditure=reference.load("capital_expenditure"),
        vendors=reference.load("vendors"),
        publication_lag_days={name: source.publication_lag_days for name, source in load_sources().items()},
        unreported=data.unreported,
        statements=reference.load("statements").collect(),
        as_of=data.as_of,
    )


def _edition(edition: EditionFile) -> Edition:
    name = edition.owners
    owners = None if name is None else reference.load_edition(name, like="shipments_by_owner")
    return Edition(
        published=edition.published,
        totals=reference.load_edition(edition.totals, like="shipments_total"),
        owners=owners,
    )


def public_panel(data: PublicData) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Build and check the public panel; returns it and the table of due to delivered, newest vintage."""
    sources = public_sources(data)
    books = BookSettings(
        clouds=data.clouds, books_from=data.books_from, calm_from=data.calm_from, calm_to=data.calm_to
    )
    plans = [
        build_panel(sources, data.assumptions, books),
        portfolio_ratios(sources, data.assumptions, books),
    ]
    # A few thousand rows with many windows: the in-memory engine takes 0.2 s, the streaming one 7 s.
    panel, ratios = pl.collect_all(plans, engine="in-memory")
    duration = round(data.assumptions.delivery_duration_quarters.value)
    check_balance(
        ratios,
        DeliveryProfile(duration_quarters=duration, calm_from=data.calm_from, calm_to=data.calm_to),
    )
    return check_panel(panel, frequency=data.panel_frequency, where="public panel"), ratios


def run_etl(context: Context) -> EtlResult:
    """Build the panel from what `data.kind` names, write it with what belongs to it, and record the run."""
    data = context.settings.data
    return (
        run_public_etl(context, data) if isinstance(data, PublicData) else run_order_book_etl(context, data)
    )


def run_public_etl(context: Context, data: PublicData) -> EtlResult:
    """Build the public panel, write `panel.parquet` and `due_to_delivered.parquet`, and record the run.

    Raises
    ------
    InputError
        If a reference table, an assumption or the resulting panel breaks a rule.
    """
    with context.step("etl") as (run, folder):
        for name, source, table in _raw_tables(data):
            run.log_dataset(name=name, digest=content_digest(table), source=source, context="raw")
        panel, ratios = public_panel(data)
        known_until = str(ratios["vintage"].max())
        run.set_tags({KNOWN_UNTIL_TAG: known_until})
        stated = judged(panel, until=dt.date.fromisoformat(known_until))
        context.write(run, folder, {"panel": panel, "due_to_delivered": ratios, "statements": stated})
        run.log_metrics(
            {
                "rows": panel.height,
                "items": panel["item_id"].n_unique(),
                "vintages": panel["published_at"].n_unique(),
            }
        )
        run.describe(_page_text(panel))
    return EtlResult(run_id=run.run_id, panel=panel)


def _raw_tables(data: PublicData) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """Name, source and content of every table that the panel is built from."""
    known = [edition for edition in data.editions if data.as_of is None or edition.published <= data.as_of]
    for edition in known:
        for name, like in ((edition.owners, "shipments_by_owner"), (edition.totals, "shipments_total")):
            if name is not None:
                place = name if name.endswith(".csv") else f"forecasting/reference/{name}.csv"
                yield Path(name).stem, place, reference.load_edition(name, like=like).collect()
    for name in REFERENCE_TABLES:
        yield name, f"forecasting/reference/{name}.csv", reference.load(name).collect()


def _page_text(panel: pl.DataFrame) -> str:
    newest = latest(panel.lazy()).collect()
    stamps, days = newest["timestamp"].sort(), panel["published_at"].unique().sort()
    return (
        f"Panel of {newest['item_id'].n_unique()} items from {stamps[0]} to {stamps[-1]}, in {days.len()} "
        f"vintages; the last was published on {days[-1]}."
    )
