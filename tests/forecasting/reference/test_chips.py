import datetime as dt
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.errors import InputError
from forecasting.reference.chips import Chip, catalogue, chip, total_processing_performance

RATE = st.none() | st.floats(min_value=0.1, max_value=1e6)


@pytest.mark.parametrize(
    ("chip_id", "published"),
    [
        ("H200", 15_830),  # dense FP16 of 989.4 TFLOPS, NVIDIA H200 data sheet
        ("MI325X", 20_918),  # dense FP16 of 1,307.4 TFLOPS, AMD MI325X data sheet
        ("Gaudi 3", 29_360),  # dense BF16 of 1,835 TFLOPS, Intel Gaudi 3 white paper
        ("B200", 36_000),  # dense FP4 of 9 PFLOPS, NVIDIA DGX B200 data sheet
    ],
)
def test_tpp_agrees_with_the_published_figure(chip_id: str, published: float) -> None:
    assert chip(chip_id).tpp == pytest.approx(published, rel=1e-3)


@settings(deadline=None, max_examples=50)
@given(fp16=RATE, fp8=RATE, fp6=RATE, fp4=RATE)
def test_tpp_is_the_largest_product_of_rate_and_bits(
    fp16: float | None, fp8: float | None, fp6: float | None, fp4: float | None
) -> None:
    largest = None
    for bits, rate in {16: fp16, 8: fp8, 6: fp6, 4: fp4}.items():
        if rate is not None and (largest is None or bits * rate > largest):
            largest = bits * rate
    assert total_processing_performance(fp16=fp16, fp8=fp8, fp6=fp6, fp4=fp4) == largest


def test_six_bit_rate_sets_the_tpp_where_it_runs_as_fast_as_four_bits() -> None:
    assert chip("MI355X").tpp == pytest.approx(10_066 * 6)


def test_chip_without_specs_has_no_tpp_and_refuses_to_give_one() -> None:
    assert chip("MI430X").tpp is None
    with pytest.raises(InputError, match="chip MI430X: a chip without specs") as error:
        chip("MI430X").required_tpp()
    assert error.value.exit_code == 2


def test_required_tpp_is_the_tpp_of_a_chip_with_specs() -> None:
    assert chip("H200").required_tpp() == chip("H200").tpp


@pytest.mark.parametrize(("typed", "meant"), [("h200", "H200"), ("MI325", "MI325X"), ("H100 SXM", "H100")])
def test_unknown_chip_names_the_nearest_one(typed: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"for instance {meant}, found '{typed}'"):
        chip(typed)


@pytest.mark.parametrize(
    "line",
    [
        ["A100", "H100", "H200", "B200", "B300", "R200"],
        ["MI300X", "MI325X", "MI355X", "MI455X"],
        ["Gaudi 2", "Gaudi 3"],
        ["TPU v5e", "TPU v6e", "TPU v7"],
        ["Trainium1", "Trainium2", "Trainium3"],
    ],
)
def test_generations_follow_each_other(line: list[str]) -> None:
    for older, newer in pairwise(line):
        assert chip(older).successor_chip_id == newer


def test_successor_comes_from_the_same_vendor_and_not_earlier() -> None:
    for older in catalogue().values():
        if older.successor_chip_id is not None:
            newer = chip(older.successor_chip_id)
            assert newer.vendor == older.vendor, older.chip_id
            assert newer.launch_quarter_end >= older.launch_quarter_end, older.chip_id


def test_chips_made_for_the_vendors_own_cloud_are_not_merchant() -> None:
    own = {"TPU", "Trainium", "Inferentia"}
    for known in catalogue().values():
        assert known.merchant == (known.family not in own), known.chip_id


def test_catalogue_is_keyed_by_chip_id_and_cannot_be_changed() -> None:
    chips = catalogue()
    assert all(key == known.chip_id for key, known in chips.items())
    assert catalogue() is chips
    with pytest.raises(TypeError):
        chips["H999"] = chip("H200")  # type: ignore[index]


def test_chip_reads_its_row_of_the_table() -> None:
    assert chip("H200 NVL") == Chip(
        chip_id="H200 NVL",
        name="NVIDIA H200 NVL 141 GB",
        vendor="nvidia",
        family="Hopper",
        launch_quarter_end=dt.date(2024, 12, 31),
        fp16_dense_tflops=835.5,
        fp8_dense_tflops=1670.5,
        fp6_dense_tflops=None,
        fp4_dense_tflops=None,
        memory_bandwidth_gb_per_s=4800.0,
        merchant=True,
        successor_chip_id="B200",
        interconnect_gb_per_s=900.0,
    )
