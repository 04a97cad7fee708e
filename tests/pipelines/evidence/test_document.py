"""The HTML stands on its own: nothing is loaded, it prints, it holds what evidence.json holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from pipelines.evidence.document import exact, number, percent, render, spread


class Page(HTMLParser):
    """Tags with their attributes, and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def text(made):
    return (made.out / "evidence.html").read_text(encoding="utf-8")


def test_the_page_loads_nothing(text):
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    attributes = {name for _, attrs in page.tags for name in attrs}
    assert not attributes & {"src", "href", "srcset", "poster", "background", "data", "onload", "style"}
    assert not re.search(r"url\(|@import|@font-face", text)


def test_the_page_has_print_rules(text):
    assert re.search(r"@page \{ size: A4 landscape", text)
    assert "@media print" in text
    assert "table-header-group" in text


def test_all_findings_assumptions_runs_and_digests_stand_on_the_page(content, text):
    words = " ".join(" ".join(Page(text).words).split())
    for each in content["conditions"]:
        assert each["words"] in words
        for found in each["findings"]:
            assert " ".join(found["why"].split()) in words
    for each in content["assumptions"]:
        assert each["name"] in words
        assert each["reason"] in words
    for run in content["lineage"]["runs"]:
        assert run["run_id"] in words
        assert all(each["sha256"] in words for each in run["artifacts"])
    for each in content["row_sets"]:
        assert each["content_sha256"] in words
    assert all(line in words for line in (*content["notice"], *content["limits"]))


def test_the_number_of_verdicts_on_the_page_is_that_of_the_findings(content, text):
    verdicts = [attrs for tag, attrs in Page(text).tags if "verdict" in (attrs.get("class") or "").split()]
    computed = [each for each in content["conditions"] if each["kind"] == "computed"]
    findings = sum(len(each["findings"]) for each in computed)
    counted = sum(len({found["verdict"] for found in each["findings"]}) for each in content["conditions"])
    shown = sum(bool(row["steps"]) for row in content["headline"])
    assert len(verdicts) == findings + counted + 2 * shown + 1  # and one for the priority inversions


def test_text_of_a_policy_is_escaped(content):
    changed = {**content, "policy": {**content["policy"], "title": "<script>alert(1)</script>"}}
    assert "<script>" not in render(changed)


def test_the_same_content_gives_the_same_bytes(content, text):
    assert render(content) == text


def test_no_share_of_paths_is_shown_as_certain():
    assert [percent(share) for share in (0.0, 0.004, 0.5, 0.996, 1.0, None)] == [
        "< 1 %",
        "< 1 %",
        "50 %",
        "> 99 %",
        "> 99 %",
        "",
    ]


def test_figures_are_shown_to_three_digits_and_facts_in_full():
    assert [number(figure) for figure in (0, 0.123456, 12.345, 1234567.0, None)] == [
        "0",
        "0.123",
        "12.3",
        "1,230,000",
        "none",
    ]
    assert [exact(figure) for figure in (15832.0, 0.95, "2026-01-15", None)] == [
        "15,832",
        "0.95",
        "2026-01-15",
        "none",
    ]
    assert spread({"q10": 1.0, "q90": None}) == "1 / none"
