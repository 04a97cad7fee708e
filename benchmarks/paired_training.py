"""Short paired trainings from the shipped weights: what a part of the network or a world is worth.

    python benchmarks/paired_training.py --steps 150 --arms whole structures frozen_shapes error_correction

Every arm begins at the same weights and takes as many steps of a rate that rises and then goes to zero,
with the same seed. `whole` trains on all worlds; `structures` leaves the maps from the bank of structural
hypotheses at zero, on the same batches; `drift_spike` draws most drifts near zero, and `one_season` makes the
days of a week alike, both from the same seed (add `--long`, for two weeks of hours); any other arm
leaves the world of that name out. All are scored on the same held-out batches of all worlds: losses per
target less those of the weights they began from, below 0 where they became better. Short trainings tell
signs and not sizes.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import torch
from torch import Tensor

from models.inference.checkpoint import PRETRAINED, load_checkpoint
from models.network.transformer import Network
from models.settings import TrainingSettings, WorldSettings
from models.training.module import batch_losses, rate, total_loss
from models.training.optimizer import MuonAdamW
from models.training.validation import Scalars, validate
from models.worlds.cycles import weekly_shape
from models.worlds.mixture import GENERATORS, Batch, WorldStream

Shapes: TypeAlias = tuple[tuple[int, int, int], ...]  # context, horizon, variates

WHOLE, STRUCTURES = "whole", "structures"
SPIKE = (5e-4, 1.0)  # of a one-step move: the middle drift is 0.02 of it, not 0.2
CPU = torch.device("cpu")
HELD_OUT_SEED = 90_001
# Short windows of one variate, and pairs, so that a step takes a third of a usual one.
SHAPES = ((24, 24, 1), (48, 24, 1), (96, 24, 1), (40, 16, 2))
LONG = (360, 48, 1)


def no_week(*drawn: Any) -> Tensor:  # noqa: ANN401
    """Days of a week that are alike, after the same draws."""
    return weekly_shape(*drawn) * 0


VARIANTS: dict[str, tuple[str, object]] = {
    "drift_spike": ("models.worlds.linear.DRIFT", SPIKE),
    "one_season": ("models.worlds.cycles.weekly_shape", no_week),
}


def worlds_of(arm: str, *, series: int, shapes: Shapes = SHAPES) -> WorldSettings:
    """The worlds that an arm is trained on."""
    left = tuple(name for name in GENERATORS if name != arm)
    return WorldSettings(generators=left, shapes=shapes, series_per_batch=series)


def train(
    start: Network, arm: str, training: TrainingSettings, *, series: int, shapes: Shapes = SHAPES
) -> tuple[Network, float]:
    """Network of an arm, and the processor's seconds that its training took."""
    with mock.patch(*VARIANTS[arm]) if arm in VARIANTS else nullcontext():
        return trained(start, arm, training, worlds_of(arm, series=series, shapes=shapes))


def trained(
    start: Network, arm: str, training: TrainingSettings, worlds: WorldSettings
) -> tuple[Network, float]:
    """Network of an arm on its worlds, and seconds."""
    network = copy.deepcopy(start).train()
    if arm == STRUCTURES:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in network.structural_weights())
    stream = WorldStream(worlds, network.settings, seed=training.seed)
    optimizer = MuonAdamW(network, learning_rate=training.learning_rate, weight_decay=training.weight_decay)
    began = time.process_time()
    for number in range(training.steps):
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * rate(number, training)
        parts = batch_losses(
            network,
            stream.batch(number, CPU),
            levels=network.head.levels,
            paths=training.paths_per_item,
            generator=torch.Generator().manual_seed(number),
        )
        optimizer.zero_grad()
        total_loss(parts, training).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm)
        optimizer.step()
    return network.eval(), time.process_time() - began


def held_out(network: Network, *, batches: int, series: int, shapes: Shapes) -> list[Batch]:
    """Batches of all worlds that no arm has seen."""
    worlds = worlds_of(WHOLE, series=series, shapes=shapes)
    stream = WorldStream(worlds, network.settings, seed=HELD_OUT_SEED)
    return [stream.batch(number * WorldSettings().batches_per_draw, CPU) for number in range(batches)]


def report(start: Scalars, arms: dict[str, Scalars], seconds: dict[str, float]) -> str:
    """Table of the losses: those at the start, and each arm's less these."""
    names = list(start)
    lines = [
        f"| arm | {' | '.join(name.removeprefix('validation/') for name in names)} | s of the processor |",
        "| --- |" + " --- |" * (len(names) + 1),
        f"| at the start | {' | '.join(f'{start[name]:.4f}' for name in names)} | |",
    ]
    for arm, scalars in arms.items():
        label = arm if arm in {WHOLE, *VARIANTS} else f"without {arm}"
        cells = " | ".join(f"{scalars[name] - start[name]:+.4f}" for name in names)
        lines.append(f"| {label} | {cells} | {seconds[arm]:.0f} |")
    return "\n".join(lines)


def compare(
    start: Network,
    arms: Sequence[str],
    training: TrainingSettings,
    *,
    batches: int,
    series: int,
    shapes: Shapes = SHAPES,
) -> str:
    """Train every arm, score all on the same batches, and tell the table."""
    scored = held_out(start, batches=batches, series=series, shapes=shapes)
    before = validate(start, scored, training)
    after, seconds = {}, {}
    for arm in arms:
        network, seconds[arm] = train(start, arm, training, series=series, shapes=shapes)
        after[arm] = validate(network, scored, training)
        print(report(before, {arm: after[arm]}, seconds).splitlines()[-1], flush=True)
    return report(before, after, seconds)


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=PRETRAINED)
    parser.add_argument("--arms", nargs="+", default=[WHOLE, STRUCTURES])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--series", type=int, default=32, help="series of 128 steps per batch")
    parser.add_argument("--batches", type=int, default=16, help="held-out batches")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long", action="store_true", help="windows of 360 and 48 steps as well")
    options = parser.parse_args()
    if unknown := set(options.arms) - {WHOLE, STRUCTURES, *VARIANTS, *GENERATORS}:
        known = ", ".join((WHOLE, STRUCTURES, *VARIANTS))
        parser.error(f"unknown arm: expected {known} or a world, found {min(unknown)}")
    torch.set_num_threads(1)
    start, _ = load_checkpoint(options.checkpoint, CPU)
    training = replace(
        TrainingSettings(),
        steps=options.steps,
        warmup_steps=max(options.steps // 10, 1),
        decay_from=options.steps // 5,
        learning_rate=options.rate,
        seed=options.seed,
    )
    shapes = (*SHAPES, LONG) if options.long else SHAPES
    print(
        compare(start, options.arms, training, batches=options.batches, series=options.series, shapes=shapes)
    )


if __name__ == "__main__":
    main()
