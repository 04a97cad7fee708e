"""How a file writes dates, numbers and countries: recognised where one reading fits, refused where two do."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.order_book.formats import brings_countries, recognise
from forecasting.order_book.normalise import Forms, normalise
from forecasting.order_book.parsing import NumberForm

FEW = settings(deadline=None, max_examples=15)
DAYS = [dt.date(2024, 2, 29), dt.date(2024, 12, 25), dt.date(2024, 5, 6)]
WRITTEN = (
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%B %d, %Y",
    "%Y%m%d",
)


def book_of(rows=3, **columns):
    """Lines whose given columns are text, one value for each row."""
    lines = {
        "order_id": [f"o{n}" for n in range(rows)],
        "line": ["1"] * rows,
        "sku": ["sku-1"] * rows,
        "customer_id": ["c1"] * rows,
        "customer_country": ["US"] * rows,
        "end_use_country": ["US"] * rows,
        "quantity": ["5"] * rows,
        "ordered_at": ["2024-01-02"] * rows,
        "requested_at": ["2024-02-02"] * rows,
    }
    return pl.DataFrame(lines | columns).lazy()


def reread(raw, intake):
    """The lines as they are read once their forms are recognised."""
    found = recognise(raw, intake, where="a.csv")
    return normalise(raw, replace(intake, forms=found)).collect()


@pytest.mark.parametrize("pattern", WRITTEN)
@pytest.mark.parametrize("time", ["", " %H:%M", " %I:%M:%S %p"])
def test_dates_are_recognised_by_the_one_format_that_fits_them_all(book, pattern, time):
    texts = [dt.datetime.combine(day, dt.time(9, 5)).strftime(pattern + time) for day in DAYS]
    lines = reread(book_of(requested_at=texts), book.intake)
    assert lines["requested_at"].to_list() == DAYS
    assert lines["broken_rule"].null_count() == 3


@FEW
@given(
    days=st.lists(st.dates(dt.date(2000, 1, 1), dt.date(2030, 12, 31)), min_size=1, max_size=12),
    pattern=st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y"]),
)
def test_days_and_months_are_never_mixed_up_they_are_right_or_refused(book, days, pattern):
    raw = book_of(len(days), promised_at=[day.strftime(pattern) for day in days])
    differ = any(day.day <= 12 and day.day != day.month for day in days)
    settled = any(day.day > 12 for day in days)
    if differ and not settled:
        with pytest.raises(InputError, match="column 'promised_at' can be read in two ways"):
            recognise(raw, book.intake, where="a.csv")
    else:
        assert reread(raw, book.intake)["promised_at"].to_list() == days


def test_ambiguous_dates_are_refused_with_both_readings_row_and_setting(book):
    raw = book_of(requested_at=["01/01/2024", "04/05/2024", "12/11/2024"])
    with pytest.raises(
        InputError,
        match=r"a\.csv, row 2: column 'requested_at' can be read in two ways: expected data\.date_formats: "
        r"\{requested_at: \.\.\.\} to say which, found '04/05/2024' .*"
        r"2024-05-04 as %d/%m/%Y, or 2024-04-05 as %m/%d/%Y",
    ):
        recognise(raw, book.intake, where="a.csv")


def test_declared_formats_are_taken_and_their_ambiguity_is_refused(book):
    intake = replace(book.intake, date_formats={"requested_at": ("%d.%m.%Y", "%Y/%m/%d")})
    raw = book_of(requested_at=["05.04.2024", "2024/04/05", "31.12.2024"])
    days = [dt.date(2024, 4, 5), dt.date(2024, 4, 5), dt.date(2024, 12, 31)]
    assert normalise(raw, intake).collect()["requested_at"].to_list() == days
    both = replace(book.intake, date_formats={"requested_at": ("%d/%m/%Y", "%m/%d/%Y")})
    raw = book_of(requested_at=["31/12/2024", "04/05/2024", "12/31/2024"])
    assert normalise(raw, both).collect()["broken_rule"].to_list() == [None, "bad_date", None]
    with pytest.raises(InputError, match=r"row 2: .*two ways.*'04/05/2024'"):
        recognise(raw, both, where="a.csv")


def test_dates_that_no_one_format_fits_are_refused_with_two(book):
    raw = book_of(requested_at=["31/12/2024", "12/31/2024", "30/12/2024"])
    with pytest.raises(
        InputError, match=r"row 2: no one date format fits .*'31/12/2024' as %d/%m/%Y and '12/31/2024'"
    ):
        recognise(raw, book.intake, where="a.csv")


def test_what_no_format_reads_is_left_to_the_quarantine(book):
    raw = book_of(4, requested_at=["31/12/2024", "29/02/2024", "soon", "30/12/2024"])
    assert reread(raw, book.intake)["broken_rule"].to_list() == [None, None, "bad_date", None]


def test_iso_dates_stay_iso_whatever_stands_beside_them(book):
    raw = book_of(requested_at=["2024-12-31", "2024-11-30", "31.12.2024"])
    assert reread(raw, book.intake)["broken_rule"].to_list() == [None, None, "bad_date"]


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,234", "12", "7"], [1234, 12, 7]),
        (["1.234", "1.234.567", "7"], [1234, 1234567, 7]),
        (["1 234", "12 000 000", "7"], [1234, 12000000, 7]),
        (["1\u202f234", "1\u00a0001", "7"], [1234, 1001, 7]),
        (["1'234", "7", "8"], [1234, 7, 8]),
        (["12,00", "1.250,00", "8"], [12, 1250, 8]),
    ],
)
def test_separators_of_thousands_are_recognised_in_quantities(book, texts, numbers):
    assert reread(book_of(quantity=texts), book.intake)["quantity"].to_list() == numbers


@pytest.mark.parametrize(
    ("texts", "prices"),
    [
        (["12,5", "1.234,75", "3"], [12.5, 1234.75, 3.0]),
        (["12.5", "1,234.75", "3"], [12.5, 1234.75, 3.0]),
        (["12,5", "1 234,75", "3"], [12.5, 1234.75, 3.0]),
    ],
)
def test_decimal_commas_are_recognised_in_prices(book, texts, prices):
    assert reread(book_of(unit_price=texts), book.intake)["unit_price"].to_list() == prices


@pytest.mark.parametrize(
    ("column", "text"), [("quantity", "1,000"), ("quantity", "1.000"), ("unit_price", "1,234")]
)
def test_numbers_of_two_readings_are_refused_with_both(book, column, text):
    with pytest.raises(
        InputError, match=rf"row 2: column '{column}' can be read in two ways.*{text!r}.* or "
    ):
        recognise(book_of(**{column: ["5", text, "6"]}), book.intake, where="a.csv")


def test_separators_that_are_stated_are_taken(book):
    intake = replace(book.intake, number_form=NumberForm(",", "."))
    lines = normalise(
        book_of(quantity=["1.000", "5", "1,0"], unit_price=["1.234,5", "7", "x"]), intake
    ).collect()
    assert lines["quantity"].to_list() == [1000, 5, 1]
    assert lines["unit_price"].to_list() == [1234.5, 7.0, None]
    assert lines["broken_rule"].to_list() == [None, None, "bad_price"]


def test_names_of_countries_become_codes_and_codes_stay(book):
    raw = book_of(end_use_country=["United States", "Korea, Rep.", "DE"])
    assert reread(raw, book.intake)["end_use_country"].to_list() == ["US", "KR", "DE"]


def test_name_of_several_countries_is_refused_with_them(book):
    with pytest.raises(InputError, match=r"row 2: the name of a country is ambiguous.*'Korea'.*KP or KR"):
        recognise(book_of(end_use_country=["US", "Korea", "DE"]), book.intake, where="a.csv")


def test_tokens_stand_for_no_value_whatever_their_case_and_codes_of_countries_go_first(book):
    intake = replace(book.intake, null_tokens=("N/A", "-", "Date Not Captured", "NA"))
    raw = book_of(
        shipped_at=["n/a", "DATE NOT CAPTURED", " - "],
        unit_price=["N/A", "-", "5"],
        end_use_country=["NA", "US", "US"],
    )
    lines = normalise(raw, intake).collect()
    assert lines["broken_rule"].null_count() == 3
    assert lines["shipped_at"].null_count() == 3
    assert lines["end_use_country"][0] == "NA"


@pytest.mark.parametrize("column", ["promised_at", "unit_price", "updated_at"])
def test_optional_column_of_which_nothing_can_be_read_counts_as_absent(book, column):
    raw = book_of(**{column: ["see contract", "tbd", "soon"]})
    assert recognise(raw, book.intake, where="a.csv").unreadable == (column,)
    assert reread(raw, book.intake)["broken_rule"].null_count() == 3


def test_column_that_decides_what_was_shipped_is_never_passed_over(book):
    raw = book_of(shipped_at=["see contract", "tbd", "soon"])
    assert reread(raw, book.intake)["broken_rule"].to_list() == ["bad_date"] * 3


def test_standard_text_needs_no_forms(book):
    found = recognise(book_of(), book.intake, where="a.csv")
    assert (found.dates, found.numbers, found.countries, found.unreadable) == ({}, {}, {}, ())


@pytest.mark.parametrize(
    ("text", "brings"), [("UK", True), (" uk ", True), ("Korea", True), ("US", False), ("XX", False)]
)
def test_only_names_of_countries_that_are_not_known_yet_are_looked_into(book, text, brings):
    rows = pl.DataFrame({"customer_country": ["DE", None], "end_use_country": [text, "XX"]})
    assert brings_countries(rows, book.intake) == brings
    known = replace(book.intake, forms=Forms(countries={text.strip(): "GB"}))
    assert not brings_countries(rows, known)
