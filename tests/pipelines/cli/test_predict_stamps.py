"""Stamps as they come: `predict` continues zone and convention, and refuses what lies off the grid."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import polars as pl
import pytest

VALUES = [100.0, 107.0, 103.0, 110.0, 106.0, 113.0, 109.0, 116.0, 112.0, 104.0, 101.0, 108.0]


def lines(rows, header="unique_id,ds,y"):
    return "\n".join([header, *rows]) + "\n"


def months(name, *, first=1, values=VALUES):
    return [f"{name},2023-{first + k:02d}-01,{value:g}" for k, value in enumerate(values)]


def refused(answer, *parts):
    status, error, _ = answer
    assert status == 2, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for part in parts:
        assert re.search(part, error), error


def local(first, step, zone):
    """Twelve stamps by the clock on the wall (a time that it skips: an hour later), hours by elapsed time."""
    start = pl.Series([first]).str.to_datetime(time_unit="us")
    if step == "h":
        ticking = [start.dt.replace_time_zone(zone).dt.offset_by(f"{k}h") for k in range(12)]
        return pl.concat(ticking)
    wall = pl.concat([start.dt.offset_by(f"{k * int(step[0])}{step[1:]}") for k in range(12)])
    wall = wall.dt.month_end() if "28" in first else wall
    options = {"non_existent": "null", "ambiguous": "earliest"}
    later = wall.dt.offset_by("1h").dt.replace_time_zone(zone, **options)
    return wall.dt.replace_time_zone(zone, **options).fill_null(later)


STAMPS = {
    "month starts in Berlin": (
        local("2023-05-01 00:00:00", "1mo", "Europe/Berlin"),
        "MS",
        ["2024-05-01T00:00:00+02:00", "2024-06-01T00:00:00+02:00", "2024-07-01T00:00:00+02:00"],
    ),
    "month ends in New York at 20:00": (
        local("2023-01-28 20:00:00", "1mo", "America/New_York"),
        "ME",
        ["2024-01-31T20:00:00-05:00", "2024-02-29T20:00:00-05:00", "2024-03-31T20:00:00-04:00"],
    ),
    "local days over a clock change": (
        local("2024-03-20 00:00:00", "1d", "Europe/Berlin"),
        "D",
        ["2024-04-01T00:00:00+02:00", "2024-04-02T00:00:00+02:00", "2024-04-03T00:00:00+02:00"],
    ),
    "local days the last of which has no midnight": (
        local("2018-10-24 00:00:00", "1d", "America/Sao_Paulo"),
        "D",
        ["2018-11-05T00:00:00-02:00", "2018-11-06T00:00:00-02:00", "2018-11-07T00:00:00-02:00"],
    ),
    "hours over a clock change": (
        local("2024-03-30 15:00:00", "h", "Europe/Berlin"),
        "h",
        ["2024-03-31T04:00:00+02:00", "2024-03-31T05:00:00+02:00", "2024-03-31T06:00:00+02:00"],
    ),
    "weeks in Tokyo": (
        local("2024-01-03 09:00:00", "1w", "Asia/Tokyo"),
        "W-SUN",
        ["2024-03-27T09:00:00+09:00", "2024-04-03T09:00:00+09:00", "2024-04-10T09:00:00+09:00"],
    ),
    "quarter starts in Kolkata": (
        local("2021-01-01 00:00:00", "3mo", "Asia/Kolkata"),
        "QS",
        ["2024-01-01T00:00:00+05:30", "2024-04-01T00:00:00+05:30", "2024-07-01T00:00:00+05:30"],
    ),
    "fiscal years in Sydney": (
        local("2012-07-01 00:00:00", "1y", "Australia/Sydney"),
        "Y",
        ["2024-07-01T00:00:00+10:00", "2025-07-01T00:00:00+10:00", "2026-07-01T00:00:00+10:00"],
    ),
}


def written(stamps):
    return [stamp.isoformat() for stamp in stamps.unique().sort()]


@pytest.mark.parametrize("kind", STAMPS)
def test_stamps_continue_in_the_zone_of_their_column(predict, kind):
    stamps, freq, expected = STAMPS[kind]
    frame = pl.DataFrame({"unique_id": "a", "ds": stamps, "y": VALUES})
    status, error, found = predict(frame, "--freq", freq)
    assert status == 0, error
    assert found.schema["ds"] == frame.schema["ds"]
    assert written(found["ds"]) == expected


@pytest.mark.parametrize("kind", [kind for kind in STAMPS if "no midnight" not in kind])
def test_stamps_in_text_keep_the_offset_of_the_last_one(predict, kind):
    stamps, freq, expected = STAMPS[kind]
    rows = [f"a,{stamp.isoformat()},{value}" for stamp, value in zip(stamps, VALUES, strict=True)]
    _, _, found = predict(lines(rows), "--freq", freq)
    offset = stamps[-1].isoformat()[-6:]
    same_clock = [text[:-6] + offset for text in expected]
    texts = found["ds"].unique().sort().to_list() if offset == "+05:30" else written(found["ds"])
    assert texts == same_clock


def test_series_that_end_at_two_offsets_come_back_as_text_with_their_own(predict):
    summer = [f"s,2023-{m:02d}-01T00:00:00+0{1 + (3 < m < 11)}:00,{m}" for m in range(1, 10)]
    winter = [f"w,2023-{m:02d}-01T00:00:00+0{1 + (3 < m < 11)}:00,{m}" for m in range(1, 13)]
    _, _, found = predict(lines(summer + winter), "--freq", "M")
    first = dict(found.group_by("unique_id").agg(pl.col("ds").min()).iter_rows())
    assert first == {"s": "2023-10-01T00:00:00+02:00", "w": "2024-01-01T00:00:00+01:00"}


TWICE = {
    "15min": ("2024-01-01 10:00", "2024-01-01 10:14", "2024-01-01 10:00"),
    "h": ("2024-01-01 10:00", "2024-01-01 10:59", "2024-01-01 10:00"),
    "D": ("2024-01-01 00:00", "2024-01-01 12:00", "2024-01-01"),
    "B": ("2024-01-01 00:00", "2024-01-01 12:00", "2024-01-01"),
    "W": ("2024-01-01 00:00", "2024-01-07 00:00", "2024-01-07"),
    "M": ("2024-01-31 00:00", "2024-01-31 23:59", "2024-01"),
    "Q": ("2024-01-31 00:00", "2024-03-31 00:00", "2024Q1"),
    "Y": ("2024-01-01 00:00", "2024-12-31 00:00", "2024"),
}


@pytest.mark.parametrize("freq", TWICE)
def test_two_rows_within_one_period_are_refused_with_both_rows(predict, freq):
    one, other, period = TWICE[freq]
    rows = [f"a,{one},1", f"b,{one},1", f"a,{other},2", "a,2025-06-02 00:00,3", "b,2025-06-02 00:00,3"]
    refused(
        predict(lines([*rows, "b,2026-06-02 00:00,3"]), "--freq", freq),
        "series a: a series may have one row per period",
        rf"expected one row in {period} \(--freq {freq}\): aggregate the rows of a period first",
        rf"found {one}:00 \(row 1 \(line 2\)\) and {other}:00 \(row 3 \(line 4\)\)",
    )


@pytest.mark.parametrize(("year", "read"), [("23", 23), ("0001", 1), ("1799", 1799), ("2201", 2201)])
def test_a_date_outside_the_years_of_any_series_is_refused_with_its_row(predict, year, read):
    refused(
        predict(lines([*months("a"), f"a,{year}-01-01,1"]), "--freq", "M"),
        rf"table\.csv, row 13 \(line 14\): a date .*1800 to 2200, found '{year}-01-01', the year {read}",
    )


def test_a_coarser_series_among_others_is_refused_by_name(predict):
    quarters = [f"q,{year}-{month:02d}-01,1" for year in (2022, 2023) for month in (1, 4, 7, 10)]
    refused(
        predict(lines([*months("m"), *quarters]), "--freq", "M"),
        r"series q: no two dates are one step .*expected steps of 1 month .*found at least 3 steps",
    )


@pytest.mark.parametrize("stray", ["1970-01-01", "1900-01-01"])
@pytest.mark.parametrize("freq", ["D", "B"])
def test_a_stray_date_is_refused_at_once_with_its_row_and_the_gap(predict, stray, freq):
    days = pl.date_range(dt.date(2024, 1, 1), dt.date(2024, 3, 1), "1d", eager=True)
    days = days.filter(days.dt.weekday() < 6) if freq == "B" else days
    rows = [*(f"a,{day},{day.day}" for day in days), f"a,{stray},5"]
    end = "2024-01-01"
    week = "1111100" if freq == "B" else "1111111"
    missing = np.busday_count(stray, end, weekmask=week) - 1
    refused(
        predict(lines(rows), "--freq", freq),
        rf"series a, {stray}, row {len(rows)} \(line {len(rows) + 1}\): a gap is too long to be bridged",
        rf"expected at most 10 missing steps for each of the series' {len(rows)} rows, and 25 years",
        rf"found {missing} missing steps of 1 (business )?day between {stray} and {end}",
    )


def test_a_weekend_among_business_days_is_refused_and_fridays_lead_to_mondays(predict):
    days = pl.date_range(dt.date(2024, 1, 1), dt.date(2024, 1, 19), "1d", eager=True)
    workdays = [f"a,{day},{day.day}" for day in days.filter(days.dt.weekday() < 6)]
    _, _, found = predict(lines(workdays), "--freq", "B")
    assert written(found["ds"].dt.date()) == ["2024-01-22", "2024-01-23", "2024-01-24"]
    refused(
        predict(lines([*workdays, "a,2024-01-20,1"]), "--freq", "B"),
        r"row 16 \(line 17\): a business day is no Saturday or Sunday.*found 2024-01-20, Saturday$",
    )


INFERRED = {
    "15min": [f"2024-01-01 {h:02d}:{m}" for h in range(4) for m in ("00", "15", "30", "45")],
    "h": [f"2024-01-01 {h:02d}:30" for h in range(12)],
    "D": [f"2024-01-{d:02d}" for d in range(1, 13)],
    "B": [f"2024-01-{d:02d}" for d in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)],
    "W": [f"2024-01-{d:02d}" for d in (1, 8, 15, 22, 29)],
    "M": [f"2024-{m:02d}-15" for m in range(1, 10)],
    "Q": ["2023-01-31", "2023-04-30", "2023-07-31", "2023-10-31", "2024-01-31"],
    "Y": [f"{year}-06-30" for year in range(2012, 2020)],
}


@pytest.mark.parametrize("freq", INFERRED)
def test_a_frequency_that_is_not_given_is_found_in_the_dates(predict, tmp_path, freq):
    rows = [f"a,{stamp},{k % 4}" for k, stamp in enumerate(INFERRED[freq])]
    (tmp_path / "given").mkdir()
    status, error, found = predict(lines(rows))
    assert status == 0, error
    assert found["ds"].equals(predict(lines(rows), "--freq", freq)[2]["ds"])
    assert found["ds"].n_unique() == 3


def test_dates_that_fit_no_frequency_ask_for_one(predict):
    rows = ["a,2024-01-01 00:00:00,1", "a,2024-01-01 00:00:01,2", "a,2024-01-05 00:00:00,3"]
    refused(predict(lines(rows)), "no frequency fits all series: expected one of Y, Q, M, W, B, D, h, 30min")
