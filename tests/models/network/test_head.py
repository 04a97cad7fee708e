import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from models.network.classics import FORECASTS
from models.network.head import (
    EDGE,
    Head,
    copula_nll,
    cumulative,
    normal_scores,
    normalise_variance,
    quantile,
    walk_factor,
)
from models.network.structures import MEANS
from models.settings import NetworkSettings

LEVELS = torch.tensor(NetworkSettings().quantile_levels)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000))
def test_cumulative_undoes_quantile(random_distribution, seed):
    distribution = random_distribution(seed)
    probability = torch.rand(2, 2, 3, 7, generator=torch.Generator().manual_seed(seed)).clamp(1e-3, 1 - 1e-3)
    values = quantile(distribution, LEVELS, probability)
    back = torch.stack(
        [cumulative(distribution, LEVELS, value.contiguous()) for value in values.unbind(-1)], dim=-1
    )
    torch.testing.assert_close(back, probability, rtol=1e-3, atol=1e-5)


def test_quantile_is_exact_at_the_levels(random_distribution):
    distribution = random_distribution(1)
    at_levels = quantile(distribution, LEVELS, LEVELS.expand(2, 2, 3, -1).contiguous())
    torch.testing.assert_close(at_levels, distribution.quantiles)


def test_quantile_is_monotone_far_into_the_tails(random_distribution):
    probability = torch.logspace(-6, -0.31, 200)
    probability = torch.cat([probability, 1 - probability.flip(0)]).clamp(EDGE, 1 - EDGE)
    values = quantile(random_distribution(2), LEVELS, probability.expand(2, 2, 3, -1).contiguous())
    assert (values.diff(dim=-1) >= -1e-5).all()


def test_the_tail_is_exponential_with_the_fitted_mean_excess(random_distribution):
    distribution = random_distribution(3)
    below = quantile(
        distribution, LEVELS, torch.full((2, 2, 3, 1), 0.01 * np.exp(-2.0), dtype=torch.float32)
    )[..., 0]
    torch.testing.assert_close(
        distribution.quantiles[..., 0] - below, 2 * distribution.tails[..., 0], rtol=1e-4, atol=1e-5
    )


def test_interpolation_agrees_with_numpy(random_distribution):
    distribution = random_distribution(4)
    values = (
        distribution.quantiles[..., :1]
        + (distribution.quantiles[..., -1:] - distribution.quantiles[..., :1]) * 0.37
    )
    found = cumulative(distribution, LEVELS, values[..., 0].contiguous())
    for index in np.ndindex(2, 2, 3):
        expected = np.interp(float(values[index]), distribution.quantiles[index].numpy(), LEVELS.numpy())
        assert float(found[index]) == pytest.approx(expected, abs=1e-5)


def dense(factor, noise):
    return factor @ factor.T + np.diag(noise)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000))
def test_copula_likelihood_equals_the_dense_gaussian(random_distribution, seed):
    distribution = random_distribution(seed, shape=(2, 2, 4))
    factor, noise = distribution.factor(), distribution.noise.flatten(1)
    scores = torch.randn(2, 8, generator=torch.Generator().manual_seed(seed))
    found = copula_nll(factor, noise, scores, torch.ones(2, 8, dtype=torch.bool))
    for item in range(2):
        covariance = dense(factor[item].numpy().astype(float), noise[item].numpy().astype(float))
        joint = multivariate_normal(np.zeros(8), covariance).logpdf(scores[item].numpy())
        alone = norm.logpdf(scores[item].numpy()).sum()
        assert float(found[item]) == pytest.approx(alone - joint, rel=1e-3, abs=1e-3)


def test_unobserved_steps_are_marginalised_out(random_distribution):
    distribution = random_distribution(5, shape=(1, 1, 6))
    factor, noise = distribution.factor(), distribution.noise[:, 0]
    scores = torch.randn(1, 6, generator=torch.Generator().manual_seed(5))
    observed = torch.tensor([[True, False, True, True, False, True]])
    spoiled = torch.where(observed, scores, 7.0)
    kept = observed[0]
    whole = copula_nll(factor, noise, spoiled, observed)
    part = copula_nll(factor[:, kept], noise[:, kept], scores[:, kept], observed[:, kept])
    torch.testing.assert_close(whole, part)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_correlation_has_a_unit_diagonal(seed, size):
    factor = size * torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(seed))
    shared, own, noise = normalise_variance(factor[..., :1], factor[..., 1:], torch.full((3, 5), 0.3))
    torch.testing.assert_close(shared.square().sum(-1) + own.square().sum(-1) + noise, torch.ones(3, 5))


def test_own_columns_tie_no_variates_together(random_distribution):
    distribution = random_distribution(6)
    factor = distribution._replace(shared=torch.zeros_like(distribution.shared)).factor()
    correlation = (factor @ factor.transpose(1, 2)).reshape(2, 2, 3, 2, 3)
    assert correlation[:, 0, :, 1].abs().max() == 0.0
    torch.testing.assert_close(
        correlation[:, 0, :, 0], distribution.own[:, 0] @ distribution.own[:, 0].transpose(1, 2)
    )


def test_the_walk_factor_is_near_the_correlation_of_a_random_walk():
    step = np.arange(1, 65)
    exact = np.sqrt(np.minimum.outer(step, step) / np.maximum.outer(step, step))
    factor = walk_factor(64, 16).numpy()
    assert np.abs(factor @ factor.T - exact).max() < 0.03
    assert walk_factor(4, 16).shape == (4, 16)


def test_normal_scores_agree_with_scipy():
    probability = torch.tensor([1e-4, 0.1, 0.5, 0.99])
    torch.testing.assert_close(
        normal_scores(probability), torch.from_numpy(norm.ppf(probability)).float(), rtol=1e-4, atol=1e-5
    )


def test_an_untrained_head_says_a_gaussian_walk():
    settings = NetworkSettings()
    shapes = ((4, settings.width), (16, 5), (16, 4), (16, FORECASTS), (16, MEANS), (16, 1))
    distribution = Head(settings)(*(torch.randn(1, 1, *shape) for shape in shapes))
    expected = norm.ppf(LEVELS.numpy()) * np.sqrt(np.pi / 2 * np.arange(1, 17))[:, None]
    np.testing.assert_allclose(
        distribution.quantiles[0, 0].sinh().detach().numpy(), expected, rtol=1e-4, atol=1e-5
    )
    correlation = distribution.factor()[0] @ distribution.factor()[0].T
    step = np.arange(1, 17)
    true = np.sqrt(np.minimum(step[:, None], step) / np.maximum(step[:, None], step))
    off = ~np.eye(16, dtype=bool)
    np.testing.assert_allclose(correlation.detach().numpy()[off], true[off], atol=0.06)
    excess = (distribution.tails[0, 0, 0, 1] / distribution.quantiles[0, 0, 0].diff()[-1]).detach()
    assert float(excess) == pytest.approx(
        (norm.pdf(2.3263) / 0.01 - 2.3263) / (norm.ppf(0.99) - norm.ppf(0.975)), rel=0.02
    )


def test_the_average_of_two_laws_has_the_mean_quantiles_and_the_mean_correlation(random_distribution):
    one, other = random_distribution(1), random_distribution(2)
    both = one.averaged(other, torch.full((2, 2), 0.5))
    torch.testing.assert_close(both.quantiles, (one.quantiles + other.quantiles) / 2)
    torch.testing.assert_close(correlation(both), (correlation(one) + correlation(other)) / 2)


def test_a_weight_per_series_leans_its_law_to_one_or_the_other(random_distribution):
    one, other = random_distribution(1), random_distribution(2)
    both = one.averaged(other, torch.tensor([[0.0, 1.0], [0.25, 0.25]]))
    torch.testing.assert_close(both.quantiles[0, 0], one.quantiles[0, 0])
    torch.testing.assert_close(both.quantiles[0, 1], other.quantiles[0, 1])
    torch.testing.assert_close(
        correlation(both)[1], 0.75 * correlation(one)[1] + 0.25 * correlation(other)[1]
    )


def test_a_law_mirrored_is_that_of_minus_the_values(random_distribution):
    distribution = random_distribution(0)
    values = torch.randn(distribution.noise.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        cumulative(distribution.mirrored(), LEVELS, -values),
        1 - cumulative(distribution, LEVELS, values),
        atol=1e-5,
        rtol=0,
    )


def correlation(distribution):
    factor = distribution.factor()
    return factor @ factor.mT + torch.diag_embed(distribution.noise.flatten(1))
