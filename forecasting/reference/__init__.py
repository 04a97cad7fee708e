"""Packaged reference tables: chips, shipments, cloud contracts, capital expenditure, prices and macro series.

`load(name)` returns a typed table that keeps its schema (`forecasting.reference.schema`), rows in no order.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import dataframely as dy
import polars as pl

from forecasting.errors import InputError
from forecasting.reference import schema

TABLES: Mapping[str, type[dy.Schema]] = MappingProxyType(
    {
        "chips": schema.Chips,
        "shipments_by_owner": schema.ShipmentsByOwner,
        "shipments_total": schema.ShipmentsTotal,
        "capital_expenditure": schema.CapitalExpenditure,
        "cloud": schema.Cloud,
        "vendors": schema.Vendors,
        "supply_chain": schema.SupplyChain,
        "prices": schema.Prices,
        "macro": schema.Macro,
        "published_estimates": schema.PublishedEstimates,
        "saturation_checkpoints": schema.SaturationCheckpoints,
        "statements": schema.Statements,
    }
)


EDITIONS = ("shipments_total_", "shipments_by_owner_")  # further editions: one of these and a month, 2026_09


def table_names() -> tuple[str, ...]:
    """Names of all packaged tables: those of `TABLES`, and further editions of the shipments."""
    found = (entry.name.removesuffix(".csv") for entry in files(__name__).iterdir())
    return (*TABLES, *sorted(name for name in found if name.startswith(EDITIONS)))


def schema_of(name: str) -> type[dy.Schema]:
    """Schema of a packaged table; further editions of the shipments keep that of the first.

    Raises
    ------
    InputError
        If there is no such table.
    """
    if name not in table_names():
        raise InputError(
            "unknown reference table", expected="one of " + ", ".join(table_names()), found=repr(name)
        )
    first = next((prefix.rstrip("_") for prefix in EDITIONS if name.startswith(prefix)), name)
    return TABLES[first]


def load(name: str) -> pl.LazyFrame:
    """Return a reference table in the columns and dtypes of its schema.

    Raises
    ------
    InputError
        If there is no such table, or if its file breaks the schema.
    """
    return _packaged(name).lazy()


def read(name: str) -> pl.DataFrame:
    """Return a packaged file as it stands: every column text, nothing checked."""
    schema_of(name)
    content = files(__name__).joinpath(f"{name}.csv").read_bytes()
    return pl.read_csv(io.BytesIO(content), infer_schema=False)


def load_edition(name: str, *, like: str) -> pl.LazyFrame:
    """Return an edition of the shipments: a packaged table by name, or a CSV file by its path.

    Parameters
    ----------
    name : str
    like : str
        Table whose schema a file must keep: shipments_total or shipments_by_owner.

    Raises
    ------
    InputError
        If the file does not exist or breaks the schema, or there is no such table.
    """
    if not name.endswith(".csv"):
        return load(name)
    path = Path(name)
    if not path.is_file():
        raise InputError("the edition's file does not exist", where=name)
    return conform(name, pl.read_csv(path, infer_schema=False), schema=TABLES[like]).lazy()


def conform(name: str, text: pl.DataFrame, *, schema: type[dy.Schema] | None = None) -> pl.DataFrame:
    """Type the text columns of a table and check them against its schema.

    Parameters
    ----------
    name : str
        Table whose schema applies, unless one is given.
    text : DataFrame
        The table with every column as text.
    schema : Schema, optional

    Raises
    ------
    InputError
        If columns are missing or unknown, a field cannot be read as its dtype, or a rule of the schema is
        broken; the first offence is named with column, rule and number of rows.
    """
    keeps = schema or schema_of(name)
    columns = keeps.columns()
    where = f"reference table {name}"
    if set(text.columns) != set(columns):
        raise InputError(
            "the columns are not those of the schema",
            expected=", ".join(sorted(set(columns) - set(text.columns))) or "no more columns",
            found=", ".join(sorted(set(text.columns) - set(columns))) or "none of these",
            where=where,
        )
    typed = text.select(_typed(column, spec.dtype) for column, spec in columns.items())
    for column, spec in columns.items():
        unread = int((typed[column].is_null() & text[column].is_not_null()).sum())
        if unread:
            found = "1 row that is not" if unread == 1 else f"{unread} rows that are not"
            rule = f"a field must be readable as {type(spec.dtype).__name__}"
            raise InputError(rule, found=found, where=f"{where}, column {column}")
    broken = keeps.filter(typed).failure.counts()
    if broken:
        offence = min(broken, key=lambda rule: "|" not in rule)
        column, _, rule = offence.rpartition("|")
        count = broken[offence]
        found = "1 row that breaks it" if count == 1 else f"{count} rows that break it"
        where += f", column {column}" if column else ""
        raise InputError(f"rule {rule} must hold", found=found, where=where)
    return typed


@cache
def _packaged(name: str) -> pl.DataFrame:
    return conform(name, read(name))


def _typed(column: str, dtype: pl.DataType) -> pl.Expr:
    """Read a text column as `dtype`; null where that fails."""
    text = pl.col(column)
    if dtype == pl.Date:
        return text.str.to_date("%Y-%m-%d", strict=False)
    if dtype == pl.Boolean:
        return text.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    return text.cast(dtype, strict=False)
