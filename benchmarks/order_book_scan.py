"""What any reader of an order book does at least: read all columns and count non-nulls. Prints seconds."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import polars as pl

started = time.perf_counter()
pl.scan_parquet(Path(sys.argv[1]) / "*.parquet").select(pl.all().count()).collect(engine="streaming")
print(time.perf_counter() - started)
