"""What an order book shows as exported to China and Macau becomes a setting of the windows step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from forecasting.errors import InputError
from forecasting.order_book.countries import CHINA_AND_MACAU
from forecasting.public.assumptions import Assumption, certain
from pipelines.runtime.config.data import ExportFacts
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.step.inputs import read_input
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG, UPSTREAM_TAG, Tracker

SHIPPED_BY_COUNTRY = "shipped_by_country"


def with_exports_of_book(
    settings: Settings, tracker: Tracker, forecast_run_id: str, *, items: Iterable[str]
) -> Settings:
    """Settings in which every chip of the order book has `exported_so_far`, derived where it was not stated.

    `items` are those that were forecast; the chips among them are covered even where none was shipped.

    Settings of a run that does not rest on an order book are returned as they are.

    Raises
    ------
    InputError
        If fewer units are stated than the book shows, or the run's table is missing or altered.
    """
    etl_run_id = tracker.finished(forecast_run_id, "forecast").data.tags.get(UPSTREAM_TAG)
    tags = {} if etl_run_id is None else tracker.finished(etl_run_id, "etl").data.tags
    if etl_run_id is None or f"overspill.sha256.{SHIPPED_BY_COUNTRY}" not in tags:
        return settings
    shipped = read_input(tracker, etl_run_id, step="etl", name=SHIPPED_BY_COUNTRY).table
    chips = settings.data.catalogue.keys() & {*items, *shipped["chip_id"]}
    exported = exported_units(shipped, chips=sorted(chips))
    return settings.model_copy(
        update={"data": _with_exports(settings, exported, known_until=tags[KNOWN_UNTIL_TAG])}
    )


def derived_exports(settings: Settings, *, stated: Settings) -> list[str]:
    """Dotted keys of the counts of exports that settings hold and the stated ones do not."""
    own = stated.data.exports
    return [
        f"data.exports.{chip_id}.exported_so_far"
        for chip_id, facts in settings.data.exports.items()
        if facts.exported_so_far and not own.get(chip_id, ExportFacts()).exported_so_far
    ]


def exported_units(shipped: pl.DataFrame, *, chips: Iterable[str]) -> dict[str, int]:
    """Units of each chip that were shipped for use in China, Hong Kong and Macau, returns not deducted.

    Parameters
    ----------
    shipped : DataFrame
        `shipped_by_country.parquet`: chip_id, country, units.
    chips : iterable of chip_id
        Every one of them is in the answer, with 0 where nothing was shipped there.
    """
    there = shipped.filter(pl.col("country").cast(pl.String).is_in(sorted(CHINA_AND_MACAU)))
    units = dict(there.group_by("chip_id").agg(pl.col("units").sum()).iter_rows())
    return {chip_id: int(units.get(chip_id, 0)) for chip_id in chips}


def _with_exports(settings: Settings, exported: Mapping[str, int], *, known_until: str) -> object:
    data = settings.data
    facts = dict(data.exports)
    for chip_id, units in exported.items():
        own = facts.get(chip_id, ExportFacts())
        if own.exported_so_far is None:
            derived = _derived(units, known_until)
            facts[chip_id] = own.model_copy(update={"exported_so_far": derived})
        elif own.exported_so_far.value < units:
            raise InputError(
                "fewer units are stated as exported than the order book shows",
                expected=f"at least {units:,}, shipped to China, Hong Kong and Macau by {known_until}",
                found=f"{own.exported_so_far.value:,g}",
                where=f"data.exports.{chip_id}.exported_so_far",
            )
    return data.model_copy(update={"exports": facts})


def _derived(units: int, known_until: str) -> Assumption:
    return certain(
        float(units),
        unit="units delivered to China, Hong Kong and Macau",
        reason=f"Counted in the order book: all shipments of its lines by {known_until}, returns not "
        "deducted.",
    )
