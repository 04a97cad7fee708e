"""Shared fixtures: the default public panel, built once per session."""

from typing import NamedTuple

import polars as pl
import pytest

from forecasting.public.assumptions import PublicAssumptions
from forecasting.public.panel import BookSettings
from forecasting.public.sources import PublicSources


class PublicPanel(NamedTuple):
    """The default panel with every vintage, due to delivered, and what both were built from."""

    panel: pl.DataFrame
    ratios: pl.DataFrame
    sources: PublicSources
    assumptions: PublicAssumptions
    books: BookSettings


@pytest.fixture(scope="session")
def public() -> PublicPanel:
    from pipelines.etl.step import public_panel, public_sources
    from pipelines.runtime.config.loader import resolve  # heavy, and only some tests need it

    data = resolve().data
    panel, ratios = public_panel(data)
    books = BookSettings(
        clouds=data.clouds, books_from=data.books_from, calm_from=data.calm_from, calm_to=data.calm_to
    )
    return PublicPanel(panel, ratios, public_sources(data), data.assumptions, books)
