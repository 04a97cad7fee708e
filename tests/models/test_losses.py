import pytest
import torch

from models.head import Law
from models.losses import losses, pinball, tail_nll
from models.settings import NetworkSettings

LEVELS = torch.tensor(NetworkSettings().quantile_levels)


def law_of(quantiles, *, requires_grad=False):
    shape = quantiles.shape[:3]
    return Law(
        quantiles.requires_grad_(requires_grad),
        torch.full((*shape, 2), 0.5).requires_grad_(requires_grad),
        torch.full((*shape, 1), 0.6).requires_grad_(requires_grad),
        torch.full((*shape, 1), 0.6).requires_grad_(requires_grad),
        torch.full(shape, 0.28),
    )


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
    law = law_of(torch.linspace(-1, 1, len(LEVELS)).expand(1, 1, 3, -1).clone())
    found = tail_nll(law, torch.tensor([[[0.0, 2.0, -1.5]]]))
    expected = torch.tensor([0.0, 1.0 / 0.5, 0.5 / 0.5]) + torch.tensor([0.0, 1, 1]) * torch.log(
        torch.tensor(0.5)
    )
    torch.testing.assert_close(found[0, 0], expected)


def test_copula_and_tail_losses_leave_the_quantiles_alone():
    quantiles = torch.randn(2, 1, 4, len(LEVELS)).sort(-1).values
    law = law_of(quantiles, requires_grad=True)
    parts = losses(law, LEVELS, torch.randn(2, 1, 4) * 3, torch.ones(2, 1, 4, dtype=torch.bool))
    (parts.copula + parts.tail).backward()
    assert law.quantiles.grad is None
    assert law.own.grad.abs().sum() > 0


def test_unobserved_targets_do_not_count():
    law = law_of(torch.randn(2, 1, 4, len(LEVELS)).sort(-1).values)
    target, observed = torch.randn(2, 1, 4), torch.tensor([True, True, False, True]).expand(2, 1, 4)
    told = losses(law, LEVELS, target, observed)
    spoiled = losses(law, LEVELS, torch.where(observed, target, 99.0), observed)
    torch.testing.assert_close(told, spoiled)
