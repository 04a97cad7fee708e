"""A real browser on a real server: what a planner sees of a run.

Screenshots go to the folder that OVERSPILL_SCREENSHOTS names, else to the test's own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.runtime.store.tags import RUNS_TABLE
from pipelines.runtime.tracking import UI_MODE, Tracker
from pipelines.runtime.tracking.ui import address_of_newest, free_port, server

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).resolve().parents[3]
NO_ASSISTANT = {"fab.autoOpenedOnFirstLoad_v1": "true", "panelOpen_v1": "false"}  # as if it had been closed
WIDTHS = (1400, 1920, 800)
NAMED = re.compile(r"^\S+ \S+ % own . \S+ % vendor, what-if: ")  # `quick` draws fewer paths than the default
PATIENCE = 60_000  # milliseconds: a page of MLflow is large and the machine may be busy

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    folder = Path(os.environ.get("OVERSPILL_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Store with the runs of `overspill run --config quick`, with fewer peers and without PNGs."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('browser')}/mlflow.db"
    subprocess.run(
        [
            *(sys.executable, "-m", "pipelines.cli.main", "run", "--config", "quick"),
            *("--set", "figures.pictures=false", "--set", "statistical.candidates=[AutoETS,AutoTheta]"),
        ],
        cwd=ROOT,
        env=os.environ | {"MLFLOW_TRACKING_URI": uri},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )
    return uri


@pytest.fixture(scope="module")
def address(store):
    """Address of the newest windows run on a server of its own."""
    tracker = Tracker(store, "overspill")
    with server(tracker, free_port(None)) as (host, _):
        yield address_of_newest(tracker, host)


@pytest.fixture(scope="module")
def artifacts(store):
    """Folder with the files of that run."""
    tracker = Tracker(store, "overspill")
    with tracker.artifacts(tracker.newest("windows")) as folder:
        yield folder


@pytest.fixture(scope="module")
def page():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        opened.set_default_timeout(PATIENCE)
        for key, value in NO_ASSISTANT.items():
            opened.add_init_script(f"localStorage.setItem('mlflow.assistant.{key}', '{value}')")
        yield opened
        browser.close()


def part_of(address, part):
    return f"{address.removesuffix(UI_MODE)}/{part}{UI_MODE}"


@pytest.fixture(params=WIDTHS)
def width(request, page):
    page.set_viewport_size({"width": request.param, "height": 900})
    return request.param


def fits(frame):
    """Whether nothing reaches beyond the right edge."""
    return frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def overlapping(frame):
    """Texts of axes and bars that lie on each other, panel by panel."""
    return frame.evaluate(
        """() => [...document.querySelectorAll(".panel")].flatMap((panel) => {
            const texts = [...panel.querySelectorAll(".xtick text, .ytick text, .xtitle, .ytitle, .bartext")];
            const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
            return boxes.flatMap(([one, a], place) => boxes.slice(place + 1)
                .filter(([, b]) => a.left + 1 < b.right && b.left + 1 < a.right
                    && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
                .map(([other]) => `${panel.id}: ${one} | ${other}`));
        })"""
    )


def cut_off(frame):
    """Texts that reach beyond their drawing, and headings that are wider than their box."""
    return frame.evaluate(
        """() => [...document.querySelectorAll(".panel")].flatMap((panel) => {
            const edge = panel.getBoundingClientRect();
            return [...panel.querySelectorAll("svg text")].filter((text) => {
                const box = text.getBoundingClientRect();
                return box.width && (box.left < edge.left - 1 || box.right > edge.right + 1
                    || box.top < edge.top - 1 || box.bottom > edge.bottom + 1);
            }).map((text) => `${panel.id}: ${text.textContent}`);
        }).concat([...document.querySelectorAll("h1, h2, h3, p, dd, dt")]
            .filter((head) => head.scrollWidth > head.clientWidth + 1).map((head) => head.textContent))"""
    )


def test_experiment_page_lists_runs_by_their_answer(page, address, shots):
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(f"{address.split('/runs/')[0]}/runs{UI_MODE}")
    run = page.locator("[role=row]", has=page.get_by_role("link", name=NAMED)).first
    run.locator("button").first.click()
    for step in ("forecast", "backtest", "etl"):
        page.get_by_role("link", name=step, exact=True).first.wait_for()
    page.screenshot(path=shots / "experiment.png")


def test_runs_table_has_its_columns_preset(page, address, shots):
    page.set_viewport_size({"width": 1920, "height": 900})
    page.goto(f"{address.split('/runs/')[0]}/runs{UI_MODE}&{RUNS_TABLE}")
    for name in ("own met", "vendor met", "exports open", "units 10-50-90"):
        page.get_by_role("columnheader", name=name).first.wait_for()
    page.screenshot(path=shots / "runs-table.png")


def test_windows_page_begins_with_the_answer_and_links_upstream(page, address, shots, width):
    page.goto("about:blank")  # the UI is one page, which would not be loaded again
    page.goto(address)
    sentence = page.get_by_text("its own US orders are met now").first
    sentence.wait_for()
    assert sentence.is_visible()
    assert re.search(r"\d+ %", sentence.inner_text())
    page.screenshot(path=shots / f"windows-run-{width}.png")
    if page.get_by_text("Show more").count():  # else the page remembers that it was clicked
        page.get_by_text("Show more").first.click()
    assert page.get_by_text("BIS case-by-case review").first.is_visible()
    page.screenshot(path=shots / f"windows-run-all-{width}.png")
    assert page.get_by_role("link", name="all figures").first.is_visible()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=re.compile("^forecast [0-9a-f]{8}$")).first.click()
    opened.value.get_by_text("joint paths of orders and capacity").first.wait_for()
    assert opened.value.url != address
    opened.value.close()


def test_figures_in_the_ui_are_charts_that_can_be_seen(page, address, shots):
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(part_of(address, "artifacts/figures/figures.html"))
    frame = page.frame_locator("iframe").first
    chart = frame.locator("#chart-first-passage svg.main-svg").first
    chart.wait_for()
    assert chart.is_visible()
    assert frame.locator("section#first-passage h2").inner_text().startswith("US demand for ")
    assert frame.locator("#chart-first-passage h3", has_text="H200").first.is_visible()
    assert frame.locator("#chart-first-passage .scatterlayer path.js-line").count() >= 8
    page.locator("iframe").first.screenshot(path=shots / "figures-in-ui.png")


def test_figures_fit_the_page_and_print_nothing_over_each_other(page, artifacts, shots, width):
    page.goto((artifacts / "figures" / "figures.html").as_uri())
    page.locator("#chart-fan-portfolio-us svg.main-svg").first.wait_for()
    page.wait_for_timeout(1500)
    assert fits(page)
    assert overlapping(page) == []
    assert cut_off(page) == []
    sources = page.locator("section .source")
    assert sources.count() == page.locator("section").count()
    assert "data as known on " in sources.first.inner_text()
    page.screenshot(path=shots / f"figures-{width}.png")


def test_answer_page_shows_a_card_a_chip_without_a_network(page, artifacts, shots, width):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((artifacts / "answer.html").as_uri())
    assert page.locator(".card h2").all_inner_texts() == ["H100", "H200", "MI300X", "MI325X"]
    assert all(card.is_visible() for card in page.locator(".card svg").all())
    assert "its own US orders are met now" in page.locator("#answer").inner_text()
    assert fits(page)
    assert cut_off(page) == []
    assert [url for url in asked if not url.startswith("file:")] == []
    page.screenshot(path=shots / f"answer-{width}.png", full_page=True)


def test_answer_page_prints_on_at_most_two_sheets_of_a4(page, artifacts, tmp_path):
    page.goto((artifacts / "answer.html").as_uri())
    page.pdf(path=tmp_path / "answer.pdf", prefer_css_page_size=True)
    sheets = re.findall(rb"/Type\s*/Page[^s]", (tmp_path / "answer.pdf").read_bytes())
    assert 1 <= len(sheets) <= 2


def test_curves_are_drawn_on_the_metrics_page(page, address, shots):
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(part_of(address, "model-metrics"))
    page.get_by_text("met/H200 own orders").first.wait_for()
    page.locator(".scatterlayer path.js-line").first.wait_for(state="attached")
    page.screenshot(path=shots / "metrics.png")
