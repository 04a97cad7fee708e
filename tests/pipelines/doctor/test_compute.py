"""The device is described, timed and held against its data sheet."""

import types

import pytest
import torch

from pipelines.doctor import compute, drivers


def by_check(findings):
    return {each.check: each for each in findings}


def test_the_cpu_is_described_and_timed(settings_on, tmp_path, monkeypatch):
    monkeypatch.setattr(compute, "READERS", {})
    found = by_check(compute.check_device(settings_on(), tmp_path))
    assert list(found) == ["device", "matrix product", "bfloat16", "copy"]
    assert {each.status for each in found.values()} == {"ok"}
    assert "TFLOP/s" in found["matrix product"].found
    assert "GB/s" in found["copy"].found


def test_a_gpu_asked_for_where_there_is_none_fails_and_nothing_else_is_tried(
    settings_on, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = by_check(compute.check_device(settings_on(None, "forecast.device=gpu"), tmp_path))
    assert found["device"].status == "fail"
    assert "sees no GPU" in found["device"].found
    assert {found[check].status for check in ("matrix product", "bfloat16", "copy")} == {"warn"}
    compiler = next(compute.check_compiler(settings_on(None, "forecast.device=gpu"), tmp_path))
    assert compiler.status == "warn"


def test_a_gpu_that_the_driver_finds_and_torch_does_not_see_is_told(settings_on, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    card = drivers.Driver(vendor="NVIDIA", version="570.1", cards=8)
    monkeypatch.setattr(compute, "READERS", {"nvidia-ml-py": lambda: card})
    found = by_check(compute.check_device(settings_on(None, "forecast.device=auto"), tmp_path))
    assert found["device"].status == "warn"
    assert "the driver finds 8 NVIDIA GPU(s)" in found["device"].advice


def test_a_wrong_bfloat16_product_warns(settings_on, tmp_path, monkeypatch):
    monkeypatch.setattr(compute, "matrix_product", lambda *_: (1e12, 0.3))
    found = by_check(compute.check_device(settings_on(), tmp_path))
    assert (found["bfloat16"].status, found["bfloat16"].found) == ("warn", "wrong: relative error 0.3000")


@pytest.fixture
def faked_gpu(monkeypatch):
    """A card of which torch and the driver tell; nothing computes on it."""

    def fake(*, rate, copied, cards=2):
        known = types.SimpleNamespace(name="NVIDIA H200", total_memory=141 * 10**9, major=9, minor=0)
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.version, "cuda", "12.8")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: known)
        monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
        monkeypatch.setattr(compute, "choose_device", lambda _: torch.device("cuda"))
        driver = drivers.Driver(vendor="NVIDIA", version="570.1", cards=cards)
        monkeypatch.setattr(compute, "READERS", {"nvidia-ml-py": lambda: driver})
        monkeypatch.setattr(compute, "matrix_product", lambda *_: (rate, 0.003))
        monkeypatch.setattr(compute, "copy_rate", lambda *_: copied)

    return fake


def test_a_gpu_is_described_with_its_driver_and_held_against_its_data_sheet(faked_gpu, settings_on, tmp_path):
    faked_gpu(rate=790e12, copied=4.1e12)
    found = by_check(compute.check_device(settings_on(), tmp_path))
    assert {each.status for each in found.values()} == {"ok"}
    assert found["device"].found == (
        "2 x NVIDIA H200 (sm_90, 131 GiB, flash attention yes); driver 570.1, torch for CUDA 12.8"
    )
    assert "790 TFLOP/s (80% of the data sheet's)" in found["matrix product"].found
    assert "4100 GB/s (85% of the data sheet's)" in found["copy"].found


def test_a_gpu_far_below_its_data_sheet_warns(faked_gpu, settings_on, tmp_path):
    faked_gpu(rate=200e12, copied=1e12)
    found = by_check(compute.check_device(settings_on(), tmp_path))
    assert found["matrix product"].status == found["copy"].status == "warn"
    assert "nvidia-smi" in found["copy"].advice


def test_a_gpu_whose_memory_is_taken_fails(faked_gpu, settings_on, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError

    faked_gpu(rate=1.0, copied=1.0)
    monkeypatch.setattr(compute, "matrix_product", full)
    found = by_check(compute.check_device(settings_on(), tmp_path))
    assert found["matrix product"].status == "fail"


def test_without_a_compiler_compilation_is_left_off_and_it_is_said(settings_on, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    found = next(compute.check_compiler(settings_on(), tmp_path))
    assert found.status == "warn"
    assert found.found == "needs a C++ compiler, found none of g++, clang++"
    assert "leave it off" in found.advice


def test_there_is_no_driver_where_there_is_no_gpu():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert drivers.nvidia_driver() is None
    assert drivers.amd_driver() is None


def test_the_amd_driver_is_read_by_amdsmi_and_let_go(monkeypatch):
    let_go = []

    class AmdSmiError(Exception):
        pass

    binding = types.SimpleNamespace(
        AmdSmiException=AmdSmiError,
        AmdSmiInitFlags=types.SimpleNamespace(INIT_AMD_GPUS=1),
        amdsmi_init=lambda _: None,
        amdsmi_shut_down=lambda: let_go.append(True),
        amdsmi_get_processor_handles=lambda: ["first", "second"],
        amdsmi_get_gpu_driver_info=lambda _: {"driver_name": "amdgpu", "driver_version": "6.12.12"},
    )
    monkeypatch.setattr(drivers.importlib, "import_module", lambda _: binding)
    assert drivers.amd_driver() == drivers.Driver(vendor="AMD", version="6.12.12", cards=2)
    assert let_go
