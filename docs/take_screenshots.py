"""Take the screenshots of the documents in a real browser: `python docs/take_screenshots.py STORE`.

STORE is the URI of a store with a finished `overspill run`; docs/update_readme.py calls this with the store
of the run whose output it writes, so that pictures and figures are of the same run. PNGs have few colours,
which keeps them small.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from pipelines.runtime.tracking import Tracker
from pipelines.runtime.tracking.ui import address_of_newest, free_port, server

DOCS = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1400, 900
PATIENCE = 120_000  # milliseconds
COLOURS = 255
NO_ASSISTANT = {"fab.autoOpenedOnFirstLoad_v1": "true", "panelOpen_v1": "false"}  # as if it had been closed


def take(store: str) -> None:
    """Write the pictures of the newest windows run of a store."""
    tracker = Tracker(store, "overspill")
    with sync_playwright() as driver, tracker.artifacts(tracker.newest("windows")) as files:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(PATIENCE)
        for key, value in NO_ASSISTANT.items():
            page.add_init_script(f"localStorage.setItem('mlflow.assistant.{key}', '{value}')")
        page.goto((files / "answer.html").as_uri())
        save(page, "ui-answer.png", full_page=True)
        page.goto((files / "figures" / "figures.html").as_uri())
        page.locator("#chart-fan-portfolio-us svg.main-svg").first.wait_for()
        page.wait_for_timeout(1500)
        save(page, "ui-figures.png")
        with server(tracker, free_port(None)) as (host, _):
            page.goto(address_of_newest(tracker, host))
            page.get_by_text("Show more").first.click()
            page.wait_for_timeout(1500)
            save(page, "ui-windows-run.png")
        browser.close()


def save(page: Page, name: str, *, full_page: bool = False) -> None:
    """Write what the page shows into the documents' folder."""
    file = DOCS / name
    page.screenshot(path=file, full_page=full_page)
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    take(sys.argv[1])
