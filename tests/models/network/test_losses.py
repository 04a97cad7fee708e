import numpy as np
import pytest
import scoringrules
import torch

from models.network.head import PredictiveDistribution
from models.network.losses import ensemble_crps, losses, path_loss, pinball, tail_nll
from models.settings import NetworkSettings

LEVELS = torch.tensor(NetworkSettings().quantile_levels)


def distribution_of(quantiles, *, requires_grad=False):
    shape = quantiles.shape[:3]
    return PredictiveDistribution(
        quantiles.requires_grad_(requires_grad),
        torch.full((*shape, 2), 0.5).requires_grad_(requires_grad),
        torch.full((*shape, 1), 0.6).requires_grad_(requires_grad),
        torch.full((*shape, 1), 0.6).requires_grad_(requires_grad),
        torch.full(shape, 0.28),
    )


def parts_of(distribution, target, observed):
    return losses(distribution, LEVELS, target, observed, paths=8, generator=torch.Generator().manual_seed(0))


def test_pinball_equals_a_plain_loop():
    quantiles, target = torch.randn(2, 3, len(LEVELS)).sort(-1).values, torch.randn(2, 3)
    found = pinball(quantiles, LEVELS, target)
    for i in range(2):
        for j in range(3):
            slow = 0.0
            for level, value in zip(LEVELS.tolist(), quantiles[i, j].tolist(), strict=True):
                gap = float(target[i, j]) - value
                slow += 2 * (level * gap if gap >= 0 else (level - 1) * gap)
            assert float(found[i, j]) == pytest.approx(slow / len(LEVELS), rel=1e-4)


def test_pinball_is_least_at_the_true_quantiles():
    draws = torch.distributions.Normal(0.0, 1.0).icdf(torch.linspace(0.001, 0.999, 999))
    true = torch.special.ndtri(LEVELS)
    best = pinball(true.expand(999, -1), LEVELS, draws).mean()
    for shift, stretch in ((0.2, 1.0), (-0.2, 1.0), (0.0, 1.3), (0.0, 0.7)):
        assert pinball((shift + stretch * true).expand(999, -1), LEVELS, draws).mean() > best


def test_tail_likelihood_counts_only_what_lies_beyond_the_outer_quantiles():
    distribution = distribution_of(torch.linspace(-1, 1, len(LEVELS)).expand(1, 1, 3, -1).clone())
    found = tail_nll(distribution, torch.tensor([[[0.0, 2.0, -1.5]]]))
    expected = torch.tensor([0.0, 1.0 / 0.5, 0.5 / 0.5]) + torch.tensor([0.0, 1, 1]) * torch.log(
        torch.tensor(0.5)
    )
    torch.testing.assert_close(found[0, 0], expected)


def test_copula_and_tail_losses_leave_the_quantiles_alone():
    quantiles = torch.randn(2, 1, 4, len(LEVELS)).sort(-1).values
    distribution = distribution_of(quantiles, requires_grad=True)
    parts = parts_of(distribution, torch.randn(2, 1, 4) * 3, torch.ones(2, 1, 4, dtype=torch.bool))
    (parts.copula + parts.tail).backward()
    assert distribution.quantiles.grad is None
    assert distribution.own.grad.abs().sum() > 0


def test_unobserved_targets_do_not_count():
    distribution = distribution_of(torch.randn(2, 1, 4, len(LEVELS)).sort(-1).values)
    target, observed = torch.randn(2, 1, 4), torch.tensor([True, True, False, True]).expand(2, 1, 4)
    output = parts_of(distribution, target, observed)
    spoiled = parts_of(distribution, torch.where(observed, target, 99.0), observed)
    torch.testing.assert_close(output, spoiled)


def test_the_fair_crps_is_that_of_scoringrules():
    draws, target = torch.randn(5, 3, 9), torch.randn(5, 3)
    expected = scoringrules.crps_ensemble(target.numpy(), draws.numpy(), estimator="fair")
    np.testing.assert_allclose(ensemble_crps(draws, target).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_path_loss_equals_a_plain_loop_over_extremes():
    paths, target = torch.randn(2, 2, 5, 7), torch.randn(2, 2, 5)
    observed = torch.rand(2, 2, 5) < 0.7
    signs = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    scores = []
    for item in range(2):
        series = [(paths[item, v], target[item, v], observed[item, v]) for v in range(2)]
        both = sum(sign * x for sign, x in zip(signs[item], paths[item], strict=True))
        known = sum(sign * y for sign, y in zip(signs[item], target[item], strict=True))
        series.append((both, known, observed[item, 0] & observed[item, 1]))
        for x, y, seen in series:
            for step in range(5):
                use = [t for t in range(step + 1) if seen[t]]
                for extreme in (torch.amax, torch.amin):
                    if use:
                        drawn = extreme(x[use], dim=0).numpy()
                        happened = float(extreme(y[use], dim=0))
                        scores.append(scoringrules.crps_ensemble(happened, drawn, estimator="fair"))
    found = float(path_loss(paths, target, observed, signs))
    assert found == pytest.approx(2 * np.mean(scores), rel=1e-4)


def test_the_path_loss_is_least_for_the_true_dependence():
    rng = torch.Generator().manual_seed(1)
    walk = torch.randn(4000, 1, 12, 1, generator=rng).cumsum(2)
    target = walk[..., 0]
    smooth = torch.randn(4000, 1, 1, 16, generator=rng) * torch.arange(1, 13).sqrt()[:, None]
    rough = torch.randn(4000, 1, 12, 16, generator=rng) * torch.arange(1, 13).sqrt()[:, None]
    true = torch.randn(4000, 1, 12, 16, generator=rng).cumsum(2)
    everything, signs = torch.ones(4000, 1, 12, dtype=torch.bool), torch.ones(4000, 1)
    found = [float(path_loss(paths, target, everything, signs)) for paths in (true, smooth, rough)]
    assert found[0] < min(found[1:]) - 0.01
