"""What the etl step leaves, whichever way the figures came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True, kw_only=True)
class EtlResult:
    """Its run, the panel with every vintage, and what else is shown to a user, by name."""

    run_id: str
    panel: pl.DataFrame
    summary: Mapping[str, object] = field(default_factory=dict)
