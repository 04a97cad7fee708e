"""The base case: a windows run, the forecast and etl runs it is based on, and the settings of each.

A sensitivity or a scenario starts from a recorded result, so its settings are those of the runs themselves.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from forecasting.errors import InputError
from forecasting.forecasters.base import PathSet
from forecasting.forecasters.path_table import from_table
from forecasting.policy.eligibility import eligibility
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Scope
from forecasting.reference.chips import Chip
from forecasting.saturation.market import US_PORTFOLIO, cap_item, scope_item
from pipelines.runtime.config.loader import load_policy
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.step.inputs import Input, checked_settings, read_input, read_panel
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG, UPSTREAM_TAG, Tracker


@dataclass(frozen=True, kw_only=True)
class BaseCase:
    """A windows run with everything it was computed from.

    Attributes
    ----------
    windows_run_id : str
    etl, forecast, windows : Settings
        Settings of each of the three runs.
    panel, paths_read : Input
        Tables of the etl and the forecast run, with their digests.
    paths : PathSet
    published : date
        Day of the newest publication known.
    """

    windows_run_id: str
    etl: Settings
    forecast: Settings
    windows: Settings
    panel: Input
    paths_read: Input
    paths: PathSet
    published: dt.date


@dataclass(frozen=True, kw_only=True)
class CaseSelection:
    """Which chip, under which policy, in which scopes."""

    chip: Chip
    policy: Policy
    scopes: tuple[Scope, ...]

    @property
    def items(self) -> list[str]:
        """Items whose paths decide, each once: the chip, what the limits count, and the scopes' demand."""
        needed = [self.chip.chip_id, *([US_PORTFOLIO] if self.policy.stock_limit else [])]
        needed += [cap_item(self.chip, self.policy.cap.counts)] if self.policy.cap else []
        needed += [scope_item(self.chip, scope) for scope in self.scopes]
        return list(dict.fromkeys(needed))


def read_case(tracker: Tracker, windows_run_id: str) -> BaseCase:
    """Read a windows run and what it rests on.

    Raises
    ------
    InputError
        If a run is unknown, unfinished or of another step, or an artifact is missing or altered.
    """
    windows_id = tracker.finished(windows_run_id, "windows").info.run_id
    forecast_id = _upstream(tracker, windows_id, "windows")
    etl_id = _upstream(tracker, forecast_id, "forecast")
    settings = {
        step: _settings(tracker, run_id, step)
        for step, run_id in (("etl", etl_id), ("forecast", forecast_id), ("windows", windows_id))
    }
    read = read_input(tracker, forecast_id, step="forecast", name="paths")
    tags = tracker.finished(forecast_id, "forecast").data.tags
    return BaseCase(
        windows_run_id=windows_id,
        **settings,
        panel=read_panel(tracker, etl_id, settings["etl"]),
        paths_read=read,
        paths=from_table(
            read.table,
            frequency=settings["forecast"].data.panel_frequency,
            where=f"paths of run {forecast_id}",
        ),
        published=dt.date.fromisoformat(tags[KNOWN_UNTIL_TAG]),
    )


def select_case(case: BaseCase, *, chip: str, scope: str | None, policy: str | None) -> CaseSelection:
    """The selection to evaluate: by default the first policy of the case, in every scope that it names.

    Raises
    ------
    InputError
        If the chip is unknown, refused by the policy or not forecast, or policy or scope is unknown.
    """
    held = {each.name: each for each in case.windows.policies}
    chosen = case.windows.policies[0] if policy is None else held.get(policy) or load_policy(policy)
    chips = case.windows.data.catalogue
    known = {chip_id for chip_id in chips if chip_id in case.paths.item_ids}
    if chip not in known:
        raise InputError(
            "no such chip among the paths",
            expected="one of " + ", ".join(sorted(known)),
            found=repr(chip),
            where=f"run {case.paths_read.run_id}",
        )
    exported = chips[chip]
    verdict = eligibility(exported, chosen, chips=chips.values())
    if not verdict.eligible:
        raise InputError(
            "the chip is not eligible under the policy",
            found="; ".join(verdict.reasons),
            where=f"policy {chosen.name}, chip {chip}",
        )
    scopes = tuple(each for each in chosen.supply.scopes if scope in {None, each})
    if not scopes:
        raise InputError(
            "the policy does not use this scope",
            expected="one of " + ", ".join(chosen.supply.scopes),
            found=repr(scope),
            where=f"policy {chosen.name}",
        )
    if chosen.stock_limit and case.windows.data.stock_abroad_h100e is None:
        raise InputError(
            "the policy limits the stock abroad, which is not stated",
            expected="H100-equivalents",
            where="data.stock_abroad_h100e",
        )
    selection = CaseSelection(chip=exported, policy=chosen, scopes=scopes)
    lacking = [item for item in selection.items if item not in case.paths.item_ids]
    if lacking:
        raise InputError(
            "an item that decides over the chip has no paths",
            found=", ".join(lacking),
            where=f"run {case.paths_read.run_id}",
        )
    return selection


def select_items(paths: PathSet, items: list[str]) -> PathSet:
    """Paths of some items, in the given order."""
    places = [paths.item_ids.index(item) for item in items]
    return PathSet(
        item_ids=tuple(items),
        variates=paths.variates,
        origins=tuple(paths.origins[i] for i in places),
        frequency=paths.frequency,
        context_length=paths.context_length,
        values=paths.values[places],
    )


def _upstream(tracker: Tracker, run_id: str, step: str) -> str:
    upstream = tracker.finished(run_id, step).data.tags.get(UPSTREAM_TAG)
    if upstream is None:
        raise InputError("the run names no run that it read from", where=f"run {run_id}")
    return upstream


def _settings(tracker: Tracker, run_id: str, step: str) -> Settings:
    name, recorded = f"settings-{step}.yaml", tracker.finished(run_id, step).data.params
    with tracker.artifact(run_id, name) as path:
        return checked_settings(path, recorded, where=f"run {run_id}, {name}")
