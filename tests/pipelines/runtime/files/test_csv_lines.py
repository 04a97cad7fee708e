"""A CSV file is taken only if every line is complete; Polars alone would pad, skip or swallow."""

from __future__ import annotations

import csv

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from pipelines.runtime.files.csv_lines import NO_LAST_LINE_END, CsvLines

HEADER = b"order_id,line,quantity\n"


def checked(content, *, piece=1 << 20, separator=","):
    lines = CsvLines(where="orders.csv", separator=separator)
    for start in range(0, len(content), piece):
        lines.add(content[start : start + piece])
    return lines.end()


def slow_verdict(content):
    """First row that is incomplete, character by character; None if there is none."""
    fields = content.decode().split("\n")[0].count(",") + 1
    for row, line in enumerate(content.decode().split("\n")[1:-1], start=1):
        quoted, count, stray = False, 1, False
        for place, letter in enumerate(line):
            before, after = line[:place][-1:], line[place + 1 :]
            if letter == '"' and not quoted:
                stray |= before not in ("", ",", '"')
            elif letter == '"':
                stray |= after[:1] not in ("", ",", '"') and after != "\r"
            quoted ^= letter == '"'
            count += letter == "," and not quoted
        if quoted or stray or (line not in ("", "\r") and count != fields):
            return row
    return None


@pytest.mark.parametrize(
    "content",
    [
        HEADER,
        HEADER + b"SO-1,1,5\nSO-2,,7\n",
        HEADER + b'"SO,1",1,5\n"a ""b""",1,\n',
        HEADER.replace(b"\n", b"\r\n") + b"SO-1,1,5\r\n",
        b"\xef\xbb\xbf" + HEADER + b"SO-1,1,5\n",
        HEADER + b"SO-1,1,5\n\n\r\nSO-2,1,5\n",
    ],
)
def test_whole_file_passes(content):
    assert checked(content) == ()


def test_last_line_without_a_line_end_is_taken_and_told():
    assert checked(HEADER + b"SO-1,1,5") == (NO_LAST_LINE_END,)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            b"SO-1,1,5\nSO-2,1\n",
            r"orders\.csv, row 2: every line must have as many fields .*expected 3, found 2",
        ),
        (b"SO-1,1,5,\n", r"row 1: every line must have as many fields as the header: expected 3, found 4"),
        (b'SO-1,"1,5\nSO-2,1,5\n', r"row 1: a quote is opened and not closed on its line"),
        (b'SO-1,1,5\n"SO-2,1,5\nSO-3",1,5\n', r"row 2: a quote is opened and not closed on its line"),
        (
            b"SO-1,1,5\nSO-2,1",
            r"row 2: the file is cut short: its last line is incomplete: expected 3, found 2",
        ),
        (b'SO-1,1,5\n"SO-2', r"row 2: the file is cut short"),
        (b'SO-1,1,5\nB"1,1,C"x,5,5\n', r"row 2: a quote stands in the middle of a field"),
        (b'"B"1,1,5\n', r"row 1: a quote stands in the middle of a field"),
        (b'B,1,"7"7\r\n', r"row 1: a quote stands in the middle of a field"),
        (b'B""x,1,7\n', r"row 1: a quote stands in the middle of a field"),
    ],
)
def test_incomplete_line_is_refused_with_its_row(body, sentence):
    with pytest.raises(InputError, match=sentence):
        checked(HEADER + body)


def test_line_ends_of_an_old_mac_are_refused():
    with pytest.raises(InputError, match=r"orders\.csv: the lines of a CSV file end in LF .*found CR alone"):
        checked(HEADER.replace(b"\n", b"\r") + b"SO-1,1,5\rSO-2,1,5\r")


def test_stray_quote_in_the_header_is_refused():
    with pytest.raises(InputError, match="header: a quote stands in the middle of a field"):
        checked(b'order_id,li"n"e\n')


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text(alphabet='a,"', max_size=9), min_size=1, max_size=4))
def test_polars_reads_of_a_file_that_passes_what_the_standard_library_reads(lines):
    content = HEADER + "".join(line + "\n" for line in lines).encode()
    if slow_verdict(content) is None:
        read = pl.read_csv(content, infer_schema=False).fill_null("").rows()
        wanted = [tuple(row or ("", "", "")) for row in csv.reader(content.decode().splitlines()[1:])]
        assert read == wanted


def test_column_that_stands_twice_is_refused():
    with pytest.raises(InputError, match="a column may stand once in the header: found line twice"):
        checked(b"order_id,line,line\n")


def test_header_of_other_bytes_is_refused():
    with pytest.raises(InputError, match="a CSV file is UTF-8 text"):
        checked("order_id,line".encode("utf-16") + b"\n")


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.text(alphabet='a,"\r ', max_size=6), max_size=6),
    st.integers(min_value=1, max_value=9),
)
def test_verdict_is_that_of_reading_letter_by_letter_whatever_the_pieces(lines, piece):
    content = HEADER + "".join(line + "\n" for line in lines).encode()
    row = slow_verdict(content)
    if row is None:
        assert checked(content, piece=piece) == ()
    else:
        with pytest.raises(InputError, match=rf"orders\.csv, row {row}: "):
            checked(content, piece=piece)


def test_a_message_names_line_and_setting_as_its_reader_calls_them():
    lines = CsvLines(where="sales.csv", separator=",", setting="--separator", with_lines=True)
    with pytest.raises(InputError, match=r"^sales\.csv, row 2 \(line 3\): every line must have as many"):
        lines.add(b"a,b\n1,2\n3\n")
    other = CsvLines(where="sales.csv", separator=",", setting="--separator", with_lines=True)
    with pytest.raises(InputError, match="if they are parted by ';', set --separator"):
        other.add(b"a;b\n1;2\n")
