"""Whether each line of a CSV file is complete, checked as its bytes come in.

Polars pads a short line with nulls and lets an open quote swallow the lines after it; either would be a wrong
number. So each line must have as many fields as the header and close its own quotes, and a quote must open or
close a field: what others read of a field with a quote in its middle, nobody can say.
"""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from forecasting.errors import InputError

NEWLINE, RETURN, QUOTE = 10, 13, 34
SEPARATORS = (";", "\t", "|", ",")
STRAY = "a quote stands in the middle of a field"
QUOTED = 'quotes around a whole field, and "" for one inside'
NO_LAST_LINE_END = "its last line has no line end: if the file was cut short, its last field may be too"

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]


@dataclass
class CsvLines:
    """Checks the lines of a CSV file as its bytes come in, in pieces of any size.

    Attributes
    ----------
    where : str
        File, for messages.
    separator : str
    setting : str
        What sets the separator, for messages.
    with_lines : bool
        Whether messages name the line beside the row; the header is line 1.
    fields : int
        Fields of the header; 0 before it was read.
    rows : int
        Rows below the header so far.
    """

    where: str
    separator: str
    setting: str = "data.separator"
    with_lines: bool = False
    fields: int = 0
    rows: int = 0
    rest: bytes = field(default=b"", repr=False)

    def add(self, piece: bytes) -> None:
        """Check the lines that end in this piece."""
        whole, newline, rest = (self.rest + piece).rpartition(b"\n")
        self.rest = rest
        if newline:
            self._check(whole + newline)

    def end(self) -> tuple[str, ...]:
        """Check the last line if it has no line end; returns what a reader should know of it."""
        if not self.rest:
            return ()
        last, self.rest = self.rest, b""
        if self.fields == 0:
            self._check(last + b"\n")
            return (NO_LAST_LINE_END,)
        try:
            self._check(last + b"\n")
        except InputError as error:
            raise InputError(
                "the file is cut short: its last line is incomplete",
                expected=error.expected,
                found=error.found,
                where=error.where,
            ) from error
        return (NO_LAST_LINE_END,)

    def _check(self, block: bytes) -> None:
        if self.fields == 0:
            header, _, block = block.partition(b"\n")
            self.fields = self._count_header(header.removeprefix(codecs.BOM_UTF8))
        text = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(text == NEWLINE)
        quotes = np.flatnonzero(text == QUOTE)
        separators = np.flatnonzero(text == ord(self.separator))
        if len(quotes):
            separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
        open_at_end = np.searchsorted(quotes, ends) % 2 == 1
        fields = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
        stray = np.zeros(len(ends), np.bool_)
        stray[np.searchsorted(ends, _stray(text, quotes, self.separator))] = True
        wrong = open_at_end | stray | ((fields != self.fields) & ~_blank(text, ends))
        if wrong.any():
            first = int(np.argmax(wrong))
            row = self.rows + first + 1
            where = f"{self.where}, row {row}" + (f" (line {row + 1})" if self.with_lines else "")
            if open_at_end[first]:
                raise InputError(
                    "a quote is opened and not closed on its line",
                    expected="no line breaks inside quotes",
                    where=where,
                )
            if stray[first]:
                raise InputError(STRAY, expected=QUOTED, where=where)
            raise InputError(
                "every line must have as many fields as the header",
                expected=str(self.fields),
                found=str(fields[first]),
                where=where,
            )
        self.rows += len(ends)

    def _count_header(self, header: bytes) -> int:
        header = header.removesuffix(b"\r")
        if b"\r" in header:
            raise InputError(
                "the lines of a CSV file end in LF or CR LF", found="CR alone (old Mac)", where=self.where
            )
        try:
            names = next(csv.reader([header.decode()], delimiter=self.separator), [])
        except UnicodeDecodeError as error:
            raise InputError("a CSV file is UTF-8 text", found="other bytes", where=self.where) from error
        text = np.frombuffer(header + b"\n", np.uint8)
        if len(_stray(text, np.flatnonzero(text == QUOTE), self.separator)):
            raise InputError(STRAY, expected=QUOTED, where=f"{self.where}, header")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(
                "a column may stand once in the header", found=", ".join(twice) + " twice", where=self.where
            )
        others = [other for other in SEPARATORS if len(names) == 1 and other in names[0]]
        if others:
            raise InputError(
                "the header has a single column",
                expected=f"columns parted by {self.separator!r}",
                found=f"{names[0][:60]!r}; if they are parted by {others[0]!r}, set {self.setting}",
                where=self.where,
            )
        return len(names)


def _stray(text: Bytes, quotes: Places, separator: str) -> Places:
    """Places of quotes that neither open nor close a field, but for two together inside one.

    The text ends with a line end; every other quote opens. After a line with an open quote it says nothing.
    """
    opening, closing = quotes[0::2], quotes[1::2]
    edges = np.array([ord(separator), NEWLINE, QUOTE], np.uint8)
    after = text[closing + 1]
    returns = (after == RETURN) & (text[np.minimum(closing + 2, len(text) - 1)] == NEWLINE)
    opens = (opening == 0) | np.isin(text[opening - 1], edges)
    return np.sort(np.concatenate([opening[~opens], closing[~(np.isin(after, edges) | returns)]]))


def _blank(text: Bytes, ends: Places) -> npt.NDArray[np.bool_]:
    """Lines of nothing: they become rows without an order number, and are quarantined as such."""
    lengths = np.diff(ends, prepend=-1) - 1
    blank: npt.NDArray[np.bool_] = (lengths == 0) | ((lengths == 1) & (text[ends - 1] == RETURN))
    return blank
