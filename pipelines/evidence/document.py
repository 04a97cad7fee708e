"""The evidence as one HTML page that loads nothing and prints cleanly: a template over `evidence.json`."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from forecasting.frequencies import Frequency, label
from pipelines.evidence.cover_page import answer_text, open_chart
from pipelines.evidence.figure_records import Json
from pipelines.figures.number_format import share_of_paths

TEMPLATE = "document.html.jinja"


def render(content: Json) -> str:
    """Lay the content of `evidence.json` out as HTML; the same content gives the same bytes."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    frequency = Frequency.parse(content["basis"]["frequency"])

    def period(day: str | None) -> str:
        return "none" if day is None else label(dt.date.fromisoformat(day), frequency)

    def dates(quantiles: Mapping[str, str | None] | None) -> str:
        """Quantile dates; none where the horizon is too short."""
        if quantiles is None:
            return ""
        end = f"after {period(content['basis']['horizon_end'])}"
        return " / ".join(end if day is None else period(day) for day in quantiles.values())

    environment.filters.update(
        percent=percent, number=number, exact=exact, spread=spread, units=units, period=period, dates=dates
    )
    rows = [row for row in content["headline"] if row["steps"]]
    drawn = open_chart(rows, [period(step["timestamp"]) for step in rows[0]["steps"]]) if rows else ""
    answer = answer_text(content, period=period, dates=dates)
    return environment.from_string(_template()).render(content, answer=answer, chart=Markup(drawn))  # noqa: S704


def template_digest() -> str:
    """SHA-256 of the template, so that a later version knows whether it can render the document again."""
    return hashlib.sha256(_template().encode()).hexdigest()


def _template() -> str:
    return (files("pipelines.evidence") / TEMPLATE).read_text(encoding="utf-8")


def percent(share: float | None) -> str:
    """A share of paths; nothing where there is none."""
    return "" if share is None else share_of_paths(share, spaced=True)


def number(figure: float | str | None) -> str:
    """Three significant digits, thousands apart; text as it is."""
    if figure is None:
        return "none"
    if isinstance(figure, str):
        return figure
    if figure == 0 or abs(figure) >= 1000:
        return f"{float(f'{figure:.3g}'):,.0f}"
    return f"{figure:.3g}"


def units(quantiles: Mapping[str, float | None] | None) -> str:
    """Quantiles of units from the lowest level to the highest, whole and with all their digits."""
    if quantiles is None:
        return ""
    return " / ".join("none" if each is None else f"{each:,.0f}" for each in quantiles.values())


def exact(figure: float | str | None) -> str:
    """A published or assumed number with all its digits, thousands apart; text as it is."""
    if figure is None or isinstance(figure, str):
        return figure or "none"
    return f"{figure:,.10g}"


def spread(quantiles: Mapping[str, float | str | None] | None) -> str:
    """Quantiles from the lowest level to the highest."""
    return "" if quantiles is None else " / ".join(number(each) for each in quantiles.values())
