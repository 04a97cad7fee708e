"""Configuration: layers, overrides, and one sentence for whatever is wrong."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.errors import InputError
from pipelines.runtime.config.loader import dump, flatten, load_sources, resolve


def test_defaults_resolve_and_hold_the_content_of_the_named_files():
    settings = resolve()
    assert settings.data.kind == "public"
    assert settings.policies[0].name == "bis_2026_01"


def test_experiment_lies_on_top_of_the_defaults_and_overrides_on_top_of_both():
    quick = resolve("quick")
    assert (quick.forecast.paths, quick.forecast.horizon) == (500, 8)
    assert quick.backtest.horizon == resolve().backtest.horizon
    assert resolve("quick", ["forecast.paths=7"]).forecast.paths == 7


def test_experiment_may_be_a_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("forecast: {horizon: 3}\n")
    assert resolve(str(path)).forecast.horizon == 3


def test_plain_number_given_for_an_assumption_is_exact():
    stated = resolve(overrides=["data.assumptions.capacity_decay=0.7"]).data.assumptions.capacity_decay
    assert (stated.value, stated.low, stated.high) == (0.7, 0.7, 0.7)
    assert stated.reason == resolve().data.assumptions.capacity_decay.reason


def test_value_given_by_its_own_key_moves_within_the_range():
    moved = resolve(overrides=["data.assumptions.capacity_decay.value=0.7"]).data.assumptions.capacity_decay
    kept = resolve().data.assumptions.capacity_decay
    assert (moved.value, moved.low, moved.high) == (0.7, kept.low, kept.high)


@pytest.mark.parametrize("given", ["0.99", "0.5"])
def test_plain_number_outside_the_range_is_refused(given):
    with pytest.raises(InputError, match=r"within its own range: expected a value from 0\.6 to 0\.95"):
        resolve(overrides=[f"data.assumptions.capacity_decay={given}"])


def test_dumped_settings_resolve_to_the_same_settings(tmp_path):
    settings = resolve("quick")
    path = tmp_path / "dumped.yaml"
    path.write_text(dump(settings))
    assert resolve(str(path)) == settings


def test_every_assumption_is_ranged_and_explained():
    for name, assumption in resolve().data.assumptions.items():
        assert assumption.low < assumption.high, name
        assert len(assumption.reason) > 20, name


def test_parameters_of_a_run_are_flat_and_leave_reasons_out():
    flat = flatten(resolve())
    assert flat["data.assumptions.capacity_decay.value"] == "0.85"
    assert not [key for key in flat if key.endswith(".reason")]


def test_sources_of_the_reference_tables_name_publisher_licence_and_date():
    for name, source in load_sources().items():
        assert source.publisher, name
        assert source.licence, name
        assert source.retrieved.startswith("2026"), name


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "forecast.horizn=3",
            r"--set forecast.horizn: unknown key: found 'horizn'; did you mean 'horizon'\?",
        ),
        ("forecast.horizon=0", "--set forecast.horizon: .*greater than or equal to 1: found 0"),
        ("forecast.horizon=abc", "--set forecast.horizon: .*integer.*found 'abc'"),
        ("data.asumptions.x=2", "unknown key: found 'asumptions'; did you mean 'assumptions'"),
        (
            "data.assumptions.capacity_decay=2",
            "capacity_decay: an assumption must lie within its own range: expected .* 0.6 to 0.95, found 2",
        ),
        ("data=nowhere", "no such data file: expected .*us_public.*found 'nowhere'"),
        ("policies=[nowhere]", "no such policy file: expected .*bis_2026_01.*found 'nowhere'"),
        ("policies=[]", "--set policies: .*at least 1"),
        ("windows.quantile_levels=[0.5]", "quantile levels .* include 0.1, 0.5 and 0.9"),
        ("seed", "--set: an override is key=value: found 'seed'"),
        ("seed={", "--set seed: the value is not valid YAML"),
        ("seed.deeper=1", "the key's parent holds no keys: found 'seed.deeper'"),
    ],
)
def test_wrong_override_is_refused_in_one_sentence(override, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        resolve(overrides=[override])
    assert "\n" not in str(refused.value)


def test_unknown_key_in_a_file_names_the_file_and_the_nearest_key(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("forecast:\n  horizn: 3\n")
    with pytest.raises(InputError, match=r"mine\.yaml, key forecast\.horizn: unknown key.*'horizon'"):
        resolve(str(path))


@pytest.mark.parametrize(
    ("folder", "name", "key"), [("policy", "bis_2026_01", "cap"), ("data", "us_public", "revenue")]
)
def test_unknown_key_in_a_named_file_names_that_file(tmp_path, folder, name, key):
    text = (files("configs") / folder / f"{name}.yaml").read_text().replace(f"\n{key}:", f"\n{key}x:")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    override = f"policies=[{path}]" if folder == "policy" else f"data={path}"
    with pytest.raises(InputError, match=rf"mine\.yaml, key .*{key}x: unknown key.*did you mean '{key}'"):
        resolve(overrides=[override])


def test_each_tariff_band_is_a_parameter_of_the_run():
    bands = [
        key
        for key in flatten(resolve())
        if key.startswith("policies.bis_2026_01.tariff") and "tpp_low" in key
    ]
    assert len(bands) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1", "not valid YAML"),
        ("- 1\n- 2\n", "must hold keys and values: found list"),
        ("", "must hold keys and values: found NoneType"),
        ("seed: 1\nseed: 2\n", "a key may be given once: found 'seed' twice"),
    ],
)
def test_broken_file_is_refused_with_its_name(tmp_path, text, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as refused:
        resolve(str(path))
    assert "mine.yaml" in str(refused.value)


def test_missing_file_is_refused_with_the_names_there_are():
    with pytest.raises(
        InputError, match="no such experiment file: expected a path, or one of .*quick.*found 'nope'"
    ):
        resolve("nope")


@given(st.text(alphabet="abc.=1[{", max_size=12).filter(lambda text: "=" not in text[1:]))
def test_text_that_is_no_override_is_always_refused_in_one_sentence(text):
    with pytest.raises(InputError, match="--set: an override is key=value"):
        resolve(overrides=[text])


def test_options_are_values_and_count_more_than_overrides():
    options = {"policies": ["scale_act_2026", "bis_2026_01"], "forecast.device": "cpu", "seed": None}
    settings = resolve(overrides=["forecast.device=gpu", "seed=4"], options=options)
    assert [policy.name for policy in settings.policies] == ["scale_act_2026", "bis_2026_01"]
    assert (settings.forecast.device, settings.seed) == ("cpu", 4)


def test_a_text_of_an_option_stays_text_whatever_yaml_would_make_of_it():
    assert resolve(options={"tracking.experiment": "1e3: [no"}).tracking.experiment == "1e3: [no"


def test_a_wrong_option_is_refused_under_the_key_that_it_sets():
    with pytest.raises(InputError, match="--set forecast.device: .*found 'tpu'"):
        resolve(options={"forecast.device": "tpu"})
