"""Checks of the machine that need neither torch nor a server: packages, disk, the commands of schedulers."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.doctor.findings import Finding, fail, ok, warn
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.store.address import DEFAULT_STORE, database, is_server, resolve_uri

PACKAGES = ("overspill", "torch", "lightning", "polars", "mlflow")
# Releases of Lightning on PyPI that carried malicious code.
COMPROMISED = frozenset({("lightning", "2.6.2"), ("lightning", "2.6.3")})
GIB = 2**30
LITTLE, TOO_LITTLE = 5 * GIB, GIB // 4  # free bytes: a run writes some tens of megabytes, a training more
SCHEDULERS = {"Slurm": "sbatch", "Slurm's cron": "scrontab", "torchrun": "torchrun", "Kubernetes": "kubectl"}
DISK = {
    "disk of the store": "free space there, or set MLFLOW_TRACKING_URI to another place",
    "disk for temporary files": "free space there, or set TMPDIR to another place",
}


def check_machine() -> Iterator[Finding]:
    """Python, packages, and the schedulers' commands."""
    yield ok("python", f"{platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    yield check_packages()
    found = [name for name, command in SCHEDULERS.items() if shutil.which(command)]
    yield ok(
        "schedulers", f"commands found: {', '.join(found)}" if found else "no command found, none needed"
    )


def check_packages() -> Finding:
    """Versions of the packages that matter, and whether one of them is known to be malicious."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    listed = ", ".join(f"{name} {number or 'missing'}" for name, number in versions.items())
    bad = [f"{name} {number}" for name, number in versions.items() if (name, number) in COMPROMISED]
    if bad:
        advice = "remove it at once, install another release, and replace every password this machine knows"
        return fail("packages", f"{bad[0]} is a compromised release; {listed}", advice)
    missing = [name for name, number in versions.items() if number is None]
    if missing:
        return fail("packages", listed, f"install overspill with its dependencies: {missing[0]} is missing")
    return ok("packages", listed)


def check_disk(settings: Settings, _: Path) -> Iterator[Finding]:
    """Free space where runs are recorded, or wait for their server, and for temporary files."""
    uri = resolve_uri(settings.tracking.uri)
    file = database(uri)
    kept = settings.tracking.spool if is_server(uri) else DEFAULT_STORE if file is None else file.parent
    places = (kept, Path(tempfile.gettempdir()))
    for (check, advice), place in zip(DISK.items(), places, strict=True):
        yield check_space(check, place, advice)


def check_space(check: str, place: Path, advice: str) -> Finding:
    """Free space at a place, which need not exist yet."""
    existing = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
    try:
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return fail(check, f"{place}: {error.strerror}", advice)
    found = f"{free / GIB:.1f} GiB free at {place}"
    if free < TOO_LITTLE:
        return fail(check, found, advice)
    return warn(check, found, advice) if free < LITTLE else ok(check, found)
