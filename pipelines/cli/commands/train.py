"""`overspill train`: a network for the panel, and whether it becomes champion."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.terminal.console import (
    print_json,
    print_ui,
    resolved_settings,
    stdout,
    step_context,
)
from pipelines.cli.terminal.options import Config, Device, EtlRun, Json, Out, Override, State


def train(
    config: Config = None,
    override: Override = None,
    out: Out = None,
    etl_run: EtlRun = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Maximum number of optimiser steps.")] = None,
    device: Device = None,
    state: State = None,
    *,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Train a new network instead of fine-tuning.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune the network on an etl run's panel; it becomes champion if it beats the present one."""
    options = {
        "forecast.device": device,
        "train.from_scratch": from_scratch or None,
        "train.fine_tuning.steps": steps,
        "train.scratch.steps": steps,
    }
    settings = resolved_settings(config, override, options)
    with step_context(settings, out, state, command=f"train {etl_run}") as context:
        from pipelines.cli.terminal.console import begin_job
        from pipelines.cli.terminal.tables import print_table
        from pipelines.train.step import run_train

        begin_job(context)
        result = run_train(context, etl_run)
        if context.state is not None:
            context.state.clear()
        figures = result.figures()
        if as_json:
            rows = result.leaderboard.to_dicts()
            print_json({**figures, "validation": result.validation, "leaderboard": rows})
            return
        print_table(stdout(), result.leaderboard, title="test (days that the training had not seen)")
        for sentence in result.messages:
            stdout().print(sentence, highlight=False, soft_wrap=True)
        print_ui(stdout(), context)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)
