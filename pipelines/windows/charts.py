"""The charts of a windows run, the answer first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from forecasting.saturation.market import US_PORTFOLIO
from forecasting.windows.tables import Estimator
from pipelines.figures.chart import Chart
from pipelines.windows.fan_chart import fan_chart
from pipelines.windows.first_passage_chart import first_passage_chart
from pipelines.windows.headroom_chart import headroom_charts
from pipelines.windows.window_chart import window_chart


def windows_charts(estimator: Estimator, tables: dict[str, pl.DataFrame], *, source: str) -> Iterator[Chart]:
    """Figures of a windows run, the answer first; those without content are left out.

    Parameters
    ----------
    estimator : Estimator
        Markets of the paths, for the fans.
    tables : dict of DataFrame
        `windows`, `window_steps`, `saturation` and `headroom` of the run.
    source : str
        What stands under each of them.
    """
    for chart in _charts(estimator, tables):
        yield replace(chart, source=source)


def _charts(estimator: Estimator, tables: dict[str, pl.DataFrame]) -> Iterator[Chart]:
    settings, frequency = estimator.settings, estimator.settings.frequency
    policy = settings.policies[0]
    answers = (
        first_passage_chart(tables["windows"], tables["saturation"], policy=policy.name, frequency=frequency),
        window_chart(
            tables["windows"],
            tables["window_steps"],
            confidence=settings.confidence,
            frequency=frequency,
        ),
    )
    yield from (chart for chart in answers if chart is not None)
    yield from headroom_charts(tables["headroom"], tables["window_steps"], frequency=frequency)
    shown = tables["headroom"]["chip"].unique(maintain_order=True).to_list()
    scopes = tables["windows"].filter(pl.col("chip").is_in(shown))["scope_item"].unique(maintain_order=True)
    for item in dict.fromkeys([*shown, *scopes, US_PORTFOLIO]):
        if item in estimator.markets:
            yield fan_chart(
                estimator.markets[item],
                rule_weeks=policy.supply.normal_lead_time_weeks,
                observed_until=estimator.observed_until.get(item),
            )
