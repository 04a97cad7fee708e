"""All checks, in the order in which they are reported.

What to do where a check does not answer stands here, so that it is printed even where an import hangs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.distributed.launch import Launch, detect_launch
from models.errors import ClusterError
from pipelines.doctor.findings import ALONE, LEAVE_OFF, TOGETHER, Finding, redact
from pipelines.doctor.machine import DISK, check_machine
from pipelines.doctor.probes import Probe, run_probes
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.store.address import resolve_uri

GPU_FILES = (Path("/dev/nvidiactl"), Path("/dev/kfd"))  # of the drivers of NVIDIA and AMD
GPU_TIMEOUT_FACTOR = 4  # times as long: a first kernel, a first NCCL ring and Triton take their time
TRY_CPU = "run `overspill doctor --device cpu`; if that is well, mend the driver or set forecast.device=cpu"
ORDER = (
    *("python", "packages", "device", "matrix product", "bfloat16", "copy", "torch.compile"),
    *("collectives", "ranks", "clocks", *DISK, "tracking store", "waiting runs", "weights", "data"),
    "schedulers",
)


def run_checks(settings: Settings, *, ended: Callable[[Probe], None] = lambda _: None) -> list[Finding]:
    """Make every check, and give the findings without secrets.

    Under several ranks all but rank 0 take part in the check of the job alone.
    """
    uri = resolve_uri(settings.tracking.uri)
    if own_launch().rank > 0:
        return [redact(each, uri) for each in run_probes([job_probe(settings)], settings, ended=ended)]
    found = list(check_machine())
    for together in stages(settings):
        found += run_probes(together, settings, ended=ended)
    places = {name: place for place, name in enumerate(ORDER)}
    return [redact(each, uri) for each in sorted(found, key=lambda each: places[each.check])]


def own_launch() -> Launch:
    """How this process was started; as by hand where that makes no sense: the check of the job tells."""
    try:
        return detect_launch()
    except ClusterError:
        return Launch()


def stages(settings: Settings) -> tuple[list[Probe], list[Probe]]:
    """Probes that run side by side, then the one that is timed and has the machine for itself."""
    slower = _gpu_factor(settings)
    compiler = Probe(
        name="compiler",
        target="pipelines.doctor.compute:check_compiler",
        checks={"torch.compile": LEAVE_OFF},
        seconds=30 * slower,
    )
    disk = Probe(
        name="disk",
        target="pipelines.doctor.machine:check_disk",
        checks=DISK,
        required=frozenset(DISK),
        seconds=8,
    )
    device = Probe(
        name="device",
        target="pipelines.doctor.compute:check_device",
        checks=dict.fromkeys(("device", "matrix product", "bfloat16", "copy"), TRY_CPU),
        required=frozenset({"device", "matrix product"}),
        seconds=15 * slower,
    )
    return [job_probe(settings), compiler, disk, stored_probe()], [device]


def job_probe(settings: Settings) -> Probe:
    """The check of torch.distributed; a job of several ranks cannot run without it."""
    together = own_launch().world_size > 1
    checks = ("collectives", "ranks", "clocks") if together else ("collectives",)
    return Probe(
        name="job",
        target="pipelines.doctor.collectives:check_collectives",
        checks=dict.fromkeys(checks, TOGETHER if together else ALONE),
        required=frozenset({"collectives"}) if together else frozenset(),
        seconds=90 if together else 15 * _gpu_factor(settings),
    )


def stored_probe() -> Probe:
    """The checks of the store and of what lies in it."""
    checks = {
        "tracking store": "start the MLflow server or set MLFLOW_TRACKING_URI to one that answers",
        "weights": "give forecast.checkpoint a folder that holds a network",
        "data": "see the tracking store, and data.path",
    }
    return Probe(
        name="store",
        target="pipelines.doctor.stored:check_stored",
        checks=checks,
        required=frozenset(checks),
        seconds=18,
    )


def _gpu_factor(settings: Settings) -> int:
    gpu = settings.forecast.device != "cpu" and any(file.exists() for file in GPU_FILES)
    return GPU_TIMEOUT_FACTOR if gpu else 1
