"""Tables that follow from a file's digest and the rows of it that lost: made again when these change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import polars as pl

from forecasting.order_book.intake import ROW
from pipelines.artifacts import write_atomic
from pipelines.order_book.digest import QUICK

DERIVED, FILE = "derived-", "source_file"


@dataclass
class Derived:
    """Derived tables of the files of one order book.

    Attributes
    ----------
    folders : sequence of Path
        Of the digests, in the order that `source_file` counts.
    losers : DataFrame
        source_file, source_row, outcome: rows that do not count.
    """

    folders: Sequence[Path]
    losers: pl.DataFrame
    _lost: dict[int, pl.DataFrame] = field(init=False)
    _used: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        parts = self.losers.partition_by(FILE, as_dict=True, maintain_order=True)
        self._lost = {place: rows.select(ROW, "outcome") for (place,), rows in parts.items()}

    def lost(self, place: int) -> pl.DataFrame:
        """Rows of a file that do not count: source_row, outcome."""
        return self._lost.get(place, self.losers.head(0).select(ROW, "outcome"))

    def path(self, place: int, name: str, make: Callable[[], pl.DataFrame], *, salt: bytes = b"") -> Path:
        """Where the table of a file lies that `make` makes; `salt` is what else it hangs on."""
        lost = self.lost(place)
        key = hashlib.sha256(salt)
        for column in (lost[ROW], lost["outcome"].to_physical()):
            key.update(column.to_numpy().tobytes())
        found = self.folders[place] / f"{DERIVED}{name}-{key.hexdigest()[:16]}.parquet"
        if not found.is_file():
            write_atomic(found, partial(make().write_parquet, **QUICK))
        self._used.add(found)
        return found

    def sweep(self) -> None:
        """Remove tables that were not asked for: their rows have been decided otherwise since."""
        for folder in set(self.folders):
            for path in folder.glob(f"{DERIVED}*"):
                if path not in self._used:
                    path.unlink()
