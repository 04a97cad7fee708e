"""Builders for the columns of the reference tables, each with its meaning and unit.

Units stand in `metadata["unit"]`: text, day and flag for columns without a physical unit.
"""

from __future__ import annotations

import datetime as dt

import dataframely as dy

FIRST_DAY = dt.date(1972, 1, 1)
LAST_DAY = dt.date(2030, 12, 31)
QUALITY = ("verified", "single_source", "derived", "estimate")


def label(description: str, *, key: bool = False, nullable: bool = False, regex: str = r"\S") -> dy.String:
    """Text column; blank text is never valid."""
    return dy.String(
        description=description,
        primary_key=key,
        nullable=nullable,
        regex=regex,
        metadata={"unit": "text"},
    )


def choice(description: str, categories: tuple[str, ...], *, key: bool = False) -> dy.Enum:
    """Text column that takes one of a few values."""
    return dy.Enum(categories, description=description, primary_key=key, metadata={"unit": "text"})


def day(description: str, *, key: bool = False, nullable: bool = False) -> dy.Date:
    """Date column; every figure here lies between 1972 and 2030."""
    return dy.Date(
        description=description,
        primary_key=key,
        nullable=nullable,
        min=FIRST_DAY,
        max=LAST_DAY,
        metadata={"unit": "day"},
    )


def flag(description: str) -> dy.Bool:
    """Yes or no."""
    return dy.Bool(description=description, metadata={"unit": "flag"})


def amount(description: str, unit: str, *, key: bool = False, nullable: bool = False) -> dy.Float64:
    """Non-negative number."""
    return dy.Float64(
        description=description, primary_key=key, nullable=nullable, min=0.0, metadata={"unit": unit}
    )


def rate(description: str, unit: str) -> dy.Float64:
    """Positive number that may be missing: a figure of a data sheet."""
    return dy.Float64(description=description, nullable=True, min_exclusive=0.0, metadata={"unit": unit})


def quality() -> dy.Enum:
    """How well a figure is supported."""
    return choice("verified: two sources agree; derived: arithmetic on sourced figures", QUALITY)


def note() -> dy.String:
    """Remark on a single figure."""
    return label("What a reader of this figure should know", nullable=True)


def source() -> dy.String:
    """Where the figure comes from."""
    return label("Key of the source in sources.yaml", regex=r"^[a-z0-9_]+$")
