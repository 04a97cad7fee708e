"""`overspill pretrain`: a network from scratch on synthetic worlds, resumable, on one process or many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.terminal.console import (
    print_json,
    print_ui,
    resolved_settings,
    stdout,
    step_context,
)
from pipelines.cli.terminal.options import Config, Device, Json, Override

if TYPE_CHECKING:
    from pipelines.runtime.config.settings import Settings
    from pipelines.runtime.jobs.state import JobState


def pretrain(
    state: Annotated[
        Path,
        typer.Option(
            "--state", help="Folder of the training: where it resumes and where its weights are saved."
        ),
    ],
    config: Config = None,
    override: Override = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps in total.")] = None,
    device: Device = None,
    *,
    as_json: Json = False,
) -> None:
    """Train a new network from scratch on synthetic worlds; run it again to resume."""
    options = {"forecast.device": device, "pretrain.training.steps": steps}
    settings = resolved_settings(config, override, options)

    def opened(folder: Path | None, settings: Settings) -> JobState | None:
        from pipelines.train.pretrain import state_of

        return None if folder is None else state_of(folder, settings.pretrain)

    with step_context(settings, None, state, opened) as context:
        from pipelines.runtime.jobs.sync import sync_quietly
        from pipelines.train.pretrain import run_pretrain

        if not context.tracker.is_unreachable:
            sync_quietly(settings, context.console)
        result = run_pretrain(context)
        if as_json:
            print_json(
                {
                    "run": result.run_id,
                    "checkpoint": str(result.folder),
                    "begun_at": result.checkpoint_step,
                    "steps": result.steps,
                    "scalars": dict(result.scalars),
                }
            )
            return
        loss = result.scalars.get("train/loss")
        told = "" if loss is None else f", loss {loss:.3f}"
        stdout().print(f"{result.steps} steps{told}: weights in {result.folder}", highlight=False)
        stdout().print(
            f"next: overspill train --set forecast.checkpoint={result.folder}",
            highlight=False,
            soft_wrap=True,
        )
        print_ui(stdout(), context)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(pretrain)
