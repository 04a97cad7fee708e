"""One reading of one file: everything that later steps need of it, in a folder of small files.

    flows, lead_days, ageing, shipped_by_country    .parquet: what the file adds to the series (`Partial`)
    keys-N.hash.npy, keys-N.row.npy                 hashes of the lines' keys in rising order, and their rows
    candidates.parquet                              lines that can take part in a priority inversion
    broken.parquet                                  numbers of the rows that break a rule, and the rule

All of it comes out of one streaming plan, so a file larger than memory is read once.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from forecasting.errors import InputError, StepError
from forecasting.order_book.intake import ROW, RULE, Intake, check_columns, normalise
from forecasting.order_book.inversions import inversion_candidates
from forecasting.order_book.partial import partial_from, partial_plans
from forecasting.order_book.versions import key_hash
from pipelines.order_book.integrity import Proof
from pipelines.order_book.recipe import Recipe, signature
from pipelines.order_book.shared_keys import Run
from pipelines.order_book.sources import SourceFile, again

CANDIDATES, BROKEN = "candidates.parquet", "broken.parquet"
QUICK: Any = {"compression": "zstd", "compression_level": 1, "statistics": False}  # read once or twice
KEYS_PER_RUN = 4_000_000  # rows that are sorted at once: 50 MB
HAPPENED = ("ordered_at", "shipped_at", "cancelled_at")
PROBE = 1 << 20  # bytes that a disk which is not full takes


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What was read from a file, in figures; the tables lie in its folder.

    Attributes
    ----------
    source : SourceFile
    content : str
        SHA-256 of the bytes; of a Parquet file in an object store its ETag.
    columns : mapping of canonical name to the kind of its values
    rows : int
        Rows read.
    broken : mapping of row rule to rows
    newest : date or None
        Newest day on which something happened, over the rows that keep every rule.
    as_of : date
        Day after which rows were refused.
    notes : tuple of str
    """

    source: SourceFile
    content: str
    columns: Mapping[str, str]
    rows: int
    broken: Mapping[str, int]
    newest: dt.date | None
    as_of: dt.date
    notes: tuple[str, ...] = field(default=())

    def holds_on(self, as_of: dt.date) -> bool:
        """Whether reading the file again with another `as_of` would give the same."""
        return as_of == self.as_of or (as_of > self.as_of and "future_date" not in self.broken)


def digest_name(source: SourceFile, content: str) -> str:
    """Name of the folder for a content; what its folders say (k=v) is part of it."""
    parted = [part for part in Path(source.path).parts[:-1] if "=" in part]
    return hashlib.sha256("\n".join([content, *parted]).encode()).hexdigest()[:32]


def digest_file(
    source: SourceFile, proof: Proof, recipe: Recipe, folder: Path, *, gpu: bool = False
) -> Digest:
    """Read a file whose bytes have been proved, and leave its tables in a folder that exists.

    Raises
    ------
    InputError
        If columns are missing or of a wrong type, or the file cannot be read to its end or changed meanwhile.
    StepError
        If the folder cannot be written.
    """
    with told(source, folder):
        raw = recipe.scan(source)
        schema = raw.collect_schema()
        check_columns(schema, recipe.intake, where=source.path)
        lines = normalise(raw, recipe.intake, where=source.path)
        whole = pl.col(RULE).is_null()
        keys = KeyRuns(folder)
        plans = partial_plans(lines, calendar=recipe.calendar, normal_lead_days=recipe.normal_lead_days)
        sinks = [
            lines.select(key_hash(), ROW, RULE).sink_batches(keys.add, chunk_size=KEYS_PER_RUN, lazy=True),
            inversion_candidates(lines.filter(whole)).sink_parquet(folder / CANDIDATES, **QUICK, lazy=True),
            lines.filter(~whole).select(ROW, RULE).sink_parquet(folder / BROKEN, lazy=True),
        ]
        counted, *frames = _collect([_counts(lines, whole), *plans.values()], sinks, gpu=gpu)
        partial = partial_from(dict(zip(plans, frames, strict=True)), recipe.calendar)
        for name, table in partial.tables().items():
            table.write_parquet(folder / f"{name}.parquet")
    if again(source, recipe.storage_options) != source:
        raise InputError("the file changed while it was read", where=source.path)
    rules = pl.read_parquet(folder / BROKEN).group_by(RULE).len().sort(RULE)
    return Digest(
        source=source,
        content=proof.content,
        columns=signature(schema, recipe.intake),
        rows=counted["rows"].item(),
        broken=dict(rules.iter_rows()),
        newest=_newest(counted, recipe.intake),
        as_of=recipe.intake.as_of,
        notes=proof.notes,
    )


def _counts(lines: pl.LazyFrame, whole: pl.Expr) -> pl.LazyFrame:
    """Number of rows, and the newest day and update among those that keep every rule."""
    return lines.select(
        rows=pl.len(),
        day=pl.max_horizontal(pl.col(day).filter(whole).max() for day in HAPPENED),
        update=pl.col("updated_at").filter(whole).max(),
    )


def _newest(counted: pl.DataFrame, intake: Intake) -> dt.date | None:
    """Newest day in the reporting zone; an update counts as well, up to the last day allowed."""
    update = pl.col("update").dt.replace_time_zone("UTC").dt.convert_time_zone(intake.zone).dt.date()
    newest = counted.select(pl.max_horizontal("day", update.clip(upper_bound=intake.as_of))).item()
    return newest if isinstance(newest, dt.date) else None


def _collect(plans: list[pl.LazyFrame], sinks: list[pl.LazyFrame], *, gpu: bool) -> list[pl.DataFrame]:
    """Frames of the plans; the sinks write their files. On CPUs the file is read once for both."""
    if gpu:
        frames = pl.collect_all(plans, engine=pl.GPUEngine())
        pl.collect_all(sinks, engine="streaming")
        return frames
    return pl.collect_all([*plans, *sinks], engine="streaming")[: len(plans)]


class KeyRuns:
    """Writes the hashes of keys as sorted runs, and reads them back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def add(self, batch: pl.DataFrame) -> None:
        """Sort the whole rows of a batch (key_hash, source_row, broken_rule) and write them as one run."""
        batch = batch.filter(pl.col(RULE).is_null())
        hashes = batch["key_hash"].to_numpy()
        order = np.argsort(hashes)
        stem = self.folder / f"keys-{self.count}"
        np.save(stem.with_suffix(".hash.npy"), hashes[order])
        np.save(stem.with_suffix(".row.npy"), batch[ROW].to_numpy()[order])
        self.count += 1

    @staticmethod
    def read(folder: Path) -> list[Run]:
        """Runs of a digest, mapped into memory."""
        return [
            (
                np.load(path, mmap_mode="r"),
                np.load(path.with_name(path.name.replace(".hash.", ".row.")), mmap_mode="r"),
            )
            for path in sorted(folder.glob("keys-*.hash.npy"))
        ]


@contextmanager
def told(source: SourceFile, folder: Path) -> Iterator[None]:
    """Turn what Polars and the system raise into a sentence about the file, or the folder if that is full."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        full = _full(folder)
        if full is not None:
            raise StepError(f"{folder.parent}: what was read cannot be written: {full}") from error
        reason = getattr(error, "strerror", None) or str(error).split("\n", maxsplit=1)[0]
        raise InputError("the file cannot be read to its end", found=reason, where=source.path) from error


def _full(folder: Path) -> str | None:
    """Why nothing can be written into a folder; Polars' own words do not always tell that from a bad file."""
    probe = folder / "probe"
    try:
        probe.write_bytes(bytes(PROBE))
    except OSError as error:
        return str(error.strerror)
    finally:
        probe.unlink(missing_ok=True)
    return None
