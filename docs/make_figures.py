"""Draw the figures of the documents from the packaged data: `python docs/make_figures.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import polars as pl

mpl.use("svg")
import matplotlib.pyplot as plt

from forecasting.frequencies import Frequency, label
from pipelines.etl.step import public_panel
from pipelines.runtime.config.loader import resolve

FOLDER = Path(__file__).parent
DARK, MIDDLE, LIGHT = "#1b4965", "#5fa8d3", "#b08968"  # apart in grey as well


def portfolio_orders() -> None:
    """Raw book-to-bill against due to delivered, for three delivery durations."""
    settings = resolve()
    assumption = settings.data.assumptions.delivery_duration_quarters
    tables = {}
    for quarters in (assumption.low, assumption.value, assumption.high):
        moved = resolve(overrides=[f"data.assumptions.delivery_duration_quarters={quarters}"])
        tables[quarters] = public_panel(moved.data)[1]
    base = tables[assumption.value]
    names = [label(day, Frequency.QUARTER) for day in base["timestamp"]]
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    top.bar(names, base["bookings"] / base["delivered"], color=LIGHT)
    top.axhline(1, color="black", linewidth=0.8)
    top.set_ylabel("bookings over revenue")
    top.set_title("Bookings of the same quarter would make orders five times deliveries ...", loc="left")
    low, high = tables[assumption.low], tables[assumption.high]
    bottom.fill_between(
        names,
        high["due_to_delivered"],
        low["due_to_delivered"],
        color=MIDDLE,
        alpha=0.5,
        label=f"delivered over {assumption.low:g} to {assumption.high:g} quarters",
    )
    bottom.plot(
        names, base["due_to_delivered"], color=DARK, marker="o", label=f"over {assumption.value:g} quarters"
    )
    calm = base.filter(pl.col("timestamp").is_between(settings.data.calm_from, settings.data.calm_to))
    bottom.axvspan(-0.5, calm.height - 0.5, color="grey", alpha=0.15, label="calm period, in balance")
    bottom.axhline(1, color="black", linewidth=0.8)
    bottom.set_ylabel("due over delivered")
    bottom.set_title(
        "... spread over the periods in which they fall due, they exceed them by a quarter", loc="left"
    )
    bottom.legend(frameon=False, loc="upper left")
    bottom.tick_params(axis="x", rotation=45)
    save(figure, "portfolio-orders.svg")


def hopper() -> None:
    """US shipments of Hopper with the orders and the capacity derived from them."""
    panel = public_panel(resolve().data)[0]
    newest = panel.sort("published_at").unique(["item_id", "timestamp", "variate"], keep="last")
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for variate, colour, style in (
        ("orders", LIGHT, "--"),
        ("capacity", MIDDLE, "-"),
        ("shipments", DARK, "-"),
    ):
        rows = newest.filter(pl.col("item_id") == "Hopper", pl.col("variate") == variate).sort("timestamp")
        names = [label(day, Frequency.QUARTER) for day in rows["timestamp"]]
        axes.fill_between(names, rows["value_p05"] / 1e3, rows["value_p95"] / 1e3, color=colour, alpha=0.2)
        axes.plot(names, rows["value"] / 1e3, color=colour, linestyle=style, label=variate)
    axes.set_ylabel("thousand H100e per quarter")
    axes.set_title(
        "Hopper: capacity is shipments until they fall, then the recent peak with a decay", loc="left"
    )
    axes.legend(frameon=False)
    axes.tick_params(axis="x", rotation=45)
    save(figure, "hopper-flows.svg")


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure as SVG without a date, so that an unchanged figure is an unchanged file."""
    figure.savefig(FOLDER / name, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    mpl.rcParams["svg.hashsalt"] = "overspill"
    portfolio_orders()
    hopper()
