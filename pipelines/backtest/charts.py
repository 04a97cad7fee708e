"""How the forecasters did on the past: reliability of the stated dates, and the leaderboard."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from pipelines.figures.chart import Bars, Chart, Line, Panel
from pipelines.figures.theme import Tone, format_figure

NOMINAL = 0.8  # level of the intervals whose coverage is scored


def reliability_chart(reliability: pl.DataFrame, leaderboard: pl.DataFrame) -> Chart:
    """Stated against observed frequency of "demand met by t", a panel per forecaster, best first.

    Parameters
    ----------
    reliability, leaderboard : DataFrame
        Tables of the backtest step.
    """
    names = leaderboard["forecaster"].to_list()
    bins = {name: reliability.filter(pl.col("forecaster") == name) for name in names}
    best = names[0]
    stated, observed = _means(bins[best])
    return Chart(
        name="reliability",
        title=(
            f"{best} stated {format_figure(stated, 'share')} on average that demand is met by t; "
            f"it was in {format_figure(observed, 'share')} of the cases"
        ),
        note="point: the forecasts of one bin; on the dotted line forecast and observed frequencies agree",
        panels=tuple(_panel(name, bins[name]) for name in names),
        columns=3 if len(names) > 2 else len(names),
    )


def _means(bins: pl.DataFrame) -> tuple[float, float]:
    """Stated and observed frequency over all forecasts."""
    filled = bins.drop_nulls(["stated", "observed"])
    counts = filled["count"].to_numpy()
    stated, observed = (
        np.average(filled[name].to_numpy(), weights=counts) for name in ("stated", "observed")
    )
    return float(stated), float(observed)


def _panel(name: str, bins: pl.DataFrame) -> Panel:
    filled = bins.drop_nulls(["stated", "observed"]).sort("stated")
    stated, observed = _means(bins)
    return Panel(
        title=(
            f"{name}: {format_figure(stated, 'share')} forecast, {format_figure(observed, 'share')} observed "
            f"({filled['count'].sum()} cases)"
        ),
        x_title="stated P(met by t)",
        y_title="observed share",
        marks=(
            Line(name="stated = observed", x=[0, 1], y=[0, 1], tone=Tone.MIDDLE, dash="dot"),
            Line(name="forecasts", x=filled["stated"].to_list(), y=filled["observed"].to_list(), points=True),
        ),
        kind="share",
        share_x=True,
    )


def leaderboard_chart(leaderboard: pl.DataFrame) -> Chart:
    """Scores of flows and dates and coverage per forecaster, best mean skill first."""
    names = tuple(leaderboard["forecaster"])
    best = leaderboard.row(0, named=True)
    flows, dates = (_ahead(best[name]) for name in ("skill_flows", "skill_date"))
    places = range(len(names))
    coverage = Line(
        name="nominal 80 %", x=[-0.5, len(names) - 0.5], y=[NOMINAL] * 2, tone=Tone.MIDDLE, dash="dash"
    )
    return Chart(
        name="leaderboard",
        title=(
            f"{best['forecaster']} is best by flows and dates together: against the best single model its "
            f"error is {flows} (orders and capacity) and {dates} (date); its 80 % intervals held "
            f"{format_figure(best['coverage_80'], 'share')} of the actuals"
        ),
        note=f"mean over {best['forecasts']} forecasts of an item on a day",
        panels=(
            _bars(
                "CRPS, scaled: lower is better", "CRPS, in units of a naive error", names, leaderboard["crps"]
            ),
            Panel(
                title="coverage of the 80 % intervals",
                x_title="forecaster",
                y_title="share of outcomes inside",
                marks=(
                    Bars(
                        name="",
                        x=places,
                        size=leaderboard["coverage_80"].to_list(),
                        base=[0] * len(names),
                        tone=Tone.DEEP,
                        texts=[format_figure(share, "share") for share in leaderboard["coverage_80"]],
                    ),
                    coverage,
                ),
                ticks=names,
                kind="share",
            ),
            _bars(
                "error of the date: lower is better",
                "censored CRPS, periods",
                names,
                leaderboard["date_crps"],
            ),
        ),
    )


def _ahead(gained: float) -> str:
    size = format_figure(abs(gained), "share") if abs(gained) >= 0.01 else "less than 1 %"
    return f"{size} {'lower' if gained >= 0 else 'higher'}"


def _bars(title: str, y_title: str, names: tuple[str, ...], scores: pl.Series) -> Panel:
    return Panel(
        title=title,
        x_title="forecaster",
        y_title=y_title,
        marks=(
            Bars(
                name="",
                x=range(len(names)),
                size=scores.to_list(),
                base=[0] * len(names),
                tone=Tone.DEEP,
                texts=[f"{score:.3f}" for score in scores],
            ),
        ),
        ticks=names,
        kind="number",
    )


def backtest_charts(reliability: pl.DataFrame, leaderboard: pl.DataFrame) -> Iterator[Chart]:
    """Figures of a backtest run."""
    yield leaderboard_chart(leaderboard)
    yield reliability_chart(reliability, leaderboard)
