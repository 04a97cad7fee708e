import logging

import pytest
import torch

from models.network import sampling
from models.network.sampling import correlated_scores, sample_paths
from models.settings import NetworkSettings

LEVELS = torch.tensor(NetworkSettings().quantile_levels)


def draw(distribution, seed=0, **options):
    return sample_paths(distribution, LEVELS, generator=torch.Generator().manual_seed(seed), **options)


def test_paths_have_the_marginals_of_the_law(random_distribution):
    distribution = random_distribution(1)
    paths = draw(distribution, paths=20_000)
    share_below = (paths[..., None] < distribution.quantiles[..., None, :]).float().mean(-2)
    assert (share_below - LEVELS).abs().max() < 0.015


def test_scores_have_the_correlation_of_the_copula(random_distribution):
    distribution = random_distribution(2)
    scores = correlated_scores(distribution, 40_000, torch.Generator().manual_seed(1))
    factor = distribution.factor()
    expected = factor @ factor.transpose(1, 2) + torch.diag_embed(distribution.noise.flatten(1))
    for item in range(2):
        assert (torch.corrcoef(scores[item].flatten(0, 1)) - expected[item]).abs().max() < 0.03


def test_the_same_seed_gives_the_same_paths_and_another_seed_others(random_distribution):
    distribution = random_distribution(3)
    assert torch.equal(draw(distribution, paths=9), draw(distribution, paths=9))
    assert not torch.equal(draw(distribution, paths=9), draw(distribution, seed=1, paths=9))


@pytest.mark.parametrize("budget", [1, 2000, 10**9])
def test_any_memory_budget_gives_all_the_paths(random_distribution, budget):
    assert draw(random_distribution(4), paths=33, budget=budget).shape == (2, 2, 3, 33)


def test_out_of_memory_halves_the_chunk_and_says_so(random_distribution, monkeypatch, caplog):
    real, sizes = sampling.draw, []

    def fails_above_ten(distribution, levels, *, paths, generator):
        sizes.append(paths)
        if paths > 10:
            raise torch.OutOfMemoryError("no room")
        return real(distribution, levels, paths=paths, generator=generator)

    monkeypatch.setattr(sampling, "draw", fails_above_ten)
    with caplog.at_level(logging.WARNING):
        assert draw(random_distribution(5), paths=32).shape[-1] == 32
    assert sizes == [32, 16, 8, 8, 8, 8]
    assert "8 paths at a time" in caplog.messages[-1]


def test_out_of_memory_with_one_path_is_not_hidden(random_distribution, monkeypatch):
    def fails(*_, **__):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(sampling, "draw", fails)
    with pytest.raises(torch.OutOfMemoryError):
        draw(random_distribution(6), paths=4)
