"""The package as a library: examples run as printed, names load when used, results are the command's."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import overspill

MODULES = ["overspill", *(f"overspill.{module.name}" for module in pkgutil.iter_modules(overspill.__path__))]
WHOLE_RUN = "overspill.whole_run"


@pytest.fixture
def sales():
    """Two monthly series with a season, of different lengths."""
    months = pl.date_range(pl.date(2023, 1, 31), pl.date(2025, 12, 31), "1mo", eager=True)
    series = pl.DataFrame({"ds": months, "y": 100 + 10 * np.sin(np.arange(36) * np.pi / 6)})
    return pl.concat(
        [
            series.select(pl.lit("long").alias("unique_id"), "ds", "y"),
            series.tail(20).select(pl.lit("short").alias("unique_id"), "ds", "y"),
        ]
    )


@pytest.mark.parametrize("name", [name for name in MODULES if name != WHOLE_RUN])
def test_every_module_shows_examples_that_run_as_printed(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0
    assert results.attempted >= 2


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"polars", "numpy", "torch", "mlflow", "pandas", "rich"}
    code = f"import sys, overspill; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_loads_and_an_unknown_one_is_an_attribute_error():
    assert all(getattr(overspill, name) is not None for name in overspill.__all__)
    assert dir(overspill) == overspill.__all__
    with pytest.raises(AttributeError, match="no attribute 'forecast'"):
        overspill.forecast  # noqa: B018


def test_the_frame_forecast_is_that_of_the_command(sales, tmp_path):
    sales.write_parquet(tmp_path / "sales.parquet")
    command = ["predict", "sales.parquet", "--horizon", "4", "--freq", "M", "--quantiles", "0.1,0.9"]
    command += ["--paths", "5", "--seed", "3", "--model", "statistical", "--out", "out"]
    subprocess.run([sys.executable, "-m", "pipelines.cli.main", *command], cwd=tmp_path, check=True)
    forecast = overspill.predict(sales, 4, quantiles=[0.1, 0.9], paths=5, seed=3, model="statistical")
    for name in ("quantiles", "paths"):
        written = pl.read_parquet(tmp_path / "out" / f"{name}.parquet")
        assert getattr(forecast, name).equals(written)


def test_pandas_gives_the_same_numbers_in_pandas_frames(sales):
    options = {"quantiles": [0.5], "paths": 3, "seed": 1, "model": "statistical"}
    expected = overspill.predict(sales, 2, **options)
    frame = sales.to_pandas().rename(columns=str)
    frame["ds"] = frame["ds"].astype("datetime64[ns]")
    found = overspill.predict(frame, 2, **options)
    for name in ("quantiles", "paths"):
        table = getattr(found, name)
        assert str(table["ds"].dtype) == "datetime64[ns]"
        assert np.array_equal(table["value"].to_numpy(), getattr(expected, name)["value"].to_numpy())
        assert list(table["unique_id"]) == getattr(expected, name)["unique_id"].to_list()


@pytest.mark.parametrize(
    ("step", "dates"),
    [
        ("h", pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 3), "1h", eager=True)),
        ("D", pl.date_range(pl.date(2026, 1, 1), pl.date(2026, 2, 1), "1d", eager=True)),
        ("W", pl.date_range(pl.date(2026, 1, 4), pl.date(2026, 6, 28), "1w", eager=True)),
        ("M", pl.date_range(pl.date(2024, 1, 1), pl.date(2025, 12, 1), "1mo", eager=True)),
        ("Q", pl.date_range(pl.date(2020, 3, 31), pl.date(2025, 12, 31), "3mo", eager=True)),
        ("Y", pl.date_range(pl.date(2001, 12, 31), pl.date(2025, 12, 31), "1y", eager=True)),
    ],
)
def test_the_frequency_is_found_in_the_dates_also_with_gaps(step, dates):
    if step == "Q":
        dates = dates.dt.month_end()
    table = pl.DataFrame({"unique_id": "a", "ds": dates, "y": np.arange(len(dates), dtype=float)})
    holes = table.filter(pl.int_range(pl.len()) % 7 != 5)
    assert str(overspill.predict(holes, 2, model="statistical").frequency) == step


def test_dates_that_fit_no_frequency_and_a_missing_column_are_named(sales):
    uneven = pl.concat([sales, sales.head(1).with_columns(ds=pl.date(2026, 1, 9))])
    with pytest.raises(overspill.InputError, match="no frequency fits all series"):
        overspill.predict(uneven, 2)
    with pytest.raises(overspill.InputError, match="the data frame: column 'y' is missing"):
        overspill.predict(sales.drop("y"), 2)
    with pytest.raises(overspill.InputError, match="expected a Polars or pandas DataFrame, found dict"):
        overspill.predict({"unique_id": []}, 2)
    with pytest.raises(overspill.InputError, match="the horizon is out of range"):
        overspill.predict(sales, 0)
    with pytest.raises(
        overspill.InputError, match="unknown model: expected auto, network, bank, statistical or ensemble"
    ):
        overspill.predict(sales, 2, model="netwrok")


def test_paths_that_are_none_end_in_one_sentence(sales, tmp_path):
    sales.write_parquet(tmp_path / "sales.parquet")
    with pytest.raises(overspill.InputError, match="holds no paths of orders and capacity"):
        overspill.load_paths(tmp_path / "sales.parquet")
    with pytest.raises(overspill.InputError, match=r"nowhere\.parquet"):
        overspill.load_paths(tmp_path / "nowhere.parquet")


@pytest.mark.slow
def test_the_example_of_a_run_returns_what_it_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names: dict[str, object] = {}
    [example] = [
        test for test in doctest.DocTestFinder().find(importlib.import_module(WHOLE_RUN)) if test.examples
    ]
    example.globs = names
    assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
    result = names["result"]
    assert pl.read_parquet("out/windows.parquet").equals(result.windows)
    assert set(result.run_ids) == {"run", "etl", "backtest", "forecast", "windows"}
    by_file = overspill.load_paths("out")
    for paths in (overspill.load_paths(result), overspill.load_paths(result.run_ids["forecast"])):
        assert paths.item_ids == by_file.item_ids
        assert paths.frequency == by_file.frequency
        assert np.array_equal(paths.values, by_file.values, equal_nan=True)


def test_version_is_that_of_the_package():
    shown = subprocess.run(
        [sys.executable, "-m", "pipelines.cli.main", "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert shown == f"overspill {overspill.__version__}\n"


def test_other_columns_covariates_and_wide_frames_are_read(sales):
    options = {"quantiles": [0.5], "model": "statistical"}
    named = sales.rename({"unique_id": "sku", "ds": "month", "y": "sold"})
    columns = {"id_col": "sku", "time_col": "month", "target_col": "sold"}
    expected = overspill.predict(sales, 2, **options).quantiles
    found = overspill.predict(named, 2, **columns, **options).quantiles
    assert found.rename({"sku": "unique_id", "month": "ds"}).equals(expected)
    with pytest.warns(UserWarning, match="columns that were not read: promo"):
        overspill.predict(named.with_columns(promo=1), 2, **columns, **options)
    one = sales.filter(pl.col("unique_id") == "long").select("ds", pl.col("y").alias("long"))
    indexed = one.to_pandas().set_index("ds")
    wide = overspill.predict(indexed, 2, **options).quantiles
    assert wide["unique_id"].unique().tolist() == ["long"]
    promo = one.with_columns(promo=(pl.int_range(pl.len()) % 5 == 0).cast(pl.Int64))
    promo = promo.with_columns(y=pl.col("long") + 40 * pl.col("promo")).drop("long")
    ahead = pl.date_range(pl.date(2026, 1, 31), pl.date(2026, 2, 28), "28d", eager=True)
    future = pl.DataFrame({"unique_id": "y", "ds": ahead, "promo": [1, 0]})
    known = overspill.predict(promo, 2, covariates=["promo"], future=future, **options).quantiles
    assert known["value"][0] - known["value"][1] > 20
