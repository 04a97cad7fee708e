"""Figures and verdicts of the evidence, held against slow loops over the paths and the windows table."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import StepError
from forecasting.panel.schema import content_digest
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Eligibility, SupplyRule
from forecasting.reference.chips import chip
from pipelines.evidence.conditions import effective, eligibility_conditions, review
from pipelines.evidence.derive import nested
from pipelines.evidence.records import as_json
from pipelines.evidence.tables import check_same, same
from pipelines.evidence.verdicts import (
    CERTAINTY,
    MET,
    NOT_MET,
    NOT_SHOWN,
    by_probability,
    plain,
    rule_of_verdicts,
    term,
)
from pipelines.runtime.config.loader import load_policy
from pipelines.windows.estimator import estimator_settings

QUARTER_WEEKS = 365.25 / 7 / 4


def condition_of(made, name):
    return next(each for each in as_json(made.content)["conditions"] if each["condition"] == name)


def finding_of(made, name, **case):
    found = [each for each in condition_of(made, name)["findings"] if case.items() <= each.items()]
    assert len(found) == 1, case
    return found[0]


def item_paths(made, item):
    """Paths of an item as nested lists of (timestamp, orders, capacity, shipments, queue)."""
    table = pl.read_parquet(made.out / "artifacts" / "paths.parquet").filter(pl.col("item_id") == item)
    parts = table.sort("path", "step").partition_by("path", maintain_order=True)
    return [
        list(part.select("timestamp", "orders", "capacity", "shipments", "backlog").iter_rows())
        for part in parts
    ]


def slow_state(path, weeks, least):
    """Short backlog, fill rate and lead time in weeks per period of one path, first in, first out."""
    backlog, cohorts, entries = 0.0, [], []
    lead = weeks / QUARTER_WEEKS
    assert 0 < lead < 1, "the loop below is written for lead times of less than a period"
    for stamp, orders, capacity, observed, queue in path:
        before = backlog
        shipped = min(backlog + orders, capacity) if queue is None else observed
        backlog = backlog + orders - shipped if queue is None else queue
        cohorts.append((orders, backlog, shipped))
        # judged: the orders of the period before; what was left of them must go within a part of this one
        ordered, left, _ = cohorts[-2] if len(cohorts) > 1 else cohorts[-1]
        went = lead * shipped if len(cohorts) > 1 else 0.0
        late = min(max(left - went, 0.0), ordered)
        rate = 1 - late / ordered if ordered > 0 else 1.0
        assert before >= 0
        entries.append(
            (stamp, backlog <= lead * capacity, rate, backlog / capacity * QUARTER_WEEKS if capacity else 0.0)
        )
    return entries


@pytest.mark.parametrize(("item", "scope"), [("H200", "product"), ("portfolio/nvidia", "portfolio")])
def test_supply_figures_are_those_of_a_loop_over_single_paths(made, item, scope):
    now = dt.date.fromisoformat(as_json(made.content)["basis"]["now"])
    short, rates, weeks, held = [], [], [], []
    for path in item_paths(made, item):
        entries = slow_state(path, 10, 0.95)
        place = [stamp for stamp, *_ in entries].index(now)
        short.append(entries[place][1])
        rates.append(entries[place][2])
        weeks.append(entries[place][3])
        held.append(all(is_short and rate >= 0.95 for _, is_short, rate, _ in entries[place - 1 : place + 1]))
    case = {"chip": "H200", "scope": scope}
    queue = finding_of(made, "supply.normal_lead_time_weeks", **case)
    assert queue["probability"] == pytest.approx(np.mean(short))
    assert queue["quantiles"]["q50"] == pytest.approx(np.quantile(weeks, 0.5, method="inverted_cdf"))
    filled = finding_of(made, "supply.fill_rate_min", **case)
    assert filled["probability"] == pytest.approx(np.mean(np.array(rates) >= 0.95))
    assert filled["quantiles"]["q10"] == pytest.approx(np.quantile(rates, 0.1))
    assert finding_of(made, "supply.hold_periods", **case)["probability"] == pytest.approx(np.mean(held))


def test_room_under_the_cap_is_half_of_us_shipments_since_launch_less_what_was_exported(made, small_settings):
    upto = dt.date.fromisoformat(as_json(made.content)["basis"]["next_period"])
    exported = estimator_settings(small_settings, paths=60).exports["H200"].exported_so_far
    rooms = []
    for path, sent in zip(item_paths(made, "H200"), exported, strict=True):
        backlog, total = 0.0, 0.0
        for stamp, orders, capacity, observed, queue in path:
            shipped = min(backlog + orders, capacity)
            backlog = backlog + orders - shipped if queue is None else queue
            total += (shipped if observed is None else observed) if stamp <= upto else 0.0
        rooms.append(max(0.5 * total - sent, 0.0))
    found = finding_of(made, "cap", chip="H200")
    assert found["quantiles"] == pytest.approx(
        {"q10": np.quantile(rooms, 0.1), "q50": np.quantile(rooms, 0.5), "q90": np.quantile(rooms, 0.9)}
    )
    assert found["probability"] == pytest.approx(np.mean(np.array(rooms) >= 1))


def test_headline_is_the_windows_table(made, whole_run):
    name = as_json(made.content)["policy"]["name"]
    table = whole_run.windows.tables["windows"].filter(pl.col("policy") == name)
    steps = whole_run.windows.tables["window_steps"].filter(pl.col("policy") == name)
    rows = as_json(made.content)["headline"]
    assert [(row["chip"], row["scope"]) for row in rows] == list(table.select("chip", "scope").iter_rows())
    for row, recorded in zip(rows, table.iter_rows(named=True), strict=True):
        assert row.get("p_saturated_now") == pytest.approx(recorded["p_saturated_now"])
        assert row.get("window_opens") == plain(recorded["window_opens"])
        for what in ("units", "saturated"):
            for level, figure in (row[what] or {}).items():
                assert figure == plain(recorded[f"{what}_{level}"])
        mine = steps.filter(pl.col("chip") == row["chip"], pl.col("scope") == row["scope"])
        assert [step["p_open"] for step in row["steps"]] == mine["p_open"].to_list()
        if row["steps"]:
            assert row["all_conditions_next_period"] == by_probability(mine["p_open"][0], 0.5)


def test_headroom_next_period_bounds_what_goes_then(made):
    rows = [row for row in as_json(made.content)["headline"] if row["steps"]]
    assert rows
    for row in rows:
        for level, units in row["steps"][0]["units"].items():
            assert units <= row["headroom_next_period"][level]


def test_every_term_of_the_policy_stands_with_its_certainty_note_and_citation(made):
    policy = load_policy("bis_2026_01")
    entries = {
        term["element"]: term for each in as_json(made.content)["conditions"] for term in each["terms"]
    }
    asked = {element for element in policy.certainty if element != "tariff"}
    assert asked == set(entries)
    for element, letter in policy.certainty.items():
        if element != "tariff":
            assert entries[element]["certainty"] == letter
            assert entries[element]["certainty_says"] == CERTAINTY[letter]
            assert entries[element]["note"] == policy.notes.get(element)
    assert {each["citation"] for each in as_json(made.content)["conditions"]} == {
        " ".join(policy.source.split())
    }
    assert condition_of(made, "cap")["note"] == policy.notes["cap"]


def test_a_term_without_certainty_says_that_the_file_does_not_say():
    bare = replace(load_policy("bis_2026_01"), certainty={})
    assert term(bare, "cap.ratio", 0.5).certainty_says == "the policy file does not say"


def test_row_sets_count_and_hash_the_rows_that_findings_name(made):
    sets = {each["name"]: each for each in as_json(made.content)["row_sets"]}
    named = {
        row
        for each in as_json(made.content)["conditions"]
        for found in each["findings"]
        for row in found["rows"]
    }
    assert named == set(sets)
    paths = pl.read_parquet(made.out / "artifacts" / "paths.parquet").filter(pl.col("item_id") == "H200")
    assert sets["paths/H200"]["rows"] == paths.height
    assert sets["paths/H200"]["content_sha256"] == content_digest(paths)
    panel = pl.read_parquet(made.out / "artifacts" / "panel.parquet").filter(
        pl.col("item_id") == "H200", pl.col("variate").is_in(["orders", "capacity", "shipments"])
    )
    assert sets["panel/H200"]["rows"] == panel.select("timestamp", "variate").n_unique()


def test_a_chip_that_is_not_forecast_cannot_be_shown(made):
    found = finding_of(made, "supply.hold_periods", chip="A100", scope="product")
    assert found["verdict"] == NOT_SHOWN
    assert found["probability"] is None
    assert "no shipments since 2023-12-31" in found["why"]


def test_a_launch_in_the_quarter_of_the_day_cannot_be_shown_and_a_later_one_is_not_met():
    h200 = chip("H200")
    end = h200.launch_quarter_end

    def verdict(day):
        policy = replace(load_policy("bis_2026_01"), eligibility=Eligibility(available_in_us_on=day))
        return eligibility_conditions(policy, [h200], [h200])[0].findings[0].verdict

    assert verdict(end) == MET
    assert verdict(end - dt.timedelta(days=1)) == NOT_SHOWN
    assert verdict(end - dt.timedelta(days=100)) == NOT_MET


def test_a_chip_without_published_figures_cannot_be_shown():
    silent = replace(chip("H200"), memory_bandwidth_gb_per_s=None)
    policy = replace(load_policy("bis_2026_01"), eligibility=Eligibility(bandwidth_gb_per_s_below=6500))
    assert eligibility_conditions(policy, [silent], [silent])[0].findings[0].verdict == NOT_SHOWN


def test_denial_is_not_met_and_a_later_policy_is_not_in_effect():
    supply = SupplyRule(normal_lead_time_weeks=10, fill_rate_min=0.9, hold_periods=1, scopes=("product",))
    policy = Policy(
        name="p",
        title="t",
        effective_date=dt.date(2027, 1, 1),
        source="s",
        review="denial",
        eligibility=Eligibility(),
        supply=supply,
    )
    assert review(policy).findings[0].verdict == NOT_MET
    assert effective(policy, dt.date(2026, 12, 31)).findings[0].verdict == NOT_MET
    assert effective(policy, dt.date(2027, 3, 31)).findings[0].verdict == MET


@settings(deadline=None, max_examples=30)
@given(p=st.floats(0, 1), confidence=st.floats(0.5, 0.99))
def test_a_verdict_is_turned_round_by_the_opposite_probability(p, confidence):
    verdict, opposite = by_probability(p, confidence), by_probability(1 - p, confidence)
    assert (verdict == MET) == (p >= confidence)
    if verdict == NOT_SHOWN:
        assert opposite == NOT_SHOWN
    if verdict == NOT_MET:
        assert opposite == MET


def test_the_rule_says_its_confidence_and_warns_where_it_is_weak():
    assert "90 %" in rule_of_verdicts(0.9, data="public")
    assert "likelier" not in rule_of_verdicts(0.9, data="public")
    assert "likelier" in rule_of_verdicts(0.5, data="public")


def test_quantile_columns_are_gathered_and_absent_ones_are_none():
    row = {"chip": "X", "units_q10": 1.0, "units_q90": 3.0}
    entries = nested(row, ("units", "tpp"), (0.1, 0.9))
    assert entries == {"chip": "X", "units": {"q10": 1.0, "q90": 3.0}, "tpp": None}


def test_figures_that_the_windows_run_did_not_record_are_refused(whole_run):
    recorded = whole_run.windows.tables["windows"]
    assert check_same(recorded, recorded.clone(), "windows") == recorded.height * recorded.width
    moved = pl.when(pl.col("chip") == "H200").then(pl.col("p_never") + 0.001).otherwise(pl.col("p_never"))
    with pytest.raises(StepError, match=r"windows\.parquet: row \d+ \(bis_2026_01, H200, product\), p_never"):
        check_same(recorded, recorded.with_columns(moved.alias("p_never")), "windows")
    with pytest.raises(StepError, match="the table does not follow from the stored artifacts: stated"):
        check_same(recorded, recorded.head(1), "windows")


@pytest.mark.parametrize(
    ("stated", "derived", "equal"),
    [
        (1.0, 1.0 + 1e-12, True),
        (0.0, 1e-15, True),
        (1.0, 1.0001, False),
        (1, 1.0, False),
        (True, 1, False),
        ("a", "a", True),
        (None, None, True),
        (None, 0.0, False),
        (float("nan"), 0.0, False),
    ],
)
def test_values_are_the_same_within_the_last_digits_of_arithmetic_alone(stated, derived, equal):
    assert same(stated, derived) is equal


def test_evidence_json_holds_no_number_that_is_not_finite(made):
    text = (Path(made.out) / "evidence.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in evidence.json"))
