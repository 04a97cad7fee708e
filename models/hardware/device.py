"""The one place that chooses torch's device: CUDA, ROCm (which torch also calls "cuda") or the CPU.

It also says what the device is, and applies what `models.hardware.accelerators` lists for it.
"""

from __future__ import annotations

import logging
import os
import platform
from dataclasses import dataclass

import torch

from models.errors import DeviceError
from models.hardware.accelerators import PLATFORMS, UNKNOWN, Backend, Family, Platform, family
from models.hardware.peaks import peak

logger = logging.getLogger(__name__)
VENDORS = {"cuda": "NVIDIA", "rocm": "AMD"}


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """What a device is and can do.

    Attributes
    ----------
    backend : str
        `cuda`, `rocm` or `cpu`: what torch was built for, and the CPU of any build.
    vendor, name : str
    architecture : str
        `sm_90`, `gfx942`; the machine's (`x86_64`) for the CPU.
    memory : int, optional
        Bytes; None where it is unknown.
    bfloat16 : bool
        Whether its matrix units take bfloat16.
    flash_attention : bool
        Whether attention runs in torch's flash kernel.
    runtime : str
        Version that torch was built for: `CUDA 12.8`, `HIP 6.4.43482`, or the CPU's vector instructions.
    """

    backend: Backend
    vendor: str
    name: str
    architecture: str
    memory: int | None
    bfloat16: bool
    flash_attention: bool
    runtime: str


@dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """Rows of the table of accelerators for one device."""

    platform: Platform
    family: Family


def choose_device(name: str = "auto") -> torch.device:
    """Device for a name: auto, cpu, gpu, cuda or rocm; for a GPU, with its platform's choices applied.

    Raises
    ------
    DeviceError
        A GPU was requested and there is none, or the kind is not supported.
    """
    match name:
        case "auto":
            prepare()
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        case "cpu":
            return torch.device("cpu")
        case "gpu" | "cuda" | "rocm":
            prepare()
            return _accelerator(name)
        case "mps":
            raise DeviceError(
                "device mps is not supported: it has neither float64 nor a seeded generator that matches the "
                "other devices; use cpu"
            )
        case _:
            raise DeviceError(f"unknown device {name!r}: expected auto, cpu, gpu, cuda or rocm")


def prepare() -> None:
    """Apply the platform's environment variables and attention kernels to this process.

    It must come before the first use of a GPU, since drivers and allocators read their variables once. A
    variable that is already set stays. A torch for the CPU alone is left as it is.
    """
    found = backend()
    if found == "cpu":
        return
    for name, choice in PLATFORMS[found].environment.items():
        os.environ.setdefault(name, choice.value)
    wanted = PLATFORMS[found].attention.value
    torch.backends.cuda.enable_flash_sdp("flash" in wanted)
    torch.backends.cuda.enable_mem_efficient_sdp("efficient" in wanted)
    torch.backends.cuda.enable_math_sdp("math" in wanted)
    torch.backends.cuda.enable_cudnn_sdp("cudnn" in wanted)


def backend() -> Backend:
    """What torch was built for: "rocm", "cuda" or "cpu"."""
    if torch.version.hip is not None:
        return "rocm"
    return "cuda" if torch.version.cuda is not None else "cpu"


def settings_for(device: torch.device) -> DeviceSettings:
    """Rows of the table of accelerators for a device."""
    kind, architecture = _kind(device), _architecture(device)
    return DeviceSettings(platform=PLATFORMS[kind], family=family(kind, architecture))


def accelerator(device: torch.device) -> Accelerator:
    """What a device is and can do, as torch and the table of accelerators know it."""
    kind, architecture = _kind(device), _architecture(device)
    row = family(kind, architecture)
    if kind == "cpu":
        return Accelerator(
            backend=kind,
            vendor=platform.processor() or architecture,
            name="cpu",
            architecture=architecture,
            memory=_host_memory(),
            bfloat16=row.bfloat16.value,
            flash_attention=row.flash_attention.value,
            runtime=torch.backends.cpu.get_cpu_capability(),
        )
    known = torch.cuda.get_device_properties(device)
    asked = row is UNKNOWN[kind]
    flash = asked or row.flash_attention.value
    return Accelerator(
        backend=kind,
        vendor=VENDORS[kind],
        name=known.name,
        architecture=architecture,
        memory=known.total_memory,
        bfloat16=torch.cuda.is_bf16_supported(including_emulation=False) if asked else row.bfloat16.value,
        flash_attention=flash and torch.backends.cuda.is_flash_attention_available(),
        runtime=f"HIP {torch.version.hip}" if kind == "rocm" else f"CUDA {torch.version.cuda}",
    )


def compile_in_place(network: torch.nn.Module, device: torch.device) -> bool:
    """Compile a network in the mode that the device's row gives; False where it is left uncompiled."""
    chosen = settings_for(device).family.compile_mode
    if chosen.value is None:
        logger.warning("the network is not compiled: %s", chosen.reason)
        return False
    network.compile(mode=chosen.value)
    return True


def describe(device: torch.device) -> str:
    """Name of the device for a model card, such as "NVIDIA H200" or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_flops(device_name: str) -> float | None:
    """Dense bf16 peak in FLOP/s of a card by its name; None where it is not in the table."""
    found = peak(device_name)
    return None if found is None else found.bfloat16_flops


def _accelerator(name: str) -> torch.device:
    if not torch.cuda.is_available():
        raise DeviceError(
            f"device {name} was requested but torch {torch.__version__} sees no GPU; use cpu or auto"
        )
    if name != "gpu" and name != backend():
        raise DeviceError(
            f"device {name} was requested but torch {torch.__version__} was built for {backend()}"
        )
    return torch.device("cuda")


def check_enough(device: torch.device, processes: int) -> None:
    """Reject more processes on this node than it has GPUs.

    Raises
    ------
    DeviceError
        There are too few.
    """
    if device.type != "cuda":
        return
    found = torch.cuda.device_count()
    if found < processes:
        raise DeviceError(
            f"too few GPUs: expected one for each of the {processes} processes on this node, found {found}; "
            "start as many processes per node as it has GPUs (with Slurm --gpus-per-node, so that every "
            "process sees all of them)"
        )


def _kind(device: torch.device) -> Backend:
    """Platform of a device: on ROCm its type is "cuda" too."""
    if device.type != "cuda":
        return "cpu"
    return "rocm" if torch.version.hip is not None else "cuda"


def _architecture(device: torch.device) -> str:
    kind = _kind(device)
    if kind == "cpu":
        return platform.machine()
    known = torch.cuda.get_device_properties(device)
    if kind == "rocm":  # such as gfx942:sramecc+:xnack-
        return str(known.gcnArchName).partition(":")[0]
    return f"sm_{known.major}{known.minor}"


def _host_memory() -> int | None:
    """Bytes of the machine's memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
