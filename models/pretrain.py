"""Pretraining on synthetic worlds alone: `python -m models.pretrain --out DIR [--steps N] [--resume]`.

The run can stop at any time and go on with --resume; `last.ckpt` in DIR holds its state, and DIR itself is a
checkpoint of the averaged weights that is rewritten every few minutes.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar

from models.checkpoint import save_checkpoint
from models.device import choose_device, describe
from models.network import count_parameters
from models.settings import PretrainSettings
from models.training import Trainer, lightning_trainer
from models.worlds.mixture import GENERATORS

STATE = "last.ckpt"
logger = logging.getLogger(__name__)


class KeepAverage(Callback):
    """Writes the averaged weights as a checkpoint every `every` steps, and at the end."""

    def __init__(self, folder: Path, *, every: int) -> None:
        self._folder, self._every = folder, every

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object
    ) -> None:
        """Keep the weights and say how training goes."""
        if trainer.global_step % self._every == 0:
            self._keep(trainer, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the last weights."""
        self._keep(trainer, pl_module)

    def _keep(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if not trainer.is_global_zero or not isinstance(module, Trainer):
            return
        save_checkpoint(self._folder, module.average, recipe_card(module, trainer.global_step))
        scalars = {name: round(float(value), 4) for name, value in trainer.callback_metrics.items()}
        logger.info("step %d of %d: %s", trainer.global_step, module.settings.training.steps, scalars)


def recipe_card(module: Trainer, steps: int) -> dict[str, Any]:
    """Card of a pretraining run after a number of steps."""
    settings = module.settings
    return {
        "parameters": count_parameters(module.network),
        "steps": steps,
        "training": asdict(settings.training),
        "worlds": {**asdict(settings.worlds), "generators": list(settings.worlds.generators or GENERATORS)},
        "data": "synthetic worlds only, generators in equal shares",
        "statics": [
            "role in a coupled world: 1 orders or book-to-bill, -1 capacity, 0 other or unknown",
            "1 where the variate is book-to-bill, orders over capacity",
        ],
        "seed": settings.training.seed,
        "device": describe(module.device),
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "scores": {},
    }


def commit() -> str | None:
    """Git commit of the code, None outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def pretrain(settings: PretrainSettings, folder: Path, *, device: str, resume: bool, progress: bool) -> None:
    """Train from scratch, or go on with the run in `folder`.

    Raises
    ------
    DeviceError
        A GPU is asked for and there is none.
    """
    chosen = choose_device(device)
    torch.manual_seed(settings.training.seed)
    folder.mkdir(parents=True, exist_ok=True)
    state = ModelCheckpoint(
        folder, filename="state", save_last=True, save_top_k=0, train_time_interval=timedelta(minutes=3)
    )
    callbacks: list[Callback] = [state, KeepAverage(folder, every=250)]
    bar = [TQDMProgressBar(refresh_rate=10)] if progress else []
    trainer = lightning_trainer(
        settings.training, chosen, [*callbacks, *bar], devices="auto", progress_bar=progress
    )
    module = Trainer(settings)
    if settings.training.compile_network:
        module.network.compile()
    previous = folder / STATE
    trainer.fit(module, ckpt_path=previous if resume and previous.exists() else None, weights_only=True)
    trainer.save_checkpoint(previous)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the pretraining run."""
    parser = argparse.ArgumentParser(prog="python -m models.pretrain", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the checkpoint and of the run's state"
    )
    parser.add_argument("--steps", type=int, help="optimiser steps in all")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu, cuda or rocm")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = PretrainSettings()
    if options.steps:
        settings = replace(settings, training=replace(settings.training, steps=options.steps))
    pretrain(
        settings, options.out, device=options.device, resume=options.resume, progress=sys.stderr.isatty()
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
