"""Dated statements: lead times move the state the way they point, from their day on; verdicts by one half."""

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from forecasting import reference
from forecasting.panel.schema import as_of, latest
from forecasting.public.assumptions import Assumption
from forecasting.public.panel import build_panel
from forecasting.public.statements import judged, lead_times, likelihood

LEAD = Assumption(value=16, low=8, high=39, unit="weeks", reason="")
QUARTER = dt.date(2026, 3, 31)
STATED = dt.date(2026, 1, 31)


def stated(weeks=(13.0, 30.0), subject="Blackwell", on=STATED, use="state"):
    row = {
        "statement_id": "x",
        "subject": subject,
        "kind": "lead_time",
        "stated_on": on,
        "low": weeks[0],
        "high": weeks[1],
        "use": use,
    }
    return pl.DataFrame([row])


def test_a_long_wait_speaks_for_a_shortage_and_a_short_one_for_met_demand():
    short, met, ended = likelihood(np.log([26.0, 4.0]), np.array([0.3, 0.3]), LEAD).T
    assert short[0] / met[0] > 5
    assert short[1] / met[1] < 0.5
    assert short.tolist() == ended.tolist()  # orders wait for what is made no more


def test_a_vaguer_quote_says_less():
    ratios = [
        chances[0] / chances[1]
        for chances in (likelihood(np.log([26.0]), np.array([error]), LEAD)[0] for error in (0.1, 0.5, 1.5))
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] > 1


def test_a_quote_on_a_family_counts_for_its_chips_in_the_quarter_of_its_day():
    found = lead_times(stated())
    assert {"Blackwell", "B200", "B300"} <= set(found["item_id"])
    assert "H200" not in found["item_id"]
    assert set(found["timestamp"]) == {QUARTER}
    assert found["weeks"][0] == pytest.approx(np.log(13 * 30) / 2)


def test_what_is_listed_is_no_observation():
    assert lead_times(stated(use="listed")).is_empty()


def chance(panel, name, item="B200", end=QUARTER):
    rows = panel.filter(item_id=item, variate=name, timestamp=end)
    return rows["value"].item()


@pytest.fixture(scope="module")
def panels(public):
    def built(statements):
        sources = replace(public.sources, statements=statements)
        return build_panel(sources, public.assumptions, public.books).collect(engine="in-memory")

    return {"none": built(None), "long": built(stated()), "short": built(stated(weeks=(3.0, 5.0)))}


def test_the_panel_moves_where_a_lead_time_points(panels):
    without, long, short = (
        chance(latest(panels[name].lazy()).collect(), "short") for name in ("none", "long", "short")
    )
    assert long > without + 0.05
    assert short < without - 0.05


def test_only_the_items_it_names_move_and_not_before_its_day(panels):
    flows = pl.col("item_id").str.contains("Blackwell|B200|B300").not_()
    assert panels["long"].filter(flows).equals(panels["none"].filter(flows))
    before = STATED - dt.timedelta(days=1)
    known = [as_of(panels[name].lazy(), before).collect() for name in ("none", "long")]
    assert known[0].equals(known[1])


def test_statements_that_judge_the_states_are_not_among_those_used():
    facts = reference.load("statements").collect()
    held_out = reference.load("saturation_checkpoints").collect().filter(pl.col("met_low").is_not_null())
    used = facts.filter(pl.col("use").cast(pl.String) == "state")
    both = used.join(held_out, left_on=["subject", "stated_on"], right_on=["item_id", "stated_on"])
    assert used.height > 0
    assert both.is_empty()


def test_each_statement_agrees_contradicts_or_is_silent(public):
    found = judged(public.panel, until=dt.date(2026, 10, 10))
    assert set(found["verdict"]) == {"agrees", "contradicts", "silent"}
    by_name = {(row["item_id"], row["stated_on"]): row for row in found.to_dicts()}
    eased = by_name["H100", dt.date(2024, 4, 12)]  # 8 to 12 weeks, which the states do not see
    assert (eased["use"], eased["verdict"]) == ("held out", "contradicts")
    assert by_name["H200", dt.date(2026, 3, 5)]["verdict"] == "agrees"  # production halted: supply ended
    assert by_name["H20", dt.date(2025, 4, 9)]["verdict"] == "silent"
    assert by_name["portfolio/nvidia", dt.date(2026, 1, 31)]["verdict"] == "agrees"


def test_no_statement_is_listed_before_it_was_made(public):
    day = dt.date(2025, 12, 31)
    assert judged(public.panel, until=day)["stated_on"].max() <= day
