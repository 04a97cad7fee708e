"""The etl step of a vendor's own order book: order lines to panel, exact series and US-first check."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from forecasting.errors import InputError
from forecasting.order_book.panel import order_book_panel
from forecasting.order_book.series import series, shipped_tpp_by_country
from forecasting.panel.schema import check_panel
from forecasting.reference.chips import Chip
from pipelines.etl.order_book import report
from pipelines.etl.order_book.counts import RowCounts, count_rows, known_until
from pipelines.etl.order_book.files.object_store import is_address
from pipelines.etl.order_book.files.recipe import Recipe, check_alike, recipe
from pipelines.etl.order_book.files.sources import Listing, list_sources
from pipelines.etl.order_book.incremental.across_files import Settlement, settle
from pipelines.etl.order_book.incremental.engines import read_files
from pipelines.etl.order_book.incremental.file_summary import FileSummary
from pipelines.etl.order_book.incremental.manifest import Manifest, open_manifest
from pipelines.etl.order_book.quarantine import Quarantine, check_share
from pipelines.etl.order_book.quarantine_folder import QUARANTINE, quarantine_left, remove_left
from pipelines.etl.order_book.us_first_check import DerivedTables, overtakings
from pipelines.runtime.config.order_book import OrderBookData
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.etl_result import EtlResult
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG


@dataclass(frozen=True, kw_only=True)
class Book:
    """An order book as read and settled.

    Attributes
    ----------
    digests : sequence of FileSummary
        By rising path; a place in it is what `source_file` counts.
    folders : sequence of Path
        Where their tables lie.
    settlement : Settlement
        What counts of them.
    parts : sequence of RowCounts
        Count of rows of each file.
    known_until : date
        Day on which the book was drawn up.
    """

    digests: Sequence[FileSummary]
    folders: Sequence[Path]
    settlement: Settlement
    parts: Sequence[RowCounts]
    known_until: dt.date


def run_order_book_etl(context: Context, data: OrderBookData) -> EtlResult:
    """Read new and changed files, settle what they say together, write the result as a set, record the run.

    Raises
    ------
    InputError
        If a file cannot be read or is none of order lines, too many rows are bad, or no period is covered.
    StepError
        If the cache or the output cannot be written, or the engine fails.
    """
    made = recipe(data, today=_today(data.time_zone))
    listing = list_sources(_paths(data), made.storage_options)
    with (
        context.step("etl") as (run, folder),
        open_manifest(data.cache, _name(data), made.fingerprint, context.console) as manifest,
    ):
        book = settled(read(listing, made, manifest, data, context), made, manifest, data)
        _tell_notes(book, context)
        chips = data.chip_of_sku
        derived = DerivedTables(book.folders, book.settlement.losers)
        quarantine = Quarantine(digests=book.digests, derived=derived, intake=made.intake)
        with quarantine_left(quarantine, context, run, folder):
            check_share(book.parts, quarantine, at_most=data.quarantine_max_share)
            tables = _tables(book, data, chips)
            panel = _panel(tables["series"], data, chips)
        run.log_dataset(name="order_book", digest=_digest(book), source=str(data.path), context="raw")
        run.set_tags({KNOWN_UNTIL_TAG: str(book.known_until)})
        context.write(run, folder, {"panel": panel, **tables})
        quarantine.write(folder / QUARANTINE)
        cases = report.write_cases(folder, overtakings(derived), book.digests)
        summary = report.summary(
            book.digests, book.parts, cases, known_until=book.known_until, ignored=listing.ignored
        )
        report.write_summary(folder, summary)
        run.log_metrics(
            report.metrics(summary) | {"rows": panel.height, "items": panel["item_id"].n_unique()}
        )
        run.describe(report.page_text(summary))
        manifest.keep(book.digests)
        derived.sweep()
    remove_left(context)
    return EtlResult(run_id=run.run_id, panel=panel, summary=report.printed_summary(summary))


def read(
    listing: Listing, made: Recipe, manifest: Manifest, data: OrderBookData, context: Context
) -> list[FileSummary]:
    """Digests of all files by rising path, from the manifest where a file has not changed."""
    known = manifest.known(listing.files, made.intake.as_of)
    new = [source for source in listing.files if source.path not in known]
    reading = read_files(new, made, manifest, engine=data.engine, console=context.console)
    known |= {each.source.path: each for each in context.progress(reading, "order lines", total=len(new))}
    digests = [known[source.path] for source in listing.files]
    for digest in digests[1:]:
        check_alike((digests[0].source.path, digests[0].columns), (digest.source.path, digest.columns))
    return digests


def settled(digests: Sequence[FileSummary], made: Recipe, manifest: Manifest, data: OrderBookData) -> Book:
    """The order book that the files make up."""
    settlement = settle(digests, made, manifest)
    return Book(
        digests=digests,
        folders=[manifest.folder_of(digest) for digest in digests],
        settlement=settlement,
        parts=count_rows(digests, settlement),
        known_until=known_until(digests, data.as_of),
    )


def _tell_notes(book: Book, context: Context) -> None:
    """Print what one should know of how the files were read, each sentence once."""
    files = Counter(note for digest in book.digests for note in digest.notes)
    for note, count in files.items():
        first = next(digest.source.path for digest in book.digests if note in digest.notes)
        others = f" and {count - 1:,} other files" if count > 1 else ""
        context.tell(f"{first}{others}: {note}")


def _tables(book: Book, data: OrderBookData, chips: Mapping[str, Chip]) -> dict[str, pl.DataFrame]:
    whole = series(
        book.settlement.partial,
        calendar=data.calendar,
        chips=chips,
        as_of=book.known_until,
        normal_lead_days=data.normal_lead_days,
    )
    return {
        "series": whole,
        "shipped_by_country": shipped_tpp_by_country(book.settlement.partial, chips=chips),
    }


def _panel(whole: pl.DataFrame, data: OrderBookData, chips: Mapping[str, Chip]) -> pl.DataFrame:
    panel = order_book_panel(
        whole,
        calendar=data.calendar,
        chips=chips,
        capacity_decay=data.capacity_decay.value,
        tight_tolerance=data.tight_tolerance.value,
    ).collect()
    if panel.is_empty():
        raise InputError(
            "the order book covers no whole period",
            expected=f"orders of US end use over at least one period ({data.frequency}) that has ended",
            where=str(data.path),
        )
    return check_panel(panel, frequency=data.panel_frequency, where="order book")


def _paths(data: OrderBookData) -> tuple[str, ...]:
    paths = (data.path,) if isinstance(data.path, str) else data.path
    if not paths:
        raise InputError(
            "it must be said where the order lines lie",
            expected="a file, folder, glob or address: --set data.path='orders/*.parquet'",
            where="data.path",
        )
    return paths


def _name(data: OrderBookData) -> str:
    """What the cache knows the order book by: its paths, whatever the working folder."""
    return repr(
        tuple(path if is_address(path) else str(Path(path).expanduser().absolute()) for path in _paths(data))
    )


def _digest(book: Book) -> str:
    text = "\n".join(f"{digest.content} {digest.source.path}" for digest in book.digests)
    return hashlib.sha256(text.encode()).hexdigest()


def _today(zone: str) -> dt.date:
    now = pl.Series([dt.datetime.now(dt.UTC)])
    today: Any = now.dt.convert_time_zone(zone).dt.date()[0]
    return dt.date(today.year, today.month, today.day)
