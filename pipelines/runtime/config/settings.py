"""What can be set: one frozen class per section of the configuration; no key that is not declared here."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_serializer, field_validator

from forecasting.forecasters.settings import StatisticalSettings
from forecasting.policy.policy import Policy
from models.settings import PretrainSettings
from pipelines.runtime.config.data import Frozen, PublicData
from pipelines.runtime.config.model_names import ModelName
from pipelines.runtime.config.order_book import OrderBookData
from pipelines.runtime.store.address import masked

SpreadEngine = Literal["local", "ray"]


class ForecastSettings(Frozen):
    """Which forecaster, with which weights and on which device, how far, how many paths."""

    model: ModelName
    checkpoint: Path | None
    device: Literal["auto", "cpu", "gpu"]
    horizon: int = Field(ge=1, le=64)
    paths: int = Field(ge=1, le=1_000_000)


class TrainRecipe(Frozen):
    """How the network is trained; see `models.training.finetune.FineTuneSettings`."""

    steps: int = Field(ge=1)
    warmup_steps: int = Field(ge=0)
    learning_rate: float = Field(gt=0)
    worlds_share: float = Field(ge=0, lt=1)
    check_every: int = Field(ge=1)
    patience: int | None = Field(ge=1)


class TrainSettings(Frozen):
    """Training of the network on the panel, and the backtest that decides on its promotion."""

    from_scratch: bool
    fine_tuning: TrainRecipe
    scratch: TrainRecipe
    windows: int = Field(ge=1)
    validation_origins: int = Field(ge=1)
    test_origins: int = Field(ge=1)


class KnownCase(Frozen):
    """One question of the past whose answer is known by now."""

    item_id: str
    as_of: dt.date


class BacktestSettings(Frozen):
    """Origins from which a forecaster is made to look ahead, and how far it is scored.

    Without a first origin the newest few that the history allows are taken; where it allows none, `run` skips
    the backtest.
    """

    first_origin: dt.date | None
    step: int = Field(ge=1)
    horizon: int = Field(ge=1, le=64)
    paths: int = Field(ge=2)
    case: KnownCase | None = None
    engine: SpreadEngine = "local"


class ClusterSettings(Frozen):
    """Jobs on clusters.

    Several processes wait for each other no longer than `collective_minutes` within a piece of work that all
    do together, and `waiting_hours` while the first works alone; then the job ends with a sentence. The state
    of a training is kept every `state_minutes`. A job of one process shares a backtest among `processes`
    (None: one for each core, at most 8; 1: it works alone).
    """

    collective_minutes: float = Field(gt=0, default=10)
    waiting_hours: float = Field(gt=0, default=12)
    state_minutes: float = Field(gt=0, default=3)
    processes: int | None = Field(ge=1, default=None)


class WindowSettings(Frozen):
    """How windows are read off the probabilities."""

    confidence: float = Field(gt=0, lt=1)
    quantile_levels: tuple[float, ...]

    @field_validator("quantile_levels")
    @classmethod
    def _shown_levels_included(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not {0.1, 0.5, 0.9} <= set(levels) or not all(0 < level < 1 for level in levels):
            raise ValueError(
                "quantile levels lie between 0 and 1 and include 0.1, 0.5 and 0.9, which are shown"
            )
        return tuple(sorted(set(levels)))


class FigureSettings(Frozen):
    """What is drawn: a page of figures, and with `pictures` a PNG of each too, which takes seconds."""

    pictures: bool = True


class TrackingSettings(Frozen):
    """Where runs are recorded. A password in the URI is used, and never written anywhere.

    `spool` is the folder where runs wait while an MLflow server is away; `when_away` says whether a command
    that finds it away at its start fails, or works into that folder.
    """

    uri: str | None
    experiment: str = Field(min_length=1)
    spool: Path = Path("mlruns/spool")
    when_away: Literal["fail", "spool"] = "fail"

    @field_serializer("uri")
    def _without_password(self, uri: str | None) -> str | None:
        return None if uri is None else masked(uri)


class Settings(Frozen):
    """Everything `overspill run` needs, resolved."""

    seed: int = Field(ge=0)
    data: Annotated[PublicData | OrderBookData, Field(discriminator="kind")]
    policies: tuple[Policy, ...] = Field(min_length=1)
    forecast: ForecastSettings
    statistical: StatisticalSettings = StatisticalSettings()
    backtest: BacktestSettings
    train: TrainSettings
    pretrain: PretrainSettings = PretrainSettings()
    windows: WindowSettings
    figures: FigureSettings = FigureSettings()
    cluster: ClusterSettings = ClusterSettings()
    tracking: TrackingSettings

    @field_validator("policies")
    @classmethod
    def _each_policy_once(cls, policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
        names = [policy.name for policy in policies]
        if len(set(names)) < len(names):
            raise ValueError(f"each policy may be given once, by its name: {', '.join(names)}")
        return policies


class Source(Frozen):
    """One entry of `sources.yaml`."""

    title: str
    publisher: str
    licence: str
    retrieved: str
    publication_lag_days: int = Field(ge=0)
    url: str | None = None
    single_vintage: dt.date | None = None
    cautions: tuple[str, ...] = ()
