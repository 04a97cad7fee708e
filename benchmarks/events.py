"""First passages on processes of known truth: the network beside the peers, in one run.

    python benchmarks/events.py --checkpoint models/pretrained --series 30 [--no-peers] [--json FILE]

Each series comes from a process whose parameters are fixed below, and its barrier is set so that the true
probability of crossing it within the horizon is uniform on 0.15-0.85. The truth is simulated from the process
itself, from the state in which the history ends. Reported per process and forecaster: the mean absolute error
of P(cross within H), and the mean over the steps of the absolute error of P(T <= t).

Shapes: N series, P paths, L context steps, H horizon steps, V variates.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

from models.forecaster import NetworkForecaster

Floats = npt.NDArray[np.float64]
HORIZON = 24
CONTEXTS = (24, 48, 96)
TRUTH_PATHS = 4000
FORECAST_PATHS = 1000
HOLD = 3
BURN_IN = 100


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One series of a process.

    Attributes
    ----------
    history : array [V, L]
        What a forecaster sees.
    future : array [P, H, V]
        Draws of what may follow, from the process itself.
    season : int
        Steps per season as told to every forecaster; 1 where there is none.
    backlog : float
        Backlog at the origin (coupled process only).
    """

    history: Floats
    future: Floats
    season: int = 1
    backlog: float = 0.0


def continued(level: float, increments: Floats) -> Floats:
    """Paths [P, H] that go on from a level by increments [P, H]."""
    return level + increments.cumsum(axis=1)


def autoregression(
    rng: np.random.Generator, *, paths: int, steps: int, memory: float, start: float
) -> Floats:
    """AR(1) paths [P, steps] of unit innovations that go on from a start."""
    state, out = np.full(paths, start), np.empty((paths, steps))
    for step in range(steps):
        state = memory * state + rng.standard_normal(paths)
        out[:, step] = state
    return out


def random_walk(rng: np.random.Generator, length: int, *, drift: float) -> Sample:
    """y[t] = y[t-1] + drift + e[t]."""
    history = (drift + rng.standard_normal(length)).cumsum() + 50.0
    future = continued(history[-1], drift + rng.standard_normal((TRUTH_PATHS, HORIZON)))
    return Sample(history=history[None], future=future[..., None])


def growth_autoregression(rng: np.random.Generator, length: int) -> Sample:
    """y[t] = y[t-1] + 0.1 + g[t], g an AR(1) with coefficient 0.6."""
    growth = autoregression(rng, paths=1, steps=BURN_IN + length, memory=0.6, start=0.0)[0, BURN_IN:]
    history = (0.1 + growth).cumsum() + 80.0
    ahead = autoregression(rng, paths=TRUTH_PATHS, steps=HORIZON, memory=0.6, start=growth[-1])
    return Sample(history=history[None], future=continued(history[-1], 0.1 + ahead)[..., None])


def trend_stationary(rng: np.random.Generator, length: int) -> Sample:
    """y[t] = 0.08 t + u[t], u an AR(1) with coefficient 0.5."""
    noise = autoregression(rng, paths=1, steps=BURN_IN + length, memory=0.5, start=0.0)[0, BURN_IN:]
    clock = np.arange(length + HORIZON)
    ahead = autoregression(rng, paths=TRUTH_PATHS, steps=HORIZON, memory=0.5, start=noise[-1])
    history = 20.0 + 0.08 * clock[:length] + noise
    return Sample(history=history[None], future=(20.0 + 0.08 * clock[length:] + ahead)[..., None])


def seasonal_walk(rng: np.random.Generator, length: int) -> Sample:
    """A random walk with steps of 0.5 plus a fixed season of 12 steps."""
    walk = (0.5 * rng.standard_normal(length)).cumsum() + 30.0
    clock = np.arange(length + HORIZON)
    season = 2.0 * np.sin(2 * np.pi * clock / 12) + 0.8 * np.cos(4 * np.pi * clock / 12)
    future = continued(walk[-1], 0.5 * rng.standard_normal((TRUTH_PATHS, HORIZON))) + season[length:]
    return Sample(history=(walk + season[:length])[None], future=future[..., None], season=12)


def geometric_walk(rng: np.random.Generator, length: int) -> Sample:
    """Log y[t] = log y[t-1] + 0.01 + 0.08 e[t]."""
    logs = (0.01 + 0.08 * rng.standard_normal(length)).cumsum() + 3.0
    future = continued(logs[-1], 0.01 + 0.08 * rng.standard_normal((TRUTH_PATHS, HORIZON)))
    return Sample(history=np.exp(logs)[None], future=np.exp(future)[..., None])


def coupled(rng: np.random.Generator, length: int) -> Sample:
    """Log orders revert with 0.8 to a trend of 2 %; log capacity grows by 2.5 % with shocks of 4 %."""
    noise = 0.12 * autoregression(rng, paths=1, steps=BURN_IN + length, memory=0.8, start=0.0)[0, BURN_IN:]
    clock = np.arange(length + HORIZON)
    orders = 0.02 * clock[:length] + noise + 0.12
    capacity = (0.025 + 0.04 * rng.standard_normal(length)).cumsum()
    capacity = capacity - capacity[-1] + 0.02 * length
    ahead = 0.12 * autoregression(rng, paths=TRUTH_PATHS, steps=HORIZON, memory=0.8, start=noise[-1] / 0.12)
    future_orders = 0.02 * clock[length:] + ahead + 0.12
    future_capacity = continued(capacity[-1], 0.025 + 0.04 * rng.standard_normal((TRUTH_PATHS, HORIZON)))
    future = np.stack([future_orders, future_capacity], axis=-1)
    backlog = 2.0 * float(np.exp(capacity[-1]))
    return Sample(history=np.exp(np.stack([orders, capacity])), future=np.exp(future), backlog=backlog)


PROCESSES: dict[str, Callable[[np.random.Generator, int], Sample]] = {
    "random walk": lambda rng, length: random_walk(rng, length, drift=0.0),
    "walk with drift": lambda rng, length: random_walk(rng, length, drift=0.15),
    "AR in growth": growth_autoregression,
    "trend-stationary": trend_stationary,
    "season plus walk": seasonal_walk,
    "geometric walk": geometric_walk,
    "orders and capacity": coupled,
}


def crossing_statistic(sample: Sample, future: Floats, *, rising: bool) -> Floats:
    """Running extreme [P, H] whose passing of a barrier from below is the event by that step.

    One variate: the running maximum (or that of the mirrored path). Orders and capacity: minus the running
    minimum of the largest backlog over capacity within HOLD successive steps.
    """
    if future.shape[-1] == 1:
        return np.maximum.accumulate(future[..., 0] if rising else -future[..., 0], axis=1)
    backlog, ratio = np.full(len(future), sample.backlog), np.empty(future.shape[:2])
    for step in range(future.shape[1]):
        backlog = np.maximum(0.0, backlog + future[:, step, 0] - future[:, step, 1])
        ratio[:, step] = backlog / future[:, step, 1]
    held = np.lib.stride_tricks.sliding_window_view(ratio, HOLD, axis=1).max(axis=-1)
    undecided = np.full((len(future), HOLD - 1), np.inf)
    return -np.minimum.accumulate(np.concatenate([undecided, held], axis=1), axis=1)


def passage_errors(sample: Sample, paths: Floats, *, rising: bool, target: float) -> tuple[float, float]:
    """Errors of P(T <= H) and of P(T <= t) averaged over t, for the barrier with the target probability."""
    truth = crossing_statistic(sample, sample.future, rising=rising)
    barrier = np.quantile(truth[:, -1], 1 - target)
    known = (truth > barrier).mean(axis=0)
    told = (crossing_statistic(sample, paths, rising=rising) > barrier).mean(axis=0)
    return abs(told[-1] - known[-1]), float(np.abs(told - known).mean())


def peer_paths(kind: type[AutoETS | AutoARIMA | AutoTheta], sample: Sample, seed: int) -> Floats:
    """Paths [P, H, V] simulated from a fitted classical model, each variate alone."""
    drawn = []
    for variate, series in enumerate(sample.history):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = kind(season_length=sample.season).fit(series)
            drawn.append(model.simulate(HORIZON, FORECAST_PATHS, seed=seed + variate))
    return np.stack(drawn, axis=-1)


def bootstrap_paths(sample: Sample, rng: np.random.Generator) -> Floats:
    """Paths [P, H, V] of past moves (on the log scale where positive) drawn with replacement."""
    logs = bool((sample.history > 0).all())
    scale = np.log(sample.history) if logs else sample.history
    moves = np.diff(scale, axis=1).T
    drawn = moves[rng.integers(len(moves), size=(FORECAST_PATHS, HORIZON))].cumsum(axis=1) + scale[:, -1]
    return np.exp(drawn) if logs else drawn


def network_paths(forecaster: NetworkForecaster, samples: list[Sample], seed: int) -> list[Floats]:
    """Paths [P, H, V] of each of the samples, which share a shape."""
    history = np.stack([sample.history for sample in samples])
    season = np.array([sample.season for sample in samples])
    return list(
        forecaster.sample(history, horizon=HORIZON, paths=FORECAST_PATHS, seed=seed, season_length=season)
    )


def compare(forecaster: NetworkForecaster, *, series: int, seed: int, peers: bool) -> list[dict[str, object]]:
    """One row per process, history length and forecaster with its two errors and its seconds."""
    rows: list[dict[str, object]] = []
    for number, (name, process) in enumerate(PROCESSES.items()):
        for length in CONTEXTS:
            rng = np.random.default_rng([seed, number, length])
            samples = [process(rng, length) for _ in range(series)]
            rising, targets = rng.random(series) < 0.5, rng.uniform(0.15, 0.85, series)
            makers: dict[str, Callable[[], list[Floats]]] = {
                "network": lambda samples=samples: network_paths(forecaster, samples, seed)
            }
            if peers:
                makers["bootstrap"] = lambda samples=samples, rng=rng: [
                    bootstrap_paths(s, rng) for s in samples
                ]
                for kind in (AutoETS, AutoARIMA, AutoTheta):
                    makers[kind.__name__] = lambda samples=samples, kind=kind: [
                        peer_paths(kind, sample, seed + k) for k, sample in enumerate(samples)
                    ]
            for forecaster_name, make in makers.items():
                start = time.perf_counter()
                drawn = make()
                seconds = time.perf_counter() - start
                errors = [
                    passage_errors(sample, paths, rising=bool(up), target=float(target))
                    for sample, paths, up, target in zip(samples, drawn, rising, targets, strict=True)
                ]
                end, path = np.mean(errors, axis=0)
                row = {"process": name, "length": length, "forecaster": forecaster_name}
                rows.append({**row, "end": float(end), "cdf": float(path), "seconds": seconds})
    return rows


def report(rows: list[dict[str, object]]) -> str:
    """Table of errors per process (mean over the lengths), and the overall means."""
    names = list(dict.fromkeys(str(row["forecaster"]) for row in rows))
    lines = [f"{'process':22s}" + "".join(f"{name:>16s}" for name in names)]
    for process in (*PROCESSES, None, *CONTEXTS):
        chosen = [row for row in rows if process in {None, row["process"], row["length"]}]
        label = "all" if process is None else str(process)
        cells = [
            tuple(
                np.mean([row[key] for row in chosen if row["forecaster"] == name]) for key in ("end", "cdf")
            )
            for name in names
        ]
        lines.append(f"{label:22s}" + "".join(f"   {end:.3f}  {cdf:.3f}" for end, cdf in cells))
    return "\n".join(lines)


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("models/pretrained"))
    parser.add_argument("--series", type=int, default=30, help="series per process and history length")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    forecaster = NetworkForecaster.load(options.checkpoint, device="cpu")
    rows = compare(forecaster, series=options.series, seed=options.seed, peers=options.peers)
    print(report(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
