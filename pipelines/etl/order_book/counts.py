"""The count of rows: read, accepted, superseded, quarantined per rule; per file and in all, to the row."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forecasting.order_book.rules import RULES
from pipelines.etl.order_book.incremental.across_files import Settlement
from pipelines.etl.order_book.incremental.file_summary import FileSummary


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


def known_until(digests: Sequence[FileSummary], as_of: dt.date | None) -> dt.date:
    """Day on which the order book was drawn up: as stated, else the newest on which something happened."""
    if as_of is not None:
        return as_of
    return max((digest.newest for digest in digests if digest.newest is not None), default=dt.date.min)
