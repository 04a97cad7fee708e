"""The content of a figure, independent of how it is drawn: a chart of panels, a panel of marks.

Positions on a named axis are 0 to n - 1, with the names in `ticks`. R rows, C columns of a field of cells.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pipelines.figures.theme import Tone

Kind = Literal["units", "share", "number"]
Dash = Literal["solid", "dash", "dot"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through points; NaN leaves a gap. `steps` holds each value until the next position."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    tone: Tone = Tone.INK
    dash: Dash = "solid"
    steps: bool = False
    points: bool = False


@dataclass(frozen=True, kw_only=True)
class Band:
    """The area between two lines."""

    name: str
    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    tone: Tone


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars from `base` to `base + size`; `texts` are at their ends."""

    name: str
    x: Sequence[float]
    size: Sequence[float]
    base: Sequence[float]
    tone: Tone
    texts: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A field [R, C] of shares, dark where they are high, with a text in each; None leaves a cell empty."""

    name: str
    rows: Sequence[str]
    values: Sequence[Sequence[float | None]]
    texts: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Note:
    """Text at a point."""

    x: float
    y: float
    text: str


Mark: TypeAlias = Line | Band | Bars | Cells | Note


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Marks on one pair of axes.

    Attributes
    ----------
    title : str
        The panel's own finding or subject.
    x_title, y_title : str
        What the axes show, with the unit.
    marks : tuple of Mark
        Drawn in this order.
    ticks : tuple of str
        Names of the positions 0, 1, ... on the x axis; empty for numbers.
    kind : {"units", "share", "number"}
        How figures on the y axis are written.
    share_x : bool
        Whether the x axis shows shares.
    split : float, optional
        Where the known past ends: a thin line.
    """

    title: str
    x_title: str
    y_title: str
    marks: tuple[Mark, ...]
    ticks: tuple[str, ...] = ()
    kind: Kind = "units"
    share_x: bool = False
    split: float | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A figure: `name` of its file, `title` that says the finding, `note` on how to read it, its panels."""

    name: str
    title: str
    note: str
    panels: tuple[Panel, ...]
    columns: int = 1

    @property
    def rows(self) -> int:
        """Rows of panels."""
        return -(-len(self.panels) // self.columns)

    def broken(self, text: str, *, to: str) -> str:
        """A panel's title with line breaks, so that it stays above its panel."""
        return to.join(textwrap.wrap(text, 105 // self.columns))

    @property
    def height(self) -> int:
        """Height in pixels at the page's width."""
        cells = [len(mark.rows) for panel in self.panels for mark in panel.marks if isinstance(mark, Cells)]
        return 130 + (26 * max(cells) if cells else 270 * self.rows)
