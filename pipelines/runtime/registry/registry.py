"""The registered model `overspill`: its versions, which of them is champion, and how that changes.

A version is a checkpoint of the network, recorded as a model by the run that trained it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecasting.errors import InputError, StepError
from models.inference.checkpoint import WEIGHTS
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.weights import (
    ORIGIN_TAG,
    WEIGHTS_TAG,
    Weights,
    folder_weights,
    require_device,
    shipped_weights,
)
from pipelines.runtime.store.address import PROMOTION, one_at_a_time
from pipelines.runtime.store.tags import CHAMPION
from pipelines.runtime.tracking import MODEL_FOLDER, StepRun, Store, Tracker
from pipelines.runtime.tracking.model_package import CHECKPOINT_FOLDER

MODEL = "overspill"
SHIPPED_TAG = "overspill.shipped"  # of a version that holds the weights of the package
DESCRIPTION = "Joint sample paths of any series; the alias champion answers `--model network`."


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of the registered model."""

    number: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def label(self) -> str:
        """As it is shown and recorded."""
        return f"{MODEL} version {self.number}"

    @property
    def is_shipped(self) -> bool:
        """Whether it holds weights that came with a package, and not some that were trained here."""
        return SHIPPED_TAG in self.tags


class Registry:
    """The registered model in a store."""

    def __init__(self, store: Store) -> None:
        self._store, self._client = store, store.client

    def champion(self) -> Version | None:
        """The version that holds the alias `champion`, None where there is none."""
        found = self._store.found(lambda: self._client.get_model_version_by_alias(MODEL, CHAMPION))
        if found is None:
            return None
        return Version(number=str(found.version), run_id=str(found.run_id), tags=dict(found.tags))

    def version(self, number: str) -> Version:
        """The version of a number.

        Raises
        ------
        InputError
            If there is none.
        """
        found = self._store.found(lambda: self._client.get_model_version(MODEL, number))
        if found is None:
            raise InputError("no such version of the model", found=number, where=self._store.shown)
        return Version(number=number, run_id=str(found.run_id), tags=dict(found.tags))

    @contextmanager
    def checkpoint(self, version: Version) -> Iterator[Path]:
        """Folder with a version's checkpoint, for as long as the context is open.

        Raises
        ------
        InputError
            If it is gone, or its weights are not those that were registered.
        """
        with self._store.artifact(version.run_id, f"{MODEL_FOLDER}/artifacts/{CHECKPOINT_FOLDER}") as folder:
            found, recorded = file_digest(folder / WEIGHTS), version.tags.get(WEIGHTS_TAG)
            if found != recorded:
                raise InputError(
                    "the weights are not those that were registered",
                    expected=f"SHA-256 {recorded}",
                    found=found,
                    where=version.label,
                )
            yield folder

    def weights(self, version: Version, device: str) -> Weights:
        """A version's weights.

        Raises
        ------
        InputError
            The checkpoint is gone, altered, or does not fit this code; the device is not there.
        """
        require_device(device)
        try:
            with self.checkpoint(version) as folder:
                return folder_weights(folder, device=device, label=version.label)
        except InputError as error:
            raise InputError(
                f"{version.label} cannot be used ({error}): train another, or give --checkpoint FOLDER"
            ) from error

    def register(self, run: StepRun, checkpoint: Path, tags: Mapping[str, str]) -> Version:
        """Record a checkpoint as a model of the run, and register it as a new version."""
        source = run.log_model(checkpoint)
        everything = {**tags, WEIGHTS_TAG: file_digest(checkpoint / WEIGHTS)}
        self._create_model()
        with self._store.translated():
            made = self._client.create_model_version(
                MODEL, source, run.run_id, tags=everything, description=_description(run, tags)
            )
        return Version(number=str(made.version), run_id=run.run_id, tags=everything)

    def crown(self, version: Version) -> None:
        """Give a version the alias `champion` whatever holds it; trained ones are settled by `settle`."""
        with self._store.translated():
            self._client.set_registered_model_alias(MODEL, CHAMPION, version.number)

    def settle(self, candidate: Version, judge: Callable[[Version | None], Verdict]) -> Verdict:
        """Give the candidate the alias `champion` if it wins against the present one, else `challenger`.

        The candidate is judged outside of any lock, which may take long. The champion is then read again, and
        where another process has promoted its own in the meantime the candidate is judged against that one.
        On a SQLite store the second reading and the change of the alias happen under a lock, so no champion
        is overwritten by a candidate that was not judged against it. Other stores have no lock that two
        machines share, nor does MLflow change an alias on a condition: between these two calls, some
        milliseconds, another process may still promote.

        Parameters
        ----------
        candidate : Version
        judge : callable
            Takes the champion (None where there is none) and returns the verdict on the candidate.
        """
        while True:
            champion = self.champion()
            if champion is not None and champion.number == candidate.number:
                return Verdict.from_tags(
                    champion.tags
                )  # an interrupted process of the same job had settled it
            verdict = judge(champion)
            with one_at_a_time(self._store.uri, PROMOTION):
                if _number(self.champion()) == _number(champion):
                    self._decide(candidate, verdict)
                    return verdict

    def _decide(self, candidate: Version, verdict: Verdict) -> None:
        with self._store.translated():
            for name, value in verdict.tags().items():
                self._client.set_model_version_tag(MODEL, candidate.number, name, value)
            self._client.set_registered_model_alias(MODEL, verdict.decision, candidate.number)

    def _create_model(self) -> None:
        try:
            if self._model() is None:
                with self._store.translated():
                    self._client.create_registered_model(MODEL, description=DESCRIPTION)
        except StepError:
            if self._model() is None:  # else another process was quicker
                raise

    def _model(self) -> Any | None:  # noqa: ANN401 - an entity of MLflow, which only tracking imports
        return self._store.found(lambda: self._client.get_registered_model(MODEL))


def _description(run: StepRun, tags: Mapping[str, str]) -> str:
    """What a version is, as the page of the registered model shows it."""
    made = f"Weights of the network, recorded by the {run.name} run {run.run_id[:8]}"
    start, until = tags.get("overspill.start"), tags.get("overspill.trained_until")
    if start is None or until is None:
        return f"{made}."
    return f"{made}: trained from {start} on what had been published by {until}. Scores are in the tags."


def _number(version: Version | None) -> str | None:
    return None if version is None else version.number


def hold_champion(store: Store) -> None:
    """Read the champion's checkpoint, so that it is at hand should the server go away later.

    A store that is no server is always at hand. A champion that cannot be used is reported where it is used.
    """
    registry = Registry(store)
    champion = registry.champion() if store.spools else None
    if champion is not None:
        with suppress(InputError), registry.checkpoint(champion):
            pass


def chosen_weights(store: Store | None, *, checkpoint: Path | None, device: str) -> Weights:
    """The folder's weights if one is given, else the champion's if one was trained, else the package's."""
    if checkpoint is not None:
        return folder_weights(checkpoint, device=device)
    registry = None if store is None else Registry(store)
    champion = None if registry is None else registry.champion()
    if registry is None or champion is None or champion.is_shipped:
        return shipped_weights(device)
    return registry.weights(champion, device)


def recorded_weights(tracker: Tracker, forecast_run_id: str, settings: Settings) -> Weights | None:
    """The weights that a forecast run used, whatever is champion by now; None where no network forecast.

    Parameters
    ----------
    tracker : Tracker
    forecast_run_id : str
    settings : Settings
        Those of that run.

    Raises
    ------
    InputError
        If they are gone, or are no longer the same.
    """
    tags = tracker.finished(forecast_run_id, "forecast").data.tags
    label, digest = tags.get(ORIGIN_TAG), tags.get(WEIGHTS_TAG)
    if label is None or digest is None:
        return None
    checkpoint, device = settings.forecast.checkpoint, settings.forecast.device
    if checkpoint is not None:
        weights = folder_weights(checkpoint, device=device)
    elif label.startswith(f"{MODEL} version "):
        registry = Registry(tracker)
        weights = registry.weights(registry.version(label.rpartition(" ")[2]), device)
    else:
        weights = shipped_weights(device)
    if weights.digest != digest:
        raise InputError(
            "the weights are not those that the run used",
            expected=f"{label}, SHA-256 {digest}",
            found=f"{weights.label}, SHA-256 {weights.digest}",
            where=f"run {forecast_run_id}",
        )
    return weights
