"""The leaderboard says by which score a forecaster is ahead: that of the flows or that of the date."""

import polars as pl
import pytest

from pipelines.backtest.step import SCORES, rank


def scored(**by_forecaster):
    rows = [
        dict.fromkeys(SCORES, 1.0) | {"forecaster": name, "crps": flows, "date_crps": date}
        for name, (flows, date) in by_forecaster.items()
    ]
    return pl.DataFrame(rows)


def test_each_score_has_a_skill_and_a_rank_of_its_own():
    scores = scored(flows=(0.5, 2.0), dates=(1.5, 0.5), single=(1.0, 1.0), other=(2.0, 1.25))
    board = {row["forecaster"]: row for row in rank(scores, baselines=["single", "other"]).to_dicts()}
    assert board["flows"]["skill_flows"] == pytest.approx(0.5)
    assert board["flows"]["skill_date"] == pytest.approx(-1.0)
    assert board["dates"]["skill_date"] == pytest.approx(0.5)
    assert [board[name]["rank_flows"] for name in ("flows", "single", "dates", "other")] == [1, 2, 3, 4]
    assert [board[name]["rank_date"] for name in ("dates", "single", "other", "flows")] == [1, 2, 3, 4]


def test_the_first_is_the_best_by_both_together():
    scores = scored(flows=(0.5, 2.0), both=(0.8, 0.8), single=(1.0, 1.0))
    assert rank(scores, baselines=["single"])["forecaster"].to_list() == ["both", "single", "flows"]


def test_a_single_model_without_an_error_leaves_no_skill_to_divide_by():
    board = rank(scored(ours=(0.5, 0.0), single=(1.0, 0.0)), baselines=["single"])
    assert board["skill_date"].to_list() == [0.0, 0.0]
