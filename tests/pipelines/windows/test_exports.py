"""What the order book shows as exported to China and Macau uses up the cap, in windows and evidence."""

from __future__ import annotations

import datetime as dt
import io
import json

import polars as pl
import pytest
from rich.console import Console

from forecasting.errors import InputError
from pipelines.etl.step import run_etl
from pipelines.evidence.step import write_evidence
from pipelines.evidence.verify import verify
from pipelines.forecast.step import run_forecast
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.step.context import Context
from pipelines.runtime.step.selection import input_run
from pipelines.windows.exports import exported_units
from pipelines.windows.step import run_windows

AS_OF = dt.date(2026, 3, 31)
US_PER_MONTH, EXPORTS = 40, {"CN": 100, "MO": 40, "HK": 12, "DE": 900, "TW": 30}
EXPORTED = 152  # to China, Macau and Hong Kong; the rest went elsewhere


def book():
    """Orders of 40 units a month from the US, each shipped within its month, and a few exports in 2025."""
    months = [dt.date(year, month, 1) for year in (2024, 2025, 2026) for month in range(1, 13)]
    lines = [("US", US_PER_MONTH, day) for day in months if day < AS_OF]
    lines += [(country, units, dt.date(2025, 3, 3)) for country, units in EXPORTS.items()]
    return pl.DataFrame(
        [
            {
                "order_id": f"SO-{number}",
                "line": 1,
                "sku": "H200",
                "customer_id": "C1",
                "customer_country": country,
                "end_use_country": country,
                "quantity": units,
                "ordered_at": day,
                "requested_at": day + dt.timedelta(days=10),
                "shipped_at": day + dt.timedelta(days=7),
            }
            for number, (country, units, day) in enumerate(lines)
        ]
    )


@pytest.fixture(scope="module")
def forecast(tmp_path_factory, tracker):
    """A function from settings to a context, and the forecast run of the small book."""
    folder = tmp_path_factory.mktemp("book")
    book().write_parquet(folder / "lines.parquet")

    def context(*overrides):
        given = [
            f"data.path={folder / 'lines.parquet'}",
            f"data.as_of={AS_OF}",
            f"data.cache={folder / 'cache'}",
            "forecast.paths=40",
            "forecast.horizon=4",
            "statistical.candidates=[AutoTheta]",
            "policies=[bis_2026_01]",
        ]
        settings = resolve("order_book", [*given, *overrides])
        return Context(settings=settings, tracker=tracker, console=Console(file=io.StringIO()))

    etl = run_etl(context())
    return context, run_forecast(context(), etl.run_id).run_id


@pytest.fixture(scope="module")
def evidence(forecast, tracker, tmp_path_factory):
    context, run_id = forecast
    windows = run_windows(context(), run_id)
    out = tmp_path_factory.mktemp("sealed") / "evidence"
    written = write_evidence(tracker, out, windows_run_id=windows.run_id)
    return written.out, json.loads((written.out / "evidence.json").read_text())


def cap_finding(content):
    [cap] = [each for each in content["conditions"] if each["condition"] == "cap"]
    return next(found for found in cap["findings"] if found["chip"] == "H200")


def test_room_of_the_sealed_cap_is_half_of_us_shipments_less_exports_to_china_hong_kong_and_macau(evidence):
    shipped = US_PER_MONTH * 27  # January 2024 to March 2026
    _, content = evidence
    of_next_quarter = cap_finding(content)["figure"] - (0.5 * shipped - EXPORTED)
    assert (
        0 <= of_next_quarter <= 0.5 * 4 * US_PER_MONTH < EXPORTED
    )  # 60 units if next quarter is as the last


def test_count_of_exports_stands_among_the_assumptions_that_the_cap_text_points_to(evidence):
    out, content = evidence
    [entry] = [e for e in content["assumptions"] if e["name"] == "data.exports.H200.exported_so_far"]
    assert (entry["value"], entry["low"], entry["high"]) == (EXPORTED, EXPORTED, EXPORTED)
    assert "Counted in the order book" in entry["reason"]
    text = (out / "evidence.html").read_text()
    assert "an assumption below" in text
    assert "data.exports.H200.exported_so_far" in text


def test_evidence_with_derived_exports_verifies(evidence):
    out, _ = evidence
    assert verify(out)["seal"] == json.loads((out / "manifest.json").read_text())["seal"]


def test_stated_count_at_or_above_the_book_overrides_it(forecast, tracker):
    context, run_id = forecast
    rooms = [
        run_windows(context(*stated), run_id).tables["headroom"]["lost_cap"].sum()
        for stated in ((), ("data.exports.H200.exported_so_far=600",))
    ]
    assert rooms[1] > rooms[0]


@pytest.mark.parametrize("stated", [(), ("data.exports.H200.unsold_stock=5",)])
def test_windows_with_derived_exports_are_found_again_by_what_was_stated_alone(forecast, stated):
    context, run_id = forecast
    windows = run_windows(context(*stated), run_id)
    assert input_run(context(*stated), "windows", None) == windows.run_id
    with pytest.raises(InputError, match="no finished windows run has these settings"):
        input_run(context(*stated, "data.exports.H200.exported_so_far=601"), "windows", None)


def test_stated_count_below_the_book_is_refused_with_both_counts(forecast):
    context, run_id = forecast
    sentence = r"exports\.H200\.exported_so_far: fewer units .* expected at least 152, .* found 151"
    with pytest.raises(InputError, match=sentence):
        run_windows(context("data.exports.H200.exported_so_far=151"), run_id)


def test_units_are_summed_over_the_articles_of_a_chip_and_zero_where_nothing_went_there():
    shipped = pl.DataFrame(
        {
            "chip_id": ["H200", "H200", "H200", "H100"],
            "country": ["CN", "MO", "DE", "US"],
            "units": [5, 7, 11, 13],
        }
    )
    assert exported_units(shipped, chips=["H100", "H200"]) == {"H100": 0, "H200": 12}


@pytest.mark.parametrize(
    ("given", "found"), [("-1", "-1"), (".inf", "inf"), ("many", "'many'"), ("true", "True")]
)
def test_number_of_exports_that_is_none_is_refused(given, found):
    with pytest.raises(InputError, match=rf"exported_so_far.*{found}"):
        resolve("order_book", [f"data.exports={{H200: {{exported_so_far: {given}}}}}"])


def test_bare_number_stands_for_an_assumption_without_a_range():
    settings = resolve("order_book", ["data.exports={H200: {exported_so_far: 7}}"])
    stated = settings.data.exports["H200"].exported_so_far
    assert (stated.value, stated.low, stated.high) == (7.0, 7.0, 7.0)
