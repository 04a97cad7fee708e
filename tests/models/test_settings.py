import pytest
from pydantic import TypeAdapter, ValidationError

from models.settings import NetworkSettings, PretrainSettings


def test_settings_validate_from_plain_data_and_refuse_unknown_keys():
    adapter = TypeAdapter(PretrainSettings)
    assert adapter.validate_python({"training": {"steps": 7}}).training.steps == 7
    with pytest.raises(ValidationError, match="stepz"):
        adapter.validate_python({"training": {"stepz": 7}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 100, "heads": 3}, "multiple of twice the heads"),
        ({"max_horizon": 63}, "multiples of patch_length"),
        ({"quantile_levels": (0.1, 0.9)}, "0.5 in the middle"),
        ({"quantile_levels": (0.6, 0.5, 0.9)}, "ascend"),
        ({"quantile_levels": (0.0, 0.5, 0.9)}, "between 0 and 1"),
    ],
)
def test_settings_that_make_no_network_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        NetworkSettings(**change)


def test_the_head_has_at_least_fifteen_levels_from_one_to_ninety_nine_percent():
    levels = NetworkSettings().quantile_levels
    assert len(levels) >= 15
    assert (levels[0], levels[-1]) == (0.01, 0.99)
