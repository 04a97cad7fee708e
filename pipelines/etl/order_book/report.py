"""What the step writes beside the panel for people: priority inversions, and the summary."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from forecasting.order_book.rules import RULES
from forecasting.order_book.schema import COLUMNS
from pipelines.etl.order_book.counts import RowCounts, total
from pipelines.etl.order_book.incremental.file_summary import FileSummary
from pipelines.etl.order_book.quarantine import without_formulas
from pipelines.runtime.files.artifacts import LARGE_ROWS, write_atomic

Summary = dict[str, Any]


def write_cases(folder: Path, cases: Iterable[pl.DataFrame], digests: Sequence[FileSummary]) -> int:
    """Write `priority_inversions.parquet`, and as CSV unless it is large; files stand there by path.

    Returns
    -------
    int
        Number of cases. They are written table by table and never held together.
    """
    paths = pl.lit(pl.Series([digest.source.path for digest in digests]))
    files = ["us_source_file", "export_source_file"]
    with tempfile.TemporaryDirectory(prefix="overspill-") as temporary:
        pieces: list[Path] = []
        count = 0
        for table in cases:
            pieces.append(Path(temporary) / f"{len(pieces)}.parquet")
            named = table.with_columns(paths.gather(pl.col(name)).alias(name) for name in files)
            named.write_parquet(pieces[-1])
            count += table.height
        whole = pl.scan_parquet(pieces)
        write_atomic(folder / "priority_inversions.parquet", whole.sink_parquet)
        if count <= LARGE_ROWS:
            listed = without_formulas(whole.collect())
            write_atomic(folder / "priority_inversions.csv", listed.write_csv)
    return count


def summary(
    digests: Sequence[FileSummary],
    parts: Sequence[RowCounts],
    cases: int,
    *,
    known_until: dt.date,
    ignored: Sequence[str],
) -> Summary:
    """Content of `summary.json`: every count adds up, per file and in all."""
    return {
        **total(parts).as_dict(),
        "known_until": known_until.isoformat(),
        "priority_inversions": cases,
        "columns": _columns(digests),
        "files": [_file(digest, part) for digest, part in zip(digests, parts, strict=True)],
        "ignored": list(ignored),
    }


def _columns(digests: Sequence[FileSummary]) -> Summary:
    """Which columns some file has, which optional ones none has, and which are not read, by our names."""
    used = {name for digest in digests for name in digest.columns}
    return {
        "used": [name for name in COLUMNS if name in used],
        "absent": [name for name in COLUMNS if name not in used],
        "ignored": sorted({name for digest in digests for name in digest.ignored}),
    }


def _file(digest: FileSummary, part: RowCounts) -> Summary:
    source = digest.source
    modified = dt.datetime.fromtimestamp(source.modified / 1e9, dt.UTC)
    return {
        "path": source.path,
        "bytes": source.size,
        "modified": modified.isoformat(),
        "sha256" if source.version is None or source.is_csv else "etag": digest.content.removeprefix("etag "),
        **part.as_dict(),
        "newest": None if digest.newest is None else digest.newest.isoformat(),
        "notes": list(digest.notes),
    }


def write_summary(folder: Path, content: Summary) -> None:
    """Write `summary.json`."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / "summary.json", lambda path: path.write_text(text, encoding="utf-8"))


def metrics(content: Summary) -> dict[str, float]:
    """Figures of the run."""
    rows = {f"rows_{name}": count for name, count in content["rows"].items()}
    rules = {f"quarantined/{rule}": count for rule, count in content["quarantined"].items()}
    return {
        **rows,
        **rules,
        "files": len(content["files"]),
        "priority_inversions": content["priority_inversions"],
    }


def printed_summary(content: Summary) -> dict[str, object]:
    """What the command prints."""
    broken = {rule: count for rule, count in content["quarantined"].items() if count}
    notes = {each["path"]: "; ".join(each["notes"]) for each in content["files"] if each["notes"]}
    return {
        "files": len(content["files"]),
        "known until": content["known_until"],
        "rows in": content["rows"]["in"],
        "accepted": content["rows"]["accepted"],
        "superseded": content["rows"]["superseded"],
        "quarantined": content["rows"]["quarantined"],
        **({"by rule": broken} if broken else {}),
        "inversions": content["priority_inversions"],
        **({"notes": notes} if notes else {}),
    }


def page_text(content: Mapping[str, Any]) -> str:
    """Text of the run's page."""
    rows, broken = content["rows"], {rule: n for rule, n in content["quarantined"].items() if n}
    book = f"Order book of {len(content['files'])} files, known until {content['known_until']}:"
    counts = (
        f"{book} {rows['in']:,} rows, {rows['accepted']:,} accepted, {rows['superseded']:,} superseded, "
        f"{rows['quarantined']:,} quarantined."
    )
    cases = (
        f"{content['priority_inversions']:,} times an export shipped while an earlier US order was delayed."
    )
    lines = [counts, "", cases]
    if broken:
        lines += ["", "| rule | rows | |", "|---|---|---|"]
        lines += [f"| {rule} | {count:,} | {RULES[rule]} |" for rule, count in broken.items()]
    return "\n".join(lines)
