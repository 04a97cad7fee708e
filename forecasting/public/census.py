"""Census M3 on one coverage: orders, shipments and unfilled orders of computers and electronic products.

New orders (A34SNO) leave semiconductors out, since their makers report none; shipments (A34SVS) hold them;
the ratio of unfilled orders to shipments (A34SUS) leaves them out on both sides. Orders less shipments as
published therefore do not add up to the change of the book (1992 to 2026: -1,998 against +76 billion USD),
and the ratio times shipments overstates the book. Without semiconductors both follow from orders O and
ratio r alone:

    U[t] = U[t-1] + O[t] - S[t]   and   U[t] = r[t] S[t]   give   U[t] = r / (1 + r) * (U[t-1] + O[t]).

Whatever the book was at the start, r / (1 + r) = 0.85 of it is left a month later and 0.3 % after `SETTLED`.
"""

from __future__ import annotations

import polars as pl

ORDERS, RATIO = "A34SNO", "A34SUS"
SHIPMENTS = "A34SVS_WITHOUT_SEMICONDUCTORS"
UNFILLED = "A34SUO_WITHOUT_SEMICONDUCTORS"
SETTLED = 36  # months


def without_semiconductors(macro: pl.DataFrame) -> pl.DataFrame:
    """Monthly shipments and unfilled orders that go with the new orders, USD million, derived.

    Parameters
    ----------
    macro : DataFrame
        series_id, month_end, value and the other columns of the table `macro`.

    Returns
    -------
    DataFrame
        The same columns, series `SHIPMENTS` and `UNFILLED`, from `SETTLED` months after the first orders on.
    """
    of = {name: macro.filter(pl.col("series_id").cast(pl.String) == name) for name in (ORDERS, RATIO)}
    both = (
        of[ORDERS]
        .join(of[RATIO].select("month_end", ratio="value"), on="month_end")
        .sort("month_end")
        .with_columns(derived=pl.lit(value=True), series_id=pl.col("series_id").cast(pl.String))
    )
    unfilled, book = [], None
    for orders, ratio in both.select("value", "ratio").iter_rows():
        book = ratio * orders if book is None else ratio / (1 + ratio) * (book + orders)
        unfilled.append(book)
    books = both.with_columns(value=pl.Series(unfilled, dtype=pl.Float64), series_id=pl.lit(UNFILLED))
    shipped = books.with_columns(value=pl.col("value") / pl.col("ratio"), series_id=pl.lit(SHIPMENTS))
    return pl.concat([shipped[SETTLED:], books[SETTLED:]]).drop("ratio")
