"""Editions through the settings: any day, a third edition by a file and one line, and what is refused."""

import datetime as dt

import polars as pl
import pytest
from typer.testing import CliRunner

from forecasting import reference
from forecasting.errors import InputError
from forecasting.panel.schema import estimates, latest
from pipelines.cli.main import app
from pipelines.etl.step import public_panel
from pipelines.runtime.config.loader import resolve

EDITIONS = (
    "{published: 2026-04-30, totals: shipments_total, owners: shipments_by_owner}, "
    "{published: 2026-09-24, totals: shipments_total_2026_09}"
)


def shipments(overrides, item="MI325X"):
    panel, _ = public_panel(resolve(overrides=overrides).data)
    rows = latest(estimates(panel.lazy())).filter(pl.col("item_id") == item, pl.col("variate") == "shipments")
    return panel, dict(rows.sort("timestamp").select("timestamp", "value").collect().iter_rows())


@pytest.mark.parametrize(
    ("day", "last"),
    [
        ("2026-04-30", dt.date(2025, 12, 31)),
        ("2026-09-23", dt.date(2025, 12, 31)),
        ("2026-09-24", dt.date(2026, 6, 30)),
    ],
)
def test_any_day_sees_what_was_out_by_then(day, last):
    panel, known = shipments([f"data.as_of={day}"])
    assert max(known) == last
    assert str(panel["published_at"].max()) <= day


def test_a_third_edition_is_a_file_and_one_line(tmp_path):
    file = tmp_path / "december.csv"
    second = reference.read("shipments_total_2026_09").filter(pl.col("chip_pool") == "MI325X")
    newest = second.tail(1).with_columns(quarter_end=pl.lit("2026-09-30"), units_p50=pl.lit("12000"))
    newest.write_csv(file)
    _, known = shipments([f"data.editions=[{EDITIONS}, {{published: 2026-12-20, totals: {file}}}]"])
    assert max(known) == dt.date(2026, 9, 30)
    share = known[dt.date(2026, 6, 30)] / 14_242  # US share, carried forward from 2025Q4
    assert known[dt.date(2026, 9, 30)] == pytest.approx(12_000 * share, rel=1e-6)


def test_a_file_that_is_not_there_or_not_an_edition_is_refused(tmp_path):
    def third(path):
        return [f"data.editions=[{EDITIONS}, {{published: 2026-12-20, totals: {path}}}]"]

    with pytest.raises(InputError, match="the edition's file does not exist"):
        shipments(third(tmp_path / "none.csv"))
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="the columns are not those of the schema"):
        shipments(third(file))


def test_a_day_before_the_first_edition_is_bad_input(tmp_path):
    store = f"tracking.uri=sqlite:///{tmp_path}/store.db"
    result = CliRunner().invoke(app, ["etl", "--as-of", "2026-04-01", "--set", store])
    assert result.exit_code == 2 or isinstance(result.exception, InputError)
    message = result.output + str(result.exception)
    assert "nothing can be known before the first edition of the shipments" in message
