"""Outcomes under changed assumptions, recomputing only what the change requires.

The three stages of the base case (etl, forecast, windows) run with the same seeds, so all cases share their
random numbers. What a stage can reuse from the base case is decided by comparing the results of the stage
before it: where the panel's digest is that of the base case, the forecaster's paths are reused and only
the measurement error is drawn again; where the paths are bit for bit those of the base case, so are the
markets, and only the windows are recomputed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import polars as pl

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet, shared_groups
from forecasting.panel.history import Floats, History
from forecasting.panel.schema import (
    FLOWS,
    content_digest,
    forecastable,
    latest,
    newest_period,
    path_variates,
    to_history,
)
from forecasting.policy.policy import Policy
from forecasting.reference.chips import Chip
from forecasting.saturation.market import market
from forecasting.what_if.outcome import Outcome, OutcomeSettings, estimate_outcome
from forecasting.what_if.sensitivity import Stage
from pipelines.etl.step import public_panel
from pipelines.forecast.forecasters import named_forecaster
from pipelines.forecast.paths import sample_paths
from pipelines.runtime.config.data import PublicData
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.registry.weights import Weights
from pipelines.what_if.assumptions import with_values
from pipelines.what_if.base_case import BaseCase, CaseSelection, select_items
from pipelines.windows.estimator import build_estimator

KEPT = 64  # panels in memory: a design returns to neighbouring points only


@dataclass(frozen=True, kw_only=True)
class CachedForecaster:
    """A forecaster's futures [I, P, H, V], reused while the history around them is drawn again."""

    futures: Floats
    name: str = "remembered"

    def fit(self, history: History) -> Self:
        """Learn nothing: the futures are those of the history they were sampled for."""
        if len(history.item_ids) != len(self.futures):
            raise ValueError(f"{len(self.futures)} futures for {len(history.item_ids)} items")
        return self

    def sample(self, horizon: int, paths: int, seed: int) -> Floats:  # noqa: ARG002 - drawn already
        """Hand out the futures."""
        if self.futures.shape[1:3] != (paths, horizon):
            raise ValueError(f"futures {self.futures.shape} asked for {paths} paths and {horizon} steps")
        return self.futures


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Outcomes by scope after a change, and the first stage at which something differs from the base case."""

    outcomes_by_scope: Mapping[str, Outcome]
    entered: Stage


@dataclass(frozen=True, kw_only=True)
class _Sampled:
    """A panel's digest, the history of the items that decide, and their futures."""

    digest: str
    history: History
    futures: Floats


@dataclass(kw_only=True)
class Evaluator:
    """Evaluates one selection for the base case and for changed assumptions.

    Attributes
    ----------
    case : BaseCase
    selection : CaseSelection
    weights : Weights, optional
        Those of the network used for the forecast, None where it was not used.
    outside_panel : set of str
        Assumptions known not to affect the panel: they are not checked again.
    """

    case: BaseCase
    selection: CaseSelection
    weights: Weights | None = None
    outside_panel: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._by_values: dict[tuple[tuple[str, float], ...], _Sampled] = {}
        self._base = self._sample(self.case.etl)
        self._by_values[()] = self._base
        self._base_paths = self._paths(self._base, self.case.forecast)
        self._check_base()
        self._base_outcomes = outcomes_by_scope(
            self.case, self.selection, self._base_paths, self.case.windows
        )

    @property
    def base(self) -> Mapping[str, Outcome]:
        """Outcomes of the base case by scope."""
        return self._base_outcomes

    def evaluate(self, values: Mapping[str, float]) -> Evaluation:
        """Outcomes with some assumptions at other values."""
        sampled = self._moved_panel(values)
        paths = self._paths(sampled, with_values(self.case.forecast, values))
        same_panel = sampled.digest == self._base.digest
        if same_panel and np.array_equal(paths.values, self._base_paths.values, equal_nan=True):
            paths = self._base_paths
        found = outcomes_by_scope(self.case, self.selection, paths, with_values(self.case.windows, values))
        if not same_panel:
            return Evaluation(outcomes_by_scope=found, entered="panel")
        if paths is not self._base_paths:
            return Evaluation(outcomes_by_scope=found, entered="paths")
        same = all(_same(found[scope], self.base[scope]) for scope in found)
        return Evaluation(outcomes_by_scope=found, entered="nothing" if same else "windows")

    def _moved_panel(self, values: Mapping[str, float]) -> _Sampled:
        key = tuple((name, value) for name, value in values.items() if name not in self.outside_panel)
        if key not in self._by_values:
            if len(self._by_values) > KEPT:
                self._by_values = {(): self._base}
            self._by_values[key] = self._sample(with_values(self.case.etl, values))
        return self._by_values[key]

    def _sample(self, etl: Settings) -> _Sampled:
        """Panel of these settings and what is sampled from it, or the base case's where the panel is."""
        panel = self._panel(etl)
        digest = content_digest(panel)
        if self._by_values and digest == self._base.digest:
            return self._base
        if not self._by_values and digest != self.case.panel.digest:
            raise InputError(
                "this version computes another panel from the run's settings: run the steps again",
                expected=f"content SHA-256 {self.case.panel.digest}",
                found=digest,
                where=f"run {self.case.panel.run_id}",
            )
        history = self._history(panel)
        return _Sampled(digest=digest, history=self._needed(history), futures=self._futures(history))

    def _panel(self, etl: Settings) -> pl.DataFrame:
        """Panel of these settings; no assumption affects a vendor's own order lines."""
        if isinstance(etl.data, PublicData):
            return public_panel(etl.data)[0]
        return self.case.panel.table

    def _history(self, panel: pl.DataFrame) -> History:
        settings, known = self.case.forecast, latest(panel.lazy()).collect()
        items, skipped = forecastable(known, settings.data.min_observations)
        for item in self.selection.items:
            if item not in items:
                raise InputError(
                    "the item can no longer be forecast", found=skipped.get(item, ""), where=item
                )
        return to_history(
            known,
            items=items,
            origin=newest_period(known),
            frequency=settings.data.panel_frequency,
            variates=path_variates(known),
        )

    def _needed(self, history: History) -> History:
        return history.select([history.item_ids.index(item) for item in self.selection.items])

    def _futures(self, history: History) -> Floats:
        """Futures of the items that decide. All are fitted: a forecaster may learn from the whole panel."""
        settings = self.case.forecast
        forecaster = named_forecaster(settings.forecast.model, settings.statistical, self.weights)
        forecaster.fit(history.only(*FLOWS))
        drawn = forecaster.sample(settings.forecast.horizon, settings.forecast.paths, settings.seed)
        same = shared_groups(history.only(*FLOWS))
        return drawn[[same[history.item_ids.index(item)] for item in self.selection.items]]

    def _paths(self, sampled: _Sampled, settings: Settings) -> PathSet:
        """Paths as `paths.parquet` holds them: in single precision."""
        paths = sample_paths(sampled.history, settings, CachedForecaster(futures=sampled.futures))
        return replace(paths, values=paths.values.astype(np.float32).astype(np.float64))

    def _check_base(self) -> None:
        for item in self.selection.items:
            rebuilt, stored = market(self._base_paths, item), market(self.case.paths, item)
            if not (
                _alike(rebuilt.orders, stored.orders)
                and _alike(rebuilt.capacity, stored.capacity)
                and _alike(rebuilt.observed_shipments, stored.observed_shipments)
            ):
                raise InputError(
                    "this version computes other paths from the run's settings: run the steps again",
                    where=f"run {self.case.paths_read.run_id}, {item}",
                )


def _alike(rebuilt: Floats, stored: Floats) -> bool:
    """Whether paths are the same but for what another machine or number of threads changes by rounding."""
    near: bool = rebuilt.shape == stored.shape and np.allclose(rebuilt, stored, rtol=1e-3, equal_nan=True)
    return near


def outcomes_by_scope(
    case: BaseCase,
    selection: CaseSelection,
    paths: PathSet,
    settings: Settings,
    *,
    policy: Policy | None = None,
    chips: Mapping[str, Chip] | None = None,
) -> dict[str, Outcome]:
    """Outcomes by scope for some paths, under the selected policy or another reading of it."""
    rule = policy or selection.policy
    estimator = build_estimator(settings, select_items(paths, _items(selection, rule)), {}, case.published)
    windows = settings.windows
    reading = OutcomeSettings(
        now_step=estimator.now_step, confidence=windows.confidence, quantile_levels=windows.quantile_levels
    )
    return {
        scope: estimate_outcome(
            selection.chip,
            rule,
            estimator.markets_of(selection.chip, rule, scope),
            terms=estimator.terms(selection.chip),
            price=estimator.price(selection.chip),
            reading=reading,
            chips=chips,
        )
        for scope in selection.scopes
    }


def _items(selection: CaseSelection, policy: Policy) -> list[str]:
    return replace(selection, policy=policy).items


def _same(one: Outcome, other: Outcome) -> bool:
    pairs = [(one.passage, other.passage), (one.units, other.units)]
    if one.value_usd is not None and other.value_usd is not None:
        pairs.append((one.value_usd, other.value_usd))
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)
