"""The rule of promotion: one score, equal say for flows and dates, nothing but better is good enough."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.runtime.registry.promotion import Verdict, promotion_score

FEW = settings(deadline=None, max_examples=30)
SCORE = st.floats(0.01, 10)


def scores(crps, date):
    return pl.DataFrame({"crps": [crps], "date_crps": [date]})


@FEW
@given(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=8))
def test_the_score_is_the_root_of_the_product_of_both_means(pairs):
    flows, dates = zip(*pairs, strict=True)
    product = sum(flows) / len(flows) * sum(dates) / len(dates)
    table = pl.DataFrame({"crps": flows, "date_crps": dates})
    assert promotion_score(table) == pytest.approx(product**0.5)


@FEW
@given(SCORE, SCORE, st.floats(0.2, 5))
def test_a_share_won_on_flows_weighs_as_much_as_one_lost_on_dates(flows, dates, share):
    assert promotion_score(scores(flows * share, dates)) == pytest.approx(
        promotion_score(scores(flows, dates * share))
    )


def test_dates_that_are_right_but_for_sampling_noise_are_all_alike():
    assert promotion_score(scores(1.0, 0.0)) == promotion_score(scores(1.0, 5e-4)) > 0


@pytest.mark.parametrize(
    ("candidate", "decision", "words"),
    [
        (0.9, "champion", "promoted to champion"),
        (1.0, "challenger", "not promoted"),
        (1.1, "challenger", "not"),
    ],
)
def test_only_a_better_score_is_promoted(candidate, decision, words):
    verdict = Verdict(incumbent="overspill version 2", candidate_score=candidate, incumbent_score=1.0)
    assert verdict.decision == decision
    assert verdict.sentence.startswith(words)
    assert "overspill version 2" in verdict.sentence
    assert verdict.tags()["overspill.decision"] == decision
    assert float(verdict.tags()["overspill.skill"]) == pytest.approx(1 - candidate)
