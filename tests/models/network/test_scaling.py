from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.network.scaling import STILL_SCALE, carry_forward, fit_scaling

series = arrays(np.float64, (2, 3, 12), elements=st.floats(-1e6, 1e6))
masks = arrays(np.bool_, (2, 3, 12))


def slow_scaling(values, observed):
    seen = [value for value, there in zip(values, observed, strict=True) if there]
    moves = [abs(after - before) for before, after in pairwise(seen)]
    return (seen[-1], sum(moves) / max(1, len(moves))) if seen else (0.0, 0.0)


@settings(deadline=None, max_examples=50)
@given(series, masks)
def test_location_is_the_last_observation_and_scale_the_mean_move(values, observed):
    scaling = fit_scaling(torch.from_numpy(values), torch.from_numpy(observed))
    for item in np.ndindex(2, 3):
        loc, scale = slow_scaling(values[item], observed[item])
        assert scaling.loc[item] == loc
        if not scaling.still[item]:
            assert float(scaling.scale[item]) == pytest.approx(scale)


@settings(deadline=None, max_examples=50)
@given(series, masks, st.floats(-1e6, 1e6))
def test_unobserved_values_are_never_read(values, observed, junk):
    fitted = fit_scaling(torch.from_numpy(values), torch.from_numpy(observed))
    spoiled = torch.from_numpy(np.where(observed, values, junk))
    again = fit_scaling(spoiled, torch.from_numpy(observed))
    assert all(torch.equal(first, second) for first, second in zip(fitted, again, strict=True))


@settings(deadline=None, max_examples=50)
@given(series, st.floats(1e-3, 1e3))
def test_view_is_undone_by_restore(values, size):
    scaling = fit_scaling(torch.from_numpy(values), torch.ones(values.shape, dtype=torch.bool))
    inside = scaling.loc[..., None] + size * scaling.scale[..., None] * torch.linspace(-1, 1, 5)
    torch.testing.assert_close(scaling.restore(scaling.view(inside)), inside, rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 5.0, -5.0, 1e-30, 1e30])
def test_a_constant_series_has_a_finite_positive_scale(level):
    scaling = fit_scaling(torch.full((1, 1, 9), level).double(), torch.ones(1, 1, 9, dtype=torch.bool))
    assert scaling.still.all()
    assert float(scaling.scale) == pytest.approx(STILL_SCALE * abs(level) if level else 1.0)


def test_gaps_carry_the_last_value_forward_and_the_first_one_back():
    values = torch.tensor([[[9.0, 1.0, 9.0, 2.0, 9.0]]])
    observed = torch.tensor([[[False, True, False, True, False]]])
    assert carry_forward(values, observed).tolist() == [[[1.0, 1.0, 1.0, 2.0, 2.0]]]
