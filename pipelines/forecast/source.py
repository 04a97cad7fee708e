"""A table of somebody's own series: which file, how it is read, and which weights answer about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from rich.console import Console

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.panel.layout import Columns
from forecasting.panel.long_table import LongTable, check_long_table
from forecasting.panel.period_calendar import PeriodCalendar
from pipelines.forecast.table_file import read_long_table
from pipelines.runtime.registry.weights import Weights, folder_weights, shipped_weights
from pipelines.runtime.store.address import is_laid_out, resolve_uri


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """A table and how it is read.

    Attributes
    ----------
    source : Path
        Table, see `read_long_table`.
    frequency : Frequency, optional
        None finds it in the dates.
    columns : Columns
        What the columns of the table are called; the answer calls id and time alike.
    calendar : Path, optional
        Table of period ends, see `PeriodCalendar`.
    encoding, separator : str, optional
        Of a text file.
    """

    source: Path
    frequency: Frequency | None = None
    columns: Columns = field(default_factory=Columns)
    calendar: Path | None = None
    encoding: str | None = None
    separator: str | None = None

    def read(self, console: Console) -> tuple[LongTable, bool]:
        """The checked table, and whether it was text; tells what was not read, and how the rest was.

        Raises
        ------
        InputError
            If a file cannot be read or the table is not in order.
        """
        file = read_long_table(self.source, encoding=self.encoding, separator=self.separator)
        table = check_long_table(
            file.table,
            frequency=self.frequency,
            where=str(self.source),
            columns=self.columns,
            with_lines=file.is_text,
            calendar=self._calendar(),
        )
        for note in [*_notes(table), *(_note_on_points(file.table, self.columns) if file.is_text else [])]:
            console.print(note, soft_wrap=True, highlight=False)
        return table, file.is_text

    def called(self, table: pl.DataFrame) -> pl.DataFrame:
        """A table of the answer with id and time called as in the source."""
        return table.rename({"unique_id": self.columns.id, "ds": self.columns.time}, strict=False)

    def _calendar(self) -> PeriodCalendar | None:
        if self.calendar is None:
            return None
        if self.frequency is not None:
            raise InputError(
                "a calendar has a frequency of its own",
                expected="--calendar or --freq",
                found="both",
                where="--calendar",
            )
        return PeriodCalendar.read(read_long_table(self.calendar).table, where=str(self.calendar))


def series_count(table: LongTable) -> int:
    """Number of series, each variate of an item being one."""
    return table.rows.select(table.keys).unique().height


def with_timestamps(table: pl.DataFrame) -> pl.DataFrame:
    """The table with dates as timestamps; pandas reads dates of Parquet as objects, which match no others."""
    return table.cast({pl.Date: pl.Datetime("us")})


def weights_in_use(checkpoint: Path | None, device: str) -> Weights:
    """The folder's weights if one is given, else the champion's of the store, else those of the package.

    A store that is not there is not laid out for it.
    """
    if checkpoint is not None:
        return folder_weights(checkpoint, device=device)
    uri = resolve_uri(None)
    if not is_laid_out(uri):
        return shipped_weights(device)
    from pipelines.runtime.registry.registry import chosen_weights  # noqa: PLC0415 - MLflow takes seconds to import
    from pipelines.runtime.tracking import Store  # noqa: PLC0415

    return chosen_weights(Store(uri), checkpoint=None, device=device)


def _note_on_points(table: pl.DataFrame, columns: Columns) -> list[str]:
    """A note where every value could also be read with a point between thousands: 1.000 is one here."""
    if columns.target not in table.columns:
        return []
    values = table[columns.target].str.strip_chars().drop_nulls()
    if values.is_empty() or not values.str.contains(r"^-?\d{1,3}\.\d{3}$").all():
        return []
    note = (
        f"note: every value of {columns.target!r} has a point before three digits; it is read as a decimal "
        f"point ({values[0]} is {float(values[0]):g}): remove it first if it separates thousands"
    )
    return [note]


def _notes(table: LongTable) -> list[str]:
    """What a reader of the answer should know about how the table was read."""
    notes = []
    if table.ignored:
        hint = "--covariates or --statics reads them"
        notes.append(f"warning: columns that were not read: {', '.join(table.ignored)} ({hint})")
    if table.wide:
        count = series_count(table)
        notes.append(f"note: a wide table: each of its {count} columns beside the dates is a series")
    if table.statics and not table.covariates:
        notes.append("warning: statics say which series share the effects of covariates; there are none")
    return notes
