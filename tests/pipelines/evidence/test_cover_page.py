"""The cover page, the stated threshold, and words that fit the data; `verify` derives all of it again."""

from __future__ import annotations

import copy
import datetime as dt
import re
from itertools import pairwise

import pytest

from forecasting.errors import InputError, StepError
from pipelines.evidence.amounts import SHIPPED
from pipelines.evidence.cover_page import open_chart
from pipelines.evidence.document import render, units
from pipelines.evidence.records import Cover, as_json
from pipelines.evidence.step import write_evidence
from pipelines.evidence.verdicts import rule_of_verdicts

COVER = Cover(applicant="A & B Chips", preparer="Trade desk", licence_number="D-1", date=dt.date(2026, 4, 2))


@pytest.fixture(scope="module")
def strict(whole_run, tracker, tmp_path_factory):
    """Evidence with a cover page and a threshold of its own."""
    out = tmp_path_factory.mktemp("strict") / "evidence"
    return write_evidence(
        tracker, out, windows_run_id=whole_run.run_ids["windows"], cover=COVER, verdict_threshold=0.97
    )


def test_the_cover_names_who_applies_and_answers_in_one_paragraph(strict):
    page = (strict.out / "evidence.html").read_text(encoding="utf-8")
    cover = page[: page.index("</section>")]
    for said in ("A &amp; B Chips", "Trade desk", "D-1", "2026-04-02", "Signature of the preparer"):
        assert said in cover
    answer = re.search(r"<h2>Answer</h2>\n<p>(.*?)</p>", cover)[1]
    assert "(threshold 97 %)" in answer
    assert strict.content.overall.sentence in answer
    assert all(row.chip in answer for row in strict.content.headline if row.steps)
    assert cover.count("<svg") == 1


def test_verdicts_are_those_of_the_stated_threshold_and_verify_derives_them_again(strict, quick_verify):
    assert strict.content.basis.verdict_threshold == 0.97
    for each in strict.content.conditions:
        for found in each.findings:
            if found.probability is not None:
                expected = (
                    "met"
                    if found.probability >= 0.97
                    else "not met"
                    if 1 - found.probability >= 0.97
                    else "cannot be shown from data"
                )
                if each.condition == "foundry_capacity" and expected == "not met":
                    expected = "cannot be shown from data"  # new production may take nobody's capacity
                assert found.verdict == expected
    assert quick_verify(strict.out)["document"] == "rendered again from evidence.json, the same"


def test_a_threshold_that_was_changed_afterwards_is_found(strict, quick_verify, rewrite):
    rewrite(strict.out, lambda content: content["basis"].update(verdict_threshold=0.6))
    with pytest.raises(StepError, match="verdict"):
        quick_verify(strict.out)


@pytest.mark.parametrize("threshold", [0.49, 1.0, -1])
def test_a_threshold_that_decides_nothing_is_refused(whole_run, tracker, tmp_path, threshold):
    with pytest.raises(InputError, match="--verdict-threshold: a verdict needs at least half of the paths"):
        write_evidence(
            tracker,
            tmp_path / "evidence",
            windows_run_id=whole_run.run_ids["windows"],
            verdict_threshold=threshold,
        )
    assert not (tmp_path / "evidence").exists()


def test_an_order_book_is_recorded_and_not_published(content):
    book = copy.deepcopy(content)
    book["basis"]["data"] = "order_book"
    page = " ".join(render(book).split())
    assert "recorded in the order book as of" in page
    assert "As recorded in the order book by" in page
    assert "had been published by" not in page
    assert "as recorded in the order book" in SHIPPED["order_book"]
    assert "published estimates" not in SHIPPED["order_book"]
    assert "order_book" not in rule_of_verdicts(0.8, data="order_book")


def test_units_are_whole_and_not_rounded():
    assert units({"q10": 0.4, "q50": 1234567.0, "q90": None}) == "0 / 1,234,567 / none"


def test_labels_of_the_chart_do_not_cover_each_other():
    rows = [{"chip": "H200", "scope": scope, "steps": [{"p_open": 0.5}] * 2} for scope in "abc"]
    heights = [float(y) for y in re.findall(r'y="([\d.]+)">H200', open_chart(rows, ["2026Q1", "2026Q2"]))]
    assert len(heights) == 3
    assert all(later - earlier >= 12 for earlier, later in pairwise(heights))


def test_labels_of_many_lines_stay_within_the_chart():
    rows = [{"chip": f"C{n}", "scope": "product", "steps": [{"p_open": 0.0}] * 2} for n in range(8)]
    heights = sorted(
        float(y) for y in re.findall(r'y="([\d.]+)">C\d', open_chart(rows, ["2026Q1", "2026Q2"]))
    )
    assert heights[-1] <= 250
    assert all(later - earlier >= 12 for earlier, later in pairwise(heights))


def test_an_answer_about_one_chip_holds_every_figure(content):
    one = copy.deepcopy(content)
    one["headline"] = [row for row in one["headline"] if row["steps"]][:1]
    answer = re.search(r"<h2>Answer</h2>\n<p>(.*?)</p>", render(one))[1]
    assert "all conditions together: not met; US demand is met by" in answer
    assert "stock on hand and" in answer
    assert "counting the orders of" in re.search(r"<h2>Answer</h2>\n<p>(.*?)</p>", render(content))[1]


@pytest.mark.browser
@pytest.mark.parametrize("width", [800, 1400, 1920])
def test_the_page_does_not_scroll_sideways(made, width):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto((made.out / "evidence.html").as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()
    assert wide == 0


def test_the_schema_and_the_content_hold_the_cover(strict):
    assert as_json(strict.content)["cover"] == {
        "applicant": "A & B Chips",
        "preparer": "Trade desk",
        "licence_number": "D-1",
        "date": "2026-04-02",
    }
