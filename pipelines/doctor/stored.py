"""Checks of the tracking store, of the weights that a run would use, and of the age of the data."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

from forecasting.errors import OverspillError
from pipelines.doctor.findings import Finding, fail, ok, warn
from pipelines.etl.order_book.files.sources import list_sources
from pipelines.runtime.config.data import PublicData
from pipelines.runtime.config.loader import load_sources
from pipelines.runtime.config.order_book import OrderBookData
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.registry.registry import Registry
from pipelines.runtime.registry.weights import Weights, folder_weights, shipped_weights
from pipelines.runtime.spool.outbox import outboxes
from pipelines.runtime.store.address import database, is_laid_out, is_server, resolve_uri, without_password
from pipelines.runtime.store.retries import try_once
from pipelines.runtime.tracking import Store
from pipelines.runtime.tracking.probe import check_writes, newest_etl

SERVER = "start the MLflow server, or set MLFLOW_TRACKING_URI to a store that answers"
NETWORK = "train another network, or give forecast.checkpoint a folder that holds one"
SOURCES = "look at data.path, and at the newest etl run"
OLD_PUBLICATION = dt.timedelta(days=120)  # figures are quarterly, out a month or two after the quarter
OLD_ETL = dt.timedelta(days=35)


def check_stored(settings: Settings, _: Path) -> Iterator[Finding]:
    """The store, the weights and the data, in this order; a store that is away is reported."""
    opened: Store | None = None
    try:
        opened = _open(settings)
        yield _writable(settings, opened)
    except OverspillError as error:
        yield _away(settings, str(error))
    if is_server(resolve_uri(settings.tracking.uri)):
        yield check_waiting(settings.tracking.spool)
    yield check_weights(settings, opened)
    yield check_data(settings, opened)


def _open(settings: Settings) -> Store | None:
    """The store; None where it is a database that the first run will lay out."""
    try_once()
    uri = resolve_uri(settings.tracking.uri)
    return Store(uri) if is_laid_out(uri) else None


def _away(settings: Settings, reason: str) -> Finding:
    """A store that cannot be used; a job may work into the spool while its server is away."""
    tracking = settings.tracking
    if tracking.when_away == "spool" and is_server(resolve_uri(tracking.uri)):
        advice = f"start it; until then runs wait in {tracking.spool}, and `overspill sync` sends them"
        return warn("tracking store", reason, advice)
    return fail("tracking store", reason, SERVER)


def check_waiting(spool: Path) -> Finding:
    """Whether runs of earlier jobs wait for their server."""
    waiting = len(outboxes(spool))
    if not waiting:
        return ok("waiting runs", f"none in {spool}")
    text = f"those of {waiting} job{'s' * (waiting > 1)} in {spool}"
    return warn("waiting runs", text, "`overspill sync` sends them; the next job does so too")


def _writable(settings: Settings, store: Store | None) -> Finding:
    uri = resolve_uri(settings.tracking.uri)
    if store is not None:
        how = check_writes(store, settings.tracking.experiment)
        return ok("tracking store", f"{without_password(uri)} answers and can be written ({how})")
    file = database(uri)
    if file is None:
        raise AssertionError  # only a SQLite store is not laid out
    existing = next(folder for folder in file.parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        text = f"{file}: it does not exist and {existing} cannot be written"
        return fail(
            "tracking store", text, "make the folder writable, or set MLFLOW_TRACKING_URI to another place"
        )
    return ok("tracking store", f"{file} does not exist yet: the first run makes it")


def check_weights(settings: Settings, store: Store | None) -> Finding:
    """Whether the weights that `overspill run` would take load, and what they have seen."""
    if settings.forecast.model == "statistical":
        return ok("weights", "not needed: forecast.model is statistical")
    try:
        weights, why = _weights(settings, store)
    except OverspillError as error:
        return fail("weights", str(error), NETWORK)
    until = weights.trained_until
    seen = "synthetic worlds alone" if until is None else f"series as known on {until}"
    return ok("weights", f"{weights.label}{why}, loads; trained on {seen}")


def _weights(settings: Settings, store: Store | None) -> tuple[Weights, str]:
    if settings.forecast.checkpoint is not None:
        return folder_weights(settings.forecast.checkpoint, device="cpu"), ""
    if store is None:
        return shipped_weights("cpu"), " (no store, no champion)"
    registry = Registry(store)
    champion = registry.champion()
    if champion is None:
        return shipped_weights("cpu"), " (no champion in the store)"
    return registry.weights(champion, "cpu"), " (champion)"


def check_data(settings: Settings, store: Store | None) -> Finding:
    """Whether the sources are there, how old they are, and how old the newest etl run is."""
    data, today = settings.data, dt.datetime.now(dt.UTC).date()
    try:
        parts = [_public_sources(today)] if isinstance(data, PublicData) else [_order_book(data)]
        newest = None if store is None else newest_etl(store, settings.tracking.experiment)
    except OverspillError as error:
        return fail("data", str(error), SOURCES)
    if newest is None:
        return ok("data", f"{parts[0]}; no etl run yet, `overspill run` makes one")
    parts.append(f"newest etl run {_ago(today - newest.ended.date())}")
    old = today - newest.ended.date() > OLD_ETL
    if newest.known_until is not None:
        age = today - newest.known_until
        parts.append(f"its newest publication is of {newest.known_until}, {_ago(age)}")
        old = old or age > OLD_PUBLICATION
    text = "; ".join(parts)
    if old:
        return warn(
            "data", text, "refresh the sources and run `overspill etl`: the answer stands on old figures"
        )
    return ok("data", text)


def _public_sources(today: dt.date) -> str:
    """When the packaged reference tables were last retrieved."""
    newest = max(source.retrieved for source in load_sources().values())
    months = (today.year - int(newest[:4])) * 12 + today.month - int(newest[5:7])
    return f"reference tables of {newest}, {'this month' if months <= 0 else f'{months} months old'}"


def _order_book(data: OrderBookData) -> str:
    """How many files of order lines there are.

    Raises
    ------
    InputError
        If there is none, or they cannot be listed.
    """
    paths = (data.path,) if isinstance(data.path, str) else data.path or ()
    options = {name: secret.get_secret_value() for name, secret in data.storage_options.items()}
    found = list_sources(paths, options)
    return f"{len(found.files)} files of order lines"


def _ago(age: dt.timedelta) -> str:
    return "today" if age.days <= 0 else f"{age.days} day{'s' * (age.days > 1)} ago"
