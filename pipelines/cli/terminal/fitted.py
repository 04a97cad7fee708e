"""Tables that fit the width: cells are wrapped between words, and columns that find no room follow below.

C columns, R rows.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

PADDING = 3  # characters that each column takes beside its text
TOGETHER = re.compile(r" (?=%)| (?=/ )|(?<=/) ")  # blanks at which no line is broken: 5 %, 1 / 2 / 3
KEPT = "\u00a0"


def print_fitted(
    console: Console,
    rows: Sequence[Sequence[str]],
    *,
    title: str,
    heads: Sequence[str],
    keys: int = 1,
    right: Sequence[int] = (),
    widest: int | None = None,
) -> None:
    """Print a table in which no word is cut; where it is too wide, as several with the same first columns.

    Parameters
    ----------
    console : Console
    rows : sequence of R rows of C cells
    title : str
    heads : sequence of C
        Names of the columns; a line break in one is kept.
    keys : int
        First columns, which tell the rows apart.
    right : sequence of int
        Columns that are set to the right.
    widest : int, optional
        Most characters of a column that can be wrapped.
    """
    columns = [[_kept(cell) for cell in column] for column in zip(heads, *rows, strict=True)]
    groups = _fewest_groups(columns, keys=keys, room=console.width)
    for number, places in enumerate(groups, 1):
        part = [columns[place] for place in places]
        widths = column_widths(part, room=console.width, widest=widest)
        which = f", {number} of {len(groups)}" if len(groups) > 1 else ""
        shown = Table(title=title + which, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for place, (head, *_), width in zip(places, part, widths, strict=True):
            shown.add_column(
                _wrapped(head, width), width=width, justify="right" if place in right else "left"
            )
        for cells in zip(*(column[1:] for column in part), strict=True):
            shown.add_row(*map(_wrapped, cells, widths))
        console.print(shown)


def column_groups(least: Sequence[int], *, keys: int, room: int) -> Iterator[list[int]]:
    """Columns that stand beside each other, each time after the keys.

    Parameters
    ----------
    least : sequence of C
        Width of each column's longest word.
    keys : int
        First columns, which tell the rows apart.
    room : int
        Characters beside each other.

    Examples
    --------
    >>> list(column_groups([4, 6, 6, 6], keys=1, room=26))
    [[0, 1, 2], [0, 3]]
    """
    group = list(range(keys))
    for place in range(keys, len(least)):
        if len(group) > keys and _room_taken([least[each] for each in [*group, place]]) > room:
            yield group
            group = list(range(keys))
        group.append(place)
    yield group


def column_widths(columns: Sequence[Sequence[str]], *, room: int, widest: int | None = None) -> list[int]:
    """Width of each column, at least that of its longest word.

    Parameters
    ----------
    columns : sequence
        Each with its name first.
    room : int
        Characters beside each other.
    widest : int, optional
        Most characters of a column that can be wrapped.
    """
    widths = [_least(column) for column in columns]
    most = [_most(column) for column in columns]
    if widest is not None:
        most = [max(low, min(high, widest)) for low, high in zip(widths, most, strict=True)]
    free = room - _room_taken(widths)
    while free > 0 and (short := [place for place, width in enumerate(widths) if width < most[place]]):
        widths[min(short, key=widths.__getitem__)] += 1
        free -= 1
    return widths


def _fewest_groups(columns: Sequence[Sequence[str]], *, keys: int, room: int) -> list[list[int]]:
    """As few groups as there can be, their columns as wide as that allows."""
    least, most = [_least(column) for column in columns], [_most(column) for column in columns]
    fewest = list(column_groups(least, keys=keys, room=room))
    for widest in range(max(most), min(least), -1):
        wide = [max(low, min(high, widest)) for low, high in zip(least, most, strict=True)]
        found = list(column_groups(wide, keys=keys, room=room))
        if len(found) == len(fewest):
            return found
    return fewest


def _room_taken(widths: Sequence[int]) -> int:
    return sum(widths) + PADDING * len(widths) + 1


def _least(column: Sequence[str]) -> int:
    return max(len(word) for cell in column for word in re.split("[ \n]", cell)) or 1


def _most(column: Sequence[str]) -> int:
    return max(len(line) for cell in column for line in cell.split("\n")) or 1


def _kept(cell: str) -> str:
    return TOGETHER.sub(KEPT, cell)


def _wrapped(cell: str, width: int) -> str:
    lines = [
        line
        for part in cell.split("\n")
        for line in textwrap.wrap(part, width, break_long_words=False, break_on_hyphens=False) or [""]
    ]
    return "\n".join(lines).replace(KEPT, " ")
