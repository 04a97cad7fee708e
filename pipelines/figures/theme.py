"""One look for all figures: tones that stay apart in grey and for the colour-blind, fonts, how figures read.

The tones are taken from cividis (Nunez, Anderton and Renslow 2018, PLoS ONE 13(7), e0199239), whose lightness
rises evenly and which looks nearly the same with red-green blindness: in grey they keep their order.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from enum import StrEnum

from pipelines.figures.number_format import percent, units_text

FONT = "DejaVu Sans, Verdana, sans-serif"
WIDTH = 1080  # pixels
FEW_NAMES = 8
TEXT = "#1a1a1a"
GRID = "#e4e4e4"


class Tone(StrEnum):
    """Colours from dark to light; `PALE` is for areas, the others also serve lines on white."""

    INK = "#00224e"
    DEEP = "#434e6c"
    MIDDLE = "#7d7c78"
    SAND = "#bcae6c"
    PALE = "#fee838"


class Meaning(StrEnum):
    """Colours of the figures of a windows run, each for one thing in all of them.

    Reasons why units are not exported are stacked on each other and so differ in grey too, in the order in
    which they stand here.
    """

    OWN = "#00224e"  # reading by the chip's own orders
    VENDOR = "#a6761d"  # reading by all orders of its vendor
    MEDIAN = "#54278f"  # of paths, and the intervals around it
    HALF = "#9e9ac8"  # 25 to 75 %
    MOST = "#dadaeb"  # 10 to 90 %
    NORMAL = "#636363"  # what a policy takes for normal
    EXPORT = "#1b7837"  # units that may go, periods in which they may
    REFUSED = "#525252"
    UNMET = "#ca3c32"
    LICENCE = "#4393c3"
    SURPLUS = "#bcae6c"
    CAP = "#fee838"
    STOCK = "#d9d9d9"


STACKED = (Meaning.REFUSED, Meaning.UNMET, Meaning.LICENCE, Meaning.SURPLUS, Meaning.CAP)
LIGHTEST_LINE = Tone.SAND
SCALE = ("#ffffff", Meaning.EXPORT)  # cells: from a share of 0 to 1


def luminance(colour: str) -> float:
    """Relative luminance of a colour `#rrggbb`, 0 for black to 1 for white (WCAG 2.2, definition)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def format_figure(figure: float, kind: str) -> str:
    """A figure as the axes write it: 70 %, 1.2M, 0.35."""
    if kind == "share":
        return percent(figure)
    if kind == "units":
        return f"-{units_text(-figure)}" if figure < 0 else units_text(figure)
    return f"{figure:.4g}"


def wrap_names(names: Sequence[str], *, to: str) -> list[str]:
    """Names of an axis with their line breaks: `to` stands for a break. Many names are not broken."""
    if len(names) > FEW_NAMES:
        return list(names)
    return [to.join(textwrap.wrap(name, 12, break_long_words=False)) for name in names]


def join_names(names: list[str]) -> str:
    """Names in a sentence: A, B and C."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
