"""From order lines alone to export windows: the other steps run on the order book's panel unchanged."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from forecasting.errors import StepError
from pipelines.etl.step import run_etl
from pipelines.evidence.manifest import write_manifest
from pipelines.evidence.step import write_evidence
from pipelines.evidence.verify import verify
from pipelines.forecast.step import run_forecast
from pipelines.run import run_all
from pipelines.runtime.step.selection import input_run
from pipelines.windows.step import run_windows

FEW = ["forecast.paths=40", "forecast.horizon=4", "backtest.paths=20", "policies=[bis_2026_01]"]
ONE_MODEL = "statistical.candidates=[AutoTheta]"
OWN_CHIP = """
skus: {H200: ACME-1}
chips:
  ACME-1:
    vendor: acme
    family: Acme 1 line
    launched: 2023-02-01
    fp8_dense_tflops: 1200
    memory_bandwidth_gb_per_s: 4800
"""


@pytest.fixture
def run(bench):
    def go(*overrides, **options):
        return run_all(bench.context(*FEW, ONE_MODEL, *overrides, **options))

    return go


def test_run_ends_with_windows_for_the_books_chips_and_a_backtest_where_the_history_suffices(
    bench, run, tracker
):
    bench.write(bench.lines(2_000), 3)
    result = run(mapping=OWN_CHIP)
    windows = result.windows.tables["windows"]
    assert set(windows["chip"]) == {"H100", "ACME-1"}
    assert windows.filter(pl.col("chip") == "ACME-1")["scope_item"].to_list() == ["ACME-1", "portfolio/acme"]
    assert windows["eligible"].all()
    assert windows["p_saturated_now"].is_between(0, 1).all()
    assert windows.filter(pl.col("units_q50").is_not_null()).height == windows.height
    assert result.windows.now == bench.as_of
    assert {"AutoTheta", "network"} <= set(result.backtest.leaderboard["forecaster"])
    scores = bench.read("scores")
    assert 3 <= scores["origin"].n_unique() <= 8
    assert result.etl.summary["rows in"] == 2_000
    assert {"windows.parquet", "summary.json", "series.parquet"} <= set(bench.files)


def test_evidence_of_an_order_book_brings_its_cases_and_files_and_a_removed_case_is_found(
    bench, tracker, tmp_path
):
    bench.write(bench.lines(1_000), 2)
    context = bench.context(*FEW, ONE_MODEL, "forecast.model=statistical")
    etl = run_etl(context)
    windows = run_windows(context, run_forecast(context, etl.run_id).run_id)
    found = input_run(context, "windows", None)  # though it has taken exports from the book
    assert found == windows.run_id
    made = write_evidence(tracker, tmp_path / "evidence", windows_run_id=found)
    path = made.out / "artifacts" / "priority_inversions.parquet"
    cases = pl.read_parquet(path)
    assert made.content.priority_inversions.cases == cases.height > 0
    assert len(made.content.lineage.raw_files) == 2
    assert verify(made.out)["figures"] > 100
    cases.clear().write_parquet(path)
    write_manifest(made.out)
    with pytest.raises(StepError, match=r"priority_inversions\.parquet: the file is not the artifact of the"):
        verify(made.out)


def test_backtest_is_skipped_with_a_sentence_where_the_history_is_short_and_the_answer_still_comes(
    bench, run
):
    rows = [row for row in bench.lines(3_000) if row["ordered_at"] >= dt.date(2025, 7, 1)]
    bench.write(rows, 2)
    result = run()
    assert result.backtest is None
    assert "backtest" not in result.run_ids
    assert "backtest skipped: no origin of the backtest has both a past" in bench.said
    assert result.windows.tables["windows"].height == 4


@pytest.mark.parametrize(("frequency", "end"), [("M", "2026-03-31"), ("W", "2026-03-29")])
def test_monthly_and_weekly_panels_lead_to_windows_too(bench, run, frequency, end):
    bench.write(bench.lines(1_000), 1)
    context = bench.context(*FEW, ONE_MODEL, f"data.frequency={frequency}")
    etl = run_etl(context)
    forecast = run_forecast(context, etl.run_id)
    windows = run_windows(context, forecast.run_id)
    assert str(windows.now) == end
    assert windows.tables["windows"].filter(pl.col("units_q50").is_not_null()).height == 4


def test_value_halves_with_quarters_whatever_the_frequency(bench):
    from forecasting.windows.tables import Estimator
    from pipelines.windows.estimator import estimator_settings

    fact = "{value: 3, low: 3, high: 3, unit: USD, reason: our own records}"
    price = f"data.revenue.launch_price_usd_per_h100e={{nvidia: {fact}}}"
    lives = []
    for frequency in "QMW":
        context = bench.context(price, f"data.frequency={frequency}")
        estimator = Estimator(
            settings=estimator_settings(context.settings, paths=4), markets={}, missing={}, now_step=0
        )
        terms = estimator.price(context.settings.data.catalogue["H200"])
        lives.append(np.ravel(terms.half_life_periods)[0] * context.settings.data.panel_frequency.weeks)
    assert lives == pytest.approx([lives[0]] * 3)


def test_what_was_exported_and_licensed_is_taken_from_the_settings(bench):
    fact = "{value: 7, low: 7, high: 7, unit: units, reason: our own records}"
    context = bench.context(f"data.exports={{H200: {{exported_so_far: {fact}}}}}")
    from forecasting.windows.tables import Estimator
    from pipelines.windows.estimator import estimator_settings

    estimator = Estimator(
        settings=estimator_settings(context.settings, paths=4), markets={}, missing={}, now_step=0
    )
    terms = estimator.terms(context.settings.data.catalogue["H200"])
    assert terms.unsold_stock == 0.0
    assert np.ravel(terms.exported_so_far) == pytest.approx(7.0)
