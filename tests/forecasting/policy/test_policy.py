"""Policies as packaged, held against the published world; and every broken threshold refused by name."""

import datetime as dt
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from forecasting.errors import InputError
from forecasting.policy.eligibility import (
    best_chinese_tpp,
    check_policy_reaches,
    duty_rate,
    eligibility,
    in_effect,
)
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Cap, Eligibility, SupplyRule, TariffBand
from forecasting.reference.chips import catalogue, chip

NAMES = ["bis_2026_01", "gain_ai_no_backlog", "presumption_of_denial", "scale_act_2026", "template"]
SUPPLY = SupplyRule(normal_lead_time_weeks=10, fill_rate_min=0.95, hold_periods=2, scopes=("product",))


def raw(name):
    return yaml.safe_load(
        (resources.files("configs") / "policy" / f"{name}.yaml").read_text(encoding="utf-8")
    )


def packaged(name):
    return TypeAdapter(Policy).validate_python(raw(name))


def a_policy(**changes):
    settings = {
        "name": "p",
        "title": "t",
        "source": "s",
        "effective_date": dt.date(2026, 1, 15),
        "review": "case_by_case",
        "eligibility": Eligibility(),
        "supply": SUPPLY,
    }
    return Policy(**{**settings, **changes})


def test_every_packaged_policy_is_listed_here():
    files = {p.name for p in (resources.files("configs") / "policy").iterdir() if p.name.endswith(".yaml")}
    assert files == {f"{name}.yaml" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_packaged_policy_is_valid_and_says_how_sure_each_threshold_is(name):
    policy = packaged(name)
    assert policy.name == name
    stated = {"effective_date", "review"}
    for part in ("eligibility", "supply", "cap"):
        stated |= {f"{part}.{key}" for key, value in (raw(name).get(part) or {}).items() if value is not None}
    stated |= {"tariff"} if policy.tariff else set()
    assert stated <= set(policy.certainty)


@pytest.mark.parametrize(
    ("chip_id", "expected"),
    [
        ("H200", True),
        ("MI325X", True),
        ("H200 NVL", True),
        ("MI300X", True),
        ("B200", False),
        ("Gaudi 3", False),
    ],
)
def test_the_rule_of_january_2026_lets_through_what_was_published(chip_id, expected):
    assert eligibility(chip(chip_id), packaged("bis_2026_01")).eligible is expected


def test_reasons_name_the_figures():
    rule = packaged("bis_2026_01")
    assert eligibility(chip("B200"), rule).reasons[:2] == (
        "TPP 36,000 is not below 21,000",
        "DRAM bandwidth 8,000 GB/s is not below 6,500 GB/s",
    )
    assert eligibility(chip("Gaudi 3"), rule).reasons == ("TPP 29,360 is not below 21,000",)
    assert eligibility(chip("H200"), rule).reasons == (
        "TPP 15,832 is below 21,000",
        "DRAM bandwidth 4,800 GB/s is below 6,500 GB/s",
        "launched in the quarter ending 2024-06-30, so already on sale on 2026-01-15",
    )


def test_thresholds_are_exclusive_and_a_launch_in_the_same_quarter_is_not_sure():
    h200 = chip("H200")
    at_the_limit = a_policy(eligibility=Eligibility(tpp_below=h200.tpp))
    assert not eligibility(h200, at_the_limit).eligible
    on_sale = a_policy(eligibility=Eligibility(available_in_us_on=dt.date(2024, 6, 15)))
    verdict = eligibility(h200, on_sale)
    assert verdict.reasons == (
        "launched in the quarter ending 2024-06-30, so not certainly on sale on 2024-06-15",
    )
    assert not verdict.eligible
    last_day = a_policy(eligibility=Eligibility(available_in_us_on=h200.launch_quarter_end))
    assert eligibility(h200, last_day).eligible
    assert eligibility(replace(h200, launch_quarter_end=dt.date(2024, 3, 31)), on_sale).eligible


def test_under_a_presumption_of_denial_no_chip_is_eligible_and_none_is_refused_for_its_specs():
    denial = packaged("presumption_of_denial")
    assert not any(eligibility(each, denial).eligible for each in catalogue().values())
    check_policy_reaches(denial, catalogue().values())


def test_limit_relative_to_the_best_chinese_chip_looks_it_up():
    scale = packaged("scale_act_2026")
    best = best_chinese_tpp(catalogue().values())
    assert best == max(each.tpp for each in catalogue().values() if each.vendor == "huawei" and each.tpp)
    h200 = eligibility(chip("H200"), scale)
    assert h200.reasons == (f"TPP 15,832 exceeds 1.1 times the best Chinese chip's {best:,.0f}",)
    stronger = replace(chip("H200"), vendor="huawei", chip_id="stronger")
    assert eligibility(chip("H200"), scale, chips=[stronger]).eligible
    equal = a_policy(eligibility=Eligibility(tpp_at_most_ratio_of_best_chinese=1.0))
    assert eligibility(stronger, equal, chips=[stronger]).eligible
    with pytest.raises(InputError, match="best Chinese chip needs one with specs"):
        eligibility(chip("H200"), scale, chips=[chip("H200")])


def test_a_policy_applies_from_the_period_in_which_it_begins():
    ends = [dt.date(2025, 12, 31), dt.date(2026, 1, 14), dt.date(2026, 1, 15), dt.date(2026, 3, 31)]
    np.testing.assert_array_equal(in_effect(packaged("bis_2026_01"), ends), [False, False, True, True])


def test_a_chip_without_specs_is_refused():
    unknown = replace(
        chip("H200"), fp16_dense_tflops=None, fp8_dense_tflops=None, memory_bandwidth_gb_per_s=None
    )
    with pytest.raises(
        InputError, match=r"chip H200: a chip without specs .* found no TPP and no DRAM bandwidth"
    ):
        eligibility(unknown, packaged("bis_2026_01"))
    with pytest.raises(InputError, match="a chip without specs"):
        duty_rate(unknown, packaged("bis_2026_01"))


@pytest.mark.parametrize(
    ("chip_id", "rate"), [("H200", 0.25), ("MI325X", 0.25), ("H200 NVL", 0.0), ("MI300X", 0.0), ("H20", 0.0)]
)
def test_duty_falls_on_the_chips_in_the_bands_of_proclamation_11002(chip_id, rate):
    assert duty_rate(chip(chip_id), packaged("bis_2026_01")) == rate
    assert duty_rate(chip(chip_id), packaged("presumption_of_denial")) == 0.0


def test_tariff_bounds_are_exclusive():
    h200 = chip("H200")
    band = TariffBand(rate=0.1, tpp_low=h200.tpp, tpp_high=20000, bandwidth_low=1000, bandwidth_high=9000)
    assert duty_rate(h200, a_policy(tariff=(band,))) == 0.0
    assert duty_rate(h200, a_policy(tariff=(replace(band, tpp_low=h200.tpp - 1),))) == 0.1
    low_bandwidth = replace(band, tpp_low=1.0, bandwidth_high=4800)
    assert duty_rate(h200, a_policy(tariff=(low_bandwidth,))) == 0.0


def test_a_policy_that_no_chip_meets_is_refused_by_name():
    check_policy_reaches(packaged("bis_2026_01"), catalogue().values())
    impossible = a_policy(name="mine", eligibility=Eligibility(tpp_below=1.0))
    with pytest.raises(InputError, match="policy mine: a policy that no chip meets"):
        check_policy_reaches(impossible, catalogue().values())


@pytest.mark.parametrize(
    ("part", "key", "value", "sentence"),
    [
        ("eligibility", "tpp_below", 0, "eligibility.tpp_below: a threshold must be a positive number"),
        (
            "eligibility",
            "tpp_below",
            float("nan"),
            "eligibility.tpp_below: a threshold must be a positive number",
        ),
        (
            "eligibility",
            "bandwidth_gb_per_s_below",
            -1,
            "bandwidth_gb_per_s_below: a threshold must be a positive",
        ),
        (
            "supply",
            "normal_lead_time_weeks",
            -1,
            "a lead time must not be negative: expected >= 0 weeks, found -1",
        ),
        ("supply", "normal_lead_time_weeks", float("inf"), "a lead time must not be negative"),
        ("supply", "fill_rate_min", 1.2, "supply.fill_rate_min: a share must lie in 0 to 1"),
        ("supply", "hold_periods", 0, "supply.hold_periods: saturation must hold for at least one period"),
        ("supply", "scopes", [], "supply.scopes: at least one scope is needed"),
        ("supply", "scopes", ["product", "product"], "each named once"),
        ("supply", "scopes", ["world"], "Input should be 'product' or 'portfolio'"),
        ("cap", "ratio", 0, "cap.ratio: a threshold must be a positive number"),
        ("cap", "period", "yearly", "Input should be 'since_launch', 'trailing_12m' or 'same_period'"),
        ("cap", "perod", "yearly", "Unexpected keyword argument"),
        ("certainty", "cap.ratoi", "H", "certainty: unknown element of a policy"),
        ("certainty", "cap.ratio", "sure", "Input should be 'H', 'M', 'L' or 'open'"),
        ("notes", "capp", "x", "notes: unknown element of a policy"),
    ],
)
def test_a_broken_setting_is_refused_with_its_place(part, key, value, sentence):
    settings = raw("template")
    settings[part][key] = value
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Policy).validate_python(settings)
    assert sentence in str(error.value)


@pytest.mark.parametrize("key", ["name", "title", "source"])
def test_a_policy_must_say_what_it_is(key):
    with pytest.raises(InputError, match=f"{key}: a policy must state its {key}"):
        a_policy(**{key: " "})


def test_a_tariff_band_must_have_room_and_a_rate_that_is_a_share():
    with pytest.raises(InputError, match=r"tariff\.tpp_low: the lower bound of a tariff band"):
        TariffBand(rate=0.25, tpp_low=5, tpp_high=5, bandwidth_low=1, bandwidth_high=2)
    with pytest.raises(InputError, match=r"tariff\.bandwidth_low: the lower bound of a tariff band"):
        TariffBand(rate=0.25, tpp_low=4, tpp_high=5, bandwidth_low=3, bandwidth_high=2)
    with pytest.raises(InputError, match=r"tariff\.rate: a share"):
        TariffBand(rate=25, tpp_low=4, tpp_high=5, bandwidth_low=1, bandwidth_high=2)


def test_the_switches_of_the_packaged_policies_are_the_published_ones():
    assert packaged("bis_2026_01").cap == Cap(ratio=0.5, period="since_launch", counts="product")
    assert packaged("bis_2026_01").certainty["cap.period"] == "open"
    assert packaged("gain_ai_no_backlog").supply.normal_lead_time_weeks == 0
    assert packaged("scale_act_2026").cap == Cap(ratio=0.05, period="same_period", counts="us_hardware")
