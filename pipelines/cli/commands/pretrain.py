"""`overspill pretrain`: a network on synthetic worlds, resumable, on one process or many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forecasting.errors import InputError
from pipelines.cli.terminal.console import (
    print_json,
    print_ui,
    report_errors,
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
    init: Annotated[
        Path | None,
        typer.Option("--init", help="Folder of the weights to begin from; random ones without it."),
    ] = None,
    decay: Annotated[
        int | None,
        typer.Option("--cut", min=1, help="Cut weights: let the rate go to zero in so many steps, apart."),
    ] = None,
    decays: Annotated[
        int | None,
        typer.Option("--decays", min=1, help="Decays whose weights are averaged, with --cut; 1 without it."),
    ] = None,
    device: Device = None,
    *,
    as_json: Json = False,
) -> None:
    """Train a network on synthetic worlds until it is stopped; run it again to resume."""
    with report_errors():
        _check_options(steps=steps, decay=decay, decays=decays)
    begin = None if init is None else str(init)
    options = {"forecast.device": device, "pretrain.training.steps": steps, "pretrain.init": begin}
    settings = resolved_settings(config, override, options)

    def opened(folder: Path | None, settings: Settings) -> JobState | None:
        from pipelines.train.pretrain import state_of, state_of_cuts

        if folder is None:
            return None
        choose = state_of if decay is None else state_of_cuts
        return choose(folder, settings.pretrain)

    with step_context(settings, None, state, opened) as context:
        from pipelines.runtime.jobs.sync import sync_quietly
        from pipelines.train.pretrain import cut_weights, run_pretrain

        if decay is not None:
            folder = cut_weights(context, state, steps=decay, decays=decays or 1)
            if as_json:
                print_json({"checkpoint": str(folder), "steps": decay, "decays": decays or 1})
                return
            stdout().print(f"weights in {folder}", highlight=False, soft_wrap=True)
            return
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
        shown = "" if loss is None else f", loss {loss:.3f}"
        stdout().print(f"{result.steps} steps{shown}: weights in {result.folder}", highlight=False)
        stdout().print(
            f"next: overspill train --set forecast.checkpoint={result.folder}",
            highlight=False,
            soft_wrap=True,
        )
        print_ui(stdout(), context)


def _check_options(*, steps: int | None, decay: int | None, decays: int | None) -> None:
    """Refuse options that would have no effect, with --cut or without it."""
    if decay is None and decays is not None:
        raise InputError(
            "only weights that are cut are averaged", expected="--cut beside it", where="--decays"
        )
    if decay is not None and steps is not None:
        raise InputError("--cut trains no further steps", expected="--steps or --cut", where="--steps")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(pretrain)
