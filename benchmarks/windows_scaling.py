"""How export windows scale in paths and steps, against the machine's memory bandwidth; numpy and torch.

    python benchmarks/windows_scaling.py [--paths 1000000] [--json FILE]

One item at a time: items are worked out one after the other and hold nothing of each other, so that 50 of
them take 50 times the seconds and the memory of one. The share of bandwidth counts what must pass at least:
orders and capacity read, units written, 24 bytes for each path and step, over the rate of a plain copy in the
same process. torch has flow and saturation alone (the windows are numpy's), beside numpy's for the same part.
P paths, T steps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from windows import RULE, WEEKS_PER_QUARTER, answer, sample_paths

from forecasting.panel.history import Floats
from forecasting.saturation.backlog import flow
from forecasting.saturation.chunks import map_path_chunks
from forecasting.saturation.first_passage import confirmed, saturated

BYTES = 24  # per path and step
COPIED = 1 << 28  # bytes
REPEATS = 3


def best_seconds(do: Callable[[], object]) -> float:
    """Fewest CPU seconds of a few turns, which other work on the machine disturbs least."""
    turns = []
    for _ in range(REPEATS):
        started = time.process_time()
        do()
        turns.append(time.process_time() - started)
    return min(turns)


def copy_rate() -> float:
    """Bytes per second that a copy reads and writes together, one thread."""
    source, target = np.ones(COPIED // 8), np.zeros(COPIED // 8)
    return 2 * COPIED / best_seconds(lambda: np.copyto(target, source))


def saturation(orders: object, capacity: object) -> object:
    """Flow and confirmed saturation of orders and capacity [P, T], numpy or torch."""
    flows = flow(orders, capacity)
    state = saturated(flows, orders, capacity, rule=RULE, weeks_per_period=WEEKS_PER_QUARTER)
    return confirmed(state, RULE.hold_periods)


def both_libraries(values: Floats) -> dict[str, float]:
    """CPU seconds for flow and saturation in slices: numpy, and torch on the same memory, alike in answer."""
    orders, capacity = values[..., 0], values[..., 1]

    def torch_slice(one: Floats, other: Floats) -> object:
        return saturation(torch.from_numpy(one), torch.from_numpy(other))

    of_numpy, of_torch = (
        np.concatenate([np.asarray(part) for part in map_path_chunks(each, orders, capacity)])
        for each in (saturation, torch_slice)
    )
    np.testing.assert_array_equal(of_numpy, of_torch)
    return {
        "numpy": best_seconds(lambda: map_path_chunks(saturation, orders, capacity)),
        "torch": best_seconds(lambda: map_path_chunks(torch_slice, orders, capacity)),
    }


def measured(paths: int, steps: int, rate: float) -> dict[str, float]:
    """CPU seconds for the windows of one item, per path and step, and the share of bandwidth."""
    values = sample_paths(paths, steps, seed=0)
    seconds = best_seconds(lambda: answer(values, 0, 1))
    cells = paths * steps
    return {
        "paths": paths,
        "steps": steps,
        "seconds": seconds,
        "nanoseconds": 1e9 * seconds / cells,
        "share": BYTES * cells / seconds / rate,
    }


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="takes the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rate = copy_rate()
    sizes = [(options.paths // part, 16) for part in (16, 8, 4, 2, 1)]
    sizes += [(options.paths // 16, steps) for steps in (8, 32, 64, 128)]
    print(
        "| paths | steps | CPU seconds | ns per path and step | share of bandwidth |\n|---|---|---|---|---|"
    )
    rows = []
    for paths, steps in sizes:
        rows.append(measured(paths, steps, rate))
        print("| {paths:,} | {steps} | {seconds:.3f} | {nanoseconds:.1f} | {share:.1%} |".format(**rows[-1]))
    libraries = both_libraries(sample_paths(options.paths // 16, 16, seed=0))
    figures = {
        "rows": rows,
        "flow_and_saturation": libraries,
        "copy_gb_per_second": rate / 1e9,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "load": os.getloadavg()[0],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print(json.dumps({name: figures[name] for name in figures if name != "rows"}))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
