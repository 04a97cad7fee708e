"""Rows that break a rule: written as they stand in their file, with rule, column and value at fault."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from forecasting.errors import InputError
from forecasting.order_book.normalise import FAULT, ROW, RULE, SAYS, VALUE, Intake, faults
from forecasting.order_book.rules import RULES, VERSION_RULES
from pipelines.etl.order_book.counts import RowCounts, total
from pipelines.etl.order_book.incremental.engines import side_by_side
from pipelines.etl.order_book.incremental.file_summary import QUICK, FileSummary, broken_rows
from pipelines.etl.order_book.incremental.kept_rows import KeptRows, read_alike, read_rows
from pipelines.etl.order_book.us_first_check import DerivedTables
from pipelines.figures.number_format import percent
from pipelines.runtime.files.artifacts import write_atomic

FORMULA = (
    "=@\t\r"  # what a spreadsheet may take for a formula, and below: a sign before anything but a number
)
SIGNED_TEXT = r"^[+-].*[^\d.,\s+-]"
SHOWN_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """Rows of an order book that break a rule.

    Attributes
    ----------
    digests : sequence of FileSummary
    derived : DerivedTables
    intake : Intake
        How the files are read, apart from what each one's digest says.
    """

    digests: Sequence[FileSummary]
    derived: DerivedTables
    intake: Intake

    def write(self, target: Path) -> None:
        """Write a file for each source file that has any such row; of CSV files as CSV too.

        The rows stand as in their file, after `source_file`, `source_row`, `broken_rule`, `rule_says`,
        `broken_column` and `broken_value`. In CSV, text that a spreadsheet would run has an apostrophe before
        it.
        """
        target.mkdir(parents=True)

        def write(place: int, path: Path) -> None:
            digest = self.digests[place]
            stem = f"{place + 1:05d}-{Path(digest.source.path).stem}"
            shutil.copyfile(path, target / f"{stem}.parquet")
            if digest.source.is_csv:
                without_formulas(pl.read_parquet(path)).write_csv(target / f"{stem}.csv")

        paths = self._tables(range(len(self.digests)))
        list(side_by_side(lambda entry: write(*entry), paths.items()))

    def commonest(self, place: int, rule: str) -> tuple[str, list[int]]:
        """The commonest fault among a file's rows that break a rule, in words, and their first rows."""
        path = self._tables([place])[place]
        rows = pl.read_parquet(path, columns=[ROW, RULE, FAULT, VALUE])
        counted = (
            rows.filter(pl.col(RULE) == rule)
            .group_by(FAULT, VALUE)
            .agg(pl.len(), pl.col(ROW).sort().head(SHOWN_ROWS).alias("rows"))
            .sort(-pl.col("len").cast(pl.Int64), pl.col("rows").list.first())
        )
        column, value, count, first = counted.row(0)
        if column is None:
            return "", first
        holds = "nothing" if value is None else repr(value)
        return f"; column {column!r} holds {holds} in {count:,} of them", first

    def _tables(self, places: Iterable[int]) -> dict[int, Path]:
        """Where the quarantined rows of each file lie that has any; those that are missing are written."""
        found = {place: self._path(place) for place in places if self._has_rows(place)}
        missing = [place for place, path in found.items() if not path.is_file()]
        for forms, kept, spans in read_alike(map(self._kept, missing)):
            at_fault = faults(kept.drop(ROW).lazy(), replace(self.intake, forms=forms)).collect()
            together = pl.concat([kept, at_fault], how="horizontal")
            for place, span in spans:
                table = self._described(place, together[span])
                write_atomic(found[place], functools.partial(table.write_parquet, **QUICK))
        return found

    def _has_rows(self, place: int) -> bool:
        return bool(self.digests[place].broken) or not self._refused(place).is_empty()

    def _path(self, place: int) -> Path:
        return self.derived.path(place, "quarantine", salt=self.digests[place].source.path.encode())

    def _refused(self, place: int) -> pl.DataFrame:
        """Rows of a file that break a rule over several rows: source_row, broken_rule."""
        lost = self.derived.lost(place).with_columns(pl.col("outcome").cast(pl.String))
        return lost.filter(pl.col("outcome").is_in(list(VERSION_RULES))).rename({"outcome": RULE})

    def _rules(self, place: int) -> pl.DataFrame:
        """Quarantined rows of a file by rising number, and the rule that each breaks."""
        return pl.concat([broken_rows(self.derived.folders[place]), self._refused(place)]).sort(ROW)

    def _kept(self, place: int) -> KeptRows:
        rows = read_rows(self.derived.folders[place], self._rules(place)[ROW])
        return KeptRows(place, self.digests[place].forms, rows)

    def _described(self, place: int, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with what is at fault in them, by rising number, as the quarantine shows them."""
        one_row = ~pl.col(RULE).is_in(list(VERSION_RULES))
        return rows.with_columns(self._rules(place)[RULE]).select(
            pl.lit(self.digests[place].source.path).alias("source_file"),
            ROW,
            RULE,
            pl.col(RULE).replace_strict(RULES, return_dtype=pl.String).alias(SAYS),
            pl.when(one_row).then(FAULT).alias(FAULT),
            pl.when(one_row).then(VALUE).alias(VALUE),
            pl.exclude(ROW, RULE, FAULT, VALUE),
        )


def without_formulas(table: pl.DataFrame) -> pl.DataFrame:
    """The table with an apostrophe before text that a spreadsheet would run as a formula, headers too.

    A header has as many as keep it apart from the other headers.
    """
    words = pl.col(pl.String)
    safe = table.with_columns(pl.when(_is_run(words)).then("'" + words).otherwise(words).name.keep())
    names = pl.Series(table.columns, dtype=pl.String)
    taken = set(names)
    renamed = {}
    for name in names.filter(pl.select(_is_run(pl.lit(names))).to_series()):
        renamed[name] = f"'{name}"
        while renamed[name] in taken:
            renamed[name] = f"'{renamed[name]}"
    return safe.rename(renamed)


def _is_run(words: pl.Expr) -> pl.Expr:
    return words.str.slice(0, 1).is_in(list(FORMULA)) | words.str.contains(SIGNED_TEXT)


def check_share(parts: Sequence[RowCounts], quarantine: Quarantine, *, at_most: float) -> None:
    """Refuse an order book with too many bad rows, or none that is good.

    Raises
    ------
    InputError
        Naming the rule that was broken most often, the column, the value, and the first rows.
    """
    book, digests = total(parts), quarantine.digests
    if book.rows == 0:
        raise InputError("the order book has no rows", where=digests[0].source.path)
    too_many = book.refused > at_most * book.rows
    if book.accepted and not too_many:
        return
    rule, count = max(book.quarantined.items(), key=lambda entry: entry[1])
    place = max(range(len(parts)), key=lambda place: parts[place].quarantined.get(rule, 0))
    fault, rows = quarantine.commonest(place, rule)
    of_rule = f"most often {rule}, {count:,} times: {RULES[rule]}{fault}"
    of_rule += f", first in rows {', '.join(map(str, rows))}" if len(rows) > 1 else ""
    where = f"{digests[place].source.path}, row {rows[0]}"
    if not book.accepted:
        raise InputError(
            "no row of the order book can be used",
            found=f"{book.refused:,} of {book.rows:,} rows quarantined; {of_rule}",
            where=where,
        )
    limit, found = shares(at_most, book.refused / book.rows)
    raise InputError(
        "too many rows are quarantined",
        expected=f"at most {limit} (data.quarantine_max_share)",
        found=f"{found} ({book.refused:,} of {book.rows:,} rows); {of_rule}",
        where=where,
    )


def shares(limit: float, found: float) -> tuple[str, str]:
    """Two different shares in percent, with as many digits as it takes to tell them apart.

    >>> shares(0.01, 0.5), shares(0.01, 0.010001)
    (('1.00%', '50.00%'), ('1.0000%', '1.0001%'))
    """

    def written(digits: int) -> tuple[str, str]:
        return percent(limit, digits=digits, spaced=False), percent(found, digits=digits, spaced=False)

    return next((each for digits in range(2, 13) if len(set(each := written(digits))) == 2), written(13))
