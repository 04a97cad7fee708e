"""Utilisation, memory and power of AMD accelerators under the names that MLflow gives those of NVIDIA.

MLflow's own collector for AMD reports memory in other units and holds power against a fixed 500 W. The calls
and their units are those of AMD SMI 7.0 (`amdsmi`, installed with ROCm): percent, bytes, watts; the cap in
microwatts.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

MEGABYTE = 1e6  # as MLflow counts for NVIDIA
MICROWATTS = 1e6  # per watt


class AmdMonitor:
    """Collects samples of every AMD accelerator; has the shape of an MLflow system-metrics monitor.

    Parameters
    ----------
    amdsmi : module
        The Python binding of AMD SMI.

    Raises
    ------
    amdsmi.AmdSmiException
        If there is no driver.
    """

    def __init__(self, amdsmi: Any) -> None:  # noqa: ANN401 - a module without types, present only with ROCm
        self._amdsmi = amdsmi
        amdsmi.amdsmi_init(amdsmi.AmdSmiInitFlags.INIT_AMD_GPUS)
        self._handles = amdsmi.amdsmi_get_processor_handles()
        self._metrics: defaultdict[str, list[float]] = defaultdict(list)

    @property
    def metrics(self) -> dict[str, list[float]]:
        """Samples by name since they were last cleared."""
        return self._metrics

    def collect_metrics(self) -> None:
        """Take one sample of every accelerator; what a device cannot tell is left out."""
        for place, handle in enumerate(self._handles):
            for collect in (self._memory, self._utilization, self._power):
                try:
                    sample = collect(handle)
                except self._amdsmi.AmdSmiException:
                    continue
                for name, figure in sample.items():
                    self._metrics[f"gpu_{place}_{name}"].append(figure)

    def aggregate_metrics(self) -> dict[str, float]:
        """Mean of the samples, by name."""
        return {name: round(sum(samples) / len(samples), 1) for name, samples in self._metrics.items()}

    def clear_metrics(self) -> None:
        """Forget the samples."""
        self._metrics.clear()

    def close(self) -> None:
        """Let go of the driver."""
        self._amdsmi.amdsmi_shut_down()

    def _memory(self, handle: object) -> dict[str, float]:
        kind = self._amdsmi.AmdSmiMemoryType.VRAM
        used = self._amdsmi.amdsmi_get_gpu_memory_usage(handle, kind)
        total = self._amdsmi.amdsmi_get_gpu_memory_total(handle, kind)
        return {
            "memory_usage_percentage": round(100 * used / total, 1),
            "memory_usage_megabytes": used / MEGABYTE,
        }

    def _utilization(self, handle: object) -> dict[str, float]:
        busy = self._amdsmi.amdsmi_get_gpu_activity(handle)["gfx_activity"]
        return {} if busy == "N/A" else {"utilization_percentage": float(busy)}

    def _power(self, handle: object) -> dict[str, float]:
        """Power now; where a device knows only its average (MI200 and older), that."""
        info = self._amdsmi.amdsmi_get_power_info(handle)
        known = [
            info[name] for name in ("current_socket_power", "average_socket_power") if info[name] != "N/A"
        ]
        if not known:
            return {}
        watts = float(known[0])
        cap = self._amdsmi.amdsmi_get_power_cap_info(handle)["power_cap"] / MICROWATTS
        return {"power_usage_watts": watts, **({"power_usage_percentage": 100 * watts / cap} if cap else {})}
