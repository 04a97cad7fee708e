"""The count of rows: read, accepted, superseded, quarantined per rule; per file and in all, to the row."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from forecasting.errors import InputError
from forecasting.order_book.normalise import ROW, RULE
from forecasting.order_book.schema import RULES
from pipelines.etl.order_book.incremental.file_summary import FileSummary, broken_rows
from pipelines.etl.order_book.incremental.settlement import Settlement
from pipelines.figures.format import percent


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """Rows read = accepted + superseded + quarantined, and `quarantined` sums over the rules."""

    rows: int
    superseded: int
    quarantined: Mapping[str, int]

    @property
    def refused(self) -> int:
        """Rows in quarantine."""
        return sum(self.quarantined.values())

    @property
    def accepted(self) -> int:
        """Rows that count."""
        return self.rows - self.superseded - self.refused

    def as_dict(self) -> dict[str, Any]:
        """As `summary.json` has it."""
        rows = {
            "in": self.rows,
            "accepted": self.accepted,
            "superseded": self.superseded,
            "quarantined": self.refused,
        }
        return {"rows": rows, "quarantined": {rule: self.quarantined.get(rule, 0) for rule in RULES}}


def count_rows(digests: Sequence[FileSummary], settlement: Settlement) -> list[RowCounts]:
    """Count of each file."""
    of_file = settlement.outcomes()
    found = []
    for place, digest in enumerate(digests):
        outcomes = of_file.get(place, {})
        superseded = outcomes.pop("superseded", 0)
        found.append(
            RowCounts(rows=digest.rows, superseded=superseded, quarantined={**digest.broken, **outcomes})
        )
    return found


def total(parts: Sequence[RowCounts]) -> RowCounts:
    """Count of all files."""
    rules = sum((Counter(part.quarantined) for part in parts), Counter())
    return RowCounts(
        rows=sum(part.rows for part in parts),
        superseded=sum(part.superseded for part in parts),
        quarantined=dict(rules),
    )


def check_share(
    parts: Sequence[RowCounts],
    digests: Sequence[FileSummary],
    folders: Sequence[Path],
    settlement: Settlement,
    *,
    at_most: float,
) -> None:
    """Refuse an order book with too many bad rows, or none that is good.

    Raises
    ------
    InputError
        Telling the rule that was broken most often, and a row that breaks it.
    """
    book = total(parts)
    if book.rows == 0:
        raise InputError("the order book has no rows", where=digests[0].source.path)
    if book.refused <= at_most * book.rows and book.accepted:
        return
    rule, count = max(book.quarantined.items(), key=lambda entry: entry[1])
    place = max(range(len(parts)), key=lambda place: parts[place].quarantined.get(rule, 0))
    rows = settlement.losers.filter(
        pl.col("source_file") == place, pl.col("outcome").cast(pl.String) == rule
    )[ROW]
    if rule in digests[place].broken:
        rows = broken_rows(folders[place]).filter(pl.col(RULE) == rule)[ROW]
    allowed, found = (percent(share, digits=2, spaced=False) for share in (at_most, book.refused / book.rows))
    raise InputError(
        "too many rows are quarantined",
        expected=f"at most {allowed} (data.quarantine_max_share; with 1 they are all written out)",
        found=(
            f"{found} ({book.refused:,} of {book.rows:,} rows); most often {rule}, "
            f"{count:,} times: {RULES[rule]}"
        ),
        where=f"{digests[place].source.path}, row {rows.sort()[0]}",
    )


def known_until(digests: Sequence[FileSummary], as_of: dt.date | None) -> dt.date:
    """Day on which the order book was drawn up: as stated, else the newest on which something happened."""
    if as_of is not None:
        return as_of
    return max(digest.newest for digest in digests if digest.newest is not None)
