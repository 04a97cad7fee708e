"""What has a range is drawn once per path: stock, licences, exports so far, prices; a number is exact."""

import numpy as np
import pytest

from pipelines.runtime.config.loader import resolve
from pipelines.windows.estimator import estimator_settings

PATHS = 20_000
POINTS = [0.05, 0.5, 0.95]


def of(*overrides, paths=PATHS):
    return estimator_settings(resolve(overrides=list(overrides)), paths=paths)


def test_the_three_points_of_each_range_are_those_of_the_draws():
    terms = of().exports["H200"]
    np.testing.assert_allclose(np.quantile(terms.unsold_stock, POINTS), [4e5, 5e5, 7e5], rtol=0.02)
    licence = np.quantile(terms.licence_limit, POINTS)
    assert licence[0] == 750_000  # its value is the low end of its range
    assert licence[1] == pytest.approx(750_000, rel=0.01)
    assert licence[2] == pytest.approx(1e6, rel=0.02)
    assert terms.exported_so_far.min() == 0  # no draw below nothing
    assert np.median(terms.exported_so_far) == pytest.approx(20_000, rel=0.01)


def test_a_plain_number_is_exact_and_leaves_the_others_alone():
    stated = of("data.exports.H200.unsold_stock=450000").exports["H200"]
    assert stated.unsold_stock == 450_000
    np.testing.assert_array_equal(stated.licence_limit, of().exports["H200"].licence_limit)


def test_draws_are_those_of_the_seed():
    one, again, other = of(), of(), of("seed=7")
    np.testing.assert_array_equal(one.exports["H200"].unsold_stock, again.exports["H200"].unsold_stock)
    assert not np.array_equal(one.exports["H200"].unsold_stock, other.exports["H200"].unsold_stock)


def test_what_is_one_number_is_the_same_for_all_vendors():
    prices = of().prices
    for name in ("half_life_periods", "successor_factor"):
        np.testing.assert_array_equal(getattr(prices["nvidia"], name), getattr(prices["amd"], name))
    launch = np.corrcoef(prices["nvidia"].launch_usd_per_h100e, prices["amd"].launch_usd_per_h100e)[0, 1]
    assert abs(launch) < 0.05
    assert prices["amd"].successor_factor.max() <= 1  # a successor makes no older chip dearer


def test_an_order_book_of_exact_facts_has_no_width():
    settings = resolve("order_book", ["data.exports={H200: {unsold_stock: 5, licence_limit: 9}}"])
    terms = estimator_settings(settings, paths=10).exports["H200"]
    assert (terms.unsold_stock, terms.licence_limit, terms.exported_so_far) == (5.0, 9.0, 0.0)
