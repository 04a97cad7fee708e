"""Reading a vendor's columns: every rule against plain questions; types, zones, batches, clear refusals."""

import datetime as dt
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from forecasting.errors import InputError
from forecasting.order_book.normalise import normalise
from forecasting.order_book.rules import ROW_RULES
from forecasting.order_book.schema import COLUMNS, OPTIONAL, OrderLines

FEW = settings(deadline=None, max_examples=25)
SEEDS, COUNTS = st.integers(0, 2**32), st.integers(0, 80)
TEXT = ("sku", "customer_country", "end_use_country")
LINE = {
    "order_id": "o1",
    "line": 1,
    "split": 0,
    "sku": "sku-1",
    "customer_id": "c1",
    "customer_country": "US",
    "end_use_country": "DE",
    "quantity": 5,
    "ordered_at": "2025-01-02",
    "requested_at": "2025-02-02",
}


def stamp(*parts):
    """A time stamp without a zone, as files have them."""
    return dt.datetime(*parts)  # noqa: DTZ001


def read(intake, rows=1, **columns):
    """Canonical line of a table whose columns are given, as values or as a series."""
    return normalise(pl.DataFrame(LINE | columns).lazy(), intake).collect().row(0, named=True)


def as_text(frame):
    return frame.with_columns(pl.all().cast(pl.String))


def as_csv(frame):
    """As a file gives it back: everything is text, and nothing is the empty text."""
    return pl.read_csv(frame.write_csv().encode(), infer_schema=False).with_columns(pl.all().fill_null(""))


def as_zoned_stamps(frame):
    """Days as noon in Tokyo, which is the same day in UTC."""
    noon = pl.col("^.*ed_at$").exclude("updated_at").cast(pl.Datetime("ms")) + pl.duration(hours=12)
    return frame.with_columns(noon.dt.replace_time_zone("Asia/Tokyo"))


def as_floats(frame):
    return frame.with_columns(pl.col("quantity", "line", "split", "shipped_quantity").cast(pl.Float64))


@FEW
@given(
    seed=SEEDS,
    count=COUNTS,
    form=st.sampled_from([lambda frame: frame, as_text, as_csv, as_zoned_stamps, as_floats]),
)
def test_rows_break_the_rules_that_plain_questions_find_whatever_their_types(book, seed, count, form):
    rows = book.rows(seed, count)
    lines = normalise(form(book.frame(rows)).lazy(), book.intake).collect()
    assert lines["broken_rule"].to_list() == [book.broken_rule(row) for row in rows]
    assert lines["source_row"].to_list() == list(range(1, count + 1))
    good = lines.filter(pl.col("broken_rule").is_null())
    OrderLines.validate(good.select(COLUMNS).cast({"sku": pl.String}))
    wanted = book.frame(rows).with_columns(pl.col("split").fill_null(0))
    kept = wanted.filter(lines["broken_rule"].is_null())
    assert_frame_equal(
        good.select(COLUMNS).cast(dict.fromkeys(TEXT, pl.String)),
        kept,
    )


def test_rows_keep_their_numbers_when_a_file_is_read_in_batches(book, tmp_path):
    book.frame(book.rows(1, 1000)).write_parquet(tmp_path / "a.parquet", row_group_size=100)
    lines = normalise(pl.scan_parquet(tmp_path / "a.parquet"), book.intake)
    pieces = list(lines.collect_batches(chunk_size=250, maintain_order=True, engine="streaming"))
    assert [piece.height for piece in pieces] == [250] * 4
    assert_frame_equal(pl.concat(pieces), lines.collect())


def test_a_row_is_refused_under_the_first_rule_in_the_declared_order(book):
    found = read(book.intake, sku="sku-9", end_use_country="ZZ", quantity=0)
    assert found["broken_rule"] == next(iter(ROW_RULES)) == "unknown_sku"


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("line", "x", "missing_order_id"),
        ("split", "b", "missing_order_id"),
        ("order_id", "", "missing_order_id"),
        ("quantity", "3.5", "bad_quantity"),
        ("quantity", 3.5, "bad_quantity"),
        ("quantity", float("nan"), "bad_quantity"),
        ("quantity", float("inf"), "bad_quantity"),
        ("quantity", "many", "bad_quantity"),
        ("quantity", "1e3", "bad_quantity"),
        ("quantity", "1.000", "bad_quantity"),
        ("quantity", "3.05", "bad_quantity"),
        ("quantity", 10**12 + 1, "bad_quantity"),
        ("quantity", "1000000000001", "bad_quantity"),
        ("quantity", -(2**63), "bad_quantity"),
        ("shipped_quantity", 10**12 + 1, "bad_quantity"),
        ("unit_price", "1,2x0$", "bad_price"),
        ("unit_price", "dear", "bad_price"),
        ("order_id", "  ", "missing_order_id"),
        ("shipped_quantity", "all", "bad_quantity"),
        ("customer_country", "us", "unknown_country"),
        ("end_use_country", "USA", "unknown_country"),
        ("ordered_at", "02/01/2025", "bad_date"),
        ("requested_at", "2025-02-30", "bad_date"),
        ("promised_at", "soon", "bad_date"),
        ("promised_at", "9999-12-31", "bad_date"),
        ("shipped_at", "2025-1", "bad_date"),
        ("cancelled_at", "31.01.2025", "bad_date"),
        ("updated_at", "yesterday", "bad_date"),
        ("ordered_at", "", "missing_ordered_at"),
        ("requested_at", " ", "missing_requested_at"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused(book, column, value, rule):
    assert read(book.intake, **{column: value})["broken_rule"] == rule


@pytest.mark.parametrize(
    ("column", "value", "wanted"),
    [
        ("order_id", 4711, "4711"),
        ("line", " 7 ", 7),
        ("quantity", "3.0", 3),
        ("quantity", 3.0, 3),
        ("split", None, 0),
        ("unit_price", "12.5", 12.5),
        ("unit_price", " 12.5 ", 12.5),
        ("unit_price", " ", None),
        ("order_id", " o 1 ", "o 1"),
        ("customer_id", "  ", None),
        ("sku", " sku-2 ", "sku-2"),
        ("end_use_country", "CN ", "CN"),
        ("line", "9007199254740993", 2**53 + 1),
        ("line", "9007199254740993.00", 2**53 + 1),
        ("quantity", "1000000000000", 10**12),
        ("ordered_at", "2025-01-02T08:00:00Z", dt.date(2025, 1, 2)),
        ("ordered_at", "2025-01-02 08:00", dt.date(2025, 1, 2)),
        ("ordered_at", "2025-01-02 23:30:00.125-08:00", dt.date(2025, 1, 3)),
        ("ordered_at", "2025-01-02T23:30-0800", dt.date(2025, 1, 3)),
        ("ordered_at", stamp(2025, 1, 2, 23, 59), dt.date(2025, 1, 2)),
        ("updated_at", "2025-01-02", stamp(2025, 1, 2)),
        ("updated_at", "2025-01-02T01:00:00.000001+01:00", stamp(2025, 1, 2, 0, 0, 0, 1)),
        ("updated_at", dt.date(2025, 1, 2), stamp(2025, 1, 2)),
    ],
)
def test_a_value_is_read_from_any_type_that_can_hold_it(book, column, value, wanted):
    row = read(book.intake, **{column: value})
    assert row["broken_rule"] is None
    assert row[column] == wanted


@pytest.mark.parametrize(
    ("written", "zone", "naive_zone", "day"),
    [
        (pl.Series([stamp(2025, 1, 2, 2)]).dt.replace_time_zone("UTC"), "America/New_York", None, 1),
        (pl.Series([stamp(2025, 1, 2, 2)]).dt.replace_time_zone("Asia/Tokyo"), "UTC", None, 1),
        (pl.Series([stamp(2025, 1, 2, 2)]), "America/New_York", None, 2),
        (pl.Series([stamp(2025, 1, 2, 2)]), "America/New_York", "UTC", 1),
        (pl.Series(["2025-01-02 02:00"]), "America/New_York", "UTC", 1),
        (pl.Series(["2025-01-02 02:00"]), "America/New_York", None, 2),
        (pl.Series(["2025-01-02"]), "America/New_York", "UTC", 2),
        (pl.Series([dt.date(2025, 1, 2)]), "America/New_York", "UTC", 2),
    ],
)
def test_days_are_days_in_the_reporting_zone(book, written, zone, naive_zone, day):
    row = read(replace(book.intake, zone=zone, naive_zone=naive_zone), ordered_at=written)
    assert row["ordered_at"] == dt.date(2025, 1, day)


def test_a_blank_reason_of_a_return_is_none(book):
    assert read(book.intake, quantity=-1, return_reason="  ")["broken_rule"] == "negative_without_reason"


def test_updates_without_a_zone_are_in_the_naive_one_and_kept_as_utc(book):
    intake = replace(book.intake, zone="UTC", naive_zone="America/New_York")
    for written in ("2025-01-02 20:00", stamp(2025, 1, 2, 20)):
        assert read(intake, updated_at=written)["updated_at"] == stamp(2025, 1, 3, 1)


def test_an_hour_that_the_clocks_skip_cannot_be_read_and_one_that_comes_twice_is_the_earlier(book):
    intake = replace(book.intake, zone="UTC", naive_zone="America/New_York")
    assert read(intake, ordered_at=stamp(2024, 3, 10, 2, 30))["broken_rule"] == "bad_date"
    assert read(intake, updated_at="2024-03-10 02:30")["broken_rule"] == "bad_date"
    assert read(intake, updated_at="2024-11-03 01:30")["updated_at"] == stamp(2024, 11, 3, 5, 30)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("%d.%m.%Y", "31.01.2025", "2025-01-31"),
        ("%m/%d/%Y %H:%M", "01/31/2025 08:00", "31/01/2025 08:00"),
        ("%d.%m.%Y %H:%M %z", "31.01.2025 08:00 +0100", "31.01.2025 08:00"),
    ],
)
def test_a_date_pattern_of_the_vendor_replaces_iso_dates(book, pattern, good, bad):
    intake = replace(book.intake, date_format=pattern)
    days = {"ordered_at": good, "requested_at": good}
    row = read(intake, **days)
    assert (row["broken_rule"], row["ordered_at"]) == (None, dt.date(2025, 1, 31))
    assert read(intake, **days, promised_at=bad)["broken_rule"] == "bad_date"
    assert read(intake, **days, updated_at=bad)["broken_rule"] == "bad_date"


def test_optional_columns_may_be_absent(book):
    row = read(book.intake)
    assert row["broken_rule"] is None
    assert row["split"] == 0
    assert all(row[name] is None for name in OPTIONAL if name != "split")


def test_one_column_may_stand_for_two(book):
    intake = replace(book.intake, columns={"customer_country": "land", "end_use_country": "land"})
    row = normalise(pl.DataFrame(LINE | {"land": "CN"}).lazy(), intake).collect().row(0, named=True)
    assert (row["customer_country"], row["end_use_country"]) == ("CN", "CN")


@pytest.mark.parametrize(
    ("table", "columns", "sentence"),
    [
        (
            pl.DataFrame(LINE).rename({"quantity": "quantitiy"}),
            {},
            r"a\.csv: column 'quantity' is missing: found .*the nearest is 'quantitiy'",
        ),
        (
            pl.DataFrame(LINE),
            {"sku": "article"},
            r"a\.csv: column 'article' \(for sku\) is missing",
        ),
        (
            pl.DataFrame(LINE),
            {"promised_at": "promise"},
            r"a\.csv: column 'promise' \(for promised_at\) is missing",
        ),
        (
            pl.DataFrame(LINE | {"ordered_at": 20250102}),
            {},
            r"column 'ordered_at' is of a type that cannot be read as dates: expected dates, .*found Int64",
        ),
        (
            pl.DataFrame(LINE | {"order_id": 1.5}),
            {},
            r"column 'order_id' is of a type that cannot be read as text: .*found Float64",
        ),
        (
            pl.DataFrame(LINE | {"quantity": dt.date(2025, 1, 1)}),
            {},
            r"column 'quantity' is of a type that cannot be read as whole numbers: .*found Date",
        ),
        (
            pl.DataFrame(LINE | {"source_row": 1}),
            {},
            r"a column has a name that is needed for the quarantine report: found source_row",
        ),
        (
            pl.DataFrame(LINE | {"rule_says": "foo"}),
            {},
            r"a column has a name that is needed for the quarantine report: found rule_says",
        ),
    ],
)
def test_a_file_whose_columns_do_not_fit_is_refused(book, table, columns, sentence):
    with pytest.raises(InputError, match=sentence):
        normalise(table.lazy(), replace(book.intake, columns=columns), where="a.csv")


@pytest.mark.parametrize(
    ("slip", "name"),
    [
        ("canceled_at", "cancelled_at"),
        ("shipped_qty", "shipped_quantity"),
        ("Cancelled_At", "cancelled_at"),
        (" promised_at", "promised_at"),
        ("UNIT_PRICE ", "unit_price"),
    ],
)
def test_a_slip_in_an_optional_column_is_refused_unless_the_mapping_settles_it(book, slip, name):
    table = pl.DataFrame(LINE | {slip: None})
    with pytest.raises(
        InputError, match=rf"a\.csv: the optional column .*'{name}'.* is missing.*found '{slip}'"
    ):
        normalise(table.lazy(), book.intake, where="a.csv")
    for settled in ({name: slip}, dict.fromkeys(OPTIONAL)):
        assert normalise(table.lazy(), replace(book.intake, columns=settled)).collect().height == 1


def test_a_column_of_quite_another_name_is_ignored(book):
    others = dict.fromkeys(("created_at", "invoice", "delivered_on", "remark"))
    assert normalise(pl.DataFrame(LINE | others).lazy(), book.intake).collect().height == 1
    assert book.intake.ignored([*LINE, *others]) == list(others)


def test_a_column_that_the_mapping_does_without_is_not_read_and_a_required_one_may_not_be(book):
    intake = replace(book.intake, columns={"promised_at": None})
    table = pl.DataFrame(LINE | {"promised_at": "2025-02-03"})
    assert normalise(table.lazy(), intake).collect()["promised_at"].to_list() == [None]
    with pytest.raises(InputError, match=r"data\.columns: a required column must be one of.*for quantity"):
        normalise(table.lazy(), replace(intake, columns={"quantity": None}))


@pytest.mark.parametrize(
    "zone", ["UTC", "America/New_York", "Africa/Cairo", "Asia/Kolkata", "Pacific/Kiritimati"]
)
def test_an_update_after_the_day_of_the_book_in_the_reporting_zone_is_refused(book, zone):
    intake = replace(book.intake, as_of=dt.date(2025, 4, 24), zone=zone)
    assert read(intake, updated_at="2025-04-24 23:59:59")["broken_rule"] is None
    assert read(intake, updated_at="2025-04-25 01:00")["broken_rule"] == "future_date"
