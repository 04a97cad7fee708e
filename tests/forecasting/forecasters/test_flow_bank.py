"""The bank for orders and capacity: book-to-bill and its guards; other series are the bank's own."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from forecasting.errors import InputError
from forecasting.forecasters.bank import LONGEST_HORIZON, BankForecaster
from forecasting.forecasters.flow_bank import FlowBankForecaster
from forecasting.forecasters.scaling import RATIO_MARGIN, RATIO_OFFSET
from forecasting.frequencies import Frequency
from forecasting.panel.history import exact_history
from forecasting.panel.schema import FLOWS


def panel(values, variates=FLOWS):
    return exact_history(
        np.asarray(values, dtype=float),
        item_ids=tuple(f"item {i}" for i in range(len(values))),
        variates=variates,
        origins=(dt.date(2025, 12, 31),) * len(values),
        frequency=Frequency.QUARTER,
    )


def flows(items=3, length=16, seed=0):
    moves = np.random.default_rng(seed).normal(0.05, 0.15, (items, 2, length))
    return panel(100 * np.exp(moves.cumsum(axis=2)))


def test_other_series_are_forecast_by_the_bank_itself():
    history = panel(flows().values[:, :1], ("y",))
    ours, bank = (kind().fit(history).sample(5, 20, seed=3) for kind in (FlowBankForecaster, BankForecaster))
    assert np.array_equal(ours, bank)


def test_orders_in_step_with_capacity_stay_in_step_with_it():
    history = flows()
    history.values[:, 0] = 1.2 * history.values[:, 1]
    paths = FlowBankForecaster(walk_share=0.0).fit(history).sample(8, 200, seed=0)
    assert np.ptp(paths[..., 1]) > 10
    assert np.allclose(paths[..., 0], 1.2 * paths[..., 1])


def test_lumpy_items_are_drawn_from_their_own_past_and_leave_the_others_as_they_are():
    history = flows()
    history.values[1, 0] = [0, 0, 900, 0, 0, 0, 50, 0, 0, 4000, 0, 0, 0, 70, 0, 0]
    history.values[1, 1] = [0, 0, 0, 900, 0, 0, 0, 50, 0, 0, 4000, 0, 0, 0, 70, 0]
    paths = FlowBankForecaster().fit(history).sample(6, 300, seed=0)
    past = history.values[1]
    assert (paths[1].max(axis=(0, 1)) <= 3.0 * past.max(axis=1)).all()
    assert np.isclose((paths[1] == 0).mean(), (past == 0).mean(), atol=0.1)
    alone = FlowBankForecaster().fit(history.select([0, 2])).sample(6, 300, seed=0)
    assert np.array_equal(paths[[0, 2]], alone)
    only = FlowBankForecaster().fit(history.select([1])).sample(6, 300, seed=0)
    assert np.array_equal(paths[1], only[0])
    with pytest.raises(RuntimeError, match="before fit"):
        FlowBankForecaster().sample(6, 300, seed=0)


def test_a_share_of_the_paths_are_walks_of_the_panels_volatility():
    history = flows()
    walking, bank = (
        FlowBankForecaster(walk_share=share).fit(history).sample(4, 40, 1) for share in (0.5, 0.0)
    )
    same = (walking == bank).all(axis=(2, 3))
    assert (same.sum(axis=1) == 20).all()


def test_neither_flow_is_negative_and_the_book_to_bill_is_bounded_by_the_panels_highest():
    history = flows(length=8, seed=4)
    paths = FlowBankForecaster().fit(history).sample(30, 500, seed=0)
    highest = (history.values[:, 0] / history.values[:, 1]).max()
    assert paths.min() >= 0
    ratio = paths[..., 0] / paths[..., 1]
    assert ratio.max() <= RATIO_MARGIN * (highest + RATIO_OFFSET) - RATIO_OFFSET + 1e-9


def test_a_seed_fixes_the_paths():
    forecaster = FlowBankForecaster().fit(flows())
    paths = forecaster.sample(5, 20, seed=2)
    assert paths.shape == (3, 20, 5, 2)
    assert np.array_equal(paths, forecaster.sample(5, 20, seed=2))
    assert not np.array_equal(paths, forecaster.sample(5, 20, seed=3))


def test_negative_orders_are_refused():
    history = flows()
    history.values[1, 0, 3] = -1
    with pytest.raises(InputError, match="orders must not be negative: found -1"):
        FlowBankForecaster().fit(history)


def test_a_horizon_whose_memory_would_not_fit_is_refused():
    with pytest.raises(
        InputError, match=f"expected 1 to {LONGEST_HORIZON} steps, found {LONGEST_HORIZON + 1}"
    ):
        FlowBankForecaster().fit(flows()).sample(LONGEST_HORIZON + 1, 1, seed=0)
