import pytest

from forecasting import reference
from models.hardware.accelerators import FAMILIES, PLATFORMS, UNKNOWN, family
from models.hardware.peaks import PEAKS, peak

# Cards of the reference table of chips under torch's names for them; each die of an MI250X is a device.
ALIKE = ("H100", "H100 PCIe", "H200", "H200 NVL", "B200", "B300", "GB200", "GB300")
ALIKE_OF_AMD = ("MI210", "MI300A", "MI300X", "MI325X", "MI350X", "MI355X")
SAME_CHIP = {"A100-SXM4-80GB": ("A100", 1), "MI250X": ("MI250X", 2)} | {
    name: (name, 1) for name in (*ALIKE, *ALIKE_OF_AMD)
}


def choices():
    for platform in PLATFORMS.values():
        yield from platform.environment.values()
        yield from (platform.attention, platform.collectives, platform.metrics)
    for row in (*FAMILIES, *UNKNOWN.values()):
        yield from (row.bfloat16, row.flash_attention, row.compile_mode)


def test_every_choice_has_a_reason():
    assert all(len(choice.reason) > 20 for choice in choices())


def test_every_family_belongs_to_a_platform_and_is_reached_by_each_of_its_prefixes():
    for row in FAMILIES:
        assert row.backend in PLATFORMS
        assert all(family(row.backend, prefix) is row for prefix in row.prefixes)


def test_flash_attention_is_asked_for_first_wherever_a_family_has_it():
    for row in FAMILIES:
        if row.flash_attention.value:
            assert PLATFORMS[row.backend].attention.value[0] == "flash"


def test_cudnn_attention_is_asked_for_nowhere():
    assert not any("cudnn" in platform.attention.value for platform in PLATFORMS.values())


@pytest.mark.parametrize(
    ("name", "card"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("NVIDIA GB200", "GB200"),
        ("NVIDIA GB300", "GB300"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("AMD Instinct MI210", "MI210"),
        ("AMD Instinct MI250X / MI250", "MI250X"),
        ("AMD Instinct MI300A", "MI300A"),
        ("AMD Instinct MI300X VF", "MI300X"),
        ("AMD Instinct MI325X", "MI325X"),
        ("AMD Instinct MI350X", "MI350X"),
        ("AMD Instinct MI355X", "MI355X"),
    ],
)
def test_the_peak_of_a_card_is_found_by_the_name_that_torch_gives(name, card):
    assert peak(name) is PEAKS[card]


@pytest.mark.parametrize(
    "name", ["cpu", "NVIDIA L4", "AMD Instinct MI308X", "NVIDIA H100 80GB HBM3 MIG 1g.10gb"]
)
def test_a_card_that_is_not_in_the_table_and_a_slice_of_one_have_no_peak(name):
    assert peak(name) is None


def test_peaks_are_those_of_the_reference_table_of_chips():
    chips = {row["chip_id"]: row for row in reference.load("chips").collect().to_dicts()}
    for name, (chip, devices) in SAME_CHIP.items():
        assert PEAKS[name].bfloat16_flops * devices / 1e12 == pytest.approx(chips[chip]["fp16_dense_tflops"])
        bandwidth = PEAKS[name].bytes_per_second * devices / 1e9
        assert bandwidth == pytest.approx(chips[chip]["memory_bandwidth_gb_per_s"])
    assert PEAKS["GH200"].bfloat16_flops / 1e12 == chips["GH200"]["fp16_dense_tflops"]


def test_every_peak_names_its_source():
    assert all("data sheet" in found.source for found in PEAKS.values())
