"""Quarters of the raw tables' days."""

import datetime as dt

import polars as pl

from forecasting.frequencies import calendar_quarter
from forecasting.public.sources import calendar_quarter_end, quarter_end


def test_calendar_quarters_are_those_of_the_calendar_module():
    days = pl.DataFrame({"day": [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(800)]})
    made = days.select("day", fiscal=calendar_quarter_end(pl.col("day")), own=quarter_end(pl.col("day")))
    for day, fiscal, own in made.iter_rows():
        assert fiscal == calendar_quarter(day)
        assert own == calendar_quarter(own)
        assert 0 <= (own - day).days < 92
