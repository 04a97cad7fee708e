"""AMD accelerators report under MLflow's names for NVIDIA, in the same units."""

from __future__ import annotations

import enum
import sys
import types

import pytest

from pipelines.runtime.tracking import system_metrics
from pipelines.runtime.tracking.amd_metrics import AmdMonitor
from pipelines.runtime.tracking.system_metrics import amd_monitor, log_system_metrics

GIB = 2**30


class Handle:
    """An opaque handle, as the binding hands out."""


class FakeSmi(types.ModuleType):
    """Calls, results and units as in amdsmi 7.0.2, `amdsmi_interface.py`; the second device is older."""

    class AmdSmiException(Exception):  # noqa: N818 - its name there
        pass

    class AmdSmiInitFlags(enum.IntEnum):
        INIT_AMD_GPUS = 2

    class AmdSmiMemoryType(enum.IntEnum):
        VRAM = 0

    def __init__(self):
        super().__init__("amdsmi")
        self.devices = [Handle(), Handle()]
        self.open = False
        self.driver = True

    def amdsmi_init(self, flag):
        assert isinstance(flag, self.AmdSmiInitFlags)
        if not self.driver:
            raise self.AmdSmiException("AMDSMI_STATUS_DRIVER_NOT_LOADED")
        self.open = True

    def amdsmi_shut_down(self):
        assert self.open
        self.open = False

    def amdsmi_get_processor_handles(self):
        return self.devices

    def checked(self, handle):
        assert self.open
        assert isinstance(handle, Handle)
        return self.devices.index(handle)

    def amdsmi_get_gpu_memory_usage(self, handle, mem_type):
        assert isinstance(mem_type, self.AmdSmiMemoryType)
        return (64 * GIB, 32 * GIB)[self.checked(handle)]

    def amdsmi_get_gpu_memory_total(self, handle, mem_type):
        assert isinstance(mem_type, self.AmdSmiMemoryType)
        return (256 * GIB, 64 * GIB)[self.checked(handle)]

    def amdsmi_get_gpu_activity(self, handle):
        busy = (90, "N/A")[self.checked(handle)]
        return {"gfx_activity": busy, "umc_activity": 10, "mm_activity": "N/A"}

    def amdsmi_get_power_info(self, handle):
        now, mean = ((750, "N/A"), ("N/A", 280))[self.checked(handle)]
        return {
            "socket_power": 0,
            "current_socket_power": now,
            "average_socket_power": mean,
            "power_limit": 0,
        }

    def amdsmi_get_power_cap_info(self, handle):
        return {"power_cap": (1_000_000_000, 560_000_000)[self.checked(handle)], "min_power_cap": 0}


@pytest.fixture
def smi(monkeypatch):
    fake = FakeSmi()
    fake.__spec__ = types.SimpleNamespace(name="amdsmi")
    monkeypatch.setitem(sys.modules, "amdsmi", fake)
    return fake


def test_figures_carry_the_names_and_units_of_nvidia(smi):
    monitor = AmdMonitor(smi)
    monitor.collect_metrics()
    assert monitor.aggregate_metrics() == {
        "gpu_0_memory_usage_percentage": 25.0,
        "gpu_0_memory_usage_megabytes": round(64 * GIB / 1e6, 1),
        "gpu_0_utilization_percentage": 90.0,
        "gpu_0_power_usage_watts": 750.0,
        "gpu_0_power_usage_percentage": 75.0,
        "gpu_1_memory_usage_percentage": 50.0,
        "gpu_1_memory_usage_megabytes": round(32 * GIB / 1e6, 1),
        "gpu_1_power_usage_watts": 280.0,
        "gpu_1_power_usage_percentage": 50.0,
    }


def test_names_are_those_of_mlflows_monitor_for_nvidia(smi):
    import inspect

    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

    source = inspect.getsource(GPUMonitor)
    monitor = AmdMonitor(smi)
    monitor.collect_metrics()
    for name in monitor.metrics:
        assert f'gpu_{{i}}_{name.split("_", 2)[2]}"' in source


def test_samples_are_averaged_until_they_are_cleared(smi):
    monitor = AmdMonitor(smi)
    monitor.collect_metrics()
    smi.amdsmi_get_gpu_activity = lambda _: {"gfx_activity": 10}
    monitor.collect_metrics()
    assert monitor.aggregate_metrics()["gpu_0_utilization_percentage"] == 50.0
    monitor.clear_metrics()
    assert monitor.aggregate_metrics() == {}


def test_what_a_device_cannot_tell_is_left_out(smi):
    def refused(handle):
        raise smi.AmdSmiException("AMDSMI_STATUS_NOT_SUPPORTED")

    smi.amdsmi_get_power_info = refused
    monitor = AmdMonitor(smi)
    monitor.collect_metrics()
    assert not [name for name in monitor.metrics if "power" in name]
    assert "gpu_0_utilization_percentage" in monitor.metrics


def test_without_the_binding_or_the_driver_there_is_no_monitor(smi, monkeypatch):
    smi.driver = False
    assert amd_monitor() is None
    monkeypatch.setattr(system_metrics.importlib.util, "find_spec", lambda _: None)
    assert amd_monitor() is None


def test_run_carries_the_figures_and_the_driver_is_let_go(smi, tracker):
    with tracker.step("etl") as run, log_system_metrics(tracker, run.run_id):
        assert smi.open
    metrics = tracker.client.get_run(run.run_id).data.metrics
    assert metrics["system/gpu_0_power_usage_watts"] == 750.0
    assert metrics["system/system_memory_usage_megabytes"] > 0
    assert not smi.open


def test_mlflows_switch_turns_them_off(tracker, monkeypatch):
    monkeypatch.setenv(system_metrics.SWITCH, "false")
    with tracker.step("etl") as run, log_system_metrics(tracker, run.run_id):
        pass
    assert not tracker.client.get_run(run.run_id).data.metrics
