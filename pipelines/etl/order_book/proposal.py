"""A proposal for the mapping of an order book, from its header and first rows: `overspill init`."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from forecasting.errors import InputError
from forecasting.order_book.column_names import matched_columns, name_key
from forecasting.order_book.countries import ambiguous_country, country_code
from forecasting.order_book.formats import (
    FOUR_DIGITS,
    NUMBER_FORMS,
    ORDERS,
    SEPARATORS,
    TIMES,
    TOGETHER,
    WITH_NAMES,
)
from forecasting.order_book.schema import DAYS, REQUIRED
from forecasting.reference.chips import catalogue

SAMPLE = 8 << 20  # bytes that are read
ENCODINGS = ("utf-8-sig", "cp1252")
FIELD_SEPARATORS = (",", ";", "\t", "|")
COUNTRIES = ("customer_country", "end_use_country")
UNITS, PRICES = ("quantity", "shipped_quantity"), ("unit_price",)
ISO = re.compile(r"\d{4}-\d{2}-\d{2}([ T].*)?")
PLAIN_UNITS, PLAIN_PRICE = re.compile(r"[+-]?\d+(\.0)?"), re.compile(r"[+-]?\d+(\.\d+)?")
NOTHING = {"", "n/a", "na", "null", "none", "-", "--", "nan", "#n/a"}
SHOWN = 5  # values that are named


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What was found in a file, and what nobody but its owner can say.

    Attributes
    ----------
    columns : mapping
        Ours: the file's.
    ignored : tuple of str
        Columns of the file that are not read.
    separator, encoding : str
    date_formats : mapping
        Pattern of each column of dates that is not ISO 8601.
    decimal, thousands : str, optional
    skus : mapping
        Chip of each article, None where none is recognised.
    rows : int
        Rows that were looked at.
    left : tuple of str
        What is left to fill in, a sentence each.
    """

    columns: Mapping[str, str]
    ignored: tuple[str, ...]
    separator: str
    encoding: str
    date_formats: Mapping[str, str] = field(default_factory=dict)
    decimal: str | None = None
    thousands: str | None = None
    skus: Mapping[str, str | None] = field(default_factory=dict)
    rows: int = 0
    left: tuple[str, ...] = ()


def propose(source: Path) -> Proposal:
    """Read the header and a sample of a CSV or Parquet file and propose its mapping.

    Raises
    ------
    InputError
        If it cannot be read, or holds no header of at least two columns.
    """
    table, separator, encoding = _sample(source)
    columns = matched_columns(table.columns)
    words = {ours: _words(table[name]) for ours, name in columns.items()}
    left = [
        f"no column is recognised as {name}: name it under columns"
        for name in REQUIRED
        if name not in columns
    ]
    if encoding != "utf-8":
        command = f"iconv -f {encoding} -t utf-8 {source} > utf8.csv"
        left.insert(0, f"the file is not UTF-8 but probably {encoding}: {command}")
    date_formats, doubts = _date_formats(words)
    left += [f"{name} ({columns[name]!r}): {doubt}" for name, doubt in doubts.items()]
    units, prices = ([word for name in names for word in words.get(name, [])] for names in (UNITS, PRICES))
    decimal, thousands, problem = _number_form(units, prices)
    left += [] if problem is None else [problem]
    skus = {sku: _chip_of(sku) for sku in words.get("sku", [])}
    unknown = [sku for sku, chip in skus.items() if chip is None]
    if unknown:
        left.append(f"which chips are these articles, under skus: {_some(unknown)}")
    left += list(_country_problems(columns, words))
    return Proposal(
        columns=columns,
        ignored=tuple(name for name in table.columns if name not in columns.values()),
        separator=separator,
        encoding=encoding,
        date_formats=date_formats,
        decimal=decimal,
        thousands=thousands,
        skus=skus,
        rows=table.height,
        left=tuple(left),
    )


def _sample(source: Path) -> tuple[pl.DataFrame, str, str]:
    """Rows as text, the separator and the encoding."""
    if not source.is_file():
        raise InputError("the file does not exist", expected="a CSV or Parquet file", where=str(source))
    with source.open("rb") as file:
        content = file.read(SAMPLE + 1)
    if content.startswith(b"PAR1"):
        rows = pl.scan_parquet(source).head(100_000).collect()
        return rows.cast(pl.String), ",", "utf-8"
    text, encoding = _decoded(content, source)
    if len(content) > SAMPLE:
        text = text[: text.rindex("\n") + 1]
    separator = _separator(text)
    lines = list(csv.reader(io.StringIO(text), delimiter=separator))
    if not lines or len(lines[0]) < 2:
        raise InputError(
            "the file has no header of several columns",
            expected="names separated by , ; | or tabs",
            found=repr(text[:60]),
            where=str(source),
        )
    header = lines[0]
    whole = [line for line in lines[1:] if len(line) == len(header)]
    columns = {name: [line[place] for line in whole] for place, name in enumerate(header)}
    return pl.DataFrame(columns, schema=dict.fromkeys(header, pl.String)), separator, encoding


def _decoded(content: bytes, source: Path) -> tuple[str, str]:
    if b"\x00" in content:
        raise InputError("the file is not text of 8 bits", expected="UTF-8 or CP1252", where=str(source))
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding), encoding.removesuffix("-sig")
        except UnicodeDecodeError as error:
            if error.end >= len(content) and len(content) > SAMPLE:  # the sample ends within a letter
                return content[: error.start].decode(encoding), encoding.removesuffix("-sig")
    return content.decode("latin-1"), "latin-1"


def _separator(text: str) -> str:
    """The separator that divides the header most often."""
    header = text.split("\n", maxsplit=1)[0]
    return max(FIELD_SEPARATORS, key=header.count)


def _words(column: pl.Series) -> list[str]:
    """Texts of a column, each once, the commonest first, without those that stand for no value."""
    counts = Counter(word.strip() for word in column.drop_nulls().to_list())
    return [word for word, _ in counts.most_common() if word.casefold() not in NOTHING]


def _date_formats(words: Mapping[str, Sequence[str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Pattern of each column of dates that is not ISO 8601, and what is to be decided about the others.

    A column that can be read in several ways is read as the file's other columns are, where they are alike.
    """
    readings = {name: _date_readings(words.get(name, [])) for name in DAYS}
    sure = {name: found[0] for name, found in readings.items() if found is not None and len(found) == 1}
    formats, doubts = dict(sure), {}
    for name, found in readings.items():
        if found is None or name in sure:
            continue
        shared = set(sure.values()) & set(found)
        if len(set(sure.values())) == 1 and shared:
            formats[name] = shared.pop()
        elif found:
            doubts[name] = (
                f"dates such as {_some(words[name])} can be read in several ways: state {' or '.join(found)} "
                "in date_formats"
            )
        else:
            doubts[name] = (
                f"dates such as {_some(words[name])} are read by no known pattern: state date_formats"
            )
    return {name: formats[name] for name in DAYS if name in formats}, doubts


def _date_readings(words: Sequence[str]) -> list[str] | None:
    """Patterns that read all dates and say different things; None for ISO 8601, and for no dates."""
    if not words or all(ISO.fullmatch(word) for word in words):
        return None
    texts = pl.Series(words)
    readings: dict[tuple[object, ...], str] = {}
    for pattern in _patterns():
        found = texts.str.strptime(pl.Datetime("us"), pattern, strict=False)
        if not found.is_null().any() and (found.dt.year() >= FOUR_DIGITS).all():
            readings.setdefault(tuple(found.to_list()), pattern)
    return sorted(readings.values())


def _patterns() -> Iterator[str]:
    days = [mark.join(order) for order in ORDERS for mark in SEPARATORS]
    days += [form.format(mark) for form in WITH_NAMES for mark in SEPARATORS] + list(TOGETHER)
    for day in dict.fromkeys(days):
        for time in TIMES:
            yield f"{day}{time}"


def _number_form(units: Sequence[str], prices: Sequence[str]) -> tuple[str | None, str | None, str | None]:
    """Separators of decimals and thousands where numbers are not plain, and what is to be decided.

    Units are whole: a reading that breaks one is none.
    """
    odd = [word for word in units if not PLAIN_UNITS.fullmatch(word)]
    odd += [word for word in prices if not PLAIN_PRICE.fullmatch(word)]
    if not odd:
        return None, None, None
    readings: dict[tuple[float, ...], tuple[str, str]] = {}
    for form in NUMBER_FORMS:
        if all(re.fullmatch(form.pattern, word) for word in (*units, *prices)):
            whole = [_value(word, *form) for word in units]
            if all(value.is_integer() for value in whole):
                readings.setdefault((*whole, *(_value(word, *form) for word in prices)), (*form,))
    if len(readings) == 1:
        decimal, thousands = next(iter(readings.values()))
        return decimal, thousands, None
    if not readings:
        return None, None, f"numbers such as {_some(odd)} cannot be read: state decimal_separator"
    doubt = "can be read in several ways: state decimal_separator and thousands_separator"
    return None, None, f"numbers such as {_some(odd)} {doubt}"


def _value(word: str, decimal: str, thousands: str) -> float:
    return float(word.replace(thousands, "").replace(decimal, "."))


def _chip_of(sku: str) -> str | None:
    """The chip of the catalogue whose name an article's holds; the longest, None for none."""
    key = name_key(sku)
    found = [chip for chip in catalogue() if name_key(chip) in key]
    return max(found, key=lambda chip: len(name_key(chip)), default=None)


def _country_problems(columns: Mapping[str, str], words: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name in COUNTRIES:
        unknown = [word for word in words.get(name, []) if country_code(word) is None]
        several = {word: ambiguous_country(word) for word in unknown}
        for word, meaning in several.items():
            if meaning is not None:
                yield f"{columns[name]!r}: {word} may be {meaning}: write the code in the file"
        nowhere = [word for word in unknown if several[word] is None]
        if nowhere:
            yield f"{columns[name]!r}: no country is called {_some(nowhere)}: such rows go to the quarantine"


def _some(words: Iterable[str]) -> str:
    words = list(words)
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def mapping_text(proposal: Proposal, *, source: str) -> str:
    """The proposal as a mapping file with comments."""
    lines = [f"# Mapping of {source}, proposed from its header and {proposal.rows:,} rows. Check every line."]
    lines += [f"# TO DO: {sentence}" for sentence in proposal.left]
    lines += ["", f"separator: {_quoted(proposal.separator)}"]
    if proposal.decimal is not None:
        lines += [
            f"decimal_separator: {_quoted(proposal.decimal)}",
            f"thousands_separator: {_quoted(proposal.thousands or '')}",
        ]
    if proposal.date_formats:
        lines += ["date_formats:  # of the columns that are not written 2026-03-31"]
        lines += [f"  {name}: {_quoted(pattern)}" for name, pattern in proposal.date_formats.items()]
    lines += ["columns:  # ours: yours"]
    lines += [f"  {ours}: {_quoted(name)}" for ours, name in proposal.columns.items()]
    lines += [f"  # {name}: ???" for name in REQUIRED if name not in proposal.columns]
    if proposal.ignored:
        lines += [
            f"  # not read: {', '.join(json.dumps(name, ensure_ascii=False) for name in proposal.ignored)}"
        ]
    if proposal.skus:
        lines += ["skus:  # yours: a chip of the catalogue, or one of `chips` (docs/order-book.md)"]
        lines += [
            f"  {'' if chip else '# '}{_quoted(sku)}: {_quoted(chip) if chip else '???'}"
            for sku, chip in proposal.skus.items()
        ]
    text = "\n".join(lines) + "\n"
    return text if any(proposal.skus.values()) else text.replace("\nskus:", "\n# skus:")


def _quoted(text: str) -> str:
    """A text as YAML takes it to the letter."""
    return json.dumps(text, ensure_ascii=False)
