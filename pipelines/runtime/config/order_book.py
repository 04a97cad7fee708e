"""Settings of the order-book way in (`configs/data/order_book.yaml`), and what follows from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import polars as pl
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from forecasting.errors import InputError
from forecasting.frequencies import DAYS_PER_WEEK, Frequency, period_end
from forecasting.order_book.calendar import WEEKDAYS, Calendar
from forecasting.order_book.parsing import NumberForm
from forecasting.order_book.schema import COLUMNS, DAYS
from forecasting.reference.chips import Chip, chip, extend_catalogue
from pipelines.runtime.config.data import Frozen, MarketData, StatedAssumption

Engine = Literal["local", "ray", "gpu"]
Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class OwnChip(Frozen):
    """A chip that the catalogue does not hold; its dense rates give its total processing performance."""

    vendor: str = Field(min_length=1)
    family: str = Field(min_length=1)
    launched: dt.date
    memory_bandwidth_gb_per_s: float = Field(gt=0)
    fp16_dense_tflops: float | None = Field(default=None, gt=0)
    fp8_dense_tflops: float | None = Field(default=None, gt=0)
    fp6_dense_tflops: float | None = Field(default=None, gt=0)
    fp4_dense_tflops: float | None = Field(default=None, gt=0)
    interconnect_gb_per_s: float | None = Field(default=None, gt=0)
    successor: str | None = None

    @model_validator(mode="after")
    def _has_a_rate(self) -> Self:
        if self.named("").tpp is None:
            raise InputError(
                "a chip needs a dense rate in at least one number format",
                expected="fp16_, fp8_, fp6_ or fp4_dense_tflops",
                found="none",
            )
        return self

    def named(self, chip_id: str) -> Chip:
        """The chip under its short name."""
        return Chip(
            chip_id=chip_id,
            name=chip_id,
            vendor=self.vendor,
            family=self.family,
            launch_quarter_end=period_end(self.launched, Frequency.QUARTER),
            fp16_dense_tflops=self.fp16_dense_tflops,
            fp8_dense_tflops=self.fp8_dense_tflops,
            fp6_dense_tflops=self.fp6_dense_tflops,
            fp4_dense_tflops=self.fp4_dense_tflops,
            memory_bandwidth_gb_per_s=self.memory_bandwidth_gb_per_s,
            merchant=True,
            successor_chip_id=self.successor,
            interconnect_gb_per_s=self.interconnect_gb_per_s,
        )


class OrderBookData(MarketData):
    """Where the order lines lie, how to read them, and what is assumed beyond them."""

    kind: Literal["order_book"]
    path: str | tuple[str, ...] | None
    storage_options: Mapping[str, SecretStr]
    separator: str = Field(min_length=1, max_length=1)
    date_format: str | None
    date_formats: Mapping[str, str | tuple[str, ...]]
    decimal_separator: Literal[".", ","] | None
    thousands_separator: Literal[",", ".", " ", "'", ""] | None
    null_tokens: tuple[str, ...]
    time_zone: str
    naive_time_zone: str | None
    as_of: dt.date | None
    fiscal_year_end_month: int = Field(ge=1, le=12)
    week_end: Weekday
    columns: Mapping[str, str | None]
    chips: Mapping[str, OwnChip]
    skus: Mapping[str, str]
    normal_lead_weeks: float = Field(ge=0)
    quarantine_max_share: float = Field(ge=0, le=1)
    capacity_decay: StatedAssumption
    tight_tolerance: StatedAssumption
    engine: Engine
    cache: Path

    @field_validator("storage_options", mode="before")
    @classmethod
    def _as_text(cls, options: object) -> object:
        """YAML takes some keys and switches for numbers or truth values; stores take text."""
        if not isinstance(options, Mapping):
            return options
        words = {True: "true", False: "false"}
        return {
            key: words[value]
            if isinstance(value, bool)
            else str(value)
            if isinstance(value, int | float)
            else value
            for key, value in options.items()
        }

    @field_validator("time_zone", "naive_time_zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                pl.Series([None], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)
            except pl.exceptions.PolarsError as error:
                raise InputError(
                    "there is no such time zone", expected="such as America/New_York", found=repr(zone)
                ) from error
        return zone

    @field_validator("null_tokens", mode="before")
    @classmethod
    def _bare_null(cls, tokens: object) -> object:
        """In a list of YAML, NULL and ~ without quotes are nothing: here they are the word."""
        return (
            ["NULL" if token is None else token for token in tokens] if isinstance(tokens, list) else tokens
        )

    @field_validator("date_formats")
    @classmethod
    def _of_dates(cls, formats: Mapping[str, object]) -> Mapping[str, object]:
        if unknown := sorted(set(formats) - {*DAYS, "updated_at"}):
            raise InputError(
                "a date format belongs to a column of dates",
                expected="keys out of " + ", ".join((*DAYS, "updated_at")),
                found=", ".join(unknown),
            )
        return formats

    @model_validator(mode="after")
    def _separators_differ(self) -> Self:
        if self.decimal_separator is not None and self.decimal_separator == self.thousands_separator:
            raise InputError(
                "decimals and thousands have different separators",
                found=f"{self.decimal_separator!r} for both",
                where="data.decimal_separator, data.thousands_separator",
            )
        return self

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: Mapping[str, str | None]) -> Mapping[str, str | None]:
        if unknown := sorted(set(columns) - set(COLUMNS)):
            raise InputError(
                "order lines have no such column to map one of yours to",
                expected="keys out of " + ", ".join(COLUMNS),
                found=", ".join(unknown),
            )
        return columns

    @field_validator("chips")
    @classmethod
    def _beside_the_catalogue(cls, chips: Mapping[str, OwnChip]) -> Mapping[str, OwnChip]:
        _catalogue(chips)
        return chips

    @field_validator("skus")
    @classmethod
    def _known_chips(cls, skus: Mapping[str, str], checked: ValidationInfo) -> Mapping[str, str]:
        among = _catalogue(checked.data.get("chips", {}))
        for chip_id in skus.values():
            chip(chip_id, among=among)
        return skus

    @property
    def number_form(self) -> NumberForm | None:
        """Separators in numbers that are text; None: to be recognised."""
        decimal, thousands = self.decimal_separator, self.thousands_separator
        if decimal is None and thousands is None:
            return None
        decimal = decimal or ("," if thousands == "." else ".")
        return NumberForm(decimal, {".": ",", ",": "."}[decimal] if thousands is None else thousands)

    @cached_property
    def catalogue(self) -> Mapping[str, Chip]:
        """The reference catalogue and the user's own chips."""
        return _catalogue(self.chips)

    @cached_property
    def chip_of_sku(self) -> Mapping[str, Chip]:
        """Chip of each SKU that is known: those of the mapping, and the names of the chips themselves."""
        chips = self.catalogue
        return {**chips, **{sku: chips[chip_id] for sku, chip_id in self.skus.items()}}

    @property
    def calendar(self) -> Calendar:
        """Reporting periods."""
        return Calendar(
            frequency=self.panel_frequency,
            fiscal_year_end_month=self.fiscal_year_end_month,
            week_end=WEEKDAYS.index(self.week_end) + 1,
        )

    @property
    def normal_lead_days(self) -> int:
        """Days from request to shipment that count as the normal lead time."""
        return round(self.normal_lead_weeks * DAYS_PER_WEEK)


def _catalogue(chips: Mapping[str, OwnChip]) -> Mapping[str, Chip]:
    return extend_catalogue(each.named(chip_id) for chip_id, each in chips.items())
