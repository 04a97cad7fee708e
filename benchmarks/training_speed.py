"""Training throughput: our step beside neuralforecast's PatchTST of equal size, in one run; prints JSON.

    python benchmarks/training_speed.py [--threads 2] [--repeats 5] [--draws 3]

Ours is the step of `models.training.pretrain`, world generation and optimiser included, on windows of 96
steps and a horizon of 24. The peer trains on random walks with the same context, horizon, windows per
step and threads, and as many layers as bring its parameters closest to ours: with its own patches of 16
(12 tokens a window where ours has 30) and our quantile levels, and with our patches of 4 (25 tokens) and
its own loss for one value; each in 32 bits (its default) and in bfloat16 (as ours). The runs alternate;
each repeat times whole draws of worlds after a first one that is not counted. Needs the optional extra
`bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import torch
from neural_peers import long_table, quiet
from torch import Tensor

from models.distributed.ranks import Ranks
from models.network.transformer import count_parameters
from models.settings import PretrainSettings
from models.training.module import ForecasterModule, Stream
from models.training.trainer import lightning_trainer
from models.worlds.mixture import Batch, WorldStream

CONTEXT, HORIZON = 96, 24
PEER_SERIES = 256


@dataclass
class TimedStream:
    """A stream that adds up the seconds it takes to make batches."""

    stream: Stream
    seconds: float = 0.0

    def batch(self, number: int, device: torch.device) -> Batch:
        """Batch of the given number."""
        started = time.perf_counter()
        made = self.stream.batch(number, device)
        self.seconds += time.perf_counter() - started
        return made


class TimedModule(ForecasterModule):
    """Our training module, noting when each step starts and what its worlds have cost until then."""

    def __init__(self, settings: PretrainSettings) -> None:
        self.timed = TimedStream(WorldStream(settings.worlds, settings.network, seed=settings.training.seed))
        super().__init__(settings, stream=self.timed)
        self.starts: list[tuple[float, float]] = []

    def training_step(self, number: int, index: int) -> Tensor:
        """One step."""
        self.starts.append((time.perf_counter(), self.timed.seconds))
        return super().training_step(number, index)


@dataclass
class Measured:
    """Windows per second of every repeat, and the share of the time that went into worlds."""

    windows_per_second: list[float] = field(default_factory=list)
    world_share: list[float] = field(default_factory=list)

    def add(self, starts: list[tuple[float, float]], *, windows: int, skipped: int) -> None:
        """Count one repeat from the starts of its steps but for the first ones, which warm up."""
        (begun, worlds_before), (ended, worlds_after) = starts[skipped], starts[-1]
        elapsed = ended - begun
        self.windows_per_second.append(windows * (len(starts) - 1 - skipped) / elapsed)
        self.world_share.append((worlds_after - worlds_before) / elapsed)


def our_settings(draws: int) -> PretrainSettings:
    """The shipped recipe on one shape: a first draw, the counted ones, and a step that ends the clock."""
    base = PretrainSettings()
    return replace(
        base,
        worlds=replace(base.worlds, shapes=((CONTEXT, HORIZON, 1),)),
        training=replace(base.training, steps=(draws + 1) * base.worlds.batches_per_draw + 1),
    )


def our_run(settings: PretrainSettings) -> list[tuple[float, float]]:
    """Train and give the starts of all steps."""
    torch.manual_seed(settings.training.seed)
    module = TimedModule(settings)
    device = torch.device("cpu")
    with quiet():
        lightning_trainer(settings.training, device, [], ranks=Ranks()).fit(module)
    return module.starts


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One PatchTST: its patches, what it is trained for, and its precision."""

    patch_length: int
    stride: int
    levels: tuple[float, ...]
    precision: str = "32-true"

    def build(self, *, steps: int, windows: int, layers: int) -> Any:  # noqa: ANN401
        """An untrained model that notes the start of each of its training steps in `starts`."""
        from neuralforecast.losses.pytorch import MAE, MQLoss  # noqa: PLC0415
        from neuralforecast.models import PatchTST  # noqa: PLC0415

        class TimedPatchTST(PatchTST):  # type: ignore[misc]
            def training_step(self, batch: Any, batch_idx: int) -> Any:  # noqa: ANN401
                self.starts.append((time.perf_counter(), 0.0))
                return super().training_step(batch, batch_idx)

        with quiet():
            model = TimedPatchTST(
                h=HORIZON,
                input_size=CONTEXT,
                patch_len=self.patch_length,
                stride=self.stride,
                encoder_layers=layers,
                loss=MQLoss(quantiles=list(self.levels)) if self.levels else MAE(),
                max_steps=steps,
                windows_batch_size=windows,
                accelerator="cpu",
                precision=self.precision,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        model.starts = []
        return model

    def layers(self, parameters: int) -> int:
        """Number of layers that brings the model closest to that many parameters."""

        def distance(layers: int) -> int:
            return abs(count_parameters(self.build(steps=1, windows=1, layers=layers)) - parameters)

        return min(range(1, 13), key=distance)


def peers_of(levels: tuple[float, ...]) -> dict[str, Peer]:
    """The peers by name."""
    return {
        f"PatchTST, patches of {peer.patch_length}, {bits}": replace(peer, precision=precision)
        for peer in (
            Peer(patch_length=16, stride=8, levels=levels),
            Peer(patch_length=4, stride=4, levels=()),
        )
        for bits, precision in (("32 bits", "32-true"), ("bfloat16", "bf16-mixed"))
    }


def peer_run(model: Any) -> list[tuple[float, float]]:  # noqa: ANN401
    """Train the peer on random walks and give the starts of all its steps."""
    from neuralforecast import NeuralForecast  # noqa: PLC0415

    steps = np.random.default_rng(0).standard_normal((PEER_SERIES, 2 * (CONTEXT + HORIZON)))
    with quiet():
        forecast = NeuralForecast(models=[model], freq=1)
        forecast.fit(long_table(list(steps.cumsum(axis=1))))
    starts: list[tuple[float, float]] = forecast.models[0].starts
    return starts


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--draws", type=int, default=3, help="draws of worlds that a repeat counts")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = our_settings(options.draws)
    skipped = settings.worlds.batches_per_draw
    module = TimedModule(settings)
    windows, size = len(module.stream.batch(0, torch.device("cpu")).values), count_parameters(module.network)

    backtest_forecasters: dict[str, Callable[[], list[tuple[float, float]]]] = {
        "network": lambda: our_run(settings)
    }
    sizes = {"network": size}
    for name, peer in peers_of(settings.network.quantile_levels).items():
        build = partial(peer.build, steps=settings.training.steps, windows=windows, layers=peer.layers(size))
        sizes[name] = count_parameters(build())
        backtest_forecasters[name] = lambda build=build: peer_run(build())  # type: ignore[misc]
    measured = {name: Measured() for name in backtest_forecasters}
    for _ in range(options.repeats):
        for name, train in backtest_forecasters.items():
            measured[name].add(train(), windows=windows, skipped=skipped)
    speed = {name: statistics.median(m.windows_per_second) for name, m in measured.items()}
    share = statistics.median(measured["network"].world_share)
    rows = [
        {
            "model": name,
            "parameters": sizes[name],
            "windows per second": round(speed[name]),
            "of all repeats": [round(value) for value in m.windows_per_second],
            "network over this": round(speed["network"] / speed[name], 2),
        }
        for name, m in measured.items()
    ]
    about = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} threads",
        "load": round(os.getloadavg()[0], 1),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "windows per step": windows,
    }
    print(json.dumps({**about, "share of world generation": round(share, 3), "models": rows}, indent=2))


if __name__ == "__main__":
    main()
