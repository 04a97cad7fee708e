import pytest
import torch

from models.device import PEAK_BFLOAT16, backend, choose_device, describe, peak_flops
from models.errors import DeviceError


def test_auto_takes_the_gpu_where_there_is_one():
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_cpu_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert describe(torch.device("cpu")) == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda", "rocm"])
def test_a_gpu_asked_for_where_there_is_none_is_one_sentence(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="sees no GPU") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


def test_rocm_is_told_from_cuda_by_the_version(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert backend() == "rocm"
    assert choose_device("rocm").type == choose_device("gpu").type == "cuda"
    with pytest.raises(DeviceError, match="built for rocm"):
        choose_device("cuda")


def test_mps_is_refused_with_a_reason():
    with pytest.raises(DeviceError, match="float64"):
        choose_device("mps")


def test_an_unknown_device_is_refused_with_the_known_ones():
    with pytest.raises(DeviceError, match="expected auto, cpu, gpu, cuda or rocm"):
        choose_device("tpu")


@pytest.mark.parametrize(
    ("name", "card"),
    [("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA H200", "H200"), ("AMD Instinct MI300X", "MI300X")],
)
def test_peak_is_found_by_the_name_of_the_card(name, card):
    assert peak_flops(name) == PEAK_BFLOAT16[card]


def test_an_unlisted_card_has_no_peak():
    assert peak_flops("cpu") is None
