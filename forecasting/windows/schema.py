"""Columns of the tables that hold an answer, declared once: types, units, what they say.

Quantile columns are named by their level (`units_q10`), so that a schema belongs to a set of levels. Dates
are null where the quantile lies beyond the horizon, figures where there is no estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias, get_args

import dataframely as dy
import polars as pl
from dataframely.exc import ValidationError

from forecasting.errors import StepError
from forecasting.policy.terms import Scope
from forecasting.windows.windows import Binding

Column = dy.Column
Standing: TypeAlias = Literal["observed", "nowcast", "forecast"]
"""What a figure of a period rests on: published figures of it, a nowcast, or paths beyond the origin."""
SHARE = "share of paths"
SUPPLY = "supply_mean"
LOSSES = (*(f"lost_{term.name.lower()}" for term in Binding), "stock_left")
QUANTILE_FIGURES = {
    "units": ("units", "units that may be exported from now to the horizon"),
    "first_window_units": ("units", "units that may be exported within a path's first window"),
    "stock_units": ("units", "those of the exportable units that were on hand before now"),
    "new_units": ("units", "those of the exportable units that are made anew, in the period they leave"),
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
        "now_is": _standing("now", nullable=True),
        "observed_until": _date("last period in which the scope's item has a figure that is no nowcast"),
        "p_saturated_now": _probability("US demand for the scope's item is met now"),
        **{f"saturated_{name}": _date(f"{_point(level)} of when demand is met") for level, name in names},
        "p_never": _probability("US demand is not met by the horizon"),
        "p_supply_ended": _probability("supply of the scope's item runs down from the next period or before"),
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
    columns["units_mean"] = _figure("units", f"mean: {QUANTILE_FIGURES['units'][1]}")
    columns["new_share"] = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="share of new production in the units exported over all paths; null where none are",
        metadata={"unit": "share of units"},
    )
    columns["duty_rate"] = dy.Float64(
        nullable=True,
        min=0,
        max=1,
        description="duty due on the chip under the policy; null for a chip without specs",
        metadata={"unit": "share of the import value"},
    )
    columns["outside_duty_bands"] = dy.Bool(
        nullable=True,
        description="eligible by the letter, but in none of the policy's duty bands; null where it has none",
    )
    columns["binding"] = dy.String(
        nullable=True,
        description="condition that most often closes or limits the next window's first period",
        check=_known(term.name.lower() for term in Binding),
    )
    columns["binding_share"] = _probability("that condition binds")
    return _schema("WindowsSchema", columns)


def window_steps_schema(levels: Iterable[float]) -> type[dy.Schema]:
    """Columns of `window_steps.parquet`: one row per policy, chip, scope and period after now.

    Parameters
    ----------
    levels : iterable of float
        Quantile levels, in order.
    """
    return _schema(
        "WindowStepsSchema",
        {
            "policy": _key("name of the policy"),
            "chip": _key("chip that would be exported"),
            "scope": _scope(),
            **_period(),
            "p_open": _probability("the period is open for export"),
            **{
                f"units_{q(level)}": _figure("units", f"{_point(level)}: units that may be exported in it")
                for level in levels
            },
            **{
                f"{what}_{q(level)}": _figure("units", f"{_point(level)}: those of them that {said}")
                for what, said in (("stock_units", "were on hand"), ("new_units", "are made anew"))
                for level in levels
            },
            **{
                f"binding_{term.name.lower()}": _probability(f"{_words(term)} closes or limits the period")
                for term in Binding
            },
        },
    )


def saturation_schema() -> type[dy.Schema]:
    """Columns of `saturation.parquet`: one row per policy, item and period."""
    return _schema(
        "SaturationSchema",
        {
            "policy": _key("name of the policy"),
            "item_id": _key("item of the panel"),
            **_period(),
            "p_saturated": _probability("US demand is met in the period"),
            "p_reached_by": _probability("US demand has been met by the period"),
        },
    )


def lead_time_schema(levels: Iterable[float]) -> type[dy.Schema]:
    """Columns of `lead_time.parquet`: one row per item and period.

    Parameters
    ----------
    levels : iterable of float
        Quantile levels, in order.
    """
    names = [(level, q(level)) for level in levels]
    waits, backlog = "weeks that US buyers wait; null where nothing is made", "units ordered and not shipped"
    return _schema(
        "LeadTimeSchema",
        {
            "item_id": _key("item of the panel"),
            **_period(),
            **{f"weeks_{name}": _figure("weeks", f"{_point(level)}: {waits}") for level, name in names},
            **{f"backlog_{name}": _figure("units", f"{_point(level)}: {backlog}") for level, name in names},
        },
    )


def cap_readings_schema(levels: Iterable[float]) -> type[dy.Schema]:
    """Columns of `cap_readings.parquet`: one row per policy, chip and reading of the cap, in product scope.

    Parameters
    ----------
    levels : iterable of float
        Quantile levels, in order.
    """
    names = [(level, q(level)) for level in levels]
    exported = QUANTILE_FIGURES["units"][1]
    return _schema(
        "CapReadingsSchema",
        {
            "policy": _key("name of the policy"),
            "chip": _key("chip that would be exported"),
            "counts": _key("US shipments that the cap counts"),
            "period": _key("period over which it counts them"),
            "stated": dy.Bool(description="whether the policy is read so"),
            **{
                f"cap_units_{name}": _figure("units", f"{_point(level)}: units that the cap allows by now")
                for level, name in names
            },
            **{f"units_{name}": _figure("units", f"{_point(level)}: {exported}") for level, name in names},
        },
    )


def headroom_schema() -> type[dy.Schema]:
    """Columns of `headroom.parquet`: one row per chip and scope, under the first policy."""
    lost = {
        f"lost_{term.name.lower()}": _figure("units", f"mean of what {_words(term)} takes")
        for term in Binding
    }
    return _schema(
        "HeadroomSchema",
        {
            "policy": _key("name of the policy"),
            "chip": _key("chip that would be exported"),
            "scope": _scope(),
            SUPPLY: _figure("units", "mean surplus, and unsold stock"),
            **lost,
            "stock_left": _figure("units", "mean of the stock that is left"),
            "units_mean": _figure("units", "mean of the units that may be exported"),
            **{
                f"units_{q(level)}": _figure("units", f"{_point(level)} of the units that may be exported")
                for level in (0.1, 0.9)
            },
        },
    )


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


def _period() -> dict[str, Column]:
    return {
        "step": dy.Int64(primary_key=True, min=0, description="periods after the origin"),
        "timestamp": dy.Date(description="last day of the period"),
        "standing": _standing("the period"),
    }


def _standing(of: str, *, nullable: bool = False) -> Column:
    return dy.String(
        nullable=nullable,
        check=_known(get_args(Standing)),
        description=f"whether the item's figures of {of} are observed, a nowcast or a forecast",
    )


def _words(term: Binding) -> str:
    return term.name.lower().replace("_", " ")


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
