"""The forecast step: the panel of an etl run to joint sample paths, `paths.parquet`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.forecasters.base import PathForecaster, PathSet
from forecasting.forecasters.combination import CombinationForecaster
from forecasting.forecasters.path_table import to_table
from forecasting.forecasters.statistical import StatisticalForecaster
from forecasting.panel.schema import (
    FLOWS,
    forecastable,
    latest,
    newest_period,
    observed_until,
    path_variates,
    to_history,
)
from pipelines.figures.number_format import percent
from pipelines.forecast.forecasters import named_forecaster
from pipelines.forecast.paths import sample_paths
from pipelines.runtime.config.model_names import needs_network
from pipelines.runtime.files.artifacts import file_digest, write_atomic
from pipelines.runtime.registry.registry import chosen_weights
from pipelines.runtime.registry.weights import CARD, Weights
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.inputs import read_panel
from pipelines.runtime.step.selection import input_run
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG


@dataclass(frozen=True, kw_only=True)
class ForecastResult:
    """What the step leaves: its run, the paths, and the items it could not forecast with the reason.

    `weights` says which weights the network answered with, None where it was not asked.
    """

    run_id: str
    paths: PathSet
    skipped: Mapping[str, str]
    weights: str | None


def run_forecast(context: Context, etl_run_id: str | None = None) -> ForecastResult:
    """Forecast every item of an etl run's panel that can be, and record the run.

    Raises
    ------
    InputError
        If the run or its panel is not in order, or no item can be forecast.
    """
    settings, tracker = context.settings, context.tracker
    read = read_panel(tracker, input_run(context, "etl", etl_run_id), settings)
    panel = latest(read.table.lazy()).collect()
    items, skipped = forecastable(panel, settings.data.min_observations)
    if not items:
        raise InputError("no item can be forecast", found=str(skipped), where=f"panel of run {read.run_id}")
    origin = newest_period(panel)
    history = to_history(
        panel,
        items=items,
        origin=origin,
        frequency=settings.data.panel_frequency,
        variates=path_variates(panel),
    )
    known_until = tracker.finished(read.run_id, "etl").data.tags[KNOWN_UNTIL_TAG]
    weights = _weights(context)
    forecaster = named_forecaster(settings.forecast.model, settings.statistical, weights)
    with context.step("forecast", upstream_run_id=read.run_id) as (run, folder):
        paths = sample_paths(history, settings, forecaster)
        read.log(run)
        context.write(
            run,
            folder,
            {
                "paths": to_table(paths),
                "choices": _choices(forecaster, items, skipped, observed_until(panel)),
            },
        )
        run.set_tags({KNOWN_UNTIL_TAG: known_until})
        if weights is not None:
            write_atomic(folder / CARD, weights.write_card)
            run.set_tags(weights.tags() | {f"overspill.sha256.{Path(CARD).stem}": file_digest(folder / CARD)})
        run.log_metrics({"items": len(items), "skipped": len(skipped)})
        run.log_curves(_medians(paths), first_step=1)
        run.describe(
            f"{settings.forecast.paths} joint paths of orders and capacity for {len(items)} items, "
            f"{settings.forecast.horizon} periods from {origin}, by {_by(forecaster, weights)}."
        )
    return ForecastResult(
        run_id=run.run_id, paths=paths, skipped=skipped, weights=None if weights is None else weights.label
    )


def _weights(context: Context) -> Weights | None:
    """Weights of the network where the model has one."""
    forecast = context.settings.forecast
    if not needs_network(forecast.model):
        return None
    return chosen_weights(context.tracker, checkpoint=forecast.checkpoint, device=forecast.device)


def _by(forecaster: PathForecaster, weights: Weights | None) -> str:
    """Who forecast: the forecaster, the shares of its members in a combination, and the network's weights."""
    name = f"the forecaster {forecaster.name}"
    shares = forecaster.shares() if isinstance(forecaster, CombinationForecaster) else {}
    if shares:
        parts = (f"{percent(share, spaced=False)} {member}" for member, share in shares.items() if share > 0)
        name += f" ({', '.join(parts)})"
    return name if weights is None else f"{name} with the weights of {weights.label}"


def _choices(
    forecaster: PathForecaster,
    items: Sequence[str],
    skipped: Mapping[str, str],
    observed: Mapping[str, dt.date],
) -> pl.DataFrame:
    """Model of each item, or why it has none, and the last period with a figure that is no nowcast."""
    models = forecaster.choices if isinstance(forecaster, StatisticalForecaster) else {}
    rows: list[tuple[str, str | None, str | None, dt.date | None]] = [
        (item, models.get(item, forecaster.name), None, observed.get(item)) for item in items
    ]
    rows += [(item, None, reason, observed.get(item)) for item, reason in sorted(skipped.items())]
    schema = {"item_id": pl.String, "model": pl.String, "reason": pl.String, "observed_until": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("item_id")


def _medians(paths: PathSet) -> dict[str, list[float]]:
    """Median orders and capacity per item and step, as curves."""
    middle = np.median(paths.future, axis=1)
    return {
        f"{variate}_p50/{item_id}": middle[i, :, v].tolist()
        for i, item_id in enumerate(paths.item_ids)
        for v, variate in enumerate(paths.variates)
        if variate in FLOWS
    }
