"""What the files say together: lines that stand in several rows are decided, and all that counts is added up.

What was settled for a set of files is kept. With new files beside them only the keys that these share are
decided anew; should one of the old files be gone, everything is settled again (no file is read for that).
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from forecasting.order_book.aggregate import (
    Partial,
    merge_partials,
    negate,
    partial_from,
    partial_of,
    sum_parts,
)
from forecasting.order_book.deduplicate import decide, key_hash
from forecasting.order_book.normalise import ROW, canonical_lines
from forecasting.order_book.rules import OUTCOMES
from pipelines.etl.order_book.files.recipe import Recipe
from pipelines.etl.order_book.incremental.engines import side_by_side
from pipelines.etl.order_book.incremental.file_summary import FileSummary, broken_rows, read_runs, read_sums
from pipelines.etl.order_book.incremental.kept_rows import KeptRows, read_alike, read_rows, write_rows
from pipelines.etl.order_book.incremental.manifest import SETTLED, Manifest
from pipelines.etl.order_book.incremental.shared_keys import NO_ROWS, Rows, shared_keys
from pipelines.runtime.files.artifacts import write_atomic

CONTESTED, POINTER, FILE = "contested.arrow", "settled.json", "source_file"
PARTIAL = tuple(Partial.__dataclass_fields__)
ROWS_AT_ONCE = 1_000_000  # contested rows that are decided together
LOSERS = {FILE: pl.Int32(), ROW: pl.UInt32(), "key_hash": pl.UInt64(), "outcome": pl.Enum(OUTCOMES)}


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What counts of a set of files.

    Attributes
    ----------
    partial : Partial
        Of all accepted lines.
    losers : DataFrame
        source_file (place of the digest), source_row, key_hash, outcome: shared rows that do not count.
    """

    partial: Partial
    losers: pl.DataFrame

    def outcomes(self) -> dict[int, dict[str, int]]:
        """Rows of each file per outcome other than accepted."""
        found: dict[int, dict[str, int]] = {}
        for place, outcome, rows in self.losers.group_by(FILE, "outcome").len().iter_rows():
            found.setdefault(place, {})[outcome] = rows
        return found


def settle(digests: Sequence[FileSummary], recipe: Recipe, manifest: Manifest) -> Settlement:
    """Decide over keys that several rows of an order book share, and add up what counts.

    Raises
    ------
    InputError
        If a file changed since it was read.
    """
    folders = [manifest.folder_of(digest) for digest in digests]
    names = [f"{folder.name} {digest.source.path}" for folder, digest in zip(folders, digests, strict=True)]
    before, old = _load(manifest, names)
    new = [name not in old for name in names]
    shared = shared_keys([read_runs(folder) for folder in folders], new)
    looked_at = {folders[place]: place for place in range(len(digests)) if new[place] or place in shared}

    def keep(place: int) -> int | None:
        wanted = shared.get(place, NO_ROWS)
        return place if _keep(digests[place], wanted, recipe, folders[place]) else None

    # Files of the same content share a folder.
    more = sorted(place for place in side_by_side(keep, looked_at.values()) if place is not None)
    _write_contested({place: shared[place] for place in more}, digests, folders, recipe)
    losers, changes = [before.losers], [before.partial]
    if any(new):
        fresh = (read_sums(folder) for folder, unseen in zip(folders, new, strict=True) if unseen)
        changes.append(partial_from(sum_parts(fresh), recipe.calendar))
    for lines in _groups(folders, shared):
        decided = decide(lines).filter(pl.col("outcome") != "accepted")
        spot = [FILE, ROW]
        undone = lines.join(before.losers, on=spot, how="semi")
        losers[0] = losers[0].join(undone, on=spot, how="anti")
        losers.append(decided.select(pl.col(name).cast(dtype) for name, dtype in LOSERS.items()))
        changes += [_partial(undone, recipe), negate(_partial(decided, recipe))]
    settled = Settlement(partial=merge_partials(changes), losers=pl.concat(losers).sort(FILE, ROW))
    if any(new) or len(old) != len(names):
        _store(settled, names, manifest)
    return settled


def read_partial(folder: Path) -> Partial:
    """Partial that was stored in a folder."""
    return Partial(**{name: pl.read_parquet(folder / f"{name}.parquet") for name in PARTIAL})


def _partial(lines: pl.DataFrame, recipe: Recipe) -> Partial:
    return partial_of(lines.lazy(), calendar=recipe.calendar, normal_lead_days=recipe.normal_lead_days)


def _keep(digest: FileSummary, shared: Rows, recipe: Recipe, folder: Path) -> bool:
    """Keep the rows of a file that are looked at again; whether more of them share a key than before."""
    before = _contested_rows(folder)
    rows = np.union1d(shared, before) if len(before) else shared
    broken = broken_rows(folder)[ROW].to_numpy()
    write_rows(digest, np.sort(np.concatenate([rows, broken])), recipe, folder)
    return len(rows) > len(before)


def _contested_rows(folder: Path) -> Rows:
    path = folder / CONTESTED
    return pl.read_ipc(path, columns=[ROW])[ROW].to_numpy() if path.is_file() else NO_ROWS


def _write_contested(
    shared: Mapping[int, Rows], digests: Sequence[FileSummary], folders: Sequence[Path], recipe: Recipe
) -> None:
    """Leave the canonical lines of shared rows, with their hash, in the folder of each file."""

    def kept() -> Iterator[KeptRows]:
        for place, rows in shared.items():
            wanted = np.union1d(rows, _contested_rows(folders[place]))
            yield KeptRows(place, digests[place].forms, read_rows(folders[place], pl.Series(wanted)))

    for forms, raw, spans in read_alike(kept()):
        lines = canonical_lines(raw.drop(ROW).lazy(), replace(recipe.intake, forms=forms))
        hashed = lines.with_columns(key_hash()).collect(engine="in-memory").with_columns(raw[ROW])
        for place, span in spans:
            path = folders[place] / CONTESTED
            write_atomic(path, partial(hashed[span].write_ipc, compression="lz4"))


def _groups(folders: Sequence[Path], shared: Mapping[int, Rows]) -> Iterator[pl.DataFrame]:
    """Shared lines of all files with `source_file`, all rows of a key in one group."""
    groups = sum(map(len, shared.values())) // ROWS_AT_ONCE + 1

    def of_file(place: int, group: int) -> pl.DataFrame:
        lines = pl.read_ipc(folders[place] / CONTESTED)
        if lines.height > len(shared[place]):
            lines = lines.filter(pl.col(ROW).is_in(pl.Series(shared[place]).implode()))
        if groups > 1:
            lines = lines.filter(pl.col("key_hash") % groups == group)
        return lines.with_columns(pl.lit(place, pl.Int32).alias(FILE))

    for group in range(groups if shared else 0):
        yield pl.concat(of_file(place, group) for place in shared)


def _load(manifest: Manifest, names: Iterable[str]) -> tuple[Settlement, set[str]]:
    """What was settled before, and for which of the files; nothing, if one of them is gone."""
    path, place = manifest.folder / POINTER, {name: place for place, name in enumerate(names)}
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"names": []}
    if not record["names"] or not set(record["names"]) <= set(place):
        return Settlement(partial=merge_partials([]), losers=pl.DataFrame(schema=LOSERS)), set()
    folder = manifest.folder / record["folder"]
    places = pl.lit(pl.Series([place[name] for name in record["names"]], dtype=pl.Int32))
    losers = pl.read_parquet(folder / "losers.parquet").with_columns(places.gather(pl.col(FILE)).alias(FILE))
    return Settlement(partial=read_partial(folder), losers=losers), set(record["names"])


def _store(settled: Settlement, names: Sequence[str], manifest: Manifest) -> None:
    earlier = list(manifest.folder.glob(f"{SETTLED}*"))
    folder = manifest.folder / f"{SETTLED}{uuid.uuid4().hex}"
    folder.mkdir()
    for name, table in {**settled.partial.tables(), "losers": settled.losers}.items():
        write_atomic(folder / f"{name}.parquet", table.write_parquet)
    text = json.dumps({"folder": folder.name, "names": list(names)})
    write_atomic(manifest.folder / POINTER, lambda path: path.write_text(text, encoding="utf-8"))
    for other in earlier:
        shutil.rmtree(other, ignore_errors=True)
