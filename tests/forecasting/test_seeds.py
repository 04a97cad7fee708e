"""Random streams: one for each purpose and item."""

import numpy as np
import pytest

from forecasting.seeds import item_generator


def draws(seed, purpose, item_id):
    return item_generator(seed, purpose=purpose, item_id=item_id).standard_normal(1000)


def test_the_same_seed_purpose_and_item_give_the_same_numbers():
    np.testing.assert_array_equal(draws(3, "paths", "H200"), draws(3, "paths", "H200"))


@pytest.mark.parametrize("other", [(4, "paths", "H200"), (3, "measurement", "H200"), (3, "paths", "H20")])
def test_another_seed_purpose_or_item_gives_independent_numbers(other):
    assert abs(np.corrcoef(draws(3, "paths", "H200"), draws(*other))[0, 1]) < 0.12  # 3.8 standard errors
