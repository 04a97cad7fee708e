"""Options of the commands that read a table of somebody's own series, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from forecasting.panel.layout import Columns

Freq = Annotated[
    str | None,
    typer.Option(
        "--freq",
        help="min, h, D, B, W, M, Q, Y, a multiple (15min) or a pandas alias (MS, QE, W-SUN). Without "
        "it: the coarsest that fits. The future continues the table's own dates.",
    ),
]
Event = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        help="When is a level first passed: 'above 120', 'below 80', or as a multiple of the last value "
        "'above 1.2x'; repeatable. Writes events.parquet.",
    ),
]
Hold = Annotated[
    int | None,
    typer.Option("--hold", help="Periods in a row that an event must hold, past ones included; 1."),
]
EventOf = Annotated[
    str | None,
    typer.Option(
        "--event-of",
        help="What events are about: series (each by itself); ratio (first variate over second); backlog "
        "(of orders, the first, served from capacity, the second); cover (that backlog over capacity). "
        "ratio:a,b names the two; else they are orders and capacity, or the two by name.",
    ),
]
IdCol = Annotated[str, typer.Option("--id-col", help="Column that names the series.")]
TimeCol = Annotated[str, typer.Option("--time-col", help="Column of the dates.")]
TargetCol = Annotated[str, typer.Option("--target-col", help="Column of the values.")]
Covariates = Annotated[
    str,
    typer.Option(
        "--covariates",
        help="Columns known ahead, numbers or words, such as promo,price; --future has those of the horizon.",
    ),
]
Statics = Annotated[
    str,
    typer.Option(
        "--statics",
        help="Columns that never change in a series, such as region: series alike in them share what "
        "their covariates do.",
    ),
]
CalendarFile = Annotated[
    Path | None,
    typer.Option(
        "--calendar",
        help="Table with a column period_end: the periods of a fiscal calendar (4-4-5, 52/53 weeks) or "
        "trading days, up to the end of the horizon; instead of --freq.",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", help="Of a CSV file, such as cp1252 or utf-16; UTF-8 without it."),
]
Separator = Annotated[
    str | None, typer.Option("--separator", help="Between the fields of a CSV file; a comma without it.")
]
Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="Folder with weights of the network to use.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the sampling.")]


def table_columns(*, id_col: str, time_col: str, target_col: str, covariates: str, statics: str) -> Columns:
    """The columns that the options name."""
    from forecasting.panel.layout import Columns  # noqa: PLC0415 - `--help` is to answer at once

    return Columns(
        id=id_col,
        time=time_col,
        target=target_col,
        covariates=_names(covariates),
        statics=_names(statics),
    )


def one_byte(separator: str | None) -> str | None:
    """The separator, None where none was given.

    Raises
    ------
    InputError
        If it is no single ASCII character.
    """
    from forecasting.errors import InputError  # noqa: PLC0415

    if separator is None or (len(separator) == 1 and separator.isascii()):
        return separator
    raise InputError("a separator is one ASCII character", found=repr(separator), where="--separator")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
