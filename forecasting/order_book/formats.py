"""How a file writes its dates, numbers and countries, recognised where exactly one reading fits.

A reading is a way to take all text of a column: a date format with or without a time, or two separators. It
fits if it takes every text that any reading takes. Of several that fit and say different things none is
chosen: the column is refused with two of them. What no reading takes is left to the quarantine.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from forecasting.errors import InputError
from forecasting.order_book import parsing
from forecasting.order_book.countries import COUNTRIES, ambiguous_country, country_code
from forecasting.order_book.normalise import COUNTRY_COLUMNS, ROW, Forms, Intake, kind_of, parse_column
from forecasting.order_book.parsing import ISO_PATTERNS, NumberForm
from forecasting.order_book.schema import COLUMNS, DISPENSABLE

WORDS, FIRST = "words", "first_row"
SEPARATORS = ("/", ".", "-", " ")
ORDERS = (("%d", "%m", "%Y"), ("%m", "%d", "%Y"), ("%Y", "%m", "%d"), ("%d", "%m", "%y"), ("%m", "%d", "%y"))
WITH_NAMES = (
    "%d{0}%b{0}%Y",
    "%d{0}%b{0}%y",
    "%d{0}%B{0}%Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d. %b %Y",
    "%d. %B %Y",
)
TOGETHER = ("%Y%m%d", "%d%m%Y")
TIMES = ("", " %H:%M", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
NUMBER_FORMS = tuple(
    NumberForm(decimal, thousands)
    for decimal, thousands in ((".", ","), (",", "."), (",", " "), (".", " "), (".", "'"), (",", "'"))
)
FOUR_DIGITS = 1000  # an earlier year was written with two digits


@dataclass(frozen=True, kw_only=True)
class Column:
    """The text of a column of one file.

    Attributes
    ----------
    name, own : str
        Canonical name, and the vendor's.
    texts : DataFrame
        `words` (each text once, stripped, none that stands for no value) and `first_row`, by rising row.
    where : str
        The file.
    """

    name: str
    own: str
    texts: pl.DataFrame
    where: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way to take a column: its name for people, what it sets, and the value of each text."""

    says: str
    setting: Any
    values: pl.Series


def recognise(
    raw: pl.LazyFrame, intake: Intake, *, where: str, names: Collection[str] = COLUMNS, first_row: int = 1
) -> Forms:
    """How a file writes what cannot be read in the standard way, or as the settings say.

    Parameters
    ----------
    raw : LazyFrame
        The file, or a part of it that begins with `first_row`.
    intake : Intake
        What its `forms` say of countries is kept.
    where : str
        The file, for errors.
    names : collection of str
        Canonical columns that are looked at.
    first_row : int

    Raises
    ------
    InputError
        If several readings of a column fit and differ, or none fits all dates; the sentence shows two.
    """
    columns = _columns(raw.with_row_index(ROW, offset=first_row), intake, names, where=where)
    dates: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, NumberForm] = {}
    countries = dict(intake.forms.countries)
    for column in columns:
        if column.name in COUNTRY_COLUMNS:
            countries |= _countries(column)
        elif kind_of(column.name) in ("dates", "time stamps"):
            if intake.declares_dates(column.name):
                _check_declared(column, intake)
            elif patterns := _date_patterns(column, intake):
                dates[column.name] = patterns
        elif intake.number_form is None and (form := _number_form(column)):
            numbers[column.name] = form
    forms = Forms(dates=dates, numbers=numbers, countries=countries)
    unreadable = _unreadable(columns, replace(intake, forms=forms))
    return replace(forms, unreadable=unreadable)


def _columns(raw: pl.LazyFrame, intake: Intake, names: Collection[str], *, where: str) -> list[Column]:
    """Columns of text in which something cannot be read, with what stands there; `raw` is numbered."""
    schema = raw.collect_schema()
    text = [
        (name, own)
        for name in COLUMNS
        if name in names
        and (own := intake.own(name)) in schema
        and schema[str(own)] == pl.String
        and (name in COUNTRY_COLUMNS or kind_of(name) != "text")
    ]
    strange = {
        name: pl.col(own).is_not_null() & parse_column(name, schema, intake).value.is_null()
        if name in COUNTRY_COLUMNS
        else parse_column(name, schema, intake).unread
        for name, own in text
        if own is not None
    }
    if not strange:
        return []
    found = raw.select(test.any().alias(name) for name, test in strange.items()).collect(engine="streaming")
    asked = [(name, own) for name, own in text if own is not None and found[name][0]]
    plans = [
        raw.select(parsing.words_of(pl.col(own), intake.null_tokens).alias(WORDS), ROW)
        .drop_nulls(WORDS)
        .group_by(WORDS)
        .agg(pl.col(ROW).min().alias(FIRST))
        .sort(FIRST)
        for _, own in asked
    ]
    tables = pl.collect_all(plans, engine="streaming")
    return [
        Column(name=name, own=str(own), texts=texts, where=where)
        for (name, own), texts in zip(asked, tables, strict=True)
    ]


def brings_countries(rows: pl.DataFrame, intake: Intake) -> bool:
    """Whether rows with an unknown country hold a name of one, or of several, that is not known yet."""
    own = [column for name in COUNTRY_COLUMNS if (column := intake.own(name)) in rows.columns]
    words = {text.strip() for column in own for text in rows[column].cast(pl.String).drop_nulls().unique()}
    strange = words - set(COUNTRIES) - set(intake.forms.countries)
    return any(country_code(text) or ambiguous_country(text) for text in strange)


def _countries(column: Column) -> dict[str, str]:
    """Code of each text that is a country's name; names of several countries are refused."""
    for words, row in column.texts.iter_rows():
        if meaning := ambiguous_country(words):
            raise InputError(
                "the name of a country is ambiguous",
                expected="an ISO code or a full name",
                found=f"{words!r} in column {column.own!r}: {meaning}",
                where=f"{column.where}, row {row}",
            )
    codes = {words: country_code(words) for words in column.texts[WORDS]}
    return {words: code for words, code in codes.items() if code is not None and words != code}


def _date_patterns(column: Column, intake: Intake) -> tuple[str, ...] | None:
    """Patterns of the one reading that fits; None: ISO 8601, or nothing that is known."""
    readings = [
        _date_reading(column, patterns, intake)
        for patterns in (ISO_PATTERNS, *_candidates(column.texts[WORDS]))
    ]
    chosen = _only(readings, column, setting=f"data.date_formats: {{{column.name}: ...}}")
    if chosen is None and readings[0].values.is_null().all():
        _refuse_mixture(readings, column)
    return None if chosen is None or chosen is readings[0] else tuple(chosen.setting)


def _candidates(words: pl.Series) -> list[tuple[str, ...]]:
    """Readings of dates that are not ISO 8601 and whose separator stands in some text."""
    dates = [*TOGETHER]
    for separator in SEPARATORS:
        if words.str.contains(separator, literal=True).any():
            dates += [separator.join(order) for order in ORDERS]
            dates += [pattern.format(separator) for pattern in WITH_NAMES if "{0}" in pattern]
    dates += [pattern for pattern in WITH_NAMES if "{0}" not in pattern]
    iso = {"%Y-%m-%d"}
    return [tuple(date + time for time in TIMES) for date in dict.fromkeys(dates) if date not in iso]


def _date_reading(column: Column, patterns: Sequence[str], intake: Intake) -> Reading:
    iso = patterns == ISO_PATTERNS
    read = parsing.instant if kind_of(column.name) == "time stamps" else parsing.day
    dates = intake.dates(column.name)
    # One pattern at a time: those of a reading differ in the time of day only and never contradict.
    parts = [
        read(pl.col(WORDS), pl.String(), dates._replace(patterns=part)).value
        for part in ([()] if iso else [(pattern,) for pattern in patterns])
    ]
    value = pl.coalesce(parts)
    values = column.texts.select(pl.when(value.dt.year() >= FOUR_DIGITS).then(value).alias("value"))["value"]
    return Reading(says="ISO 8601" if iso else patterns[0], setting=tuple(patterns), values=values)


def _check_declared(column: Column, intake: Intake) -> None:
    """Refuse dates that two of a column's stated patterns read differently."""
    patterns = intake.dates(column.name).patterns
    readings = [_date_reading(column, (pattern,), intake) for pattern in patterns]
    for place, one in enumerate(readings):
        for other in readings[place + 1 :]:
            if (one.values != other.values).any():
                raise _ambiguous(one, other, column, setting=f"data.date_formats: {{{column.name}: ...}}")


def _number_form(column: Column) -> NumberForm | None:
    """Separators of the one reading that fits; None: a decimal point alone, or nothing that is known."""
    readings = [_number_reading(column, form) for form in NUMBER_FORMS]
    chosen = _only(readings, column, setting="data.decimal_separator")
    return None if chosen is None else NumberForm(*chosen.setting)


def _number_reading(column: Column, form: NumberForm) -> Reading:
    read = parsing.number if kind_of(column.name) == "numbers" else parsing.whole
    values = column.texts.select(read(pl.col(WORDS), pl.String(), form).value.alias("value"))["value"]
    says = f"{form.decimal!r} before the decimals and {form.thousands!r} between thousands"
    return Reading(says=says, setting=form, values=values)


def _only(readings: Sequence[Reading], column: Column, *, setting: str) -> Reading | None:
    """The reading that takes all that any takes; of several that say the same the first.

    Raises
    ------
    InputError
        If several fit and differ.
    """
    known = functools.reduce(operator.or_, (reading.values.is_not_null() for reading in readings))
    if not known.any():
        return None
    fitting = [reading for reading in readings if not (known & reading.values.is_null()).any()]
    for other in fitting[1:]:
        if (fitting[0].values != other.values).any():
            raise _ambiguous(fitting[0], other, column, setting=setting)
    return fitting[0] if fitting else None


def _ambiguous(one: Reading, other: Reading, column: Column, *, setting: str) -> InputError:
    differ = (one.values != other.values).fill_null(value=False)
    words, row = column.texts.filter(differ).row(0)
    first, second = (str(reading.values.filter(differ)[0]) for reading in (one, other))
    return InputError(
        f"column {column.own!r} can be read in two ways",
        expected=f"{setting} to say which",
        found=f"{words!r} and {differ.sum() - 1:,} other texts: {first} as {one.says}, or {second} as "
        f"{other.says}",
        where=f"{column.where}, row {row}",
    )


def _refuse_mixture(readings: Iterable[Reading], column: Column) -> None:
    """Refuse dates of which many can be read, but not all in one way."""
    by_number = sorted(readings, key=lambda reading: reading.values.null_count())
    best = by_number[0]
    rest = column.texts.filter(best.values.is_null())
    others = [each for each in by_number[1:] if not each.values.filter(best.values.is_null()).is_null().all()]
    if not others or rest.is_empty():
        return
    other = others[0]
    taken = ~other.values.is_null() & best.values.is_null()
    words, row = column.texts.filter(taken).row(0)
    mine = column.texts.filter(~best.values.is_null()).row(0)[0]
    raise InputError(
        f"no one date format fits column {column.own!r}",
        expected=f"data.date_formats: {{{column.name}: [...]}} with all that are used",
        found=f"{mine!r} as {best.says} and {words!r} as {other.says}",
        where=f"{column.where}, row {row}",
    )


def _unreadable(columns: Iterable[Column], intake: Intake) -> tuple[str, ...]:
    """Columns that may be absent, and of which no value can be read."""
    schema = pl.Schema({WORDS: pl.String()})
    found = []
    for column in columns:
        if column.name in DISPENSABLE:
            own = replace(intake, columns={column.name: WORDS})
            values = column.texts.select(parse_column(column.name, schema, own).value.alias("value"))["value"]
            found += [column.name] if values.is_null().all() else []
    return tuple(found)
