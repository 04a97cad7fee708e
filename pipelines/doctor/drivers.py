"""Version of a GPU's driver and the cards it finds, from the vendor's own binding and without torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A driver's version, and how many cards it finds."""

    vendor: str
    version: str
    cards: int


def nvidia_driver() -> Driver | None:
    """The NVIDIA driver by NVML (`nvidia-ml-py`); None where there is none."""
    pynvml = importlib.import_module("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return Driver(
            vendor="NVIDIA",
            version=str(pynvml.nvmlSystemGetDriverVersion()),
            cards=int(pynvml.nvmlDeviceGetCount()),
        )
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def amd_driver() -> Driver | None:
    """The AMD driver by AMD SMI (`amdsmi`, which comes with ROCm); None where there is none."""
    try:
        amdsmi = importlib.import_module("amdsmi")
    except (ImportError, OSError, KeyError):  # the binding without its library
        return None
    try:
        amdsmi.amdsmi_init(amdsmi.AmdSmiInitFlags.INIT_AMD_GPUS)
    except amdsmi.AmdSmiException:
        return None
    try:
        handles = amdsmi.amdsmi_get_processor_handles()
        version = amdsmi.amdsmi_get_gpu_driver_info(handles[0])["driver_version"] if handles else "unknown"
        return Driver(vendor="AMD", version=str(version), cards=len(handles))
    except amdsmi.AmdSmiException:
        return None
    finally:
        amdsmi.amdsmi_shut_down()


# By the package that the table of accelerators names for metrics.
READERS: Mapping[str, Callable[[], Driver | None]] = MappingProxyType(
    {"nvidia-ml-py": nvidia_driver, "amdsmi": amd_driver}
)
