"""Columns of the tables that hold an answer, declared once: types, units, what they say.

Quantile columns are named by their level (`units_q10`), so that a schema belongs to a set of levels. Dates
are null where the quantile lies beyond the horizon, figures where there is no estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import get_args

import dataframely as dy
import polars as pl
from dataframely.exc import ValidationError

from forecasting.errors import StepError
from forecasting.policy.terms import Scope
from forecasting.windows.windows import Binding

Column = dy.Column
SHARE = "share of paths"
QUANTILE_FIGURES = {
    "units": ("units", "units that may be exported from now to the horizon"),
    "first_window_units": ("units", "units that may be exported within a path's first window"),
    "tpp": ("TPP", "total processing performance of the exportable units"),
    "value_usd": ("USD", "value of the exportable units, net of duty; null without a price"),
    "first_window_value_usd": (
        "USD",
        "value of the units of a path's first window, as above",
    ),
}


def q(level: float) -> str:
    """Column suffix of a quantile level: q10, q50, q97.5."""
    return f"q{100 * level:g}"


def windows_schema(levels: Iterable[float]) -> type[dy.Schema]:
    """Columns of `windows.parquet`: one row per policy, chip and scope.

    Parameters
    ----------
    levels : iterable of float
        Quantile levels, in order.
    """
    names = [(level, q(level)) for level in levels]
    columns: dict[str, Column] = {
        "policy": _key("name of the policy"),
        "chip": _key("chip that would be exported"),
        "scope": _scope(),
        "scope_item": dy.String(description="item of the panel whose demand must be met"),
        "eligible": dy.Bool(description="whether the policy lets the chip through"),
        "reason": dy.String(description="why it does not; empty where it does"),
        "no_estimate": dy.String(
            nullable=True, description="items without a forecast, with the reason; null where none is missing"
        ),
        "now": _date('period end that "now" means'),
        "p_saturated_now": _probability("US demand for the scope's item is met now"),
        **{f"saturated_{name}": _date(f"{_point(level)} of when demand is met") for level, name in names},
        "p_never": _probability("US demand is not met by the horizon"),
        "p_any_window": _probability("some period from now to the horizon is open for export"),
        "window_opens": _date("first period open at the configured confidence"),
        "window_closes": _date("first period after it that is not; null where it stays open to the horizon"),
    }
    for what, said in (("opening", "opens"), ("closing", "closes")):
        columns |= {
            f"{what}_{name}": _date(f"{_point(level)} of when a path's first window {said}")
            for level, name in names
        }
    for what, (unit, said) in QUANTILE_FIGURES.items():
        columns |= {f"{what}_{name}": _figure(unit, f"{_point(level)}: {said}") for level, name in names}
    columns["binding"] = dy.String(
        nullable=True,
        description="condition that most often closes or limits the next window's first period",
        check=_known(term.name.lower() for term in Binding),
    )
    columns["binding_share"] = _probability("that condition binds")
    return _schema("WindowsSchema", columns)


def scenarios_schema(levels: Iterable[float]) -> type[dy.Schema]:
    """Columns of `scenarios.parquet`: one row per policy, chip, scope and scenario, the base case first.

    Parameters
    ----------
    levels : iterable of float
        Quantile levels, in order.
    """
    names = [(level, q(level)) for level in levels]
    return _schema(
        "ScenariosSchema",
        {
            "policy": _key("name of the policy"),
            "chip": _key("chip that would be exported"),
            "scope": _scope(),
            "scenario": _key("name of the scenario; `base` for the base case"),
            "title": dy.String(description="what the scenario supposes"),
            "p_saturated": _probability("US demand is met by the horizon"),
            **{f"saturated_{name}": _date(f"{_point(level)} of when demand is met") for level, name in names},
            "p_any_window": _probability("some period from now to the horizon is open for export"),
            **{
                f"units_{name}": _figure("units", f"{_point(level)}: {QUANTILE_FIGURES['units'][1]}")
                for level, name in names
            },
            "value_usd_q50": _figure("USD", f"{_point(0.5)}: {QUANTILE_FIGURES['value_usd'][1]}"),
            "p_sooner": _probability("demand is met sooner than in the base case"),
            "p_later": _probability("demand is met later than in the base case"),
            "p_more_units": _probability("more units may be exported than in the base case"),
            "p_fewer_units": _probability("fewer units may be exported than in the base case"),
        },
    )


def table_of(rows: Iterable[Mapping[str, object]], schema: type[dy.Schema]) -> pl.DataFrame:
    """Rows as a table that keeps its schema.

    Raises
    ------
    StepError
        If a row breaks it: what was computed would be a wrong answer.
    """
    types = {name: column.dtype for name, column in schema.columns().items()}
    table = pl.DataFrame(list(rows), schema=types)
    try:
        return pl.DataFrame(schema.validate(table))
    except ValidationError as error:
        reason = " ".join(str(error).split())
        raise StepError(f"a computed table breaks its schema {schema.__name__}: {reason}") from error


def _schema(name: str, columns: Mapping[str, Column]) -> type[dy.Schema]:
    return type(name, (dy.Schema,), dict(columns))


def _key(description: str) -> Column:
    return dy.String(primary_key=True, min_length=1, description=description)


def _scope() -> Column:
    return dy.String(
        primary_key=True, check=_known(get_args(Scope)), description="the product, or the vendor's portfolio"
    )


def _known(words: Iterable[str]) -> Callable[[pl.Expr], pl.Expr]:
    listed = tuple(words)
    return lambda column: column.is_in(listed)


def _date(description: str) -> Column:
    return dy.Date(nullable=True, description=description)


def _probability(description: str) -> Column:
    return dy.Float64(nullable=True, min=0, max=1, description=description, metadata={"unit": SHARE})


def _figure(unit: str, description: str) -> Column:
    return dy.Float64(nullable=True, description=description, metadata={"unit": unit})


def _point(level: float) -> str:
    return "median" if level == 0.5 else f"{100 * level:g} % point"
