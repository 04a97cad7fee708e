"""The one place that chooses torch's device: CUDA, ROCm (which torch also calls "cuda") or the CPU."""

from __future__ import annotations

import torch

from models.errors import DeviceError

# Dense bf16 matrix peak in FLOP/s: NVIDIA H100 and H200 SXM data sheets (1,979 TFLOPS with sparsity, half
# of it dense); AMD Instinct MI300X and MI325X data sheets (1,307.4 TFLOPS).
PEAK_BFLOAT16 = {
    "H100": 989.4e12,
    "H200": 989.4e12,
    "MI300X": 1307.4e12,
    "MI325X": 1307.4e12,
}


def choose_device(name: str = "auto") -> torch.device:
    """Device for a name: auto, cpu, gpu, cuda or rocm.

    Raises
    ------
    DeviceError
        A GPU was asked for and there is none, or the kind is not supported.
    """
    match name:
        case "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        case "cpu":
            return torch.device("cpu")
        case "gpu" | "cuda" | "rocm":
            return _accelerator(name)
        case "mps":
            raise DeviceError(
                "device mps is not supported: it has neither float64 nor a seeded generator that matches the "
                "other devices; use cpu"
            )
        case _:
            raise DeviceError(f"unknown device {name!r}: expected auto, cpu, gpu, cuda or rocm")


def backend() -> str:
    """What torch was built for: "rocm", "cuda" or "cpu"."""
    if torch.version.hip is not None:
        return "rocm"
    return "cuda" if torch.version.cuda is not None else "cpu"


def _accelerator(name: str) -> torch.device:
    if not torch.cuda.is_available():
        raise DeviceError(
            f"device {name} was asked for but torch {torch.__version__} sees no GPU; use cpu or auto"
        )
    if name != "gpu" and name != backend():
        raise DeviceError(
            f"device {name} was asked for but torch {torch.__version__} was built for {backend()}"
        )
    return torch.device("cuda")


def check_enough(device: torch.device, processes: int) -> None:
    """Refuse more processes on this node than GPUs.

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


def describe(device: torch.device) -> str:
    """Name of the device for a model card, such as "NVIDIA H200" or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_flops(device_name: str) -> float | None:
    """Dense bf16 peak in FLOP/s of a card by its name; None where it is not in the table."""
    return next((peak for card, peak in PEAK_BFLOAT16.items() if card in device_name), None)
