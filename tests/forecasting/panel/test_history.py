"""The past as arrays: shapes are enforced, and views keep every figure with its item and variate."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.frequencies import Frequency
from forecasting.panel.history import History, exact_history

ITEMS, VARIATES, STEPS = ("a", "b", "c"), ("orders", "capacity"), 4


def history() -> History:
    values = np.arange(24.0).reshape(3, 2, 4) + 100.0
    values[1, :, 0] = np.nan
    return History(
        item_ids=ITEMS,
        variates=VARIATES,
        values=values,
        value_p05=values - 1,
        value_p95=values + 2,
        origins=(dt.date(2025, 12, 31), dt.date(2026, 3, 31), dt.date(2026, 6, 30)),
        frequency=Frequency.QUARTER,
    )


@settings(deadline=None, max_examples=50)
@given(
    items=st.lists(st.integers(0, 2), min_size=1, max_size=5),
    variates=st.lists(st.sampled_from(VARIATES), min_size=1, max_size=2, unique=True),
)
def test_selections_keep_each_figure_with_its_item_and_variate(items, variates):
    whole = history()
    part = whole.select(items).only(*variates)
    assert part.item_ids == tuple(ITEMS[i] for i in items)
    assert part.origins == tuple(whole.origins[i] for i in items)
    assert (part.variates, part.frequency) == (tuple(variates), Frequency.QUARTER)
    for name in ("values", "value_p05", "value_p95"):
        for row, i in enumerate(items):
            for place, variate in enumerate(variates):
                expected = getattr(whole, name)[i, VARIATES.index(variate)]
                np.testing.assert_array_equal(getattr(part, name)[row, place], expected)


def test_the_mask_is_true_where_a_value_was_observed():
    mask = history().observed_mask
    assert not mask[1, :, 0].any()
    assert mask.sum() == 22
    assert history().context_length == STEPS


@pytest.mark.parametrize("name", ["values", "value_p05", "value_p95"])
def test_arrays_of_another_shape_are_refused(name):
    good = history()
    arrays = {key: getattr(good, key) for key in ("values", "value_p05", "value_p95")}
    arrays[name] = arrays[name][:2]
    with pytest.raises(ValueError, match=rf"History\.{name}: expected shape \(3, 2, 4\), found \(2, 2, 4\)"):
        History(item_ids=ITEMS, variates=VARIATES, origins=good.origins, frequency=good.frequency, **arrays)


def test_every_item_needs_an_origin():
    good = history()
    with pytest.raises(ValueError, match=r"History\.origins: expected 3 dates, found 1"):
        exact_history(
            good.values,
            item_ids=ITEMS,
            variates=VARIATES,
            origins=good.origins[:1],
            frequency=Frequency.QUARTER,
        )


def test_exact_figures_have_no_measurement_error():
    good = history()
    exact = exact_history(
        good.values, item_ids=ITEMS, variates=VARIATES, origins=good.origins, frequency=good.frequency
    )
    np.testing.assert_array_equal(exact.value_p05, good.values)
    np.testing.assert_array_equal(exact.value_p95, good.values)


def test_an_unknown_variate_is_refused():
    with pytest.raises(ValueError, match="not in tuple"):
        history().only("backlog")
