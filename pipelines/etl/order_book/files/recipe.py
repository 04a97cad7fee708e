"""How a file is read, as one object that travels to workers; a fingerprint tells old digests from new."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import polars as pl

from forecasting.errors import InputError
from forecasting.order_book.calendar import Calendar
from forecasting.order_book.normalise import Intake
from forecasting.order_book.schema import COLUMNS
from pipelines.etl.order_book.files.sources import SourceFile, scan
from pipelines.runtime.config.order_book import OrderBookData

LAYOUT = 3  # of the files that a digest leaves; a new number makes old ones void


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what is read from a file.

    Attributes
    ----------
    intake : Intake
        Its `as_of` is the last day on which something may have happened.
    calendar : Calendar
    normal_lead_days : int
    separator : str
        Of CSV files.
    storage_options : mapping
        Secrets: neither recorded nor part of the fingerprint.
    """

    intake: Intake
    calendar: Calendar
    normal_lead_days: int
    separator: str
    storage_options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def fingerprint(self) -> str:
        """Equal for two recipes that read the same from a file, but for what lies after `intake.as_of`."""
        described = asdict(self)
        del described["storage_options"], described["intake"]["as_of"]
        described |= {"layout": LAYOUT, "polars": pl.__version__}
        described["intake"]["skus"] = list(
            self.intake.skus
        )  # their order is that of the enumeration in the digests
        return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def scan(self, source: SourceFile) -> pl.LazyFrame:
        """The order lines of a file as they stand there."""
        return scan(source, separator=self.separator, storage_options=self.storage_options)


def recipe(data: OrderBookData, *, today: dt.date) -> Recipe:
    """The recipe that settings ask for; nothing may have happened after `as_of`, or after today.

    Raises
    ------
    InputError
        If `as_of` lies after today.
    """
    if data.as_of is not None and data.as_of > today:
        raise InputError(
            "an order book cannot have been drawn up after today",
            expected=f"at most {today}",
            found=str(data.as_of),
            where="data.as_of",
        )
    return Recipe(
        intake=Intake(
            skus={sku: chip.chip_id for sku, chip in data.chip_of_sku.items()},
            as_of=data.as_of or today,
            columns=dict(data.columns),
            zone=data.time_zone,
            naive_zone=data.naive_time_zone,
            date_format=data.date_format,
            date_formats={
                name: (given,) if isinstance(given, str) else given
                for name, given in data.date_formats.items()
            },
            number_form=data.number_form,
            null_tokens=data.null_tokens,
        ),
        calendar=data.calendar,
        normal_lead_days=data.normal_lead_days,
        separator=data.separator,
        storage_options={key: value.get_secret_value() for key, value in data.storage_options.items()},
    )


def signature(schema: pl.Schema, intake: Intake) -> dict[str, str]:
    """Canonical columns that a file has, each with the kind of its values."""
    own = {name: intake.own(name) for name in COLUMNS}
    return {name: _kind(schema[column]) for name, column in own.items() if column and column in schema}


def check_alike(first: tuple[str, Mapping[str, str]], other: tuple[str, Mapping[str, str]]) -> None:
    """Refuse files of one order book that differ in their columns, or in what a column holds.

    A column without any value fits everything.

    Raises
    ------
    InputError
        Naming the other file, the column and both kinds.
    """
    (path, columns), (other_path, others) = first, other
    for name in COLUMNS:
        kind, found = columns.get(name, "no column"), others.get(name, "no column")
        if kind != found and "nothing" not in {kind, found}:
            raise InputError(
                "all files of an order book must have the same columns",
                expected=f"{name} as in {path}: {kind}",
                found=found,
                where=other_path,
            )


def _kind(dtype: pl.DataType) -> str:
    if dtype == pl.Null:
        return "nothing"
    if isinstance(dtype, pl.Datetime):
        return "time stamps with a zone" if dtype.time_zone else "time stamps without a zone"
    if dtype.is_integer():
        return "whole numbers"
    if dtype.is_numeric():
        return "numbers"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "text"
    return "dates" if dtype == pl.Date else str(dtype)
