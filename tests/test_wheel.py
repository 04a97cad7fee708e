"""The wheel holds every file of the packages and nothing else, and runs from another directory."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("overspill", "forecasting", "pipelines", "models", "configs")
RUN = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()
                    and "Redirect" not in type(finder).__name__]
sys.path.insert(0, sys.argv.pop(1))
import overspill
import pipelines.cli.main
for package in (overspill, pipelines):
    assert package.__file__.startswith(sys.path[0]), package.__file__
sys.argv[0] = "overspill"
pipelines.cli.main.main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project's wheel, built with the build backend that is installed here."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel installed where nothing else is."""
    site = tmp_path_factory.mktemp("site")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        site,
        wheel,
    ]
    subprocess.run(pip, check=True, capture_output=True)
    return site


def source_files():
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not {"__pycache__", ".mypy_cache", ".ruff_cache"} & set(path.parts)
    }


def test_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == source_files()
    assert {
        "configs/data/us_public.yaml",
        "forecasting/reference/sources.yaml",
        "models/hardware/device.py",
        "overspill/py.typed",
    } <= held
    assert {"configs/cluster/slurm/cycle.sbatch", "configs/cluster/slurm/pretrain.sbatch"} <= held


def test_wheel_carries_licence_and_credits(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("licenses/NOTICE") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_installed_wheel_runs_from_another_directory(installed, tmp_path):
    def overspill(*arguments):
        return subprocess.run(
            [sys.executable, "-c", RUN, str(installed), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert json.loads(overspill("config", "--json"))["policies"][0]["name"] == "bis_2026_01"
    assert "ok " in overspill("etl", "--check")
    assert json.loads(overspill("etl", "--json"))["rows"] > 1000
