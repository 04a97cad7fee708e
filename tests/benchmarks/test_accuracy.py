"""The comparison on panels: what the tables say, and what is noted."""

import numpy as np
import pytest
from accuracy import Run, left_padded
from accuracy_tables import report
from panels import panel_of

SCORES = {"wql": 2.0, "sql": 1.0, "mase": 3.0, "coverage": 0.7}


def rows(factor: float, name: str, panels=("M3 yearly", "Tourism yearly", "M1 yearly")):
    scaled = {key: value if key == "coverage" else factor * value for key, value in SCORES.items()}
    return [{"panel": panel, "forecaster": name, **scaled} for panel in panels]


def cells(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_overall_figure_is_relative_to_the_baseline_and_leaves_m1_apart():
    half = rows(0.5, "network")
    half[2]["sql"] = 1e6
    text = report([*rows(1.0, "SeasonalNaive"), *half], notes=[])
    assert "over 2 panels: M3 yearly, Tourism yearly" in text
    assert cells(text, "network") == ["network", "0.500", "0.500", "0.500", "-", "-", "0.70 to 0.70"]


def test_a_forecaster_that_misses_a_panel_has_no_overall_figure():
    text = report(
        [*rows(1.0, "SeasonalNaive"), *rows(0.5, "PatchTST", ("M3 yearly",))], notes=["PatchTST: why"]
    )
    overall, by_sql, *_ = text.split("\n\nsql\n")
    assert "PatchTST" not in overall
    assert cells(by_sql, "PatchTST") == ["PatchTST", "0.500", "-", "-"]
    assert text.endswith("- PatchTST: why")


def test_a_peer_that_is_not_installed_is_noted_and_a_skipped_one_is_not():
    panel = panel_of("p", [np.arange(9.0)], season_length=1, horizon=2)
    run = Run(pool=None, cache=None, auto=False, skip=frozenset({"NHITS"}), steps=1)

    def missing():
        raise ModuleNotFoundError("No module named 'statsforecast.more'")

    assert run.attempt("AutoETS", panel, missing) is None
    assert run.attempt("NHITS", panel, missing) is None
    assert len(run.notes) == 1
    assert "AutoETS: not installed" in run.notes[0]


def test_histories_of_different_lengths_end_together():
    padded = left_padded((np.array([1.0, 2.0, 3.0]), np.array([9.0])))
    assert padded.shape == (2, 1, 3)
    np.testing.assert_array_equal(padded[1, 0], [np.nan, np.nan, 9.0])
    assert padded[0, 0] == pytest.approx([1.0, 2.0, 3.0])
