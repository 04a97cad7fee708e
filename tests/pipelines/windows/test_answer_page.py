"""`answer.html` opens by itself: one card a chip, with the figures of the table, no script, no network."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from pipelines.figures.number_format import share_of_paths
from pipelines.windows.answer_from_tables import deviating
from pipelines.windows.answer_page import answer_page


@pytest.fixture(scope="module")
def text(whole_run):
    return answer_page(whole_run.windows.answer, whole_run.windows.tables)


def test_page_has_one_card_a_chip_with_its_figures(text, whole_run):
    cards = re.findall(r'<section class="card">.*?</section>', text)
    chips = whole_run.windows.answer.chips
    assert len(cards) == len(chips) >= 4
    for card, chip in zip(cards, chips, strict=True):
        figures = re.findall(r"<dd>([^<]*)</dd>", card)
        assert f"<h2>{chip.chip}</h2>" in card
        shown = [share_of_paths(each.met_now).replace(" ", "&nbsp;") for each in (chip.own, chip.whole)]
        assert [figure.replace("&lt;", "<") for figure in figures[:2]] == shown
        assert chip.own.units_shown in figures
        assert card.count("<polyline") == 2


def test_page_asks_for_nothing_and_runs_nothing(text):
    assert not re.search(r"<script|<link|<img|<iframe|url[(]|@import|https?:", text)


def test_page_says_answer_source_date_weights_and_what_differs(text, whole_run, small_settings):
    answer = whole_run.windows.answer
    assert answer.sentence.replace("'", "&#x27;") in text
    assert answer.basis.line in text
    differing = html.escape(", ".join(deviating(small_settings)))
    assert f"Assumptions that differ from the default: {differing}." in text
    assert '<span class="badge">what-if</span>' in text
    plain = answer_page(replace(answer, deviating=()), whole_run.windows.tables)
    assert 'badge">' not in plain
    assert "differ from the default: none." in plain


def test_curves_end_at_what_the_tables_say(text, whole_run):
    """The last point of H200's own curve stands at 1 - P(never)."""
    windows = whole_run.windows.tables["windows"]
    row = windows.filter(policy="bis_2026_01", chip="H200", scope="product").row(0, named=True)
    card = re.search(r"<h2>H200</h2>.*?</section>", text)[0]
    points = re.search(r'<polyline points="([^"]+)"', card)[1].split()
    assert float(points[-1].split(",")[1]) == pytest.approx(118 - 110 * (1 - row["p_never"]), abs=0.06)
