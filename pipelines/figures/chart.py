"""The content of a figure, independent of how it is drawn: a chart of panels, a panel of marks.

Positions on a named axis are 0 to n - 1, with the names in `ticks`. R rows, C columns of a field of cells.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pipelines.figures.theme import Meaning, Tone

Colour: TypeAlias = Tone | Meaning
Kind = Literal["units", "share", "number"]
Dash = Literal["solid", "dash", "dot"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through points; NaN leaves a gap. `steps` holds each value until the next position."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    tone: Colour = Tone.INK
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
    tone: Colour


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars from `base` to `base + size`; `texts` are at their ends."""

    name: str
    x: Sequence[float]
    size: Sequence[float]
    base: Sequence[float]
    tone: Colour
    texts: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A field [R, C] of shares, dark where they are high, with a text in each; None leaves a cell empty."""

    name: str
    rows: Sequence[str]
    values: Sequence[Sequence[float | None]]
    texts: Sequence[Sequence[str]]


Mark: TypeAlias = Line | Band | Bars | Cells


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
        Where the known past ends: a thin dotted line.
    observed : float, optional
        Where observations end and a nowcast begins: a thin dashed line.
    """

    title: str
    x_title: str
    y_title: str
    marks: tuple[Mark, ...]
    ticks: tuple[str, ...] = ()
    kind: Kind = "units"
    share_x: bool = False
    split: float | None = None
    observed: float | None = None

    @property
    def reach(self) -> tuple[float, float]:
        """Ends of a named x axis: half a position beside the outermost marks."""
        at = [float(x) for mark in self.marks if not isinstance(mark, Cells) for x in mark.x]
        return min([0.0, *at]) - 0.5, max([len(self.ticks) - 1.0, *at]) + 0.5

    @property
    def top(self) -> float:
        """Upper end of an axis of units: all marks lie below it, and the texts on bars have room."""
        highest = 0.0
        for mark in self.marks:
            if isinstance(mark, Band):
                highest = max(highest, *map(float, mark.high))
            elif isinstance(mark, Line):
                highest = max([highest, *(float(y) for y in mark.y if not math.isnan(y))])
            elif isinstance(mark, Bars):
                ends = (base + size for base, size in zip(mark.base, mark.size, strict=True))
                highest = max([highest, *map(float, ends)])
        return 1.12 * highest or 1.0


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A figure.

    Attributes
    ----------
    name : str
        That of its file.
    title : str
        Says the finding.
    note : str
        How to read it.
    panels : tuple of Panel
    columns : int
        Panels beside each other in the picture; on the page as many as there is room for.
    source : str
        Where the figures come from, and when that was known.
    """

    name: str
    title: str
    note: str
    panels: tuple[Panel, ...]
    columns: int = 1
    source: str = ""

    @property
    def rows(self) -> int:
        """Rows of panels."""
        return -(-len(self.panels) // self.columns)

    def broken(self, text: str, *, to: str) -> str:
        """A panel's title with line breaks, so that it stays above its panel."""
        return to.join(textwrap.wrap(text.replace(" %", "\u00a0%"), 105 // self.columns))

    def panel_height(self, panel: Panel) -> int:
        """Height of a panel in pixels."""
        cells = [len(mark.rows) for mark in panel.marks if isinstance(mark, Cells)]
        return 80 + 26 * max(cells) if cells else 290

    @property
    def height(self) -> int:
        """Height of the picture in pixels."""
        return 150 + self.rows * max(map(self.panel_height, self.panels))
