import numpy as np
import pytest
import torch
from scipy.stats import lognorm, norm

from models.inference.checkpoint import PRETRAINED
from models.inference.forecaster import NetworkForecaster
from models.inference.transforms import as_logs, read, undo_logs, weight_of_logs
from models.network.features import Inputs
from models.network.head import TAIL_LIMIT, PredictiveDistribution
from models.network.scaling import SeriesScaling, fit_scaling
from models.settings import QUANTILE_LEVELS

LEVELS = np.array(QUANTILE_LEVELS)


def inputs_of(values, *, horizon=6, statics=0.0):
    values = torch.as_tensor(values, dtype=torch.float64)[:, None]
    return Inputs(
        values=values,
        observed=torch.ones_like(values).bool(),
        season=torch.zeros(len(values), dtype=torch.long),
        covariates=torch.zeros(len(values), 2, values.shape[-1] + horizon).double(),
        statics=torch.full((len(values), 1, 2), statics).double(),
    )


def walks(seed=0, *, items=40, length=96, volatility=0.05):
    rng = np.random.default_rng(seed)
    return (0.01 + volatility * rng.standard_normal((items, length))).cumsum(-1)


def weight(network, values):
    inputs = inputs_of(values)
    moves = fit_scaling(as_logs(inputs, (inputs.values > 0).all(-1)).values, inputs.observed).scale
    return weight_of_logs(network.features(inputs).classics.gains, inputs.observed, moves)


def test_the_law_of_a_series_with_negative_values_is_half_its_mirror_images(small_network):
    values = walks(length=30) - 5
    scaling, law = read(small_network, inputs_of(values))
    _, plain = small_network(inputs_of(values))
    _, reverse = small_network(inputs_of(-values))
    torch.testing.assert_close(law.quantiles, (plain.quantiles + reverse.mirrored().quantiles) / 2)
    assert torch.equal(scaling.loc[:, 0], torch.from_numpy(values[:, -1]))


def test_all_readings_in_one_pass_give_the_law_of_each_by_itself(small_network):
    inputs = inputs_of(np.exp(walks(length=30)))
    scaling, law = read(small_network, inputs)
    positive = torch.ones(40, 1).bool()
    features = small_network.features(inputs)
    plain, (_, reverse) = (
        small_network.decode(features),
        small_network(inputs._replace(values=-inputs.values)),
    )
    logged, of_logs = small_network(as_logs(inputs, positive))
    share = weight_of_logs(features.classics.gains, inputs.observed, logged.scale)
    expected = plain.averaged(reverse.mirrored(), torch.full((40, 1), 0.5))
    expected = expected.averaged(undo_logs(of_logs, logged, features.scaling), share)
    torch.testing.assert_close(law, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scaling, features.scaling)


def test_variates_of_a_told_role_are_read_as_they_are(small_network):
    inputs = inputs_of(np.exp(walks(length=30)), statics=1.0)
    _, law = read(small_network, inputs)
    assert torch.equal(law.quantiles, small_network(inputs)[1].quantiles)


def test_logs_weigh_much_for_growth_by_shares_and_little_for_growth_by_amounts(small_network):
    assert weight(small_network, np.exp(walks())).mean() > 0.6
    amounts = 40 + walks(volatility=1.0) + 0.4 * np.arange(96)
    assert weight(small_network, amounts + 3 - np.minimum(0, amounts.min())).mean() < 0.35


def test_logs_weigh_little_where_they_move_by_half_and_nothing_where_there_are_none(small_network):
    assert weight(small_network, np.exp(walks(volatility=0.6))).max() < 0.08
    values = np.exp(walks(items=2, length=30))
    values[0, 3] = 0.0
    scaling, law = read(small_network, inputs_of(values))
    _, alone = read(small_network, inputs_of(values[:1]))
    torch.testing.assert_close(law.quantiles[:1], alone.quantiles, rtol=1e-4, atol=1e-5)
    assert all(part.isfinite().all() for part in (*law, scaling.scale))


def test_a_law_of_logs_becomes_the_law_of_the_values():
    level, unit, scale = 50.0, 0.04, 3.0
    spread = 0.1
    quantiles = np.arcsinh(spread * norm.ppf(LEVELS) / unit)
    law = PredictiveDistribution(
        torch.from_numpy(quantiles)[None, None, None].float(),
        torch.full((1, 1, 1, 2), 0.2),
        *(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1)),
    )

    def scaling(loc, size):
        return SeriesScaling(
            torch.tensor([[loc]]).double(), torch.tensor([[size]]).double(), torch.zeros(1, 1).bool()
        )

    undone = undo_logs(law, scaling(np.log(level), unit), scaling(level, scale))
    expected = lognorm.ppf(LEVELS, spread, scale=level)
    found = scaling(level, scale).restore(undone.quantiles.double())[0, 0, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    step = 1e-4
    view = [
        np.arcsinh((level * np.exp(unit * np.sinh(quantiles[-1] + d)) - level) / scale) for d in (-step, step)
    ]
    slope = (view[1] - view[0]) / (2 * step)
    assert float(undone.tails[0, 0, 0, 1]) == pytest.approx(min(TAIL_LIMIT, 0.2 * slope), rel=1e-3)


def test_growth_by_shares_is_continued_by_the_shipped_weights():
    forecaster = NetworkForecaster.load(PRETRAINED, device="cpu")
    values = np.exp(walks(items=30) + 3)[:, None]
    median = forecaster.predict_quantiles(values, horizon=24, levels=(0.5,))[:, 0, -1, 0]
    assert np.log(median / values[:, 0, -1]).mean() > 0.08
