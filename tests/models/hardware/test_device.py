import os
from types import SimpleNamespace

import pytest
import torch

from models.errors import DeviceError
from models.hardware import device as module
from models.hardware.accelerators import FAMILIES, PLATFORMS, UNKNOWN
from models.hardware.device import (
    accelerator,
    backend,
    choose_device,
    compile_in_place,
    describe,
    peak_flops,
    prepare,
    settings_for,
)

GIGABYTE = 10**9
GPU = torch.device("cuda")
# name of the family, backend, architecture, name of the card, bytes, bfloat16, flash attention
MATRIX = [
    ("NVIDIA before Ampere", "cuda", "sm_75", "Tesla T4", 16 * GIGABYTE, False, False),
    ("NVIDIA Ampere and Ada", "cuda", "sm_80", "NVIDIA A100-SXM4-80GB", 80 * GIGABYTE, True, True),
    ("NVIDIA Hopper", "cuda", "sm_90", "NVIDIA H200", 141 * GIGABYTE, True, True),
    ("NVIDIA Blackwell", "cuda", "sm_100", "NVIDIA B200", 180 * GIGABYTE, True, True),
    ("unknown to this table (cuda)", "cuda", "sm_150", "NVIDIA X900", 999 * GIGABYTE, True, True),
    ("AMD CDNA 2", "rocm", "gfx90a", "AMD Instinct MI250X / MI250", 64 * GIGABYTE, True, True),
    ("AMD CDNA 3", "rocm", "gfx942", "AMD Instinct MI300X", 192 * GIGABYTE, True, True),
    ("AMD CDNA 4", "rocm", "gfx950", "AMD Instinct MI355X", 288 * GIGABYTE, True, True),
    ("unknown to this table (rocm)", "rocm", "gfx1250", "AMD Instinct X900", 432 * GIGABYTE, True, True),
]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """Variables and kernel switches that a test sets are gone after it."""
    for name in {name for platform in PLATFORMS.values() for name in platform.environment}:
        monkeypatch.setenv(name, "")  # so that the end of the test removes what the code sets
        monkeypatch.delenv(name)
    flags = torch.backends.cuda
    switches = ("flash", "mem_efficient", "math", "cudnn")
    before = {name: getattr(flags, f"{name}_sdp_enabled")() for name in switches}
    yield
    for name, state in before.items():
        getattr(flags, f"enable_{name}_sdp")(state)


@pytest.fixture
def faked(monkeypatch):
    """A torch that was built for a platform and finds one card; nothing computes on it."""

    def fake(platform, architecture, name="", memory=0):
        monkeypatch.setattr(torch.version, "hip", "6.4.43482" if platform == "rocm" else None)
        monkeypatch.setattr(torch.version, "cuda", "12.8" if platform == "cuda" else None)
        known = SimpleNamespace(name=name, total_memory=memory)
        if platform == "rocm":
            known.gcnArchName = f"{architecture}:sramecc+:xnack-"
            known.major, known.minor = 9, 4
        else:
            number = architecture.removeprefix("sm_")
            known.major, known.minor = int(number[:-1]), int(number[-1])
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: known)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
        monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)

    return fake


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


def test_rocm_is_told_from_cuda_by_the_version(faked):
    faked("rocm", "gfx942")
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
    ("family", "platform", "architecture", "name", "memory", "bfloat16", "flash"), MATRIX
)
def test_a_gpu_is_reported_with_its_row(faked, family, platform, architecture, name, memory, bfloat16, flash):
    faked(platform, architecture, name, memory)
    found = accelerator(GPU)
    assert (found.backend, found.architecture, found.name, found.memory) == (
        platform,
        architecture,
        name,
        memory,
    )
    assert (found.bfloat16, found.flash_attention) == (bfloat16, flash)
    assert found.vendor == {"cuda": "NVIDIA", "rocm": "AMD"}[platform]
    assert found.runtime == {"cuda": "CUDA 12.8", "rocm": "HIP 6.4.43482"}[platform]
    rows = settings_for(GPU)
    assert rows.family.name == family
    assert rows.platform is PLATFORMS[platform]


def test_the_matrix_reaches_every_row_of_the_table():
    reached = {row[0] for row in MATRIX} | {settings_for(torch.device("cpu")).family.name}
    assert reached == {row.name for row in (*FAMILIES, *UNKNOWN.values())}


def test_the_cpu_is_reported_with_its_row():
    found = accelerator(torch.device("cpu"))
    assert (found.backend, found.name, found.flash_attention) == ("cpu", "cpu", False)
    assert found.memory is None or found.memory > GIGABYTE
    assert settings_for(torch.device("cpu")).platform.collectives.value == "gloo"


def test_the_cpu_of_a_build_for_gpus_is_still_the_cpu(faked):
    faked("cuda", "sm_90")
    assert accelerator(torch.device("cpu")).backend == "cpu"


def test_flash_attention_is_not_promised_by_a_build_without_it(faked, monkeypatch):
    faked("cuda", "sm_90")
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    assert not accelerator(GPU).flash_attention


@pytest.mark.parametrize("platform", ["cuda", "rocm"])
def test_choosing_a_gpu_sets_the_variables_of_its_platform(faked, platform):
    faked(platform, "sm_90" if platform == "cuda" else "gfx942")
    choose_device("gpu")
    for name, choice in PLATFORMS[platform].environment.items():
        assert os.environ[name] == choice.value


def test_a_variable_of_the_user_stays(faked, monkeypatch):
    faked("cuda", "sm_90")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:512")
    choose_device("auto")
    assert os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "max_split_size_mb:512"


def test_rocm_is_not_given_the_allocator_that_it_does_not_know(faked):
    faked("rocm", "gfx942")
    choose_device("gpu")
    assert not {"PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF"} & set(os.environ)


@pytest.mark.parametrize("platform", ["cuda", "rocm"])
def test_choosing_a_gpu_leaves_the_listed_attention_kernels_on_and_no_other(faked, platform):
    faked(platform, "sm_90" if platform == "cuda" else "gfx942")
    choose_device("gpu")
    flags = torch.backends.cuda
    on = {
        "flash": flags.flash_sdp_enabled(),
        "efficient": flags.mem_efficient_sdp_enabled(),
        "math": flags.math_sdp_enabled(),
        "cudnn": flags.cudnn_sdp_enabled(),
    }
    assert {name for name, state in on.items() if state} == set(PLATFORMS[platform].attention.value)


def test_a_torch_for_the_cpu_alone_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.version, "cuda", None)
    before = dict(os.environ)
    prepare()
    assert dict(os.environ) == before


def test_a_network_is_compiled_in_the_mode_of_its_row(faked, monkeypatch):
    faked("cuda", "sm_90")
    network, asked = torch.nn.Linear(2, 2), {}
    monkeypatch.setattr(network, "compile", lambda **options: asked.update(options))
    assert compile_in_place(network, GPU)
    assert asked == {"mode": "default"}


def test_a_network_on_an_unknown_architecture_is_left_uncompiled_and_it_is_said(faked, monkeypatch, caplog):
    faked("rocm", "gfx1250")
    network = torch.nn.Linear(2, 2)
    monkeypatch.setattr(network, "compile", lambda **_: pytest.fail("compiled"))
    assert not compile_in_place(network, GPU)
    assert "not compiled: nothing is known of this architecture" in caplog.text


def test_peak_is_found_by_the_name_of_the_card():
    assert peak_flops("NVIDIA H200") == 989.4e12
    assert peak_flops("cpu") is None


def test_memory_that_cannot_be_told_is_none(monkeypatch):
    def refuse(_):
        raise ValueError

    monkeypatch.setattr(module.os, "sysconf", refuse)
    assert accelerator(torch.device("cpu")).memory is None
