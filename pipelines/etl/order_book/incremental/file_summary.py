"""One reading of one file: everything that later steps need of it, in a folder of small files.

    sums-NAME.arrow                    what the file adds to the series (`partial_plans`)
    keys-N.hash.npy, keys-N.row.npy    hashes of the lines' keys in rising order, and their rows
    candidates-N.parquet               lines that can take part in a priority inversion
    exports-N, waits-N .arrow          what tells quickly which of them do (`overtaking_days`)
    broken-N.arrow                     numbers of the rows that break a rule, and the rule

The file is read once, in batches N of rows, so it may be larger than memory.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from forecasting.errors import InputError
from forecasting.order_book.aggregate import partial_plans, sum_parts
from forecasting.order_book.deduplicate import key_hash
from forecasting.order_book.formats import brings_countries, recognise
from forecasting.order_book.inversions import NEEDED, inversion_candidates, overtaking_days
from forecasting.order_book.normalise import (
    COUNTRY_COLUMNS,
    ROW,
    RULE,
    Forms,
    Intake,
    canonical_lines,
    check_columns,
    readable,
)
from forecasting.order_book.schema import COLUMNS, DISPENSABLE
from pipelines.etl.order_book.files.csv_structure import FileCheck
from pipelines.etl.order_book.files.recipe import Recipe, signature
from pipelines.etl.order_book.files.sources import SourceFile, list_again
from pipelines.etl.order_book.incremental.read_errors import convert_read_errors
from pipelines.etl.order_book.incremental.shared_keys import Run

CANDIDATES, EXPORTS, WAITS = "candidates-*.parquet", "exports-*.arrow", "waits-*.arrow"
BROKEN, SUMS = "broken-*.arrow", "sums-*.arrow"
QUICK: Any = {"compression": "zstd", "compression_level": 1, "statistics": False}  # read once or twice
ROWS_PER_BATCH = 500_000
MAPPED_FROM = 64 * 2**10  # bytes of an array
COLUMNS_READ = (*(name for name in NEEDED if name != "source_file"), "promised_at", "updated_at", RULE)
UNREAD = ("customer_id",)  # columns of which nothing hangs on a value
WRITTEN_OTHERWISE = {"bad_quantity", "bad_price", "missing_order_id", "bad_date"}
REFORMED = tuple(name for name in COLUMNS if name not in COUNTRY_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class FileSummary:
    """What was read from a file, in figures; the tables lie in its folder.

    Attributes
    ----------
    source : SourceFile
    content : str
        SHA-256 of the bytes; of a Parquet file in an object store its ETag.
    columns : mapping of canonical name to the kind of its values
    ignored : tuple of str
        Columns of the file that are not read.
    rows : int
        Rows read.
    broken : mapping of row rule to rows
    newest : date or None
        Newest day on which something happened, over the rows that keep every rule.
    as_of : date
        Day after which rows were refused.
    notes : tuple of str
    forms : Forms
        How the file writes what is not written the standard way.
    identity : tuple or None
        What the manifest knew a local file by when it was read, beside its source (`manifest.identity`).
    """

    source: SourceFile
    content: str
    columns: Mapping[str, str]
    rows: int
    broken: Mapping[str, int]
    newest: dt.date | None
    as_of: dt.date
    notes: tuple[str, ...] = field(default=())
    ignored: tuple[str, ...] = field(default=())
    forms: Forms = field(default_factory=Forms)
    identity: tuple[str, int, int] | None = None

    def intake(self, common: Intake) -> Intake:
        """How this file is read, from how all files of its order book are."""
        return replace(common, forms=self.forms)

    def holds_on(self, as_of: dt.date) -> bool:
        """Whether reading the file again with another `as_of` would give the same."""
        return as_of == self.as_of or (as_of > self.as_of and "future_date" not in self.broken)


def summary_folder_name(source: SourceFile, content: str) -> str:
    """Name of the folder for a content; what its folders say (k=v) is part of it."""
    parted = [part for part in Path(source.path).parts[:-1] if "=" in part]
    return hashlib.sha256("\n".join([content, *parted]).encode()).hexdigest()[:32]


def summarise_file(
    source: SourceFile, proof: FileCheck, recipe: Recipe, folder: Path, *, gpu: bool = False
) -> FileSummary:
    """Read a file whose bytes have been proved, and leave its tables in a folder that exists.

    Raises
    ------
    InputError
        If columns are missing or of a wrong type, or the file cannot be read to its end or changed meanwhile.
    StepError
        If the folder cannot be written.
    """
    intake = recipe.intake
    with convert_read_errors(source, folder):
        raw = recipe.scan(source)
        counts, intake = _read(raw, intake, recipe, source, folder, gpu=gpu)
        broken = dict(broken_rows(folder).group_by(RULE).len().sort(RULE).iter_rows())
        if broken.keys() & WRITTEN_OTHERWISE:
            forms = recognise(raw, intake, where=source.path, names=REFORMED)
            if forms != intake.forms:
                _clear(folder)
                counts, intake = _read(raw, replace(intake, forms=forms), recipe, source, folder, gpu=gpu)
                broken = dict(broken_rows(folder).group_by(RULE).len().sort(RULE).iter_rows())
        schema = raw.collect_schema()
    if list_again(source, recipe.storage_options) != source:
        raise InputError("the file changed while it was read", where=source.path)
    counted = pl.concat(counts)
    rows = int(counted["rows"].sum())
    if proof.rows not in {None, rows}:
        raise InputError(
            "not as many rows were read as the file has",
            expected=str(proof.rows),
            found=str(rows),
            where=source.path,
        )
    return FileSummary(
        source=source,
        content=proof.content,
        columns=signature(schema, recipe.intake),
        rows=rows,
        broken=broken,
        newest=_newest(counted.max(), intake),
        as_of=intake.as_of,
        notes=(*proof.notes, *_notes(schema, intake)),
        ignored=tuple(intake.ignored(schema)),
        forms=intake.forms,
    )


def _read(
    raw: pl.LazyFrame, intake: Intake, recipe: Recipe, source: SourceFile, folder: Path, *, gpu: bool
) -> tuple[list[pl.DataFrame], Intake]:
    """Read a file to its end and leave its tables.

    Returns
    -------
    list of DataFrame
        Rows, newest day and update of each batch.
    Intake
        With the names of countries that the file has.
    """
    engine: Any = pl.GPUEngine() if gpu else "in-memory"
    schema = raw.collect_schema()
    check_columns(schema, intake, where=source.path)
    own = (intake.own(name) for name in COLUMNS if name not in UNREAD)
    columns = raw.select(name for name in own if name in schema)
    counts: list[pl.DataFrame] = []
    rows = 0

    def sums() -> Iterator[dict[str, pl.DataFrame]]:
        nonlocal intake, rows
        for number, batch in enumerate(_batches(columns, gpu=gpu)):
            lines, intake = _lines(batch, intake, source, first_row=rows + 1)
            rows += batch.height
            counts.append(_kept_batch(lines, folder, number))
            plans = partial_plans(
                lines.lazy(), calendar=recipe.calendar, normal_lead_days=recipe.normal_lead_days
            )
            yield dict(zip(plans, pl.collect_all(plans.values(), engine=engine), strict=True))

    for name, table in sum_parts(sums()).items():
        table.write_ipc(folder / SUMS.replace("*", name), compression="lz4")
    return counts, intake


def _lines(
    batch: pl.DataFrame, intake: Intake, source: SourceFile, *, first_row: int
) -> tuple[pl.DataFrame, Intake]:
    """Canonical lines of a batch; names of countries that it brings are learned, and it is read again."""

    def lines(intake: Intake) -> pl.DataFrame:
        plan = canonical_lines(batch.lazy(), intake, first_row=first_row).select(COLUMNS_READ)
        # Values that are text are read once for the rules too; of others looking for that takes longer.
        shared = pl.QueryOptFlags(comm_subexpr_elim=source.is_csv)
        return plan.collect(engine="in-memory", optimizations=shared)

    found = lines(intake)
    unknown = (found[RULE] == "unknown_country").fill_null(value=False)
    if not brings_countries(batch.filter(unknown), intake):
        return found, intake
    named = recognise(batch.lazy(), intake, where=source.path, names=COUNTRY_COLUMNS, first_row=first_row)
    intake = replace(intake, forms=replace(intake.forms, countries=named.countries))
    return lines(intake), intake


def _clear(folder: Path) -> None:
    """Remove what a first reading left, before the second."""
    for path in folder.iterdir():
        path.unlink()


def _notes(schema: pl.Schema, intake: Intake) -> Iterator[str]:
    """What a reader should know of how a file was read."""
    own, forms = {name: intake.own(name) for name in COLUMNS}, intake.forms
    for name, patterns in forms.dates.items():
        yield f"column {own[name]!r}: dates are read as {patterns[0]}"
    for name, form in forms.numbers.items():
        separators = f"decimal {form.decimal!r}, thousands {form.thousands!r}"
        yield f"column {own[name]!r}: numbers are read with {separators}"
    if forms.countries:
        shown = ", ".join(f"{words} as {code}" for words, code in list(forms.countries.items())[:3])
        count = len(forms.countries)
        read = "name of a country is read as a code" if count == 1 else "names of countries are read as codes"
        yield f"{count} {read}: {shown}"
    wrong = [
        name for name in DISPENSABLE if own[name] in schema and not readable(name, schema[str(own[name])])
    ]
    for name in (*forms.unreadable, *wrong):
        yield f"warning: the optional column {own[name]!r} cannot be read and counts as absent"


def _batches(lines: pl.LazyFrame, *, gpu: bool) -> Iterator[pl.DataFrame]:
    """The lines in order, at least one batch; the GPU holds them all at once."""
    if gpu:
        yield lines.collect(engine=pl.GPUEngine())
        return
    empty = True
    for batch in lines.collect_batches(chunk_size=ROWS_PER_BATCH, engine="streaming"):
        empty = False
        yield batch
    if empty:
        yield pl.DataFrame(schema=lines.collect_schema())


def _kept_batch(batch: pl.DataFrame, folder: Path, number: int) -> pl.DataFrame:
    """Write what is kept of a batch of lines; returns its number of rows, its newest day and update."""
    whole = batch.lazy().filter(pl.col(RULE).is_null())
    closed = pl.col("shipped_at", "cancelled_at").filter(pl.col("quantity") > 0)  # no days of a return
    day = pl.max_horizontal(pl.col("ordered_at").max(), closed.max())
    plans = [
        batch.lazy().filter(pl.col(RULE).is_not_null()).select(ROW, RULE),
        whole.select(key_hash(), ROW),
        inversion_candidates(whole),
        whole.select(rows=pl.lit(batch.height, pl.Int64), day=day, update=pl.col("updated_at").max()),
    ]
    broken, keys, candidates, counted = pl.collect_all(plans, engine="in-memory")
    if broken.height:
        broken.write_ipc(folder / BROKEN.replace("*", str(number)))
    write_run(keys, folder, number)
    candidates.write_parquet(folder / CANDIDATES.replace("*", str(number)), **QUICK)
    for name, table in overtaking_days(candidates).items():
        table.write_ipc(folder / f"{name}-{number}.arrow", compression="lz4")
    return counted


def read_sums(folder: Path) -> dict[str, pl.DataFrame]:
    """The sums of a digest by name, for `partial_from`."""
    first, last = SUMS.split("*")
    return {path.name.removeprefix(first).removesuffix(last): pl.read_ipc(path) for path in folder.glob(SUMS)}


def broken_rows(folder: Path) -> pl.DataFrame:
    """Rows of a digest's file that break a rule: source_row, broken_rule (text), by rising row."""
    paths = sorted(folder.glob(BROKEN))
    if not paths:
        return pl.DataFrame(schema={ROW: pl.UInt32, RULE: pl.String})
    return pl.concat(map(pl.read_ipc, paths)).with_columns(pl.col(RULE).cast(pl.String)).sort(ROW)


def _newest(counted: pl.DataFrame, intake: Intake) -> dt.date | None:
    """Newest day in the reporting zone; an update counts as well."""
    update = pl.col("update").dt.replace_time_zone("UTC").dt.convert_time_zone(intake.zone).dt.date()
    newest = counted.select(pl.max_horizontal("day", update)).item()
    return newest if isinstance(newest, dt.date) else None


def write_run(keys: pl.DataFrame, folder: Path, number: int) -> None:
    """Write key_hash and source_row of lines, by rising hash, as a run."""
    hashes, rows = keys["key_hash"].to_numpy(), keys[ROW].to_numpy()
    rising = np.argsort(hashes)  # a third of the time of a sort in Polars
    np.save(folder / f"keys-{number}.hash.npy", hashes[rising])
    np.save(folder / f"keys-{number}.row.npy", rows[rising])


def read_runs(folder: Path) -> list[Run]:
    """Runs of a digest, mapped into memory."""
    return [
        (_mapped(path), _mapped(path.with_name(path.name.replace(".hash.", ".row."))))
        for path in sorted(folder.glob("keys-*.hash.npy"))
    ]


def _mapped(path: Path) -> npt.NDArray[Any]:
    """Array of a file, mapped into memory where it is large.

    The file does not stay open, as it would with `np.load(path, mmap_mode="r")`: a process may have 1,024 of
    them, and an order book more files.
    """
    if path.stat().st_size <= MAPPED_FROM:
        array: npt.NDArray[Any] = np.load(path)
        return array
    with path.open("rb") as opened:
        np.lib.format.read_magic(opened)
        _, _, dtype = np.lib.format.read_array_header_1_0(opened)
        begin = opened.tell()
    with pa.memory_map(str(path)) as mapped:  # lives as long as what was read of it
        return np.frombuffer(mapped.read_buffer(), dtype, offset=begin)
