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

from pipelines.runtime.tracking import UI_MODE, Tracker
from pipelines.runtime.tracking.ui import address_of_newest, free_port, server

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).resolve().parents[3]
NO_ASSISTANT = {"fab.autoOpenedOnFirstLoad_v1": "true", "panelOpen_v1": "false"}  # as if it had been closed
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
def address(tmp_path_factory):
    """Address of the newest windows run of `overspill run --config quick`, on a server of its own."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('browser')}/mlflow.db"
    subprocess.run(
        [sys.executable, "-m", "pipelines.cli.main", "run", "--config", "quick"],
        cwd=ROOT,
        env=os.environ | {"MLFLOW_TRACKING_URI": uri},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )
    tracker = Tracker(uri, "overspill")
    with server(tracker, free_port(None)) as (host, _):
        yield address_of_newest(tracker, host)


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


def test_experiment_page_lists_the_steps(page, address, shots):
    page.goto(f"{address.split('/runs/')[0]}/runs{UI_MODE}")
    run = page.locator("[role=row]", has=page.get_by_role("link", name="run", exact=True)).first
    run.locator("button").first.click()
    for step in ("windows", "forecast", "backtest", "etl"):
        page.get_by_role("link", name=step, exact=True).first.wait_for()
    page.screenshot(path=shots / "experiment.png")


def test_windows_page_shows_the_answer_and_links_upstream(page, address, shots):
    page.goto(address)
    page.get_by_text("When is US demand saturated").wait_for()
    page.get_by_text("Show more").first.click()
    cell = page.get_by_role("cell", name="bis_2026_01").first
    cell.wait_for()
    assert cell.is_visible()
    page.screenshot(path=shots / "windows-run.png")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=re.compile("^forecast [0-9a-f]{8}$")).first.click()
    opened.value.get_by_text("joint paths of orders and capacity").first.wait_for()
    assert opened.value.url != address
    opened.value.close()


def test_figures_are_charts_that_can_be_seen(page, address, shots):
    page.goto(part_of(address, "artifacts/figures/figures.html"))
    frame = page.frame_locator("iframe").first
    chart = frame.locator("#chart-first-passage svg.main-svg").first
    chart.wait_for()
    assert chart.is_visible()
    assert frame.locator("section#first-passage h2").inner_text().startswith("US demand for ")
    title = frame.locator("#chart-first-passage svg .annotation-text", has_text="H200").first
    assert title.is_visible()
    assert frame.locator("#chart-first-passage .scatterlayer path.js-line").count() >= 8
    page.locator("iframe").first.screenshot(path=shots / "figures.png")
    fan = frame.locator("#chart-fan-H200 .scatterlayer")
    fan.first.scroll_into_view_if_needed()
    assert fan.first.is_visible()
    page.screenshot(path=shots / "fan.png")


def test_curves_are_drawn_on_the_metrics_page(page, address, shots):
    page.goto(part_of(address, "model-metrics"))
    page.get_by_placeholder("Search metric charts").fill("p_saturated/H200")
    page.get_by_text("p_saturated/H200").first.wait_for()
    page.locator(".scatterlayer path.js-line").first.wait_for(state="attached")
    page.screenshot(path=shots / "metrics.png")
