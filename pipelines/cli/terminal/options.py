"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.runtime.config.model_names import MODEL_HELP

Config = Annotated[
    str | None,
    typer.Option("--config", help="Experiment on top of the defaults: a packaged name, or a path."),
]
Override = Annotated[
    list[str] | None, typer.Option("--set", help="Override one setting, key=value; repeatable.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder that receives a copy of the step's files.")]
Model = Annotated[str | None, typer.Option("--model", help=MODEL_HELP)]
Device = Annotated[str | None, typer.Option("--device", help="Device of the network: auto, cpu or gpu.")]
State = Annotated[
    Path | None,
    typer.Option("--state", help="Folder that records progress: an interrupted job continues from it."),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine", help="Where the backtest runs: local (this job's processes) or ray (a cluster)."
    ),
]
EtlRun = Annotated[
    str | None,
    typer.Option(
        "--etl-run",
        help="Run whose panel is used: id, or its first characters (newest with these settings).",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="Day whose knowledge counts, YYYY-MM-DD: nothing published later is read."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]

# For commands that start from a finished windows run.
WindowsRun = Annotated[
    str | None,
    typer.Option(
        "--windows-run",
        help="Run whose answer is the base case: id, or its first characters (newest with these settings).",
    ),
]
Scope = Annotated[str | None, typer.Option("--scope", help="product or portfolio; default: both.")]
AskedPolicy = Annotated[
    str | None, typer.Option("--policy", help="Policy by name or path; default: the run's first.")
]
StoreConfig = Annotated[
    str | None,
    typer.Option("--config", help="Experiment of the run; names the store too."),
]
StoreOverride = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one setting, as for the run; repeatable."),
]
