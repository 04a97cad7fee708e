"""How long export windows take: flow, fill rate, saturation, windows and summary for many items and paths.

    python benchmarks/windows.py [--items 50] [--paths 100000] [--steps 16] [--history 0] [--workers 2]

Prints JSON: seconds (median of three runs), peak memory, and the same answers from a plain loop over paths,
timed on a small sample of the same paths and scaled up. I items, P paths, T periods of history and horizon.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import json
import os
import platform
import resource
import statistics
import time

import numpy as np

from forecasting.panel.history import Floats
from forecasting.policy.terms import Cap, SupplyRule
from forecasting.saturation.backlog import flow
from forecasting.saturation.chunks import join_paths, map_path_chunks
from forecasting.saturation.first_passage import confirmed, saturated
from forecasting.windows.windows import WindowInputs, WindowPaths, WindowSummary, export_windows, summarise

RULE = SupplyRule(normal_lead_time_weeks=10.0, fill_rate_min=0.95, hold_periods=2, scopes=("product",))
CAP = Cap(ratio=0.5, period="trailing_12m", counts="product")
WEEKS_PER_QUARTER = 13.04
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
STOCK, LICENCE, MIN_UNITS = 10_000.0, 750_000.0, 1.0


def sample_paths(paths: int, periods: int, seed: int) -> Floats:
    """Draw orders and capacity [P, T, 2], path by path as a forecaster leaves them: a random book-to-bill."""
    rng = np.random.default_rng(seed)
    logs = np.empty((paths, periods, 2))
    logs[..., 1] = np.log(1e5) + rng.normal(0.0, 0.2, (paths, periods))
    logs[..., 0] = logs[..., 1] + rng.normal(0.0, 0.25, (paths, periods)).cumsum(axis=1)
    return np.exp(logs, out=logs)


def windows_of(orders: Floats, capacity: Floats, *, first_step: int) -> WindowPaths:
    """Windows [P, H] of orders and capacity [P, T]."""
    flows = flow(orders, capacity)
    state = saturated(flows, orders, capacity, rule=RULE, weeks_per_period=WEEKS_PER_QUARTER)
    inputs = WindowInputs(
        surplus=flows.surplus,
        us_shipments=flows.shipments,
        saturated_confirmed=confirmed(state, RULE.hold_periods),
        eligible=True,
        in_effect=np.ones(orders.shape[1], dtype=np.bool_),
        unsold_stock=STOCK,
        licence_limit=LICENCE,
        first_step=first_step,
    )
    return export_windows(inputs, CAP, periods_per_year=4)


def answer(values: Floats, first_step: int, workers: int) -> WindowSummary:
    """Windows of one item, in slices of its paths, and their summary."""
    one_chunk = functools.partial(windows_of, first_step=first_step)
    parts = map_path_chunks(one_chunk, values[..., 0], values[..., 1], workers=workers)
    return summarise(join_paths(parts), confidence=0.5, quantile_levels=LEVELS)


def plain_path(orders: list[float], capacity: list[float], first_step: int) -> list[float]:
    """Units exported per step on one path, in plain Python: the peer."""
    lead_time = RULE.normal_lead_time_weeks / WEEKS_PER_QUARTER
    waiting, held, stock, licence = 0.0, 0, STOCK, LICENCE
    backlog: list[float] = []
    shipments: list[float] = []
    exports = [0.0] * first_step
    for t, (ordered, offered) in enumerate(zip(orders, capacity, strict=True)):
        demand = waiting + ordered
        shipments.append(min(demand, offered))
        waiting = demand - shipments[t]
        backlog.append(waiting)
        cohort = max(t - 1, 0)
        late = backlog[cohort] - (lead_time * shipments[t] if t else 0.0)
        rate = 1.0 - min(max(late, 0.0), orders[cohort]) / orders[cohort]
        met = waiting <= lead_time * offered and rate >= RULE.fill_rate_min
        held = held + 1 if met else 0
        if t < first_step:
            continue
        surplus = offered - shipments[t]
        room = CAP.ratio * sum(shipments[max(t - 3, 0) : t + 1]) - sum(exports[max(t - 3, 0) : t])
        headroom = max(0.0, min(surplus + stock, room, licence))
        units = headroom if held >= RULE.hold_periods and headroom >= MIN_UNITS else 0.0
        stock -= max(units - surplus, 0.0)
        licence -= units
        exports.append(units)
    return exports[first_step:]


def peer_seconds(values: Floats, first_step: int) -> float:
    """Seconds of the plain loop over these paths; its answers must be those of the arrays."""
    expected = windows_of(values[..., 0], values[..., 1], first_step=first_step).units
    orders, capacity = values[..., 0].tolist(), values[..., 1].tolist()
    start = time.perf_counter()
    units = [plain_path(o, c, first_step) for o, c in zip(orders, capacity, strict=True)]
    seconds = time.perf_counter() - start
    np.testing.assert_allclose(np.array(units), expected, rtol=1e-9, atol=1e-6)
    return seconds


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Time all items, drawing the paths of each outside the clock, three times over."""
    periods = options.history + options.steps
    runs = []
    for _ in range(3):
        seconds = 0.0
        for item in range(options.items):
            values = sample_paths(options.paths, periods, seed=item)
            start = time.perf_counter()
            answer(values, options.history, options.workers)
            seconds += time.perf_counter() - start
        runs.append(seconds)
    sample = min(2_000, options.paths)
    peer = peer_seconds(sample_paths(sample, periods, seed=0), options.history)
    scaled = peer * options.paths / sample * options.items
    return {
        **vars(options),
        "seconds": round(statistics.median(runs), 2),
        "seconds_of_each_run": [round(run, 2) for run in runs],
        "peer": f"plain Python loop over paths, without summary, {sample} paths scaled up",
        "peer_seconds": round(scaled, 1),
        "times_faster": round(scaled / statistics.median(runs), 1),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "numpy": np.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description="Time the export windows of many items and paths.")
    for name, default in (("items", 50), ("paths", 100_000), ("steps", 16), ("history", 0), ("workers", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(parser.parse_args()), indent=2))


if __name__ == "__main__":
    main()
