"""Policies as packaged, held against the published world; and every broken threshold refused by name."""

import datetime as dt
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from forecasting.errors import InputError
from forecasting.policy.clauses import Enactment, StatedCondition, SupportedReading
from forecasting.policy.eligibility import (
    best_chinese,
    check_policy_reaches,
    duty_rate,
    eligibility,
    in_effect,
    is_outside_duty_bands,
)
from forecasting.policy.policy import Policy
from forecasting.policy.terms import Cap, Eligibility, StockLimit, SupplyRule, TariffBand
from forecasting.reference.chips import catalogue, chip

NAMES = [
    "bis_2026_01",
    "gain_ai_no_backlog",
    "presumption_of_denial",
    "safe_chips_act_2025",
    "scale_act_2026",
    "template",
]
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
    for part in ("eligibility", "supply", "cap", "stock_limit"):
        stated |= {f"{part}.{key}" for key, value in (raw(name).get(part) or {}).items() if value is not None}
    stated |= {"tariff"} if policy.tariff else set()
    assert stated <= set(policy.certainty)
    if name != "template":
        assert stated <= set(policy.sections)
        assert policy.reading is not None or policy.review == "denial"


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


def test_limit_relative_to_the_best_chinese_chip_has_three_measures_of_the_most_capable_one():
    scale = packaged("scale_act_2026")
    best = best_chinese(catalogue().values())
    assert best.chip_id == "Ascend 910C"
    h200 = eligibility(chip("H200"), scale)
    assert h200.reasons == (
        "TPP 15,832 exceeds 1.1 times the best Chinese chip's 12,800",
        "DRAM bandwidth 4,800 GB/s exceeds 1.1 times the best Chinese chip's 3,200 GB/s",
        "interconnect bandwidth 900 GB/s exceeds 1.1 times the best Chinese chip's 784 GB/s",
    )
    stronger = replace(chip("H200"), vendor="huawei", chip_id="stronger")
    assert eligibility(chip("H200"), scale, chips=[stronger]).eligible
    slower = replace(stronger, interconnect_gb_per_s=700.0)
    assert eligibility(chip("H200"), scale, chips=[slower]).reasons == (
        "interconnect bandwidth 900 GB/s exceeds 1.1 times the best Chinese chip's 700 GB/s",
    )
    equal = a_policy(eligibility=Eligibility(tpp_at_most_ratio_of_best_chinese=1.0))
    assert eligibility(stronger, equal, chips=[stronger]).eligible
    with pytest.raises(InputError, match="best Chinese chip needs one with specs"):
        eligibility(chip("H200"), scale, chips=[chip("H200")])


def test_a_measure_that_is_not_published_does_not_let_a_chip_through():
    unknown = replace(chip("A800"), interconnect_gb_per_s=None)
    assert eligibility(chip("A800"), packaged("scale_act_2026")).eligible
    assert eligibility(unknown, packaged("scale_act_2026")).reasons == (
        "interconnect bandwidth of A800 is not known",
    )
    limits = Eligibility(interconnect_gb_per_s_below=1e6, bandwidth_and_interconnect_gb_per_s_below=1e6)
    assert eligibility(unknown, a_policy(eligibility=limits)).reasons == (
        "interconnect bandwidth is not known",
        "interconnect bandwidth is not known",
    )


def test_the_safe_chips_act_lets_through_what_its_thresholds_were_drawn_around():
    """S. 3374: TPP 4,800, DRAM 4,100 GB/s, interconnect 1,100 GB/s, the two together 5,000 GB/s."""
    safe = packaged("safe_chips_act_2025")
    assert eligibility(chip("H20"), safe).eligible
    assert eligibility(chip("H200"), safe).reasons == (
        "TPP 15,832 is not below 4,800",
        "DRAM bandwidth 4,800 GB/s is not below 4,100 GB/s",
        "DRAM and interconnect bandwidth together 5,700 GB/s is not below 5,000 GB/s",
    )
    assert (
        "interconnect bandwidth 1,800 GB/s is not below 1,100 GB/s" in eligibility(chip("B200"), safe).reasons
    )


def test_a_bill_is_not_in_effect_until_it_is_law_and_then_after_so_many_days():
    scale = packaged("scale_act_2026")
    ends = [dt.date(2027, 12, 31), dt.date(2028, 3, 31), dt.date(2036, 12, 31)]
    assert scale.begins is None
    assert not in_effect(scale, ends).any()
    law = replace(scale, enactment=Enactment(enacted=dt.date(2027, 1, 1), days_after=365))
    assert law.begins == dt.date(2028, 1, 1)
    np.testing.assert_array_equal(in_effect(law, ends), [False, True, True])
    with pytest.raises(InputError, match="applies from a day, or from its enactment: .* found both"):
        replace(law, effective_date=dt.date(2026, 1, 1))
    with pytest.raises(InputError, match="found neither"):
        replace(law, enactment=None)
    with pytest.raises(InputError, match=r"enactment\.days_after: a bill cannot apply before it is law"):
        Enactment(enacted=None, days_after=-1)


def test_a_chip_may_be_eligible_by_the_letter_and_lie_outside_every_duty_band():
    rule = packaged("bis_2026_01")
    outside = {
        each for each in ("H100", "H200", "MI300X", "MI325X") if is_outside_duty_bands(chip(each), rule)
    }
    assert outside == {"H100", "MI300X"}
    assert eligibility(chip("H100"), rule).eligible
    assert not is_outside_duty_bands(chip("H100"), packaged("presumption_of_denial"))  # it has no bands


def test_conditions_stand_in_the_order_of_the_rule_and_the_implied_ones_come_first():
    assert packaged("bis_2026_01").order == (
        "effective_date",
        "review",
        "eligibility",
        "us_units_statement",
        "supply",
        "foundry_capacity",
        "cap",
        "remote_end_users",
        "no_military_end_use",
        "know_your_customer",
        "iaas_model_weights",
        "independent_laboratory",
    )
    assert a_policy().order == ("effective_date", "review", "eligibility", "supply")
    capped = a_policy(
        cap=Cap(ratio=0.5, period="since_launch", counts="product"),
        conditions=(StatedCondition(name="supply", section="(a)", certainty="H"),),
    )
    assert capped.order == ("effective_date", "review", "eligibility", "cap", "supply")


def test_only_what_no_data_can_settle_may_be_attested():
    assert packaged("bis_2026_01").attestable == (
        "us_units_statement",
        "foundry_capacity",
        "remote_end_users",
        "no_military_end_use",
        "know_your_customer",
        "iaas_model_weights",
        "independent_laboratory",
    )


def test_a_condition_needs_words_a_section_a_name_and_its_part():
    stated = {"name": "laboratory", "section": "(a)", "certainty": "H"}
    with pytest.raises(InputError, match=r"conditions\.laboratory: .* must be stated in words"):
        StatedCondition(**stated)
    with pytest.raises(InputError, match="must name its section"):
        StatedCondition(**{**stated, "section": " ", "words": "x"})
    with pytest.raises(InputError, match="a condition needs a short name"):
        StatedCondition(**{**stated, "name": "A laboratory", "words": "x"})
    once = StatedCondition(**stated, words="x")
    with pytest.raises(InputError, match="a condition comes once"):
        a_policy(conditions=(once, once))
    with pytest.raises(InputError, match="needs its part of the policy: expected the key cap"):
        a_policy(conditions=(StatedCondition(name="cap", section="(a)", certainty="H"),))


def test_the_supported_reading_is_one_of_the_scopes_asked():
    assert packaged("bis_2026_01").reading.scope == "product"
    assert packaged("bis_2026_01").reading.certainty == "M"
    assert packaged("scale_act_2026").reading.scope == "portfolio"
    with pytest.raises(InputError, match=r"reading\.scope: .* expected product, found portfolio"):
        a_policy(reading=SupportedReading(scope="portfolio", certainty="L", reason="r"))


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
        ("stock_limit", "ratio", 0, "stock_limit.ratio: a threshold must be a positive number"),
        ("sections", "cap.ratoi", "s. 1", "sections: unknown element of a policy"),
        ("certainty", "cap.ratoi", "H", "certainty: unknown element of a policy"),
        ("certainty", "cap.ratio", "sure", "Input should be 'H', 'M', 'L' or 'open'"),
        ("notes", "capp", "x", "notes: unknown element of a policy"),
    ],
)
def test_a_broken_setting_is_refused_with_its_place(part, key, value, sentence):
    settings = raw("template")
    settings[part] = {**(settings[part] or {}), key: value}
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
    assert packaged("scale_act_2026").cap == Cap(ratio=0.5, period="since_launch", counts="product")
    assert packaged("scale_act_2026").stock_limit == StockLimit(ratio=0.05)
