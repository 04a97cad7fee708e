"""What a checkpoint needs to be served: the code that reads it, versions, what goes in and what comes out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

CHECKPOINT_FOLDER = "checkpoint"
PACKAGES = ("forecasting", "models", "pipelines")
SERVED_WITH = ("mlflow", "numpy", "polars", "safetensors", "scipy", "torch")
EXAMPLE = pl.DataFrame(
    {
        "unique_id": ["a"] * 8,
        "ds": [f"{year}-{end}" for year in (2024, 2025) for end in ("03-31", "06-30", "09-30", "12-31")],
        "y": [10.0, 12.0, 11.0, 13.0, 12.0, 14.0, 13.0, 15.0],
    }
)


def _columns(*columns: tuple[str, str, bool]) -> str:
    """Columns (name, type, required) as MLflow writes a schema."""
    return json.dumps([{"name": name, "type": kind, "required": must} for name, kind, must in columns])


def _parameters(*parameters: tuple[str, str, object, Sequence[int] | None]) -> str:
    """Parameters (name, type, default, shape) as MLflow writes them."""
    names = ("name", "type", "default", "shape")
    return json.dumps([dict(zip(names, parameter, strict=True)) for parameter in parameters])


SIGNATURE = {
    "inputs": _columns(
        ("unique_id", "string", True),
        ("ds", "any", True),  # timestamps or text
        ("y", "double", True),
        ("variate", "string", False),
    ),
    "outputs": _columns(
        ("unique_id", "string", True),
        ("ds", "datetime", True),
        ("variate", "string", False),
        ("quantile_level", "double", False),
        ("path", "long", False),
        ("value", "double", True),
    ),
    "params": _parameters(
        ("horizon", "long", 4, None),
        ("freq", "string", "Q", None),
        ("quantile_levels", "double", [0.1, 0.5, 0.9], (-1,)),
        ("paths", "long", 0, None),
        ("seed", "long", 0, None),
        ("floor", "string", "auto", None),
    ),
}


def served_parts(checkpoint: Path, workplace: Path) -> dict[str, Any]:
    """Parts of a model for MLflow to put together: script, checkpoint, code, versions, an example.

    The code travels with the model, so that it can be served where the package is not installed. It is never
    named as a requirement: no index may be asked for it.

    Parameters
    ----------
    checkpoint : Path
        Folder with weights and card.
    workplace : Path
        Empty folder that the parts are laid out in.
    """
    here = Path(__file__).parents[3]
    left_out = shutil.ignore_patterns("__pycache__", "pretrained", "reference")
    code = [workplace / name for name in PACKAGES]
    for copy in code:
        shutil.copytree(here / copy.name, copy, ignore=left_out)
    weights = workplace / CHECKPOINT_FOLDER  # MLflow keeps the folder's name
    shutil.copytree(checkpoint, weights)
    return {
        "python_model": str(here / "pipelines" / "forecast" / "served_model.py"),
        "artifacts": {CHECKPOINT_FOLDER: str(weights)},
        "code_paths": [str(copy) for copy in code],
        "pip_requirements": [f"{name}=={version(name).split('+')[0]}" for name in SERVED_WITH],
        "input_example": EXAMPLE.to_pandas(),
    }
