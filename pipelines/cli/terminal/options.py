"""Options that several commands take, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    str | None,
    typer.Option("--config", help="Experiment on top of the defaults: a packaged name, or a path."),
]
Override = Annotated[
    list[str] | None, typer.Option("--set", help="Override one setting, key=value; may be given again.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder that receives a copy of the step's files.")]
MODEL_HELP = "Forecaster: auto, network, bank, statistical or ensemble."
Model = Annotated[str | None, typer.Option("--model", help=MODEL_HELP)]
Device = Annotated[str | None, typer.Option("--device", help="Where the network computes: auto, cpu or gpu.")]
State = Annotated[
    Path | None,
    typer.Option("--state", help="Folder that remembers what is done: an interrupted job goes on from it."),
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", help="Who runs the backtest: local (this job's processes), or ray (a cluster)."),
]
EtlRun = Annotated[str | None, typer.Option("--etl-run", help="Run whose panel is used.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]

# Of commands that start from a finished windows run.
WindowsRun = Annotated[
    str | None, typer.Option("--windows-run", help="Run whose answer is the base case (newest).")
]
Scope = Annotated[str | None, typer.Option("--scope", help="product or portfolio; without it, both.")]
AskedPolicy = Annotated[
    str | None, typer.Option("--policy", help="Policy by name or path; without it, the run's first.")
]
StoreConfig = Annotated[
    str | None, typer.Option("--config", help="Where runs are recorded; the rest is taken from the run.")
]
StoreOverride = Annotated[
    list[str] | None, typer.Option("--set", help="As --config: tracking.uri and tracking.experiment count.")
]
